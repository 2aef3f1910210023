#include "service/producer_gate.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "fmt/format.h"
#include "herald/internal/v1/rpc_status.pb.h"
#include "service/command_cost.h"
#include "service/convert.h"

namespace herald {
namespace {

constexpr const char* kRetryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";

absl::Status Exhausted(std::string text, absl::Duration retry) {
  absl::Status status = absl::ResourceExhaustedError(text);
  internal::v1::RetryInfo info;
  SetDuration(retry, info.mutable_retry_delay());
  status.SetPayload(kRetryInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

}  // namespace

void ProducerGate::SetReach() {
  touches_ = sees_ = nullptr;
  const std::shared_ptr<const ProducerRights>& rights = producer_.rights;
  if (!rights) return;
  const ReachPtr reach(rights, &rights->reach);
  if (!rights->TouchesEverySession()) touches_ = reach;
  if (!rights->SeesEverything()) sees_ = reach;
}

absl::Status ProducerGate::LookAgain() {
  absl::StatusOr<Producer> producer = auth_->Check(credential_);
  if (!producer.ok()) return producer.status();
  // Producer ids and idempotency keys belong to the name.
  if (producer->name != name_)
    return absl::UnauthenticatedError("the credentials name another producer now; call again");
  producer_ = *std::move(producer);
  SetReach();
  return absl::OkStatus();
}

absl::Status ProducerGate::Refuse(const Denial& denial) const {
  if (auth_ != nullptr) auth_->Denied(producer_, denial);
  return absl::PermissionDeniedError(denial.why);
}

absl::Status ProducerGate::Check(const v1::Command& command) const {
  if (open()) return absl::OkStatus();
  const std::optional<Denial> denial = producer_.rights->Check(command);
  return denial ? Refuse(*denial) : absl::OkStatus();
}

absl::Status ProducerGate::CheckStream() const {
  if (open()) return absl::OkStatus();
  const std::optional<Denial> denial = producer_.rights->CheckStream();
  return denial ? Refuse(*denial) : absl::OkStatus();
}

absl::Status ProducerGate::CheckVerb(Right verb) const {
  if (open()) return absl::OkStatus();
  const std::optional<Denial> denial = producer_.rights->CheckVerb(verb);
  return denial ? Refuse(*denial) : absl::OkStatus();
}

absl::Status ProducerGate::Admit(const v1::Command& command) {
  if (open()) return absl::OkStatus();
  const ProducerLimits& limits = producer_.rights->limits;
  if (limits.commands_per_second != 0 || limits.bytes_per_second != 0) {
    const std::uint64_t bytes = limits.bytes_per_second == 0 ? 0 : command.ByteSizeLong();
    if (absl::Status limited = TakeRate(bytes, CommandCost(command)); !limited.ok()) return limited;
  }
  return Check(command);
}

absl::Status ProducerGate::TakeRate(std::uint64_t bytes, std::uint64_t commands) {
  if (open()) return absl::OkStatus();
  const ProducerLimits& limits = producer_.rights->limits;
  const auto refuse = [&](ProducerLimit limit, std::uint64_t rate, absl::Duration retry) {
    const std::string_view name = kProducerLimitNames[static_cast<std::size_t>(limit)];
    std::string text =
        fmt::format("producer \"{}\" is over its {} of {}; retry in {} ms", name_, name, rate,
                    absl::ToInt64Milliseconds(absl::Ceil(retry, absl::Milliseconds(1))));
    auth_->Limited(producer_, limit, text);
    return Exhausted(std::move(text), retry);
  };
  const std::int64_t now = ProducerRate::Now();
  ProducerAccount& account = *producer_.account;
  if (limits.commands_per_second != 0) {
    const absl::Duration wait = account.commands.Take(commands, limits.commands_per_second, now);
    if (wait > absl::ZeroDuration())
      return refuse(ProducerLimit::kCommands, limits.commands_per_second, wait);
  }
  if (limits.bytes_per_second != 0) {
    const absl::Duration wait = account.bytes.Take(bytes, limits.bytes_per_second, now);
    if (wait > absl::ZeroDuration())
      return refuse(ProducerLimit::kBytes, limits.bytes_per_second, wait);
  }
  return absl::OkStatus();
}

void ProducerGate::ChargeTargets(const v1::Command& command) {
  if (open() || producer_.rights->limits.commands_per_second == 0) return;
  const std::uint64_t more = CommandCost(command) - 1;
  if (more == 0) return;
  producer_.account->commands.Charge(more, producer_.rights->limits.commands_per_second,
                                     ProducerRate::Now());
}

void ProducerGate::ChargeRead(const v1::PushRequest& request) {
  if (open()) return;
  const ProducerLimits& limits = producer_.rights->limits;
  if (limits.commands_per_second == 0 && limits.bytes_per_second == 0) return;
  const std::int64_t now = ProducerRate::Now();
  ProducerAccount& account = *producer_.account;
  if (limits.commands_per_second != 0) {
    std::uint64_t commands = 0;
    for (const v1::Command& command : request.commands()) commands += CommandCost(command);
    account.commands_read.Charge(commands, limits.commands_per_second, now);
  }
  if (limits.bytes_per_second != 0)
    account.bytes_read.Charge(request.ByteSizeLong(), limits.bytes_per_second, now);
}

absl::Duration ProducerGate::ReadDelay() const {
  if (open()) return absl::ZeroDuration();
  const ProducerLimits& limits = producer_.rights->limits;
  if (limits.commands_per_second == 0 && limits.bytes_per_second == 0) return absl::ZeroDuration();
  const std::int64_t now = ProducerRate::Now();
  const ProducerAccount& account = *producer_.account;
  absl::Duration delay;
  if (limits.commands_per_second != 0) delay = account.commands_read.Wait(now);
  if (limits.bytes_per_second != 0) delay = std::max(delay, account.bytes_read.Wait(now));
  return delay;
}

}  // namespace herald
