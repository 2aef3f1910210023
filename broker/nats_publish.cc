// From a publication to NATS, and its answer.
#include <boost/json/value.hpp>

#include "absl/time/clock.h"
#include "broker/jetstream_answer.h"
#include "broker/nats_broker.h"
#include "fmt/format.h"
#include "session/random.h"

namespace herald {
namespace {

struct Acknowledgement {
  std::uint64_t sequence = 0;
  bool duplicate = false;
};

// JetStream's PubAck, or the error in it.
absl::StatusOr<Acknowledgement> ParseAcknowledgement(std::string_view text) {
  const boost::json::object answer = jetstream::ToJson(text);
  if (answer.empty())
    return absl::UnavailableError("NATS answered a publication with something else");
  if (const std::int64_t code = jetstream::ErrorCode(answer); code != 0) {
    const std::string why =
        fmt::format("NATS: {}", jetstream::Text(jetstream::Part(answer, "error"), "description"));
    constexpr std::int64_t kTooLarge = 10054, kSealed = 10109;
    if (code == kTooLarge) return absl::InvalidArgumentError(why);
    if (code == kSealed) return absl::FailedPreconditionError(why);
    // The others may pass.
    return jetstream::IsFull(answer) ? absl::ResourceExhaustedError(why)
                                     : absl::UnavailableError(why);
  }
  Acknowledgement acknowledgement;
  acknowledgement.sequence = jetstream::Number(answer, "seq");
  const boost::json::value* repeat = answer.if_contains("duplicate");
  acknowledgement.duplicate = repeat != nullptr && repeat->is_bool() && repeat->get_bool();
  if (acknowledgement.sequence == 0)
    return absl::UnavailableError("NATS answered a publication without a sequence");
  return acknowledgement;
}

// May pass, and the publication may have been stored. Other errors would come again.
bool Transient(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsFailedPrecondition(status);
}

}  // namespace

void NatsBroker::Publish(Publication publication, PublishDone done) {
  if (publication.keep && HasHistory(publication.topic)) {
    PublishKept(std::move(publication), std::move(done));
  } else {
    PublishLive(std::move(publication), std::move(done));
  }
}

std::string NatsBroker::OutgoingReceipt(const Publication& publication) {
  if (options_.relay == nullptr || publication.options == nullptr ||
      publication.options->receipt == nullptr) {
    return "";
  }
  return options_.relay->Outgoing(publication.options->receipt);
}

void NatsBroker::PublishLive(Publication publication, PublishDone done) {
  const std::uint64_t fence = RandomUint64();
  Expect(fence, publication);
  const std::string receipt = OutgoingReceipt(publication);
  const std::string bytes = Serialize(publication, fence, receipt, "");
  const std::uint64_t matched = index_.Find(publication.topic).subscribers;
  const std::string subject = subjects_.Live(publication.topic);  // before the topic moves on
  connection_.PublishConfirmed(subject, bytes,
                               [this, fence, receipt, matched, topic = std::move(publication.topic),
                                done = std::move(done)](const absl::Status& sent) mutable {
                                 if (!sent.ok()) {
                                   refused_.fetch_add(1, std::memory_order_relaxed);
                                   Take(fence).Release();
                                   if (!receipt.empty()) options_.relay->Failed(receipt);
                                   return done(sent);
                                 }
                                 Published published;
                                 published.matched = matched;
                                 published.elsewhere = options_.relay != nullptr;
                                 // Nobody here is on the topic, so it will not come back here.
                                 if (matched == 0) {
                                   const Sent sent_here = Take(fence);
                                   if (sent_here.tally) sent_here.tally->Answer(0);
                                   sent_here.Release();
                                 }
                                 if (!receipt.empty())
                                   options_.relay->Published(receipt, std::move(topic), 0);
                                 done(published);
                               });
}

void NatsBroker::PublishKept(Publication publication, PublishDone done) {
  const NatsStream& stream =
      *streams_[static_cast<std::size_t>(subjects_.PartitionOf(publication.topic))];
  if (stream.suspected()) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return done(absl::UnavailableError(
        "the stream in NATS has lost messages and is being checked: send this again"));
  }
  Asked asked;
  asked.epoch = stream.epoch();
  asked.fence = RandomUint64();
  Expect(asked.fence, publication);
  asked.receipt = OutgoingReceipt(publication);
  NatsConnection::Headers headers;
  if (!publication.dedupe_id.empty()) {
    // One command may go to several topics of one stream.
    headers.emplace_back("Nats-Msg-Id", publication.dedupe_id + ":" + ToToken(publication.topic));
  }
  const std::string bytes =
      Serialize(publication, asked.fence, asked.receipt, publication.fingerprint);
  const std::string subject = subjects_.Stored(publication.topic);
  asked.topic = std::move(publication.topic);
  asked.fingerprint = std::move(publication.fingerprint);
  connection_.Request(
      subject, bytes, options_.publish_timeout,
      [this, asked = std::move(asked),
       done = std::move(done)](absl::StatusOr<NatsMessage> answer) mutable {
        OnAcknowledged(std::move(asked), std::move(answer), std::move(done));
      },
      headers);
}

void NatsBroker::OnAcknowledged(Asked asked, absl::StatusOr<NatsMessage> answer, PublishDone done) {
  absl::StatusOr<Acknowledgement> taken =
      answer.ok()
          ? ParseAcknowledgement(answer->data())
          : absl::StatusOr<Acknowledgement>(Transient(answer.status())
                                                ? absl::UnavailableError(answer.status().message())
                                                : answer.status());
  const int partition = subjects_.PartitionOf(asked.topic);
  if (!taken.ok() || taken->duplicate) {
    Take(asked.fence).Release();
    if (!asked.receipt.empty()) options_.relay->Failed(asked.receipt);
  }
  if (!taken.ok()) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    if (absl::IsResourceExhausted(taken.status())) {
      full_.fetch_add(1, std::memory_order_relaxed);
      options_.on_full(std::string(taken.status().message()));
    }
    return done(taken.status());
  }
  if (taken->duplicate) {
    return AnswerRepeat(taken->sequence, std::move(asked), std::move(done));
  }
  NatsStream& stream = *streams_[static_cast<std::size_t>(partition)];
  if (!stream.suspected() && stream.epoch() == asked.epoch)
    return AnswerTaken(std::move(asked), taken->sequence, std::move(done));
  // Stored in a log that may be gone by now.
  stream.GetAt(taken->sequence, [this, asked = std::move(asked), sequence = taken->sequence,
                                 done = std::move(done)](
                                    absl::StatusOr<NatsStream::Fetched> stored) mutable {
    if (stored.ok() && stored->message.fence == asked.fence)
      return AnswerTaken(std::move(asked), sequence, std::move(done));
    Take(asked.fence).Release();
    if (!asked.receipt.empty()) options_.relay->Failed(asked.receipt);
    refused_.fetch_add(1, std::memory_order_relaxed);
    done(absl::UnavailableError("the stream in NATS has lost the message: send it again"));
  });
}

void NatsBroker::AnswerTaken(Asked asked, std::uint64_t sequence, PublishDone done) {
  NatsStream& stream = *streams_[static_cast<std::size_t>(subjects_.PartitionOf(asked.topic))];
  Published published;
  published.position = {stream.epoch(), sequence, asked.fence};
  stream.Saw(published.position);
  published.matched = index_.Find(asked.topic).subscribers;
  published.elsewhere = options_.relay != nullptr;
  if (!asked.receipt.empty())
    options_.relay->Published(asked.receipt, std::move(asked.topic), sequence);
  done(published);
}

void NatsBroker::AnswerRepeat(std::uint64_t sequence, Asked asked, PublishDone done) {
  NatsStream& stream = *streams_[static_cast<std::size_t>(subjects_.PartitionOf(asked.topic))];
  stream.GetAt(
      sequence, [&stream, sequence, epoch = stream.epoch(), asked = std::move(asked),
                 done = std::move(done)](const absl::StatusOr<NatsStream::Fetched>& first) mutable {
        Published published;
        published.duplicate = true;
        if (!first.ok() && !absl::IsNotFound(first.status()))
          return done(absl::UnavailableError(first.status().message()));
        // It may have left the stream by its topic's limit. But a place that the stream has not reached, or
        // has given to another topic, is that of a log which is gone.
        const bool lost =
            first.ok() ? first->topic != asked.topic : sequence > stream.head().offset;
        if (lost) {
          return done(absl::UnavailableError(
              "the stream in NATS has lost the message that this one repeats: send it again"));
        }
        if (first.ok()) {
          if (first->message.fingerprint != asked.fingerprint) {
            return done(absl::AlreadyExistsError(
                "another message was sent under this key: use a new one for a new message"));
          }
          published.position = {epoch, first->sequence, first->message.fence};
        }
        done(published);
      });
}

void NatsBroker::Expect(std::uint64_t fence, const Publication& publication) {
  const bool reported = options_.relay == nullptr && publication.options != nullptr &&
                        publication.options->receipt != nullptr;
  if (!publication.tally && !reported) return;
  if (reported) publication.options->receipt->Hold();
  MutexLock lock(sent_mutex_);
  sent_.emplace(fence,
                Sent{publication.tally, reported ? publication.options : nullptr, absl::Now()});
  sent_count_.store(sent_.size(), std::memory_order_relaxed);
}

NatsBroker::Sent NatsBroker::Take(std::uint64_t fence) {
  Sent sent;
  if (sent_count_.load(std::memory_order_relaxed) == 0) return sent;
  {
    MutexLock lock(sent_mutex_);
    const auto it = sent_.find(fence);
    if (it == sent_.end()) return sent;
    sent = std::move(it->second);
    sent_.erase(it);
    sent_count_.store(sent_.size(), std::memory_order_relaxed);
  }
  return sent;
}

void NatsBroker::ForgetSent(absl::Time before) {
  std::vector<Sent> late;
  {
    MutexLock lock(sent_mutex_);
    absl::erase_if(sent_, [&](auto& entry) {
      if (entry.second.at >= before) return false;
      late.push_back(std::move(entry.second));
      return true;
    });
    sent_count_.store(sent_.size(), std::memory_order_relaxed);
  }
  for (Sent& sent : late) {
    if (sent.tally) sent.tally->Answer(0);
    sent.Release();
  }
}

}  // namespace herald
