// P1, P2, P9 and P10: one topic, all sessions on it.
#include "bench/fan_out.h"

#include <time.h>

#include <boost/json/array.hpp>
#include <optional>
#include <vector>

#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr std::string_view kWithoutHistory =
    "topic_rules:\n  - {pattern: load, client_subscribe: anyone}\n";
constexpr std::string_view kWithHistory =
    "topic_rules:\n  - {pattern: load, client_subscribe: anyone, history_size: 1000}\n";

absl::Duration OwnCpu() {
  timespec time;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

void Add(const FanOut::Measured& measured, boost::json::object& json) {
  json["messages"] = measured.messages;
  json["deliveries"] = measured.deliveries;
  json["seconds"] = absl::ToDoubleSeconds(measured.wall);
  json["server_cpu_us_per_delivery"] = measured.server_us();
  json["generator_cpu_us_per_delivery"] = measured.PerDelivery(measured.own_cpu);
  json["deliveries_per_second"] =
      static_cast<double>(measured.deliveries) / absl::ToDoubleSeconds(measured.wall);
  json["wire_bytes_per_delivery"] =
      static_cast<double>(measured.bytes) / static_cast<double>(measured.deliveries);
}

absl::Status RunFanOut(const Setup& setup, int sessions, int in_flight, Report& report,
                       boost::json::object& json, bool latency) {
  const ConfigFile config(kWithoutHistory);
  auto server = Server::Start(setup.server, {config.flag()});
  if (!server.ok()) return server.status();
  Fleet fleet((*server)->entrance());
  if (absl::Status bad = fleet.Connect(sessions); !bad.ok()) return bad;
  auto publisher = (*server)->MakePublisher();
  if (!publisher.ok()) return publisher.status();
  FanOut fan_out(**server, fleet, **publisher, in_flight, setup.payload_bytes);
  json["sessions"] = sessions;
  json["payload_bytes"] = setup.payload_bytes;
  json["in_flight"] = in_flight;
  // Once over everything: connections, allocators and branch predictors find their pace.
  if (auto warm = fan_out.Run(absl::Milliseconds(300)); !warm.ok()) return warm.status();
  fleet.latency() = Histogram();
  const auto measured = fan_out.Run(setup.duration);
  if (!measured.ok()) return measured.status();
  Add(*measured, json);
  if (latency) report.AddLatency("latency_us", fleet.latency());
  report.AddErrors(fleet);
  return absl::OkStatus();
}

int Or(int value, int otherwise) { return value != 0 ? value : otherwise; }

}  // namespace

absl::StatusOr<FanOut::Measured> FanOut::Run(absl::Duration duration) {
  Measured measured;
  std::vector<std::string> burst(static_cast<std::size_t>(in_flight_));
  const std::uint64_t received = fleet_.received();
  const std::uint64_t bytes = fleet_.bytes();
  const absl::Duration server_cpu = server_.process().CpuTime();
  const absl::Duration own_cpu = OwnCpu();
  fleet_.set_awake(in_flight_ == 1);
  const std::uint64_t begin = NowNs();
  const std::uint64_t end = begin + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(duration));
  do {
    const std::uint64_t now = NowNs();
    for (std::string& payload : burst)
      payload = MakePayload({seq_++, now}, static_cast<std::size_t>(payload_bytes_));
    if (absl::Status bad = publisher_.Publish(burst); !bad.ok()) return bad;
    measured.messages += burst.size();
    measured.deliveries += burst.size() * static_cast<std::size_t>(fleet_.size());
    if (!fleet_.PollUntil([&] { return fleet_.received() - received >= measured.deliveries; })) {
      std::string first = fleet_.errors().empty() ? "" : fleet_.errors().front();
      return absl::DeadlineExceededError(fmt::format("{} of {} deliveries have arrived; {}",
                                                     fleet_.received() - received,
                                                     measured.deliveries, first));
    }
  } while (NowNs() < end);
  fleet_.set_awake(false);
  measured.wall = absl::Nanoseconds(NowNs() - begin);
  measured.own_cpu = OwnCpu() - own_cpu;
  measured.server_cpu = server_.process().CpuTime() - server_cpu;
  measured.bytes = fleet_.bytes() - bytes;
  return measured;
}

absl::Status RunBurst(const Setup& setup, Report& report) {
  return RunFanOut(setup, Or(setup.sessions, 1000), Or(setup.in_flight, 64), report, report.json(),
                   true);
}

absl::Status RunPaced(const Setup& setup, Report& report) {
  return RunFanOut(setup, Or(setup.sessions, 1000), Or(setup.in_flight, 1), report, report.json(),
                   true);
}

absl::Status RunGrowth(const Setup& setup, Report& report) {
  std::vector<int> steps = {100, 300, 1000, 3000, 10'000, 19'000};
  if (setup.sessions != 0) steps = {100, setup.sessions};
  boost::json::array series;
  for (const int sessions : steps) {
    Progress(fmt::format("{} sessions", sessions));
    boost::json::object point;
    if (absl::Status bad =
            RunFanOut(setup, sessions, Or(setup.in_flight, 64), report, point, false);
        !bad.ok())
      return bad;
    series.push_back(std::move(point));
  }
  report.json()["series"] = std::move(series);
  return absl::OkStatus();
}

absl::Status RunEverythingOn(const Setup& setup, Report& report) {
  if (setup.server.name != "herald") return absl::UnimplementedError("p9 is Herald's");
  const ConfigFile config(kWithHistory);
  auto server = Server::Start(setup.server, {config.flag()});
  if (!server.ok()) return server.status();
  Fleet fleet((*server)->entrance());
  fleet.AcknowledgeOn(std::string(kTopic));
  const int sessions = Or(setup.sessions, 1000);
  if (absl::Status bad = fleet.Connect(sessions); !bad.ok()) return bad;
  PushPublisher::Options options;
  options.topic = kTopic;
  options.report = v1::REPORT_LEVEL_ACKED;
  auto publisher = PushPublisher::Open((*server)->grpc_address(), options);
  if (!publisher.ok()) return publisher.status();
  const int in_flight = Or(setup.in_flight, 64);
  FanOut fan_out(**server, fleet, **publisher, in_flight, setup.payload_bytes);
  if (auto warm = fan_out.Run(absl::Milliseconds(300)); !warm.ok()) return warm.status();
  fleet.latency() = Histogram();
  const absl::Duration server_cpu = (*server)->process().CpuTime();
  auto measured = fan_out.Run(setup.duration);
  if (!measured.ok()) return measured.status();
  // The receipts are part of it: wait for the last acknowledgements too.
  absl::Status all;
  if (!fleet.PollUntil([&] {
        all = (*publisher)->AwaitAll(absl::ZeroDuration());
        return all.ok();
      }))
    return all;
  measured->server_cpu = (*server)->process().CpuTime() - server_cpu;
  boost::json::object& json = report.json();
  json["sessions"] = sessions;
  json["payload_bytes"] = setup.payload_bytes;
  json["in_flight"] = in_flight;
  Add(*measured, json);
  json["receipts"] = (*publisher)->receipts();
  report.AddLatency("latency_us", fleet.latency());
  report.AddErrors(fleet);
  if ((*publisher)->acked() != fleet.received() || (*publisher)->dropped() != 0) {
    report.AddError(fmt::format("the receipts tell of {} acknowledged and {} dropped; {} arrived",
                                (*publisher)->acked(), (*publisher)->dropped(), fleet.received()));
  }
  return absl::OkStatus();
}

}  // namespace herald::bench
