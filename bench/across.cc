// P12: published at one replica, received at another, with history; and the same through NATS alone.
#include <nats/nats.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "bench/nats.h"
#include "bench/pace.h"
#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr int kPacedASecond = 500;
constexpr std::uint64_t kInFlight = 512;
constexpr std::uint64_t kBurst = 32;

// Two replicas with a subscriber at the second; or a stream, and a subscriber of what it republishes.
class Path {
 public:
  virtual ~Path() = default;
  virtual absl::Status Publish(std::span<const std::string> payloads) = 0;
  // Takes what has come, for at most so long.
  virtual void Poll(absl::Duration wait) = 0;
  virtual std::uint64_t received() const = 0;
  virtual Histogram TakeLatency() = 0;
  virtual void AddErrors(Report& report) = 0;
};

class HeraldPath final : public Path {
 public:
  static absl::StatusOr<std::unique_ptr<Path>> Open(const Setup& setup, Nats& nats) {
    auto path = std::make_unique<HeraldPath>();
    for (const char* node : {"a", "b"}) {
      auto server = Server::Start(setup.server, {"--broker=nats", "--nats_url=" + nats.url(),
                                                 fmt::format("--node_name={}", node)});
      if (!server.ok()) return server.status();
      path->servers_.push_back(*std::move(server));
    }
    path->fleet_ = std::make_unique<Fleet>(path->servers_[1]->entrance());
    if (absl::Status bad = path->fleet_->Connect(1); !bad.ok()) return bad;
    PushPublisher::Options options;
    options.topic = kTopic;
    auto publisher = PushPublisher::Open(path->servers_[0]->grpc_address(), options);
    if (!publisher.ok()) return publisher.status();
    path->publisher_ = *std::move(publisher);
    return std::unique_ptr<Path>(std::move(path));
  }
  absl::Status Publish(std::span<const std::string> payloads) override {
    return publisher_->Publish(payloads);
  }
  void Poll(absl::Duration wait) override { fleet_->Poll(wait); }
  std::uint64_t received() const override { return fleet_->received(); }
  Histogram TakeLatency() override { return std::exchange(fleet_->latency(), Histogram()); }
  void AddErrors(Report& report) override { report.AddErrors(*fleet_); }

 private:
  std::vector<std::unique_ptr<Server>> servers_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<PushPublisher> publisher_;
};

class NatsPath final : public Path {
 public:
  static absl::StatusOr<std::unique_ptr<Path>> Open(Nats& nats) {
    auto path = std::make_unique<NatsPath>();
    natsOptions* options = nullptr;
    natsStatus status = natsOptions_Create(&options);
    const auto then = [&](natsStatus next) {
      if (status == NATS_OK) status = next;
    };
    then(natsOptions_SetURL(options, nats.url().c_str()));
    then(natsOptions_SetSendAsap(options, true));
    if (status == NATS_OK) then(natsConnection_Connect(&path->publishing_, options));
    if (status == NATS_OK) then(natsConnection_Connect(&path->subscribed_, options));
    natsOptions_Destroy(options);
    if (status == NATS_OK) then(natsConnection_JetStream(&path->js_, path->publishing_, nullptr));
    jsStreamConfig config;
    jsRePublish republish;
    jsStreamConfig_Init(&config);
    jsRePublish_Init(&republish);
    const char* subject = "floor.in";
    config.Name = "FLOOR";
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    republish.Source = subject;
    republish.Destination = "floor.out";
    config.RePublish = &republish;
    if (status == NATS_OK) then(js_AddStream(nullptr, path->js_, &config, nullptr, nullptr));
    if (status == NATS_OK) {
      then(natsConnection_Subscribe(&path->subscription_, path->subscribed_, "floor.out", OnMessage,
                                    path.get()));
    }
    if (status == NATS_OK) then(natsConnection_Flush(path->subscribed_));
    if (status != NATS_OK) return absl::UnavailableError(natsStatus_GetText(status));
    return std::unique_ptr<Path>(std::move(path));
  }
  ~NatsPath() override {
    natsSubscription_Destroy(subscription_);
    jsCtx_Destroy(js_);
    for (natsConnection* connection : {publishing_, subscribed_}) {
      if (connection != nullptr) natsConnection_Close(connection);
      natsConnection_Destroy(connection);
    }
  }
  absl::Status Publish(std::span<const std::string> payloads) override {
    for (const std::string& payload : payloads) {
      if (js_PublishAsync(js_, "floor.in", payload.data(), static_cast<int>(payload.size()),
                          nullptr) != NATS_OK) {
        return absl::UnavailableError("NATS took no more");
      }
    }
    return absl::OkStatus();
  }
  void Poll(absl::Duration) override { std::this_thread::yield(); }
  std::uint64_t received() const override { return received_.load(); }
  Histogram TakeLatency() override {
    const std::lock_guard lock(mutex_);
    return std::exchange(latency_, Histogram());
  }
  void AddErrors(Report& report) override {
    if (failures_ > 0) report.AddError(fmt::format("{} messages out of order", failures_.load()));
  }

 private:
  static void OnMessage(natsConnection*, natsSubscription*, natsMsg* message, void* self) {
    auto& path = *static_cast<NatsPath*>(self);
    const std::string_view data(natsMsg_GetData(message),
                                static_cast<std::size_t>(natsMsg_GetDataLength(message)));
    const std::size_t mark = data.find(kStampMark);
    const auto stamp = mark == std::string_view::npos ? std::nullopt : ReadStamp(data.substr(mark));
    if (!stamp || stamp->seq != path.received_.load()) path.failures_.fetch_add(1);
    if (stamp) {
      const std::lock_guard lock(path.mutex_);
      path.latency_.Record(NowNs() - stamp->sent_ns);
    }
    path.received_.fetch_add(1);
    natsMsg_Destroy(message);
  }

  natsConnection *publishing_ = nullptr, *subscribed_ = nullptr;
  natsSubscription* subscription_ = nullptr;
  jsCtx* js_ = nullptr;
  std::mutex mutex_;
  Histogram latency_;
  std::atomic<std::uint64_t> received_{0}, failures_{0};
};

}  // namespace

absl::Status RunAcross(const Setup& setup, Report& report) {
  if (setup.server.name != "herald" && setup.server.name != "nats")
    return absl::UnimplementedError("p12 compares Herald and NATS");
  auto nats = Nats::Start();
  if (!nats.ok()) return nats.status();
  auto opened =
      setup.server.name == "herald" ? HeraldPath::Open(setup, **nats) : NatsPath::Open(**nats);
  if (!opened.ok()) return opened.status();
  Path& path = **opened;
  std::uint64_t sent = 0;
  const auto payload_at = [&](std::uint64_t when) {
    return MakePayload({sent++, when}, static_cast<std::size_t>(setup.payload_bytes));
  };
  const auto await = [&](std::uint64_t count) {
    const std::uint64_t deadline = NowNs() + 20'000'000'000;
    while (path.received() < count && NowNs() < deadline) path.Poll(absl::Milliseconds(1));
    return path.received() >= count;
  };

  // One at a time, by the clock.
  Pace pace(absl::Seconds(1) / kPacedASecond);
  const auto paced =
      static_cast<std::uint64_t>(absl::ToDoubleSeconds(setup.duration) * kPacedASecond);
  for (std::uint64_t i = 0; i < paced + kPacedASecond / 2; ++i) {
    if (i == kPacedASecond / 2) (void)path.TakeLatency();  // the first ones warm up
    const std::string payload = payload_at(pace.Next());
    if (absl::Status bad = path.Publish({&payload, 1}); !bad.ok()) return bad;
    // Reads what comes, not later than the next is due.
    while (path.received() < sent && NowNs() < pace.next()) path.Poll(absl::Microseconds(200));
  }
  if (!await(sent)) report.AddError(fmt::format("{} of {} came, paced", path.received(), sent));
  report.AddLatency("latency_us", path.TakeLatency());

  // As fast as it goes.
  const std::uint64_t begin = NowNs(), first = sent;
  const std::uint64_t end =
      begin + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(setup.duration));
  std::vector<std::string> burst;
  while (NowNs() < end) {
    if (sent - path.received() > kInFlight) {
      path.Poll(absl::Milliseconds(1));
      continue;
    }
    burst.clear();
    for (std::uint64_t i = 0; i < kBurst; ++i) burst.push_back(payload_at(NowNs()));
    if (absl::Status bad = path.Publish(burst); !bad.ok()) return bad;
    path.Poll(absl::ZeroDuration());
  }
  if (!await(sent)) report.AddError(fmt::format("{} of {} came", path.received(), sent));
  boost::json::object& json = report.json();
  json["messages_per_second"] =
      static_cast<double>(sent - first) / (static_cast<double>(NowNs() - begin) / 1e9);
  path.AddErrors(report);
  return absl::OkStatus();
}

}  // namespace herald::bench
