// What the checker of the guarantees (tests/checker) does from outside, inside one process and without
// gRPC, so that ThreadSanitizer sees all of it: publishers at full speed, two shards, real sockets,
// and clients that are cut and come back with their positions. Every message is accounted for:
//
//   each client gets each topic's offsets one by one, from where it began, with the payload that was
//   published there, or is told that it lost some (`recovered` false);
//   a receipt never tells of more than the clients have done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/ws/server.h"
#include "ws/uring_sender.h"

namespace herald {
namespace {

constexpr int kTopics = 3;
constexpr int kPublishers = 2;
constexpr int kClients = 6;
constexpr std::uint64_t kHistory = 150;  // messages: who stays away for longer has lost some
constexpr std::uint64_t kAhead = 190;    // of the slowest client, at most
constexpr int kQuiet = 20;               // messages a topic at the end, when nobody is cut any more
constexpr auto kStorm = std::chrono::milliseconds(2500);

std::string TopicOf(int i) { return fmt::format("kept/{}", i); }

FrontEndOptions StressOptions() {
  FrontEndOptions options = DevOptions();
  TopicRule rule = Rule("kept/*", kHistory);
  rule.client_subscribe = TopicRule::Access::kAnyone;
  options.rules = std::make_shared<const TopicRules>(std::vector<TopicRule>{rule});
  return options;
}

// A message as its publisher knows it.
struct Sent {
  std::string payload;
  ReceiptPtr receipt;  // null: none was asked for
  std::optional<Receipt::Counts> counts;
  // When the receipt was told: what each client had said it has handled of the topic.
  std::array<std::uint64_t, kClients> acked{};
};

// All messages of a topic, by offset.
class Log {
 public:
  std::shared_ptr<Sent> Get(std::uint64_t offset) {
    MutexLock lock(mutex_);
    auto it = sent_.find(offset);
    return it == sent_.end() ? nullptr : it->second;
  }
  void Add(std::uint64_t offset, std::shared_ptr<Sent> sent) {
    MutexLock lock(mutex_);
    EXPECT_TRUE(sent_.emplace(offset, std::move(sent)).second) << offset << " was given twice";
    last_ = std::max(last_.load(), offset);
  }
  std::uint64_t last() const { return last_; }

 private:
  Mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Sent>> sent_ ABSL_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> last_{0};
};

std::string TextOf(const boost::json::object& object, const char* key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}
std::uint64_t OffsetOf(const boost::json::object& object) {
  const std::string text = TextOf(object, "offset");
  return text.empty() ? 0 : std::stoull(text);
}

// One user's client: one thread, many connections one after the other.
class Client {
 public:
  struct Got {
    std::uint64_t offset;
    std::string payload;
  };
  struct Topic {
    std::atomic<std::uint64_t> next{
        0};  // offset of the message that must come now; 0: not on it yet
    std::string position;
    std::vector<Got> got;
    std::atomic<std::uint64_t> acked{0};  // highest offset that it may have acknowledged
  };

  Client(Server& server, int index)
      : server_(server), index_(index), random_(static_cast<unsigned>(index)) {}

  // Reads, acknowledges, and, while `storm`, gets cut. Ends with all up to `ends` read and
  // acknowledged, on a connection that stays open.
  void Run(const std::atomic<bool>& storm, const std::atomic<bool>& settled,
           const std::array<std::atomic<std::uint64_t>, kTopics>& ends) {
    while (!(settled && Reached(ends))) {
      if (!connection_ && !Connect()) return;
      steady = !storm;
      if (storm && random_() % 100 == 0) {
        Cut();
        continue;
      }
      if (!ReadOne()) {
        connection_.reset();  // the server has cut it, as a slow consumer
        ++cuts;
      } else if (random_() % 16 == 0) {
        Acknowledge();
      }
    }
    Acknowledge();
  }

  void Leave() { connection_.reset(); }

  std::array<Topic, kTopics> topics;
  std::atomic<bool> steady{false};
  // What happened, and what must not.
  std::uint64_t cuts = 0, recovered = 0, told_losses = 0, delivered = 0;
  std::vector<std::string> faults;

 private:
  bool Reached(const std::array<std::atomic<std::uint64_t>, kTopics>& ends) const {
    for (std::size_t i = 0; i < kTopics; ++i) {
      if (topics[i].next <= ends[i]) return false;
    }
    return true;
  }

  bool Connect() {
    std::string resume;
    for (int i = 0; i < kTopics; ++i) {
      const Topic& topic = topics[static_cast<std::size_t>(i)];
      resume += fmt::format(R"({}{{"topic":"{}","position":"{}"}})", i > 0 ? "," : "", TopicOf(i),
                            topic.position);
    }
    connection_ = std::make_unique<JsonClient>(JsonClient::Open(
        server_, fmt::format("/ws?user=u{}", index_),
        fmt::format(R"({{"resume":[{}],"previous_session_id":"{}"}})", resume, session_id_)));
    if (connection_->hello.empty()) {
      faults.push_back("no hello");
      return false;
    }
    session_id_ = connection_->session_id();
    for (const auto& value : connection_->hello.at("topics").as_array()) {
      const auto& state = value.as_object();
      for (int i = 0; i < kTopics; ++i) {
        if (TextOf(state, "topic") == TopicOf(i)) Start(i, state);
      }
    }
    return true;
  }

  void Start(int i, const boost::json::object& state) {
    Topic& topic = topics[static_cast<std::size_t>(i)];
    const bool asked = !topic.position.empty();
    const auto* recovered_all = state.if_contains("recovered");
    if (asked && recovered_all != nullptr && recovered_all->as_bool()) {
      ++recovered;
      return;  // goes on with `next`
    }
    if (asked) ++told_losses;
    if (OffsetOf(state) + 1 < topic.next) Fault(i, "told of a loss, and put back", OffsetOf(state));
    topic.next = OffsetOf(state) + 1;
    topic.position = TextOf(state, "position");
  }

  // In a way that the server learns of late: what was on its way is lost.
  void Cut() {
    ++cuts;
    connection_.reset();
    if (random_() % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 20));
  }

  bool ReadOne() {
    const auto frame = connection_->Read();
    if (frame.empty()) return false;
    const auto* content = frame.if_contains("message");
    if (content == nullptr) return true;
    const auto& message = content->as_object();
    for (int i = 0; i < kTopics; ++i) {
      if (TextOf(message, "topic") != TopicOf(i)) continue;
      Topic& topic = topics[static_cast<std::size_t>(i)];
      const std::uint64_t offset = OffsetOf(message);
      if (offset != topic.next) Fault(i, offset < topic.next ? "again" : "lost before", offset);
      topic.next = offset + 1;
      topic.position = TextOf(message, "position");
      topic.got.push_back({offset, TextOf(message, "text")});
      ++delivered;
      return true;
    }
    faults.push_back("a message of nowhere: " + boost::json::serialize(frame));
    return true;
  }

  void Acknowledge() {
    std::string offsets;
    for (int i = 0; i < kTopics; ++i) {
      Topic& topic = topics[static_cast<std::size_t>(i)];
      if (topic.got.empty()) continue;
      topic.acked = topic.got.back().offset;
      offsets +=
          fmt::format(R"({}"{}":"{}")", offsets.empty() ? "" : ",", TopicOf(i), topic.acked.load());
    }
    (void)connection_->ws().Send(R"({"ack":{)" + offsets + "}}");  // or it is cut already
  }

  void Fault(int topic, std::string_view what, std::uint64_t offset) {
    faults.push_back(fmt::format("client {}, {}: {} {}, expected {}", index_, TopicOf(topic), what,
                                 offset, topics[static_cast<std::size_t>(topic)].next.load()));
  }

  Server& server_;
  const int index_;
  std::mt19937 random_;
  std::unique_ptr<JsonClient> connection_;
  std::string session_id_;
};

class DeliveryStressTest : public ::testing::TestWithParam<bool> {
 protected:
  // Publishes one message of publisher `p`, its `n`th, and notes what came of it.
  void Publish(Server& server, int topic, int p, int n, std::optional<Receipt::Level> level,
               bool high_priority) {
    auto sent = std::make_shared<Sent>();
    sent->payload = fmt::format("{}/{}", p, n);
    Publication publication{Body(sent->payload), TopicOf(topic)};
    if (level) {
      sent->receipt = std::make_shared<Receipt>(
          *level, [this, topic, sent = sent.get()](const Receipt::Counts& counts) {
            MutexLock lock(mutex_);
            sent->counts = counts;
            for (std::size_t i = 0; i < kClients; ++i)
              sent->acked[i] = clients_[i]->topics[static_cast<std::size_t>(topic)].acked;
          });
    }
    if (level || high_priority) {
      auto options = std::make_shared<DeliveryOptions>();
      options->receipt = sent->receipt;
      options->high_priority = high_priority;
      publication.options = std::move(options);
    }
    const absl::StatusOr<Published> published = server.node().Publish(std::move(publication));
    ASSERT_TRUE(published.ok()) << published.status();
    logs_[static_cast<std::size_t>(topic)].Add(published->position.offset, sent);
    if (sent->receipt) sent->receipt->Release();
  }

  bool IsDone(const Sent& sent) {
    MutexLock lock(mutex_);
    return sent.counts.has_value();
  }

  std::array<Log, kTopics> logs_;
  std::vector<std::unique_ptr<Client>> clients_;

 private:
  Mutex mutex_;  // of `counts`
};

TEST_P(DeliveryStressTest, EveryMessageIsAccountedFor) {
  const bool batched = GetParam();
  if (batched && !UringSender::Check().ok()) GTEST_SKIP() << UringSender::Check().message();
  Server server(StressOptions(), nullptr, nullptr,
                batched ? [] { return std::make_unique<UringSender>(); }
                        : std::function<std::unique_ptr<BatchSender>()>());
  std::atomic<bool> storm{true}, settled{false};
  std::array<std::atomic<std::uint64_t>, kTopics> ends{};

  std::vector<std::thread> client_threads;
  for (int i = 0; i < kClients; ++i) {
    Client& client = *clients_.emplace_back(std::make_unique<Client>(server, i));
    client_threads.emplace_back([&] { client.Run(storm, settled, ends); });
  }
  std::vector<std::thread> publishers;
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&, p] {
      std::mt19937 random(static_cast<unsigned>(100 + p));
      for (int n = 0; storm; ++n) {
        const auto topic = static_cast<std::size_t>(random() % kTopics);
        // So far ahead that some who were cut lose messages, and not so far that all do.
        const auto too_far = [&] {
          for (const auto& client : clients_) {
            if (logs_[topic].last() > client->topics[topic].next + kAhead) return true;
          }
          return false;
        };
        while (storm && too_far()) std::this_thread::yield();
        const std::optional<Receipt::Level> levels[] = {std::nullopt, Receipt::Level::kWritten,
                                                        Receipt::Level::kAcked};
        Publish(server, static_cast<int>(topic), p, n, levels[random() % 3], random() % 16 == 0);
      }
    });
  }
  std::this_thread::sleep_for(kStorm);
  storm = false;
  for (std::thread& publisher : publishers) publisher.join();

  // Nobody is cut any more. What is published now is acknowledged by everybody. Each client waits
  // for a message or two to notice.
  ASSERT_TRUE(Eventually([&] {
    Publish(server, 0, kPublishers, static_cast<int>(logs_[0].last()), {}, false);
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const auto& c) { return c->steady.load(); });
  }));
  for (std::size_t i = 0; i < kTopics; ++i) ends[i] = logs_[i].last() + kQuiet;
  settled = true;
  std::vector<std::shared_ptr<Sent>> quiet;
  for (int n = 0; n < kQuiet; ++n) {
    for (int topic = 0; topic < kTopics; ++topic) {
      Publish(server, topic, kPublishers + 1, n, Receipt::Level::kAcked, false);
      Log& log = logs_[static_cast<std::size_t>(topic)];
      quiet.push_back(log.Get(log.last()));
    }
  }
  for (std::thread& thread : client_threads) thread.join();
  EXPECT_TRUE(Eventually([&] {
    return std::all_of(quiet.begin(), quiet.end(), [&](const auto& sent) { return IsDone(*sent); });
  })) << "not all was acknowledged";
  for (const auto& sent : quiet) {
    if (!IsDone(*sent)) continue;
    EXPECT_EQ(sent->counts->acked, static_cast<std::uint64_t>(kClients)) << sent->payload;
  }
  for (auto& client : clients_) client->Leave();
  EXPECT_TRUE(server.WaitEmpty());

  std::uint64_t delivered = 0, cuts = 0, recovered = 0, told_losses = 0;
  for (const auto& client : clients_) {
    EXPECT_THAT(client->faults, testing::IsEmpty());
    delivered += client->delivered;
    cuts += client->cuts;
    recovered += client->recovered;
    told_losses += client->told_losses;
  }
  std::uint64_t receipts = 0;
  for (std::size_t i = 0; i < kTopics; ++i) {
    // What each client got is what was published.
    for (const auto& client : clients_) {
      for (const Client::Got& got : client->topics[i].got) {
        const auto sent = logs_[i].Get(got.offset);
        ASSERT_NE(sent, nullptr) << "a phantom: " << got.payload;
        ASSERT_EQ(got.payload, sent->payload);
      }
    }
    std::map<std::string, int> last_of_publisher;
    for (std::uint64_t offset = 1; offset <= logs_[i].last(); ++offset) {
      const auto sent = logs_[i].Get(offset);
      ASSERT_NE(sent, nullptr) << "no message has offset " << offset;
      // Publications of one publisher keep their order.
      const std::size_t slash = sent->payload.find('/');
      const int n = std::stoi(sent->payload.substr(slash + 1));
      const auto [last, first] = last_of_publisher.emplace(sent->payload.substr(0, slash), n);
      if (!first) {
        ASSERT_GT(n, std::exchange(last->second, n)) << sent->payload;
      }
      if (!sent->receipt) continue;
      // Nobody comes back any more.
      if (!IsDone(*sent)) sent->receipt->Expire();
      ASSERT_TRUE(IsDone(*sent)) << "its end was not told";
      ++receipts;
      const Receipt::Counts& counts = *sent->counts;
      std::uint64_t dropped = 0;
      for (const std::uint64_t count : counts.dropped) dropped += count;
      dropped -= counts.dropped[static_cast<std::size_t>(DropReason::kNoSession)];  // nobody's
      const bool awaits_acks = sent->receipt->level() == Receipt::Level::kAcked;
      ASSERT_LE(counts.matched, static_cast<std::uint64_t>(kClients)) << sent->payload;
      ASSERT_LE(counts.written, counts.matched) << sent->payload;
      ASSERT_LE(counts.acked, counts.written) << sent->payload;
      const auto acked = std::count_if(sent->acked.begin(), sent->acked.end(),
                                       [&](std::uint64_t up_to) { return up_to >= offset; });
      ASSERT_LE(counts.acked, static_cast<std::uint64_t>(acked)) << sent->payload;
      ASSERT_EQ(counts.matched, (awaits_acks ? counts.acked : counts.written) + dropped)
          << sent->payload;
    }
  }
  EXPECT_GT(delivered, 0u);
  EXPECT_GT(cuts, 0u);
  EXPECT_GT(recovered, 0u);
  EXPECT_GT(receipts, 0u);
  std::cout << fmt::format("{} delivered, {} cuts, {} recoveries, {} losses told, {} receipts\n",
                           delivered, cuts, recovered, told_losses, receipts);
}

INSTANTIATE_TEST_SUITE_P(Ways, DeliveryStressTest, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "io_uring" : "plain");
});

}  // namespace
}  // namespace herald
