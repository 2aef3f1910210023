#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace herald::bench {

// A server started for a measurement, on one core of its own, in a process group of its own.
//
// Threads:   one.
// Ownership: ends it, with all it started, by SIGTERM and then SIGKILL, when destroyed.
class Process {
 public:
  Process() = default;
  ~Process() { End(); }
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Process& operator=(Process&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }

  // kNotFound with its last words if it ends at once with code 77: what it serves is not installed.
  static absl::StatusOr<Process> Start(const std::vector<std::string>& command, int cpu);
  // Of somebody else: measured, and not ended.
  bool running() const { return pid_ > 0; }
  // Empty while it runs.
  std::string HowItEnded();
  void End();

  // User and kernel time of it and all its descendants that live (clock_getcpuclockid(3)).
  absl::Duration CpuTime() const;
  // Anonymous memory of all of them: what they have allocated and touched (proc(5), smaps_rollup).
  std::uint64_t AnonymousBytes() const;

 private:
  std::vector<pid_t> Tree() const;

  pid_t pid_ = -1;
};

// Keeps this process, and what it starts later, on one core; -1 for any.
void PinTo(int cpu);
// What a hypervisor has taken from this machine's cores since it started (proc(5), `steal`), to a
// hundredth of a second. A stall of a virtual machine is found here, and nowhere in a program.
absl::Duration StolenTime();
// Any TCP port of 127.0.0.1 that is free now.
int FreePort();

}  // namespace herald::bench
