// A node without sockets: shards, index, memory broker and session table, wired as the application
// wires them, and sessions that record what they are sent.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "broker/memory_broker.h"
#include "session/session.h"
#include "session/session_table.h"
#include "session/shard.h"

namespace herald {

// No test waits longer; none that passes comes near it.
inline constexpr std::chrono::seconds kDeadline{60};

// Waits until `condition` holds. For what no callback tells.
template <typename F>
[[nodiscard]] bool Eventually(F condition) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Runs `f` on the shard's thread and waits for its result.
template <typename F>
auto RunOn(Shard& shard, F f) {
  using Result = std::invoke_result_t<F&>;
  std::promise<Result> promise;
  auto result = promise.get_future();
  shard.Post([&] {
    if constexpr (std::is_void_v<Result>) {
      f();
      promise.set_value();
    } else {
      promise.set_value(f());
    }
  });
  if (result.wait_for(kDeadline) != std::future_status::ready) {
    ADD_FAILURE() << "the shard does not answer";
    std::abort();  // the task refers to this frame
  }
  return result.get();
}

// Waits for a callback: `auto [value, done] = ...` would need two names everywhere.
template <typename T>
class Awaited {
 public:
  // The callback; to be called once, on any thread.
  std::function<void(T)> callback() {
    return [promise = promise_](T value) { promise->set_value(std::move(value)); };
  }
  T Get() {
    if (future_.wait_for(kDeadline) != std::future_status::ready) {
      ADD_FAILURE() << "the callback was not called";
      std::abort();
    }
    return future_.get();
  }
  bool Ready() const {
    return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

 private:
  std::shared_ptr<std::promise<T>> promise_ = std::make_shared<std::promise<T>>();
  std::future<T> future_ = promise_->get_future();
};

struct Received {
  std::string topic;
  std::uint64_t offset = 0;
  std::string payload;

  bool operator==(const Received&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Received& received) {
    return out << received.topic << '@' << received.offset << '=' << received.payload.substr(0, 40);
  }
};

// Messages as the text `topic@offset=payload`.
class TextEncoder final : public MessageEncoder {
 public:
  void Encode(const Message& message, std::string& out) const override {
    const std::string text =
        fmt::format("{}@{}={}", message.topic(), message.position().offset, message.body().payload);
    AppendFrameHeader(Opcode::kText, text.size(), out);
    out += text;
  }
};

inline Encoders TextEncoders() {
  static const TextEncoder encoder;
  return {{&encoder, &encoder, &encoder}};
}

// What stands in the whole frames of `wire` (unmasked, unfragmented).
inline std::vector<std::string> PayloadsOf(std::string_view wire) {
  std::vector<std::string> payloads;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(wire[i]); };
  while (wire.size() >= 2) {
    std::size_t size = byte(1), header = 2;
    const int extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (extra > 0) {
      if (wire.size() < header + static_cast<std::size_t>(extra)) break;
      size = 0;
      for (int i = 0; i < extra; ++i) size = size << 8 | byte(header++);
    }
    if (wire.size() - header < size) break;
    payloads.emplace_back(wire.substr(header, size));
    wire.remove_prefix(header + size);
  }
  return payloads;
}

inline Received ParseReceived(std::string_view text) {
  const std::size_t at = text.find('@'), equals = text.find('=', at);
  return {std::string(text.substr(0, at)),
          std::strtoull(std::string(text.substr(at + 1, equals - at - 1)).c_str(), nullptr, 10),
          std::string(text.substr(equals + 1))};
}

// A session whose socket is a string that takes so many bytes and then blocks. On its shard only.
class RecordingSession final : public Session {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
  struct Options {
    std::size_t max_outbound_bytes = 1 << 20;
    std::size_t capacity = kUnlimited;
    Encoding encoding = Protocol::kJson;
    bool remove_on_close = true;
  };

  RecordingSession(Shard& shard, Options options)
      : Session(shard, options.encoding, options.max_outbound_bytes),
        capacity_(options.capacity),
        remove_on_close_(options.remove_on_close) {}

  void Flush() override {
    ++flushes_;
    DropExpired();
    while (!queue_.empty() && capacity_ > 0) {
      iovec buffers[4];
      std::size_t written = 0;
      const std::size_t n = queue_.Gather(buffers);
      for (std::size_t i = 0; i < n && capacity_ > 0; ++i) {
        const std::size_t size = std::min(buffers[i].iov_len, capacity_);
        wire_.append(static_cast<const char*>(buffers[i].iov_base), size);
        written += size;
        if (capacity_ != kUnlimited) capacity_ -= size;
      }
      queue_.Consume(written);
      shard().CountWritten(written);
    }
  }

  void Stall() { capacity_ = 0; }
  // The socket takes `bytes` more.
  void Allow(std::size_t bytes) {
    capacity_ = bytes;
    Flush();
  }

  // As a connection does that resumes the one before: what that was owed, and one topic.
  void Follow(std::vector<Owed> owed, const std::string& topic, const Position& since) {
    TakeOwed(std::move(owed));
    shard().Subscribe(*this, topic, since, 0,
                      [this, topic, since](absl::StatusOr<FeedStart> start) {
                        SettleOwed(topic, since.offset, start->recovered);
                        for (const MessagePtr& message : start->missed)
                          DeliverMissed(message, Overflow::kDisconnect);
                        GiveUpOwed();
                      });
  }

  FramePtr MakePresence(const PresenceChange& change) const override {
    const bool join = change.kind == PresenceChange::Kind::kJoin;
    auto frame = std::make_shared<Frame>(
        *MakeFrame(Opcode::kText, change.topic + (join ? "@0=join:" : "@0=leave:") + change.user));
    frame->messages = 0;
    return frame;
  }

  const std::string& wire() const { return wire_; }
  std::vector<Received> received() const {
    std::vector<Received> received;
    for (const std::string& text : PayloadsOf(wire_)) received.push_back(ParseReceived(text));
    return received;
  }
  int flushes() const { return flushes_; }
  const std::vector<CloseRequest>& closes() const { return closes_; }

 protected:
  FramePtr MakeGap(const std::string& topic, std::string_view reason,
                   const Position&) const override {
    const bool slow = reason == kDropReasonNames[static_cast<int>(DropReason::kSlowConsumer)];
    auto frame = std::make_shared<Frame>(
        *MakeFrame(Opcode::kText, topic + "@0=gap" + (slow ? "" : ":" + std::string(reason))));
    frame->messages = 0;
    return frame;
  }
  void DoClose(CloseRequest request) override {
    closes_.push_back(std::move(request));
    if (remove_on_close_) shard().Remove(*this);
  }

 private:
  std::string wire_;
  std::size_t capacity_;
  const bool remove_on_close_;
  int flushes_ = 0;
  std::vector<CloseRequest> closes_;
};
using RecordingSessionPtr = std::shared_ptr<RecordingSession>;

inline TopicRule Rule(std::string_view pattern, std::uint32_t history_size,
                      absl::Duration history_ttl = absl::Minutes(10)) {
  TopicRule rule;
  rule.pattern = *TopicPattern::Parse(pattern);
  rule.history_size = history_size;
  rule.history_ttl = history_ttl;
  return rule;
}

// Topics under `kept/` keep 100 messages, under `small/` 5, others none.
inline std::shared_ptr<const TopicRules> TestRules() {
  return std::make_shared<const TopicRules>(
      std::vector<TopicRule>{Rule("kept/**", 100), Rule("small/**", 5)});
}

inline MessageBodyPtr Body(std::string payload) {
  MessageBody body;
  body.payload = std::move(payload);
  body.content_type = "text/plain";
  return *AcceptMessage(std::move(body), 1 << 20);
}

class Node {
 public:
  using MakeBroker = std::function<std::unique_ptr<Broker>(
      std::vector<std::unique_ptr<Shard>>&, TopicIndex&, std::shared_ptr<const TopicRules>)>;

  static std::unique_ptr<Broker> MakeMemoryBroker(std::vector<std::unique_ptr<Shard>>& shards,
                                                  TopicIndex& index,
                                                  std::shared_ptr<const TopicRules> rules) {
    return std::make_unique<MemoryBroker>(shards, index, std::move(rules), 64u << 20);
  }

  explicit Node(int count = 1, ShardOptions options = {}, const MakeBroker& make = MakeMemoryBroker,
                std::shared_ptr<const TopicRules> rules = TestRules()) {
    if (options.node.empty()) options.node = "node-1";
    options.rules = rules;
    if (options.encoders.by_protocol[0] == nullptr) options.encoders = TextEncoders();
    for (int i = 0; i < count; ++i) {
      options.index = i;
      shards_.push_back(std::make_unique<Shard>(options));
    }
    broker_ = make(shards_, index_, std::move(rules));
    for (auto& shard : shards_) shard->Start(*broker_);
  }
  ~Node() {
    for (auto& shard : shards_) shard->Stop();
  }

  std::vector<std::unique_ptr<Shard>>& shards() { return shards_; }
  Shard& shard(int i = 0) { return *shards_[static_cast<std::size_t>(i)]; }
  TopicIndex& index() { return index_; }
  Broker& broker() { return *broker_; }
  SessionTable& table() { return table_; }

  RecordingSessionPtr Add(RecordingSession::Options options = {}, int shard_index = 0,
                          std::string user = "") {
    Shard& home = shard(shard_index);
    return RunOn(home, [&] {
      auto session = std::make_shared<RecordingSession>(home, options);
      home.Add(session, user);
      if (!user.empty()) {
        home.Subscribe(*session, PersonalTopic(user), {}, 0, [](absl::StatusOr<FeedStart>) {});
      }
      return session;
    });
  }

  // Subscribes and, as connections do, sends what was missed.
  absl::StatusOr<FeedStart> Subscribe(RecordingSession& session, const std::string& topic,
                                      std::optional<Position> since = {},
                                      std::uint64_t max_subscribers = 0) {
    Awaited<absl::StatusOr<FeedStart>> answer;
    shard(session.id().shard).Post([&, answered = answer.callback()] {
      shard(session.id().shard)
          .Subscribe(session, topic, since, max_subscribers,
                     [&session, answered](absl::StatusOr<FeedStart> start) {
                       if (start.ok()) {
                         for (const MessagePtr& message : start->missed) session.Deliver(message);
                       }
                       answered(std::move(start));
                     });
    });
    return answer.Get();
  }

  absl::StatusOr<Published> Publish(const std::string& topic, std::string payload,
                                    bool keep = true) {
    return Publish({Body(std::move(payload)), topic, nullptr, nullptr, keep});
  }
  absl::StatusOr<Published> Publish(Publication publication) {
    Awaited<absl::StatusOr<Published>> answer;
    broker_->Publish(std::move(publication), answer.callback());
    return answer.Get();
  }
  Broker::ReadResult Read(Broker::ReadRequest request) {
    Awaited<absl::StatusOr<Broker::ReadResult>> answer;
    broker_->Read(std::move(request), answer.callback());
    auto result = answer.Get();
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : Broker::ReadResult{};
  }

  std::vector<Received> ReceivedBy(RecordingSession& session) {
    return RunOn(shard(session.id().shard), [&] { return session.received(); });
  }
  // False if the session has not got so many messages in time.
  [[nodiscard]] bool WaitReceived(RecordingSession& session, std::size_t count) {
    return Eventually([&] { return ReceivedBy(session).size() >= count; });
  }

  // All that was posted before has taken effect, flushes included.
  void Settle() {
    for (int round = 0; round < 2; ++round) {
      for (auto& shard : shards_) RunOn(*shard, [] {});
    }
  }

 private:
  TopicIndex index_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unique_ptr<Broker> broker_;
  SessionTable table_{shards_, index_};
};

// Keeps a shard busy until it goes, so that what is posted meanwhile is one burst.
class Busy {
 public:
  explicit Busy(Shard& shard) {
    std::promise<void> running;
    shard.Post([&running, released = released_.get_future().share()] {
      running.set_value();
      released.wait();
    });
    running.get_future().wait();
  }
  ~Busy() { released_.set_value(); }

 private:
  std::promise<void> released_;
};

}  // namespace herald
