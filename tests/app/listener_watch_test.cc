#include "app/listener_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace herald {
namespace {

using ::testing::HasSubstr;

// A port of this machine that accepts and answers, or only listens.
class Port {
 public:
  explicit Port(bool answers) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    number_ = ntohs(address.sin_port);
    if (answers) thread_ = std::thread([this] { Serve(); });
  }
  ~Port() {
    ::shutdown(fd_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(fd_);
  }
  std::uint16_t number() const { return number_; }
  std::string received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }

 private:
  void Serve() {
    for (int one; (one = ::accept(fd_, nullptr, nullptr)) >= 0; ::close(one)) {
      char request[256];
      const ssize_t n = ::recv(one, request, sizeof request, 0);
      if (n > 0) {
        const std::lock_guard lock(mutex_);
        received_.assign(request, static_cast<std::size_t>(n));
      }
      (void)::send(one, "ok", 2, MSG_NOSIGNAL);
    }
  }

  int fd_ = -1;
  std::uint16_t number_ = 0;
  std::mutex mutex_;
  std::string received_;
  std::thread thread_;
};

PortCheck::Options To(std::uint16_t port) {
  PortCheck::Options options;
  options.address = {"0.0.0.0", port};
  options.request = "hello";
  return options;
}

absl::Status Check(PortCheck& check, absl::Duration timeout = absl::Seconds(30)) {
  return check.Run(timeout, "", [] { return false; });
}

TEST(PortCheckTest, G4APortThatAnswersPassesAgainAndAgain) {
  Port port(/*answers=*/true);
  PortCheck check(To(port.number()));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Check(check).ok());
  EXPECT_TRUE(check.Run(absl::Seconds(30), "first,", [] { return false; }).ok());
}

TEST(PortCheckTest, G4APortThatOnlyListensFails) {
  // As gRPC's listener after EMFILE: the kernel completes connections that nobody accepts.
  Port port(/*answers=*/false);
  PortCheck check(To(port.number()));
  const absl::Status status = Check(check, absl::Milliseconds(300));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no answer in time"));
}

TEST(PortCheckTest, AClosedPortFails) {
  std::uint16_t number = 0;
  {
    Port port(/*answers=*/false);
    number = port.number();
  }
  PortCheck check(To(number));
  EXPECT_TRUE(absl::IsUnavailable(Check(check)));
}

TEST(PortCheckTest, G4NeedsNoDescriptorThatOthersTook) {
  Port port(/*answers=*/true);
  PortCheck check(To(port.number()));
  const rlim_t before = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
  }();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 0;  // no new descriptor at all
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const int none = ::dup(0);
  // The answering side has its descriptor limit too, so only the first part is looked at: the call goes
  // out, and "no answer" is said about the port, not about this process.
  const absl::Status status = check.Run(absl::Milliseconds(300), "", [] { return false; });
  limit.rlim_cur = before;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(none, -1);
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("socket")));
}

TEST(ListenerWatchTest, G4NamesThePortThatDoesNotAnswer) {
  Port good(/*answers=*/true), bad(/*answers=*/false);
  PortCheck::Options dead = To(bad.number());
  ListenerWatch watch({{"client port", To(good.number()), nullptr}, {"gRPC port", dead, nullptr}});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::string problem;
  do {
    problem = watch.Problem();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  } while (problem.find("gRPC port") == std::string::npos &&
           std::chrono::steady_clock::now() < deadline);
  EXPECT_THAT(problem, HasSubstr("the gRPC port does not answer"));
  EXPECT_THAT(problem, ::testing::Not(HasSubstr("client port")));
}

TEST(ListenerWatchTest, IsContentOnceAllAnswer) {
  Port port(/*answers=*/true);
  ListenerWatch watch({{"client port", To(port.number()), nullptr}});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!watch.Problem().empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(watch.Problem(), "");
}

}  // namespace
}  // namespace herald
