#include "ws/uring_sender.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

namespace herald {
namespace {

class UringSenderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const absl::Status status = UringSender::Check(); !status.ok()) {
      GTEST_SKIP() << status.message();
    }
  }
  ~UringSenderTest() override {
    for (const auto& pair : pairs_) {
      for (const int fd : pair) {
        if (fd >= 0) ::close(fd);
      }
    }
  }

  std::array<int, 2>& Pair() {
    auto& pair = pairs_.emplace_back(std::array<int, 2>{-1, -1});
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
    return pair;
  }
  static std::string ReadSome(int fd) {
    char buffer[4096];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
  }

  UringSender sender_;
  std::vector<std::array<int, 2>> pairs_;
};

TEST_F(UringSenderTest, SendsToAllInOneBatch) {
  constexpr std::size_t kSockets = BatchSender::kMaxSends / 4;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < kSockets; ++i) {
    Pair();
    texts.push_back("to " + std::to_string(i));
  }
  std::string shared = ", all";
  for (int round = 0; round < 3; ++round) {
    std::vector<iovec> buffers;
    for (std::string& text : texts) {
      buffers.push_back({text.data(), text.size()});
      buffers.push_back({shared.data(), shared.size()});
    }
    std::vector<BatchSender::Send> sends;
    for (std::size_t i = 0; i < kSockets; ++i) {
      // Every other one has a single buffer, which takes another call.
      sends.push_back({pairs_[i][0], i, std::span(buffers).subspan(2 * i, 1 + i % 2), 0});
    }
    sender_.SendAll(sends);
    for (std::size_t i = 0; i < kSockets; ++i) {
      const std::string expected = texts[i] + (i % 2 == 1 ? shared : "");
      EXPECT_EQ(sends[i].result, static_cast<ssize_t>(expected.size()));
      EXPECT_EQ(ReadSome(pairs_[i][1]), expected);
    }
  }
}

TEST_F(UringSenderTest, TellsOfEachWhatBecameOfIt) {
  ::signal(SIGPIPE, SIG_IGN);
  Pair();
  Pair();
  Pair();
  // The first is full, and must not be waited for; the second has nobody at its end.
  std::string block(1 << 20, 'x');
  ASSERT_EQ(::fcntl(pairs_[0][0], F_SETFL, O_NONBLOCK), 0);
  while (::send(pairs_[0][0], block.data(), block.size(), MSG_DONTWAIT) > 0) {
  }
  ASSERT_EQ(::fcntl(pairs_[0][0], F_SETFL, 0), 0);
  ::close(std::exchange(pairs_[1][1], -1));
  std::array<iovec, 3> buffers{};
  buffers.fill({block.data(), 5});
  std::vector<BatchSender::Send> sends;
  for (std::size_t i = 0; i < 3; ++i)
    sends.push_back({pairs_[i][0], i, std::span(buffers).subspan(i, 1), 0});
  sender_.SendAll(sends);
  EXPECT_EQ(sends[0].result, -EAGAIN);
  EXPECT_EQ(sends[1].result, -EPIPE);
  EXPECT_EQ(sends[2].result, 5);
  EXPECT_EQ(ReadSome(pairs_[2][1]), "xxxxx");
}

TEST_F(UringSenderTest, SendsAPartOfWhatDoesNotFit) {
  const int fd = Pair()[0];
  std::string large(8 << 20, 'y');
  iovec buffer{large.data(), large.size()};
  std::vector<BatchSender::Send> sends = {{fd, 0, std::span(&buffer, 1), 0}};
  sender_.SendAll(sends);
  EXPECT_GT(sends[0].result, 0);
  EXPECT_LT(sends[0].result, static_cast<ssize_t>(large.size()));
}

// As in a container that forbids it: here no descriptor is left for a ring.
TEST_F(UringSenderTest, LeavesItToTheSessionsWhereItIsRefused) {
  const int fd = Pair()[0];
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status refused = UringSender::Check();
  std::string text = "x";
  iovec buffer{text.data(), text.size()};
  std::vector<BatchSender::Send> sends = {{fd, 0, std::span(&buffer, 1), 0}};
  sender_.SendAll(sends);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(sends[0].result, -EAGAIN);
  sender_.SendAll(sends);  // and it is not asked again
  EXPECT_EQ(sends[0].result, -EAGAIN);
}

}  // namespace
}  // namespace herald
