// What becomes of a message that goes past the queue, and of one that cannot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "session/batch_sender.h"
#include "session/session.h"
#include "session/shard.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A session on a socket of its own, whose queue goes to a string: so the two ways can be told apart.
class SocketSession final : public Session {
 public:
  explicit SocketSession(Shard& shard, Protocol protocol = Protocol::kJson)
      : Session(shard, protocol, 1 << 20) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0);
  }
  ~SocketSession() override {
    for (const int fd : ends_) ::close(fd);
  }

  void Flush() override {
    while (!queue_.empty()) {
      iovec buffer;
      queue_.Gather({&buffer, 1});
      flushed_.append(static_cast<const char*>(buffer.iov_base), buffer.iov_len);
      queue_.Consume(buffer.iov_len);
      shard().CountWritten(buffer.iov_len);
    }
  }
  // What came past the queue.
  std::string Direct() const {
    std::string all;
    std::array<char, 65536> buffer;
    for (ssize_t n; (n = ::recv(ends_[1], buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;)
      all.append(buffer.data(), static_cast<std::size_t>(n));
    return all;
  }
  const std::string& flushed() const { return flushed_; }
  void Block() {
    const std::string block(1 << 16, '\0');
    while (::send(ends_[0], block.data(), block.size(), MSG_DONTWAIT) > 0) {
    }
  }
  void Hold() {
    CloseDirect();
    held_ = true;
  }
  void Queue(FramePtr frame) { Enqueue(frame); }

 private:
  int Socket() const override { return held_ ? -1 : ends_[0]; }
  void DoClose(CloseRequest) override { shard().Remove(*this); }

  std::array<int, 2> ends_{-1, -1};
  bool held_ = false;
  std::string flushed_;
};
using SocketSessionPtr = std::shared_ptr<SocketSession>;

// The payload behind a name of the encoding.
class NamedEncoder final : public MessageEncoder {
 public:
  explicit NamedEncoder(std::string name) : name_(std::move(name)) {}
  void Encode(const Message& message, std::string& out) const override {
    out += MakeFrame(Opcode::kText, name_ + message.body().payload)->bytes;
  }

 private:
  const std::string name_;
};

// Sends as it is told to: each takes so many bytes at most, or fails.
class ScriptedSender final : public BatchSender {
 public:
  explicit ScriptedSender(std::vector<ssize_t> results) : results_(std::move(results)) {}
  void SendAll(std::span<Send> sends) override {
    batches.push_back(sends.size());
    for (Send& send : sends) {
      const ssize_t result = results_[next_++ % results_.size()];
      const auto size = static_cast<ssize_t>(send.buffers[0].iov_len);
      send.result = std::min(result, size);
      if (send.result > 0) {
        EXPECT_EQ(::send(send.fd, send.buffers[0].iov_base, static_cast<std::size_t>(send.result),
                         MSG_DONTWAIT),
                  send.result);
      }
    }
  }
  std::vector<std::size_t> batches;

 private:
  const std::vector<ssize_t> results_;
  std::size_t next_ = 0;
};

constexpr ssize_t kWhole = 1 << 20;

class DirectSendTest : public ::testing::Test {
 protected:
  // By a call each without `results`.
  void Start(std::vector<ssize_t> results = {}, const Encoders& encoders = TextEncoders()) {
    ShardOptions options;
    options.encoders = encoders;
    if (!results.empty()) {
      options.make_batch_sender = [this, results] {
        auto sender = std::make_unique<ScriptedSender>(results);
        sender_ = sender.get();
        return sender;
      };
    }
    node_ = std::make_unique<Node>(1, options);
  }
  SocketSessionPtr Add(Protocol protocol = Protocol::kJson) {
    return RunOn(shard(), [&] {
      auto session = std::make_shared<SocketSession>(shard(), protocol);
      shard().Add(session, "");
      shard().Subscribe(*session, "a", {}, 0, [](absl::StatusOr<FeedStart>) {});
      return session;
    });
  }
  void Publish(const std::string& payload, std::uint64_t sessions) {
    ASSERT_TRUE(node_->Publish("a", payload).ok());
    Await(sessions);
  }
  // So many messages are delivered. Until then nothing is posted: it might join the same drain, and
  // the message would not be the last of it.
  void Await(std::uint64_t deliveries) {
    ASSERT_TRUE(Eventually([&] { return shard().stats().deliveries >= deliveries; }));
    RunOn(shard(), [] {});
  }
  struct Wire {
    std::string direct, flushed;
    std::uint64_t messages, bytes;
  };
  Wire Of(SocketSession& session) {
    return RunOn(shard(), [&]() -> Wire {
      return {session.Direct(), session.flushed(), session.messages_out(), session.bytes_out()};
    });
  }
  Shard& shard() { return node_->shard(); }

  std::unique_ptr<Node> node_;
  ScriptedSender* sender_ = nullptr;
};

TEST_F(DirectSendTest, ARunGoesPastTheEmptyQueueInOneFrameAndIsCounted) {
  Start();
  auto session = Add();
  {
    Busy busy(shard());
    for (const char* text : {"x", "y"}) ASSERT_TRUE(node_->Publish("a", text).ok());
  }
  Await(2);
  const Wire wire = Of(*session);
  EXPECT_THAT(PayloadsOf(wire.direct), ElementsAre("a@0=x", "a@0=y"));
  EXPECT_THAT(wire.flushed, IsEmpty());
  EXPECT_EQ(wire.messages, 2u);
  EXPECT_EQ(wire.bytes, wire.direct.size());
  EXPECT_EQ(shard().stats().deliveries, 2u);
  EXPECT_EQ(shard().stats().bytes_out, wire.direct.size());
  EXPECT_EQ(shard().stats().queued_bytes, 0);
}

TEST_F(DirectSendTest, NothingOvertakesWhatIsQueued) {
  Start();
  auto session = Add();
  {
    Busy busy(shard());
    ASSERT_TRUE(node_->Publish("a", "first").ok());
    shard().Post([&] { session->Queue(MakeFrame(Opcode::kText, "mine")); });
    ASSERT_TRUE(node_->Publish("a", "last").ok());
  }
  Await(3);
  const Wire wire = Of(*session);
  EXPECT_THAT(wire.direct, IsEmpty());
  EXPECT_THAT(PayloadsOf(wire.flushed), ElementsAre("a@0=first", "mine", "a@0=last"));
}

TEST_F(DirectSendTest, ASessionThatMayNotBeWrittenToQueues) {
  Start();
  auto open = Add(), held = Add();
  held->Hold();
  Publish("x", 2);
  EXPECT_THAT(PayloadsOf(Of(*open).direct), ElementsAre("a@0=x"));
  EXPECT_THAT(Of(*held).direct, IsEmpty());
  EXPECT_THAT(PayloadsOf(Of(*held).flushed), ElementsAre("a@0=x"));
}

TEST_F(DirectSendTest, WhatTheSocketDoesNotTakeIsQueued) {
  Start();
  auto session = Add();
  session->Block();
  Publish("x", 1);
  const Wire wire = Of(*session);
  EXPECT_THAT(PayloadsOf(wire.flushed), ElementsAre("a@0=x"));
  EXPECT_EQ(wire.messages, 1u);
  EXPECT_EQ(wire.bytes, wire.flushed.size());
  EXPECT_EQ(shard().stats().deliveries, 1u);
  EXPECT_EQ(shard().stats().queued_bytes, 0);
}

TEST_F(DirectSendTest, ABatchTellsOfEachWhatBecameOfIt) {
  Start({kWhole, 3, -EAGAIN, -EPIPE, 0});
  std::vector<SocketSessionPtr> sessions;
  for (int i = 0; i < 5; ++i) sessions.push_back(Add());
  Publish("x", sessions.size());
  EXPECT_THAT(sender_->batches, ElementsAre(5));
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const Wire wire = Of(*sessions[i]);
    EXPECT_THAT(wire.direct, SizeIs(i == 0 ? 7 : i == 1 ? 3 : 0));
    EXPECT_THAT(PayloadsOf(wire.direct + wire.flushed), ElementsAre("a@0=x")) << i;
    EXPECT_EQ(wire.messages, 1u);
    EXPECT_EQ(wire.bytes, 7u);
    bytes += wire.bytes;
  }
  EXPECT_EQ(shard().stats().deliveries, sessions.size());
  EXPECT_EQ(shard().stats().bytes_out, bytes);
  EXPECT_EQ(shard().stats().queued_bytes, 0);
}

TEST_F(DirectSendTest, EachEncodingGetsItsOwnFrame) {
  const NamedEncoder raw("raw "), json("json "), proto("proto ");
  Start({kWhole}, {{&raw, &json, &proto}});
  std::vector<SocketSessionPtr> sessions;
  for (int i = 0; i < 4; ++i) sessions.push_back(Add(i % 2 ? Protocol::kProto : Protocol::kJson));
  Publish("x", 4);
  EXPECT_THAT(sender_->batches, ElementsAre(4));
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(PayloadsOf(Of(*sessions[static_cast<std::size_t>(i)]).direct),
                ElementsAre(i % 2 ? "proto x" : "json x"));
  }
}

TEST_F(DirectSendTest, MoreThanABatchTakesSeveral) {
  Start({kWhole});
  std::vector<SocketSessionPtr> sessions;
  for (std::size_t i = 0; i < BatchSender::kMaxSends + 1; ++i) sessions.push_back(Add());
  Publish("x", sessions.size());
  // A batch for the one that is left costs more than a call.
  EXPECT_THAT(sender_->batches, ElementsAre(BatchSender::kMaxSends));
  EXPECT_THAT(PayloadsOf(Of(*sessions.back()).direct), ElementsAre("a@0=x"));
}

TEST_F(DirectSendTest, AFewGoAlongWithWhatIsFlushedAnyway) {
  Start({kWhole});
  auto session = Add(), other = Add();
  {
    Busy busy(shard());
    shard().Post([&] { other->Queue(MakeFrame(Opcode::kText, "mine")); });
    ASSERT_TRUE(node_->Publish("a", "x").ok());
  }
  Await(3);
  EXPECT_THAT(Of(*session).direct, IsEmpty());
  EXPECT_THAT(PayloadsOf(Of(*session).flushed), ElementsAre("a@0=x"));
}

// From here on the sessions have been written to directly before, so that their slots stand open.

TEST_F(DirectSendTest, NothingOvertakesWhatWasQueuedSince) {
  Start();
  auto session = Add();
  // Enough that the run goes directly though somebody has something queued.
  std::vector<SocketSessionPtr> others;
  for (std::size_t i = 1; i < BatchSender::kWorthIt; ++i) others.push_back(Add());
  const std::uint64_t all = BatchSender::kWorthIt;
  Publish("x", all);
  {
    Busy busy(shard());
    shard().Post([&] { session->Queue(MakeFrame(Opcode::kText, "mine")); });
    ASSERT_TRUE(node_->Publish("a", "last").ok());
  }
  Await(2 * all + 1);
  Publish("again", 3 * all + 1);
  const Wire wire = Of(*session);
  EXPECT_THAT(PayloadsOf(wire.direct), ElementsAre("a@0=x", "a@0=again"));
  EXPECT_THAT(PayloadsOf(wire.flushed), ElementsAre("mine", "a@0=last"));
  EXPECT_EQ(wire.messages, 4u);
  EXPECT_EQ(wire.bytes, wire.direct.size() + wire.flushed.size());
  EXPECT_THAT(PayloadsOf(Of(*others.front()).direct),
              ElementsAre("a@0=x", "a@0=last", "a@0=again"));
}

TEST_F(DirectSendTest, ASocketThatMayNotBeWrittenToAnyMoreIsNot) {
  Start({kWhole});
  auto open = Add(), held = Add();
  Publish("x", 2);
  RunOn(shard(), [&] { held->Hold(); });
  Publish("y", 4);
  EXPECT_THAT(PayloadsOf(Of(*open).direct), ElementsAre("a@0=x", "a@0=y"));
  EXPECT_THAT(PayloadsOf(Of(*held).direct), ElementsAre("a@0=x"));
  EXPECT_THAT(PayloadsOf(Of(*held).flushed), ElementsAre("a@0=y"));
}

TEST_F(DirectSendTest, WhoTakesThePlaceOfAnEndedSessionGetsItsOwn) {
  Start({kWhole});
  auto ended = Add(), stays = Add();
  Publish("x", 2);
  RunOn(shard(), [&] { ended->Close({CloseCode::kNormal, "", {}}); });
  Publish("y", 3);
  auto next = Add();
  Publish("z", 5);
  EXPECT_THAT(PayloadsOf(Of(*ended).direct), ElementsAre("a@0=x"));
  EXPECT_THAT(PayloadsOf(Of(*stays).direct), ElementsAre("a@0=x", "a@0=y", "a@0=z"));
  const Wire wire = Of(*next);
  EXPECT_THAT(PayloadsOf(wire.direct), ElementsAre("a@0=z"));
  EXPECT_EQ(wire.messages, 1u);
  EXPECT_EQ(Of(*ended).messages, 1u);
}

TEST_F(DirectSendTest, AFullSocketIsWrittenToThroughTheQueueFromThenOn) {
  Start();
  auto session = Add();
  Publish("x", 1);
  EXPECT_THAT(PayloadsOf(Of(*session).direct), ElementsAre("a@0=x"));
  session->Block();
  Publish("y", 2);
  const Wire wire = Of(*session);
  EXPECT_THAT(PayloadsOf(wire.flushed), ElementsAre("a@0=y"));
  EXPECT_EQ(wire.messages, 2u);
}

TEST_F(DirectSendTest, ASessionOutsideTheTableQueues) {
  Start({kWhole});
  auto listed = Add();
  auto probe = RunOn(shard(), [&] {
    auto session = std::make_shared<SocketSession>(shard());
    shard().Subscribe(*session, "a", {}, 0, [](absl::StatusOr<FeedStart>) {});
    return session;
  });
  Publish("x", 1);
  Publish("y", 2);
  EXPECT_THAT(PayloadsOf(Of(*listed).direct), ElementsAre("a@0=x", "a@0=y"));
  EXPECT_THAT(Of(*probe).direct, IsEmpty());
  EXPECT_THAT(PayloadsOf(Of(*probe).flushed), ElementsAre("a@0=x", "a@0=y"));
  RunOn(shard(), [&] { shard().LeaveAll(*probe); });
}

}  // namespace
}  // namespace herald
