#include "app/probe.h"

#include "absl/time/clock.h"
#include "fmt/format.h"

namespace herald {
namespace {

std::string TopicOf(int shard) { return fmt::format("$probe/{}", shard); }

}  // namespace

// A session without a connection, and not in the table: it is on its probe topic only.
class Probe::Listener final : public Session {
 public:
  explicit Listener(Shard& shard)
      : Session(shard, Protocol::kRaw, 1 << 16), index_(shard.index()) {}

  void Begin() {
    shard().Subscribe(*this, TopicOf(index_), std::nullopt, 0, [](absl::StatusOr<FeedStart>) {});
  }
  void Flush() override {
    const std::size_t bytes = queue_.bytes();
    queue_.Consume(bytes);
    shard().CountQueued(-static_cast<std::int64_t>(bytes), 0);  // it goes to no socket
    last_unix_ms_.store(absl::ToUnixMillis(absl::Now()), std::memory_order_relaxed);
  }
  int index() const { return index_; }
  absl::Time last() const {
    return absl::FromUnixMillis(last_unix_ms_.load(std::memory_order_relaxed));
  }

 protected:
  void DoClose(CloseRequest) override {}

 private:
  const int index_;
  std::atomic<std::int64_t> last_unix_ms_{0};
};

Probe::Probe(Broker& broker, std::vector<std::unique_ptr<Shard>>& shards) : broker_(broker) {
  for (auto& shard : shards) {
    listeners_.push_back(std::make_shared<Listener>(*shard));
    shard->Post([listener = listeners_.back()] { listener->Begin(); });
  }
}

Probe::~Probe() = default;

void Probe::Send() {
  for (auto& listener : listeners_) {
    MessageBody body;
    body.payload = "probe";
    body.content_type = "text/plain";
    absl::StatusOr<MessageBodyPtr> accepted = AcceptMessage(std::move(body), 64);
    broker_.Publish(
        {*std::move(accepted), TopicOf(listener->index()), nullptr, nullptr, /*keep=*/false},
        [](absl::StatusOr<Published>) {});
  }
}

bool Probe::Passed(absl::Time now) const {
  for (const auto& listener : listeners_) {
    if (now - listener->last() > kFresh) return false;
  }
  return true;
}

}  // namespace herald
