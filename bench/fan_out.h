#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "bench/fleet.h"
#include "bench/publisher.h"
#include "bench/server.h"

namespace herald::bench {

// Bursts of `in_flight` messages to every subscriber of a fleet; the next burst begins when all
// have the last one.
//
// Threads: one.
class FanOut {
 public:
  struct Measured {
    std::uint64_t messages = 0;
    std::uint64_t deliveries = 0;
    std::uint64_t bytes = 0;
    absl::Duration wall, server_cpu, own_cpu;

    double server_us() const { return PerDelivery(server_cpu); }
    double PerDelivery(absl::Duration time) const {
      return absl::ToDoubleMicroseconds(time) / static_cast<double>(deliveries);
    }
  };

  FanOut(Server& server, Fleet& fleet, Publisher& publisher, int in_flight, int payload_bytes)
      : server_(server),
        fleet_(fleet),
        publisher_(publisher),
        in_flight_(in_flight),
        payload_bytes_(payload_bytes) {}

  // Bursts for `duration`. Everything that was sent has arrived when it returns; kDeadlineExceeded
  // if something does not.
  absl::StatusOr<Measured> Run(absl::Duration duration);
  // Of the message that comes next.
  std::uint64_t next_seq() const { return seq_; }

 private:
  Server& server_;
  Fleet& fleet_;
  Publisher& publisher_;
  const int in_flight_;
  const int payload_bytes_;
  std::uint64_t seq_ = 0;
};

}  // namespace herald::bench
