// Deliveries: from the checked command to the broker, or straight to sessions.
#include "fmt/format.h"
#include "service/command_runner.h"
#include "service/convert.h"
#include "service/idempotency.h"
#include "session/random.h"
#include "session/topic_name.h"

namespace herald {
namespace {

constexpr absl::Duration kDefaultReportTimeout = absl::Seconds(5);
constexpr absl::Duration kMaxReportTimeout = absl::Minutes(1);

absl::Status NobodyMatched() {
  return absl::NotFoundError("nobody matched the target (no_session)");
}

bool HasExceptions(const v1::Target& target) {
  return !target.except_sessions().empty() || !target.except_users().empty();
}

}  // namespace

absl::Status CommandRunner::Accept(v1::Deliver& deliver, const Context& context,
                                   Accepted& accepted) const {
  if (absl::Status bad = CheckIdempotencyKey("idempotency_key", deliver.idempotency_key());
      !bad.ok()) {
    return bad;
  }
  const v1::Target& to = deliver.target();
  if ((to.has_user_id() || to.has_topic()) && !HasExceptions(to)) {
    if (absl::Status bad = ParseOneTopic(to, accepted.topic); !bad.ok()) return bad;
  } else {
    absl::StatusOr<Target> target = ParseTarget(to, node_);
    if (!target.ok()) return target.status();
    accepted.except = target->except;
    accepted.topics = TopicsOf(*target);
    if (accepted.topics.empty()) {
      accepted.live = *std::move(target);
      if (to.has_session_id()) accepted.within = WithinReachOf(context);
    } else if (accepted.topics.size() == 1 && accepted.except == nullptr) {
      accepted.topic.Set(accepted.topics.front());
      accepted.topics.clear();
    }
  }
  if (deliver.has_policy()) {
    absl::StatusOr<DeliveryOptions> options = ParsePolicy(deliver.policy(), context.now);
    if (!options.ok()) return options.status();
    if (*options != DeliveryOptions{})
      accepted.options = std::make_shared<const DeliveryOptions>(*std::move(options));
  }
  MoveToBody(*deliver.mutable_message(), accepted.body);
  accepted.body.accepted_unix_ms = absl::ToUnixMillis(context.now);
  if (!context.traceparent.empty() && !deliver.message().attributes().contains("traceparent"))
    accepted.body.attributes.emplace_back("traceparent", context.traceparent);
  // With exceptions a message is live-only: a later resume could not tell who was excepted.
  accepted.keep = !deliver.policy().skip_history() && accepted.except == nullptr && !accepted.live;
  accepted.require_online = deliver.require_online();
  if (!context.dedupe_id.empty()) {
    accepted.dedupe_id = context.dedupe_id;
    accepted.fingerprint = context.fingerprint;
  }
  accepted.owner = OwnerOf(context.producer);
  accepted.local_only = context.local_only;
  return CheckMessage(accepted.body, max_message_bytes_);
}

absl::Status CommandRunner::CheckReport(const v1::Deliver& deliver, v1::ReportLevel level,
                                        const Accepted& message) const {
  if (!v1::ReportLevel_IsValid(level)) return absl::InvalidArgumentError("report is no level");
  if (level <= v1::REPORT_LEVEL_ACCEPTED) return absl::OkStatus();
  if (deliver.has_report_timeout()) {
    const absl::Duration timeout = ToDuration(deliver.report_timeout());
    if (timeout <= absl::ZeroDuration() || timeout > kMaxReportTimeout) {
      return absl::InvalidArgumentError("report_timeout must be over 0 and at most 1 minute");
    }
  }
  if (level != v1::REPORT_LEVEL_ACKED) return absl::OkStatus();
  // Clients acknowledge offsets.
  if (!message.keep) {
    return absl::InvalidArgumentError(
        "report: ACKED needs a message that is kept, so no target session_id or selector, no "
        "exceptions and no policy.skip_history; ask for WRITTEN");
  }
  const auto check = [this](std::string_view topic) {
    if (broker_.HasHistory(topic)) return absl::OkStatus();
    return absl::InvalidArgumentError(fmt::format(
        "report: ACKED needs history, and the rule of topic {} has history_size 0; ask for WRITTEN",
        topic));
  };
  if (!message.topic.empty()) return check(message.topic.view());
  for (const std::string& topic : message.topics) {
    if (absl::Status bad = check(topic); !bad.ok()) return bad;
  }
  return absl::OkStatus();
}

ReceiptPtr CommandRunner::MakeReceipt(std::uint64_t seq, const v1::Deliver& deliver,
                                      v1::ReportLevel level, Done& done, Report report) {
  const absl::Time deadline =
      absl::Now() +
      (deliver.has_report_timeout() ? ToDuration(deliver.report_timeout()) : kDefaultReportTimeout);
  auto receipt = std::make_shared<Receipt>(
      level == v1::REPORT_LEVEL_ACKED ? Receipt::Level::kAcked : Receipt::Level::kWritten,
      [this, seq, report = std::move(report)](const Receipt::Counts& counts) mutable {
        timeouts_.fetch_add(counts.dropped[static_cast<std::size_t>(DropReason::kTimeout)],
                            std::memory_order_relaxed);
        report(ToProto(counts, seq));
      },
      deadline);
  done = [this, receipt, deadline, done = std::move(done)](v1::CommandResult result) mutable {
    const bool ok = ReceiptFollows(result);
    if (!ok) receipt->Cancel();
    done(std::move(result));
    if (!ok) return;
    clock_.Schedule(receipt, deadline);
    receipt->Release();
  };
  return receipt;
}

bool CommandRunner::RunDeliver(v1::Deliver& deliver, const Context& context,
                               v1::CommandResult& result, Later later, Report report) {
  const auto refuse = [&](const absl::Status& why) {
    SetStatus(why, result);
    return true;
  };
  if (!TakesMessage(memory, deliver.message().payload().size())) {
    return refuse(
        absl::ResourceExhaustedError("the server is at its memory limit (max_memory_bytes)"));
  }
  Accepted message;
  if (absl::Status bad = Accept(deliver, context, message); !bad.ok()) return refuse(bad);
  const v1::ReportLevel level = LevelOf(deliver, context);
  if (absl::Status bad = CheckReport(deliver, level, message); !bad.ok()) return refuse(bad);
  if (message.body.id.empty()) {
    MakeMessageId(message.body.accepted_unix_ms, *result.mutable_message_id());
  } else {
    result.set_message_id(message.body.id);
  }
  if (level <= v1::REPORT_LEVEL_ACCEPTED) return Send(std::move(message), result, later);

  auto options = std::make_shared<DeliveryOptions>();
  if (message.options) *options = *message.options;
  if (context.local_only) {
    options->receipt = context.receipt;
    message.options = std::move(options);
    return Send(std::move(message), result, later);
  }
  Done done = later();
  options->receipt = MakeReceipt(result.seq(), deliver, level, done, std::move(report));
  message.options = std::move(options);
  if (Send(std::move(message), result, [&] { return std::move(done); })) done(result);
  return false;
}

bool CommandRunner::Send(Accepted&& message, v1::CommandResult& result, Later later) {
  if (!message.topic.empty()) return PublishOnOne(std::move(message), result, later);
  message.body.id = result.message_id();
  if (message.live) {
    DeliverLive(std::move(message), result, later());
  } else {
    PublishOnAll(std::move(message), result, later());
  }
  return false;
}

bool CommandRunner::PublishOnOne(Accepted&& message, v1::CommandResult& result, Later later) {
  const std::string_view topic = message.topic.view();
  Receipt* const receipt = message.options ? message.options->receipt.get() : nullptr;
  // Asked before: what nobody is there for must not be kept either.
  if (message.require_online && table_.index().Find(topic).subscribers == 0) {
    SetStatus(NobodyMatched(), result);
    return true;
  }
  if (!broker_.Wants(topic, message.keep)) {
    CountNobody(receipt);
    return true;
  }
  message.body.id = result.message_id();
  std::string name(message.keep ? topic : std::string_view());
  const auto on_wait = [&]() -> Broker::PublishDone {
    return [this, name, receipt, require_online = message.require_online, result = result,
            done = later()](absl::StatusOr<Published> published) mutable {
      Answer(published, std::move(name), require_online, receipt, result);
      done(std::move(result));
    };
  };
  const std::optional<absl::StatusOr<Published>> published = broker_.PublishOrWait(
      {ShareMessage(std::move(message.body)), std::string(topic), nullptr, nullptr, message.keep,
       std::move(message.options), std::move(message.dedupe_id), std::move(message.fingerprint),
       message.owner},
      on_wait);
  if (!published) return false;
  Answer(*published, std::move(name), message.require_online, receipt, result);
  return true;
}

void CommandRunner::Answer(const absl::StatusOr<Published>& published, std::string topic,
                           bool require_online, Receipt* receipt, v1::CommandResult& result) {
  if (!published.ok()) {
    SetStatus(published.status(), result);
    return CountNobody(receipt);
  }
  if (!published->position.empty())
    SetPosition(published->position, std::move(topic), *result.add_positions());
  result.set_matched(published->matched);
  result.set_duplicate(published->duplicate);
  if (published->matched > 0 || published->duplicate || published->elsewhere) return;
  CountNobody(receipt);
  if (require_online) SetStatus(NobodyMatched(), result);
}

void CommandRunner::CountNobody(Receipt* receipt) {
  no_session_.fetch_add(1, std::memory_order_relaxed);
  if (receipt != nullptr) receipt->NoSession();
}

void CommandRunner::PublishOnAll(Accepted&& message, v1::CommandResult result, Done done) {
  if (message.require_online) {
    // Asked before: what nobody is there for must not be kept either.
    std::uint64_t subscribers = 0;
    for (const std::string& topic : message.topics)
      subscribers += table_.index().Find(topic).subscribers;
    if (subscribers == 0) {
      SetStatus(NobodyMatched(), result);
      return done(std::move(result));
    }
  }
  struct Gathering {
    Mutex mutex;
    v1::CommandResult result ABSL_GUARDED_BY(mutex);
    std::size_t duplicates ABSL_GUARDED_BY(mutex) = 0;
    std::size_t topics = 0;
    Done done;
    bool require_online;
    std::atomic<bool> elsewhere{false};
  };
  auto gathering = std::make_shared<Gathering>();
  {
    MutexLock lock(gathering->mutex);
    gathering->result = std::move(result);
  }
  gathering->done = std::move(done);
  gathering->topics = message.topics.size();
  gathering->require_online = message.require_online;
  // Answered once by each publication, and, where exceptions make counting the shards' work, by
  // each shard.
  const bool count_on_shards = message.except != nullptr;
  auto tally = std::make_shared<Tally>([this, gathering](std::uint64_t matched) {
    v1::CommandResult finished;
    {
      MutexLock lock(gathering->mutex);
      finished = std::move(gathering->result);
      finished.set_duplicate(gathering->duplicates == gathering->topics);
    }
    finished.set_matched(matched);
    if (matched == 0 && !gathering->elsewhere) {
      no_session_.fetch_add(1, std::memory_order_relaxed);
      if (gathering->require_online && finished.code() == 0 && !finished.duplicate())
        SetStatus(NobodyMatched(), finished);
    }
    gathering->done(std::move(finished));
  });
  Receipt* const receipt = message.options ? message.options->receipt.get() : nullptr;
  const MessageBodyPtr body = ShareMessage(std::move(message.body));
  for (std::string& topic : message.topics) {
    tally->Expect();
    std::string name = message.keep ? topic : std::string();
    broker_.Publish(
        {body, std::move(topic), message.except, count_on_shards ? tally : nullptr, message.keep,
         message.options, message.dedupe_id, message.fingerprint, message.owner},
        [gathering, tally, count_on_shards, receipt,
         name = std::move(name)](absl::StatusOr<Published> published) {
          if (published.ok() && published->elsewhere) gathering->elsewhere = true;
          if (count_on_shards && published.ok()) {
            // The tally that went along gave one answer of its own for the publication.
            return;
          }
          {
            MutexLock lock(gathering->mutex);
            if (!published.ok()) {
              SetStatus(published.status(), gathering->result);
            } else if (published->duplicate) {
              // A part that was left out the first time is no repeat.
              gathering->duplicates += 1;
            }
            if (published.ok() && !published->position.empty()) {
              SetPosition(published->position, name, *gathering->result.add_positions());
            }
          }
          const std::uint64_t matched = published.ok() ? published->matched : 0;
          // Lives: `gathering->done` holds it.
          if (receipt != nullptr && matched == 0 && !(published.ok() && published->elsewhere)) {
            receipt->NoSession();
          }
          tally->Answer(matched);
        });
  }
  tally->Answer(0);
}

void CommandRunner::DeliverLive(Accepted&& message, v1::CommandResult result, Done done) {
  const bool one_session = std::holds_alternative<SessionId>(message.live->to);
  const std::shared_ptr<WithinReach> within = message.within;
  const std::size_t bytes = message.body.payload.size();
  WithinReach::ForEach(
      table_, *message.live, within,
      [message =
           std::make_shared<const Message>(ShareMessage(std::move(message.body)), "", Position{},
                                           std::move(message.options))](Session& session) {
        Receipt* const receipt = message->receipt();
        if (receipt != nullptr) receipt->Matched();
        session.Deliver(message, Overflow::kDisconnect,
                        receipt != nullptr ? Tracking::kCounted : Tracking::kNone);
      },
      [this, result = std::move(result), one_session, within,
       require_online = message.require_online, local_only = message.local_only,
       done = std::move(done)](std::uint64_t matched) mutable {
        result.set_matched(matched);
        if (matched == 0 && !local_only) no_session_.fetch_add(1, std::memory_order_relaxed);
        if (matched == 0 && one_session) SetStatus(NotMet(within.get()), result);
        if (matched == 0 && !one_session && require_online) SetStatus(NobodyMatched(), result);
        done(std::move(result));
      },
      bytes);
}

}  // namespace herald
