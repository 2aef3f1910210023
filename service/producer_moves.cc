#include "service/producer_moves.h"

#include "absl/time/clock.h"
#include "herald/internal/v1/cluster.pb.h"

namespace herald {
namespace {

constexpr std::string_view kMethod = "producer";
constexpr absl::Duration kLookAgain = absl::Milliseconds(20);

internal::v1::ProducerHistory ToProto(const Idempotency::History& history) {
  internal::v1::ProducerHistory to;
  for (const Idempotency::History::Command& command : history.done) {
    auto& done = *to.add_done();
    done.set_seq(command.seq);
    done.set_fingerprint_high(command.payload[0]);
    done.set_fingerprint_low(command.payload[1]);
    done.set_answer(command.answer);
  }
  to.set_forgotten(history.forgotten);
  for (const std::uint64_t seq : history.failed) to.add_failed(seq);
  for (const SeqRange& range : history.refused) {
    to.add_refused(range.first);
    to.add_refused(range.last);
  }
  return to;
}

Idempotency::History ToHistory(internal::v1::ProducerHistory& from) {
  Idempotency::History history;
  for (auto& done : *from.mutable_done()) {
    history.done.push_back({done.seq(),
                            {done.fingerprint_high(), done.fingerprint_low()},
                            std::move(*done.mutable_answer())});
  }
  history.forgotten = from.forgotten();
  history.failed.assign(from.failed().begin(), from.failed().end());
  for (int i = 0; i + 1 < from.refused_size(); i += 2)
    history.refused.push_back({from.refused(i), from.refused(i + 1)});
  return history;
}

}  // namespace

ProducerMoves::ProducerMoves(Cluster& cluster, Idempotency& idempotency)
    : cluster_(cluster), idempotency_(idempotency) {
  cluster.Handle(std::string(kMethod),
                 [this](std::string_view, const std::string& request, Cluster::Answer answer) {
                   internal::v1::MoveProducer move;
                   if (!move.ParseFromString(request))
                     return answer(absl::InvalidArgumentError("the question is not readable"));
                   LetGo(move.name(), move.producer_id(), absl::Now() + kSettle,
                         std::make_shared<Cluster::Answer>(std::move(answer)));
                 });
}

void ProducerMoves::LetGo(std::string name, std::string producer_id, absl::Time until,
                          std::shared_ptr<Cluster::Answer> answer) {
  if (const auto history = idempotency_.LetGo(name, producer_id, kMaxCommands))
    return (*answer)(ToProto(*history).SerializeAsString());
  if (absl::Now() > until)
    return (*answer)(absl::UnavailableError("commands of the producer are still in flight"));
  cluster_.After(kLookAgain, [this, name = std::move(name), producer_id = std::move(producer_id),
                              until, answer = std::move(answer)]() mutable {
    LetGo(std::move(name), std::move(producer_id), until, std::move(answer));
  });
}

void ProducerMoves::Ask(std::string_view name, std::string_view producer_id, Done done) {
  internal::v1::MoveProducer move;
  move.set_name(std::string(name));
  move.set_producer_id(std::string(producer_id));
  cluster_.AskAll(kMethod, move.SerializeAsString(), kDeadline,
                  [done = std::move(done)](const Cluster::Answers& answers) mutable {
                    std::vector<Idempotency::History> histories;
                    for (const auto& [_, bytes] : answers.by_node) {
                      internal::v1::ProducerHistory history;
                      if (history.ParseFromString(bytes)) histories.push_back(ToHistory(history));
                    }
                    done(std::move(histories));
                  });
}

}  // namespace herald
