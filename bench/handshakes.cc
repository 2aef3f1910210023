// P7: connections that come, are greeted and go, as fast as one core serves them.
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {

absl::Status RunHandshakes(const Setup& setup, Report& report) {
  auto server = Server::Start(setup.server);
  if (!server.ok()) return server.status();
  constexpr int kRound = 500;
  const auto round = [&]() -> absl::Status {
    Fleet fleet((*server)->entrance());
    if (absl::Status bad = fleet.Connect(kRound, 64); !bad.ok()) return bad;
    fleet.Cut();  // with a reset: no port waits in TIME_WAIT
    return absl::OkStatus();
  };
  for (int i = 0; i < 2; ++i) {
    if (absl::Status bad = round(); !bad.ok()) return bad;
  }
  const absl::Duration server_cpu = (*server)->process().CpuTime();
  const std::uint64_t begin = NowNs();
  const std::uint64_t end =
      begin + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(setup.duration));
  std::uint64_t handshakes = 0;
  while (NowNs() < end) {
    if (absl::Status bad = round(); !bad.ok()) return bad;
    handshakes += kRound;
  }
  const double seconds = static_cast<double>(NowNs() - begin) / 1e9;
  const absl::Duration cpu = (*server)->process().CpuTime() - server_cpu;
  boost::json::object& json = report.json();
  json["handshakes"] = handshakes;
  json["seconds"] = seconds;
  json["handshakes_per_second"] = static_cast<double>(handshakes) / seconds;
  json["handshakes_per_core_second"] = static_cast<double>(handshakes) / absl::ToDoubleSeconds(cpu);
  json["server_cpu_us_per_handshake"] =
      absl::ToDoubleMicroseconds(cpu) / static_cast<double>(handshakes);
  return absl::OkStatus();
}

}  // namespace herald::bench
