// P11: what sessions that read feel of those that do not: an open loop at half of the maximum,
// first without and then with stopped readers, which stay (drop_oldest) or are closed as slow.
#include <thread>

#include "bench/fan_out.h"
#include "bench/pace.h"
#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr std::string_view kRules =
    "topic_rules:\n  - {pattern: load, client_subscribe: anyone, overflow: drop_oldest}\n";
constexpr int kBurst = 8;  // messages that are due together

// Publishes `rate` messages a second for `duration`, from a thread of its own.
absl::Status OpenLoop(Fleet& fleet, Publisher& publisher, double rate, absl::Duration duration,
                      int payload_bytes, std::uint64_t& seq, std::uint64_t receivers) {
  std::atomic<bool> done{false};
  absl::Status sent;
  const std::uint64_t before = fleet.received();
  std::uint64_t messages = 0;
  std::thread sender([&] {
    Pace pace(absl::Seconds(kBurst / rate));
    const std::uint64_t end =
        NowNs() + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(duration));
    std::vector<std::string> burst(kBurst);
    for (std::uint64_t at = pace.Next(); at < end && sent.ok(); at = pace.Next()) {
      for (std::string& payload : burst)
        payload = MakePayload({seq++, at}, static_cast<std::size_t>(payload_bytes));
      sent = publisher.Publish(burst);
      messages += kBurst;
    }
    done.store(true, std::memory_order_release);
  });
  while (!done.load(std::memory_order_acquire)) fleet.Poll(absl::Milliseconds(1));
  sender.join();
  if (!sent.ok()) return sent;
  if (!fleet.PollUntil([&] { return fleet.received() - before >= messages * receivers; })) {
    return absl::DeadlineExceededError(fmt::format(
        "{} of {} deliveries have arrived", fleet.received() - before, messages * receivers));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunStoppedReaders(const Setup& setup, Report& report) {
  if (setup.server.name != "herald") return absl::UnimplementedError("p11 is Herald's");
  const ConfigFile config(kRules);
  auto server = Server::Start(setup.server, {config.flag()});
  if (!server.ok()) return server.status();
  Fleet fleet((*server)->entrance());
  const int sessions = setup.sessions != 0 ? setup.sessions : 1000;
  const int stopped = sessions / 20;
  if (absl::Status bad = fleet.Connect(sessions); !bad.ok()) return bad;
  auto publisher = (*server)->MakePublisher();
  if (!publisher.ok()) return publisher.status();

  Progress("finding the maximum");
  FanOut fan_out(**server, fleet, **publisher, kBurst, setup.payload_bytes);
  const auto most = fan_out.Run(setup.duration);
  if (!most.ok()) return most.status();
  const double rate = static_cast<double>(most->messages) / absl::ToDoubleSeconds(most->wall) / 2;
  std::uint64_t seq = fan_out.next_seq();

  // Each pair beside the other, so that the machine's moods meet both.
  Progress(fmt::format("{:.0f} messages a second, all read", rate));
  fleet.latency() = Histogram();
  if (absl::Status bad = OpenLoop(fleet, **publisher, rate, setup.duration, setup.payload_bytes,
                                  seq, static_cast<std::uint64_t>(sessions));
      !bad.ok())
    return bad;
  const Histogram all = fleet.latency();
  Progress(fmt::format("{} stop reading", stopped));
  fleet.StopReading(sessions - stopped, stopped);
  const auto readers = static_cast<std::uint64_t>(sessions - stopped);
  // Until their queues are full: a megabyte in the server, and what two kernels hold.
  constexpr int kFillBytes = 16'000;
  constexpr std::uint64_t kFillMessages = (12u << 20) / kFillBytes;
  for (const std::uint64_t from = seq; seq - from < kFillMessages;) {
    if (absl::Status bad =
            OpenLoop(fleet, **publisher, 200, absl::Milliseconds(500), kFillBytes, seq, readers);
        !bad.ok())
      return bad;
  }
  fleet.latency() = Histogram();
  if (absl::Status bad =
          OpenLoop(fleet, **publisher, rate, setup.duration, setup.payload_bytes, seq, readers);
      !bad.ok())
    return bad;
  boost::json::object& json = report.json();
  json["sessions"] = sessions;
  json["stopped"] = stopped;
  json["messages_per_second"] = rate;
  report.AddLatency("latency_all_read_us", all);
  report.AddLatency("latency_us", fleet.latency());
  json["p99_ratio"] = static_cast<double>(fleet.latency().Percentile(0.99)) /
                      static_cast<double>(all.Percentile(0.99));
  report.AddErrors(fleet);
  return absl::OkStatus();
}

}  // namespace herald::bench
