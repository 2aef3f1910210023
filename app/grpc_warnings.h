#pragma once

#include "app/config.h"
#include "service/rpc/call_refusals.h"

namespace herald {

// One warning if `grpc_addr` is reachable from other machines and the linked gRPC has no limits
// against floods of HTTP/2 frames.
void WarnOfFloods(const Config& config);

// Logs refused gRPC calls: one line a second at most, with the counts of that second by reason.
//
// Threads: one.
class RefusalLog {
 public:
  // To be called once a second with the totals.
  void Report(const CallRefusals::Totals& totals);

 private:
  CallRefusals::Totals reported_{};
};

}  // namespace herald
