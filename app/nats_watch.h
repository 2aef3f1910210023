#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "broker/nats_connection.h"

namespace herald {

// Tells the operator how the connection to NATS is: lost and back, what the server refuses, and whether
// the server is good for what Herald is set to.
//
// Version: a cluster of NATS before kLeast can lose what it has acknowledged (decision 0018): one
//          warning at the start, one more when a reconnect finds another old server.
// Limits:  a server whose max_payload is below max_message_bytes fails the start. After a reconnect it
//          is a warning, and messages that it does not take are INVALID_ARGUMENT.
//
// Threads:   callbacks run on the connection's threads; the version is asked for on one of its own.
// Ownership: outlives the connection.
class NatsWatch {
 public:
  static constexpr int kLeastMajor = 2, kLeastMinor = 12;
  // A message in NATS has a topic, a key, attributes and exceptions beside its body.
  static constexpr std::uint64_t kOverheadBytes = 4'096;

  NatsWatch(NatsConnection& connection, std::uint64_t max_message_bytes, std::uint32_t replicas);
  ~NatsWatch();

  // Before anything else uses the connection. kFailedPrecondition, in one line for the operator.
  // Takes a round trip, or 2 s if the server does not answer.
  absl::Status Start();
  // A stream's log is not what it was (NatsBrokerOptions::on_new_log).
  static void LogNewLog(const std::string& stream);
  // The store is full (NatsBrokerOptions::on_full). One line a second.
  void LogFull(const std::string& why);

 private:
  absl::Status CheckMaxPayload() const;
  void OnState(bool connected);
  void OnRefusal(const std::string& what);
  void Run();
  void CheckVersion();

  NatsConnection& connection_;
  const std::uint64_t max_message_bytes_;
  const bool replicated_;
  std::atomic<std::int64_t> refusal_logged_{0}, full_logged_{0};  // Unix seconds

  std::string warned_;  // version; the thread's

  std::mutex mutex_;
  std::condition_variable changed_;
  bool check_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace herald
