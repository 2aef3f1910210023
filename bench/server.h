#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/fleet.h"
#include "bench/process.h"
#include "bench/publisher.h"

namespace herald::bench {

// What is measured: Herald, a floor, or a peer.
struct ServerOptions {
  // `herald`, `bare` (the floor: a loop of send), `bare_io_uring` (the same by io_uring), `grpc_echo`
  // (the floor of gRPC), `grpc_echo_callbacks` (the same by gRPC's callbacks), or the folder of a
  // peer with a `start` and a `peer.json` (bench/README.md).
  std::string name = "herald";
  std::string herald;                     // the program; empty: the one beside this
  std::vector<std::string> herald_flags;  // besides those that the workload gives
  int cpu = -1;                           // the core it is pinned to; -1: any
};

// One of the floors of gRPC.
inline bool IsEcho(std::string_view server) { return server.starts_with("grpc_echo"); }

// One that runs, on free ports of 127.0.0.1.
class Server {
 public:
  // Returns when it accepts connections. kNotFound: it is not installed.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options, std::vector<std::string> workload_flags = {});

  bool is_herald() const { return grpc_port_ != 0; }
  // For subscribers of what MakePublisher's publisher publishes.
  const Entrance& entrance() const { return entrance_; }
  std::string grpc_address() const;
  std::string admin_address() const;
  absl::StatusOr<std::unique_ptr<Publisher>> MakePublisher() const;
  Process& process() { return process_; }
  // Nothing while it runs, else what happened.
  absl::Status Check();

 private:
  absl::Status StartHerald(const ServerOptions& options, std::vector<std::string> flags);
  absl::Status StartPeer(const ServerOptions& options);
  absl::Status AwaitPort(int port);

  std::string name_;
  Entrance entrance_;
  int grpc_port_ = 0;
  int admin_port_ = 0;
  PeerPublishing publishing_;
  Process process_;
};

// Where the programs lie that were built with this one.
std::string BesideThis(std::string_view program);
// The topic of all that is not for one user.
inline constexpr std::string_view kTopic = "load";

}  // namespace herald::bench
