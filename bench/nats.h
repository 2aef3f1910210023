#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/process.h"

namespace herald::bench {

// A nats-server with JetStream on a free port of 127.0.0.1, its store in a directory that goes with it:
// $NATS_SERVER, or what scripts/install-deps nats has unpacked, or that of the PATH.
class Nats {
 public:
  // kNotFound if there is none.
  static absl::StatusOr<std::unique_ptr<Nats>> Start();
  ~Nats();

  std::string url() const;
  Process& process() { return process_; }

 private:
  std::string directory_;
  int port_ = 0;
  Process process_;
};

}  // namespace herald::bench
