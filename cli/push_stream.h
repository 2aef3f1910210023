#pragma once

#include <grpcpp/client_context.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "herald/v1/push_service.grpc.pb.h"

namespace herald::cli {

struct PushStreamOptions {
  std::string producer_id;
  v1::ReportLevel default_report = v1::REPORT_LEVEL_UNSPECIFIED;
  // Commands a request, at most.
  std::size_t batch = 64;
  // Commands a second, evenly; 0 means as fast as the server takes them.
  double rate = 0;
};

struct PushStreamSummary {
  std::uint64_t lines = 0;     // read, without empty ones
  std::uint64_t commands = 0;  // sent
  std::uint64_t ok = 0;        // results with code 0
  std::uint64_t refused = 0;   // results with another code
  std::uint64_t bad_lines = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t receipts = 0;
  // What the server had from this producer before.
  std::uint64_t last_seq = 0;
  // Writing to `out_fd` failed.
  bool output_lost = false;
  bool all_ok() const { return ok == lines && !output_lost; }
};

// Lines of `in_fd` → one Push stream → lines on `out_fd`.
//
// Batches: a request goes out when it holds `batch` commands or 512 KiB, and when no further line
// is there yet: so
//          neither a person at the keyboard nor a slow pipe waits for a full batch.
// Output:  one write for each response, at once.
// Memory:  one batch, one line (8 MiB at most) and what gRPC holds in flight. A server that stops
// reading stops the
//          reading of `in_fd`; an `out_fd` that blocks stops the reading of results, and then the
//          server.
// Ends:    at the end of `in_fd`, after all results; or when the server ends the stream, whose
// status it returns.
grpc::Status RunPushStream(v1::PushService::StubInterface& stub, grpc::ClientContext& context,
                           int in_fd, int out_fd, const PushStreamOptions& options,
                           PushStreamSummary& summary);

}  // namespace herald::cli
