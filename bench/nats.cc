#include "bench/nats.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/time/clock.h"
#include "bench/loopback.h"
#include "bench/server.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

namespace fs = std::filesystem;

std::string Binary() {
  if (const char* set = std::getenv("NATS_SERVER")) return set;
  const fs::path unpacked = fs::path(BesideThis("")).parent_path().parent_path().parent_path() /
                            "nats/usr/sbin/nats-server";
  return fs::exists(unpacked) ? unpacked.string() : "nats-server";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Nats>> Nats::Start() {
  auto nats = std::make_unique<Nats>();
  nats->directory_ = (fs::temp_directory_path() / "herald-bench-nats-XXXXXX").string();
  if (::mkdtemp(nats->directory_.data()) == nullptr)
    return absl::InternalError("no directory for the store of NATS");
  nats->port_ = FreePort();
  absl::StatusOr<Process> process =
      Process::Start({Binary(), "-a", "127.0.0.1", "-p", std::to_string(nats->port_), "-js", "-sd",
                      nats->directory_, "-l", nats->directory_ + "/log"},
                     -1);
  if (!process.ok()) return process.status();
  nats->process_ = *std::move(process);
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!Accepts(nats->port_)) {
    if (std::string end = nats->process_.HowItEnded(); !end.empty() || absl::Now() > deadline) {
      return absl::NotFoundError(
          fmt::format("nats-server does not run ({}): scripts/install-deps nats", end));
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  return nats;
}

Nats::~Nats() {
  process_.End();
  if (!directory_.empty()) fs::remove_all(directory_);
}

std::string Nats::url() const { return fmt::format("nats://127.0.0.1:{}", port_); }

}  // namespace herald::bench
