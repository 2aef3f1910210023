#pragma once

#include <grpcpp/channel.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/producer.h"
#include "herald/v1/push_service.pb.h"

namespace herald::cli {

struct PushStreamOptions {
  // A bearer token; empty for none.
  std::string token;
  // With one, a broken stream is opened again and what has no result is sent again.
  std::string producer_id;
  v1::ReportLevel default_report = v1::REPORT_LEVEL_UNSPECIFIED;
  // Commands a request, at most.
  std::size_t batch = 64;
  // Commands a second, evenly; 0 means as fast as the server takes them.
  double rate = 0;
  // For how long a stream that was up may be gone.
  absl::Duration retry_for = absl::Minutes(1);
  // Told of each stream that broke and is tried again; may be empty. On another thread.
  std::function<void(const Producer::Outage&)> on_retry;
};

struct PushStreamSummary {
  std::uint64_t lines = 0;     // read, without empty ones
  std::uint64_t commands = 0;  // sent
  std::uint64_t ok = 0;        // results with code 0
  std::uint64_t refused = 0;   // results with another code
  std::uint64_t bad_lines = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t receipts = 0;
  // Of commands that were accepted, on a stream that broke.
  std::uint64_t lost_receipts = 0;
  // What the server had from this producer before.
  std::uint64_t last_seq = 0;
  // Writing to `out_fd` failed.
  bool output_lost = false;
  bool all_ok() const { return ok == lines && !output_lost; }
};

// Lines of `in_fd` → one Producer → lines on `out_fd`.
//
// Batches: a request goes out when it holds `batch` commands or 512 KiB, and when no further line
//          is there yet: so neither a person at the keyboard nor a slow pipe waits for a full batch.
// Output:  what has come meanwhile goes in one write, by a thread of its own.
// Memory:  one line (8 MiB at most), commands without a result (16,384 or 4 MiB), output (1 MiB and
//          their results). A server that stops reading, and an `out_fd` that blocks, stop the
//          reading of `in_fd`.
// Ends:    at the end of `in_fd`, after all results; or with the error that ends the producer: the
//          first of the stream where there is no producer id, and where no server has answered yet.
absl::Status RunPushStream(const std::vector<std::shared_ptr<grpc::ChannelInterface>>& channels,
                           int in_fd, int out_fd, const PushStreamOptions& options,
                           PushStreamSummary& summary);

}  // namespace herald::cli
