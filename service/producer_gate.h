#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "herald/v1/push_service.pb.h"
#include "service/call_memory.h"
#include "service/producer_auth.h"

namespace herald {

// What one stream or one call may run: the rights and rates of its producer, and its counts.
//
// A stream asks Refresh before each request, so a change of the file counts from the next request on.
// Threads:   one at a time. `auth` outlives it.
// Errors:    kPermissionDenied that names the missing right; kResourceExhausted with a
//            google.rpc.RetryInfo as payload.
class ProducerGate {
 public:
  // Everything is allowed; `name` owns the producer ids.
  ProducerGate(std::string name = "") : name_(std::move(name)) {}      // NOLINT: implicit
  ProducerGate(const char* name) : ProducerGate(std::string(name)) {}  // NOLINT
  ProducerGate(const ProducerAuth& auth, ProducerCredential credential, Producer producer)
      : name_(producer.name),
        auth_(&auth),
        credential_(std::move(credential)),
        producer_(std::move(producer)) {
    SetReach();
  }

  const std::string& name() const { return name_; }
  const ProducerRights* rights() const { return producer_.rights.get(); }

  // Looks whether the file has changed. kUnauthenticated if the caller is not in it any more: then
  // nothing more may run.
  absl::Status Refresh() { return Changed() ? LookAgain() : absl::OkStatus(); }

  // True if the file has changed since this looked at it last.
  bool Changed() const { return auth_ != nullptr && auth_->generation() != producer_.generation; }

  // True where nothing is refused: then Admit and Check need not be called.
  bool open() const { return producer_.rights == nullptr; }
  // The rights alone.
  absl::Status Check(const v1::Command& command) const;
  absl::Status CheckVerb(Right verb) const;
  absl::Status CheckStream() const;
  // The rights and the rates.
  absl::Status Admit(const v1::Command& command);
  // The rates alone.
  absl::Status TakeRate(std::uint64_t bytes, std::uint64_t commands = 1);
  // For a unary call that TakeRate has counted as one: what else its command costs (CommandCost). It
  // is not refused for that; it leaves a debt.
  void ChargeTargets(const v1::Command& command);
  // A refusal by one of the checks of ProducerRights, counted and logged.
  absl::Status Refuse(const Denial& denial) const;

  // Where commands are limited to the sessions of some users; null: no limit.
  const ReachPtr& touches() const { return touches_; }
  // The counter of commands to sessions outside of that.
  std::shared_ptr<std::atomic<std::uint64_t>> beyond_reach() const {
    if (!producer_.account) return nullptr;
    return {producer_.account, &producer_.account->denied[static_cast<std::size_t>(Right::kUsers)]};
  }
  // What is held for its calls; null where everything is allowed.
  CallMemory::Share call_bytes() const {
    if (!producer_.account) return nullptr;
    return {producer_.account, &producer_.account->call_bytes};
  }
  // Where queries and events are limited; null: no limit.
  const ReachPtr& sees() const { return sees_; }

  // A stream has read so much. Refused commands count too.
  void ChargeRead(const v1::PushRequest& request);
  // How long it must not read further; it is then above its rate.
  absl::Duration ReadDelay() const;
  std::size_t push_streams() const {
    return open() ? 0 : static_cast<std::size_t>(producer_.rights->limits.push_streams);
  }
  void CountStreamRefused(std::string_view why) const {
    if (auth_ != nullptr) auth_->Limited(producer_, ProducerLimit::kStreams, why);
  }
  void Count(std::uint64_t commands) {
    if (producer_.account) producer_.account->taken.fetch_add(commands, std::memory_order_relaxed);
  }

 private:
  absl::Status LookAgain();
  void SetReach();

  std::string name_;
  const ProducerAuth* auth_ = nullptr;  // null: everything is allowed
  ProducerCredential credential_;
  Producer producer_;
  ReachPtr touches_, sees_;
};

}  // namespace herald
