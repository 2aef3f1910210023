#include "service/idempotent_runner.h"

#include <optional>
#include <utility>

#include "fmt/format.h"
#include "service/convert.h"

namespace herald {
namespace {

std::string ToText(const Fingerprint& fingerprint) {
  return fmt::format("{:016x}{:016x}", fingerprint[0], fingerprint[1]);
}

}  // namespace

absl::StatusOr<std::uint64_t> IdempotentRunner::Open(std::string_view producer_id) {
  if (producer_id.empty()) return 0;
  if (absl::Status bad = CheckIdempotencyKey("open.producer_id", producer_id); !bad.ok())
    return bad;
  producer_id_ = producer_id;
  stream_ = idempotency_.Open(gate_.name(), producer_id);
  return idempotency_.LastSeq(stream_);
}

bool IdempotentRunner::MustAskNodes() const {
  return moves_ != nullptr && stream_ && !moves_->alone();
}

void IdempotentRunner::AskNodes(std::string_view producer_id,
                                absl::AnyInvocable<void(std::uint64_t)> done) {
  moves_->Ask(gate_.name(), producer_id,
              [this, done = std::move(done)](std::vector<Idempotency::History> histories) mutable {
                for (Idempotency::History& history : histories)
                  idempotency_.Adopt(stream_, std::move(history));
                done(idempotency_.LastSeq(stream_));
              });
}

CommandRunner::Done IdempotentRunner::Hold(CommandRunner::Done done) {
  if (!waiting_) waiting_ = std::make_shared<std::atomic<std::size_t>>(0);
  waiting_->fetch_add(1);
  return [waiting = waiting_, done = std::move(done)](v1::CommandResult result) mutable {
    waiting->fetch_sub(1);  // first: `done` asks what may follow
    done(std::move(result));
  };
}

bool IdempotentRunner::Refused(const v1::Command& command, v1::CommandResult& result) {
  const absl::Status admitted = gate_.Admit(command);
  if (admitted.ok()) return false;
  result.set_seq(command.seq());
  SetStatus(admitted, result);
  return true;
}

bool IdempotentRunner::RunOnce(v1::Command& command, const CommandRunner::Context& context,
                               v1::CommandResult& result, CommandRunner::Later answer_later,
                               CommandRunner::Report report) {
  const bool holds = runner_.HoldsTheOthers(command);
  const auto later = [&]() -> CommandRunner::Done {
    return holds ? Hold(answer_later()) : answer_later();
  };
  const std::uint64_t seq = command.seq();
  const std::string& key = command.deliver().idempotency_key();
  if (stream_ && seq == 0) {
    SetStatus(absl::InvalidArgumentError("seq must not be 0 where open.producer_id is set"),
              result);
    return true;
  }
  const bool refused = !gate_.open() && Refused(command, result);
  // A bad key is no key. The runner refuses it.
  if (!stream_ && (refused || key.empty() || !CheckIdempotencyKey("", key).ok()))
    return refused || runner_.Run(command, context, result, later, std::move(report));

  const auto wait = [&]() -> Idempotency::Done { return Hold(later()); };
  const Fingerprint payload = FingerprintOf(command);
  Idempotency::Begun begun = refused   ? idempotency_.Refuse(stream_, seq, payload, result, wait)
                             : stream_ ? idempotency_.Begin(stream_, seq, payload, wait)
                                       : idempotency_.Begin(gate_.name(), key, seq, payload, wait);
  if (auto* answer = std::get_if<v1::CommandResult>(&begun)) {
    result = std::move(*answer);
    return true;
  }
  const auto* ticket = std::get_if<Idempotency::Ticket>(&begun);
  if (ticket == nullptr) return false;  // it waits
  const auto finish_later = [&]() -> CommandRunner::Done {
    return [&idempotency = idempotency_, ticket = *ticket,
            done = later()](v1::CommandResult result) mutable {
      idempotency.Finish(ticket, result);
      done(std::move(result));
    };
  };
  // A store that knows repeats of its own answers those that another replica carried out.
  std::optional<CommandRunner::Context> named;
  if (runner_.BrokerRecognisesRepeats()) {
    named = context;
    named->dedupe_id =
        ToText(stream_ ? FingerprintOf({gate_.name(), producer_id_, std::to_string(seq)})
                       : FingerprintOf({gate_.name(), key}));
    named->fingerprint = ToText(payload);
  }
  if (!runner_.Run(command, named ? *named : context, result, finish_later, std::move(report)))
    return false;
  idempotency_.Finish(*ticket, result);
  return true;
}

}  // namespace herald
