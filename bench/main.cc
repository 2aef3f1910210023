#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "absl/time/clock.h"
#include "bench/bare_server.h"
#include "bench/echo_server.h"
#include "bench/process.h"
#include "bench/workload.h"

namespace herald::bench {
namespace {

constexpr int kUnknownWorkload = 64;
constexpr int kNotInstalled = 77;

// Sessions are descriptors, of this program as of the server.
void RaiseFileLimit() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Measures Herald, a floor or a peer under one of the workloads of docs/performance.md, and "
      "checks meanwhile that every message arrives once and in order.",
      "herald-bench");
  app.require_subcommand(1);
  app.fallthrough();
  Setup setup;
  double seconds = 3;
  int load_cpu = 1;
  setup.server.cpu = 0;
  std::string json;
  app.add_option(
      "--server", setup.server.name,
      "herald, bare (a loop of send), bare_io_uring, grpc_echo, grpc_echo_callbacks, or the folder "
      "of a peer [herald]");
  app.add_option("--herald", setup.server.herald,
                 "The herald to measure [the one beside this program]")
      ->check(CLI::ExistingFile);
  app.add_option("--herald_flags", setup.server.herald_flags,
                 "More flags for herald; may be given several times");
  app.add_option("--sessions", setup.sessions, "Sessions [the workload's]");
  app.add_option("--payload_bytes", setup.payload_bytes, "Bytes of a message [128]")
      ->check(CLI::Range(64, 65536));
  app.add_option("--in_flight", setup.in_flight, "Messages of a burst [the workload's]");
  app.add_option("--seconds", seconds, "How long to measure; the last one counts [3]")
      ->check(CLI::Range(0.1, 600.0))
      ->take_last();
  app.add_option("--server_cpu", setup.server.cpu, "Core of the server, -1 for any [0]");
  app.add_option("--load_cpu", load_cpu, "Core of the load, -1 for any [1]");
  app.add_option("--json", json, "Write the result to this file [stdout]");
  for (const NamedWorkload& workload : Workloads())
    app.add_subcommand(std::string(workload.name), std::string(workload.what));
  int port = 0;
  auto* bare = app.add_subcommand("serve-bare", "Be the floor of fan-out on this port")->group("");
  bare->add_option("port", port)->required();
  auto* bare_io_uring =
      app.add_subcommand("serve-bare_io_uring", "The same by io_uring")->group("");
  bare_io_uring->add_option("port", port)->required();
  auto* echo =
      app.add_subcommand("serve-grpc_echo", "Be the floor of gRPC on this port")->group("");
  echo->add_option("port", port)->required();
  auto* echo_callbacks =
      app.add_subcommand("serve-grpc_echo_callbacks", "The same by gRPC's callbacks")->group("");
  echo_callbacks->add_option("port", port)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, std::cerr, std::cerr);
    return code == 0 ? 0 : kUnknownWorkload;
  }
  RaiseFileLimit();
  if (*bare || *bare_io_uring) return ServeBare(port, bool{*bare_io_uring});
  if (*echo || *echo_callbacks) return ServeEcho(port, bool{*echo_callbacks});

  setup.duration = absl::Seconds(seconds);
  const std::string name = app.get_subcommands().front()->get_name();
  PinTo(load_cpu);
  for (const NamedWorkload& workload : Workloads()) {
    if (workload.name != name) continue;
    Report report(name, setup);
    const absl::Time started = absl::Now();
    const absl::Duration stolen = StolenTime();
    const absl::Status status = workload.run(setup, report);
    report.json()["stolen_ms_per_second"] =
        1000 * absl::FDivDuration(StolenTime() - stolen, absl::Now() - started);
    if (!status.ok()) {
      std::fprintf(stderr, "herald-bench: %s: %s: %s\n", name.c_str(), setup.server.name.c_str(),
                   std::string(status.message()).c_str());
      if (absl::IsUnimplemented(status)) return kUnknownWorkload;
      return absl::IsNotFound(status) ? kNotInstalled : 1;
    }
    std::FILE* out = json.empty() ? stdout : std::fopen(json.c_str(), "w");
    if (out == nullptr) {
      std::perror(json.c_str());
      return 1;
    }
    std::fprintf(out, "%s\n", report.ToString().c_str());
    if (out != stdout) std::fclose(out);
    return report.has_errors() ? 2 : 0;
  }
  return kUnknownWorkload;
}

}  // namespace
}  // namespace herald::bench

int main(int argc, char** argv) { return herald::bench::Main(argc, argv); }
