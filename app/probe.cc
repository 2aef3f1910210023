#include "app/probe.h"

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace herald {
namespace {

std::string TopicOf(const std::string& node, int shard) {
  return fmt::format("$probe/{}/{}", node, shard);
}

}  // namespace

// A session without a connection, and not in the table: it is on its probe topic only.
class Probe::Listener final : public Session {
 public:
  Listener(Shard& shard, std::string topic)
      : Session(shard, Protocol::kRaw, 1 << 16), topic_(std::move(topic)) {}

  void Begin() {
    shard().Subscribe(*this, topic_, std::nullopt, 0, [this](absl::StatusOr<FeedStart> start) {
      if (absl::IsUnavailable(start.status())) Begin();  // it has waited for the store already
    });
  }
  void Flush() override {
    const std::size_t bytes = queue_.bytes();
    queue_.Consume(bytes);
    shard().CountQueued(-static_cast<std::int64_t>(bytes), 0);  // it goes to no socket
    last_unix_ms_.store(absl::ToUnixMillis(absl::Now()), std::memory_order_relaxed);
  }
  const std::string& topic() const { return topic_; }
  absl::Time last() const {
    return absl::FromUnixMillis(last_unix_ms_.load(std::memory_order_relaxed));
  }

 protected:
  void DoClose(CloseRequest) override {}

 private:
  const std::string topic_;
  std::atomic<std::int64_t> last_unix_ms_{0};
};

Probe::Probe(Broker& broker, std::vector<std::unique_ptr<Shard>>& shards, const std::string& node)
    : broker_(broker) {
  for (auto& shard : shards) {
    listeners_.push_back(std::make_shared<Listener>(*shard, TopicOf(node, shard->index())));
    shard->Post([listener = listeners_.back()] { listener->Begin(); });
  }
}

Probe::~Probe() = default;

void Probe::Send() {
  if (broker_.away()) {
    const std::int64_t now_ms = absl::ToUnixMillis(absl::Now());
    const std::int64_t last_ms = last_away_ms_.exchange(now_ms, std::memory_order_relaxed);
    if (now_ms - last_ms > absl::ToInt64Milliseconds(kFresh))
      away_began_ms_.store(now_ms, std::memory_order_relaxed);
  }
  for (auto& listener : listeners_) {
    MessageBody body;
    body.payload = "probe";
    body.content_type = "text/plain";
    absl::StatusOr<MessageBodyPtr> accepted = AcceptMessage(std::move(body), 64);
    broker_.Publish({*std::move(accepted), listener->topic(), nullptr, nullptr, /*keep=*/false},
                    [](absl::StatusOr<Published>) {});
  }
}

bool Probe::Passed(absl::Time now) const {
  const auto last_away = absl::FromUnixMillis(last_away_ms_.load(std::memory_order_relaxed));
  const auto began = absl::FromUnixMillis(away_began_ms_.load(std::memory_order_relaxed));
  if (now - last_away <= kFresh) return last_away - began < kAwayGrace;
  for (const auto& listener : listeners_) {
    if (now - listener->last() > kFresh) return false;
  }
  return true;
}

}  // namespace herald
