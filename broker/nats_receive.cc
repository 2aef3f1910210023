// What comes from NATS, in order; and what did not come.
#include <algorithm>
#include <bit>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "broker/nats_accounting.h"
#include "broker/nats_broker.h"

namespace herald {
namespace {

// Read at once from the stream; the rest follows.
constexpr std::size_t kRepairStep = 256;

std::uint64_t NumberIn(const NatsMessage& message, const char* header) {
  const auto text = message.header(header);
  std::uint64_t number = 0;
  if (text && !absl::SimpleAtoi(absl::string_view(text->data(), text->size()), &number)) return 0;
  return number;
}

}  // namespace

void NatsBroker::OnMessage(NatsMessage message) {
  const std::optional<std::string> name = subjects_.TopicOfLive(message.subject());
  std::optional<StoredMessage> stored;
  if (name) stored = ParseStoredMessage(message.data());
  if (!name) return OnNewsOfStream(message);
  if (!stored) return;  // somebody else's
  const std::uint64_t sequence = NumberIn(message, "Nats-Sequence");
  {
    Stripe& stripe = StripeOf(*name);
    MutexLock lock(stripe.mutex);
    const auto it = stripe.topics.find(*name);
    if (it == stripe.topics.end()) return;
    NatsTopic& topic = *it->second;
    if (sequence == 0 || !topic.history) {
      Post(*name, *std::move(stored), Position{}, nullptr);
    } else {
      NatsTopic::Held held{*std::move(stored), sequence, NumberIn(message, "Nats-Last-Sequence")};
      const NatsStream::Arrival arrival = StreamOf(topic).Receive(sequence);
      if (arrival == NatsStream::Arrival::kAgain) Verify(topic.partition);
      // While it is not known whether the stream is still what it was, its messages may be another life's.
      if (topic.state == State::kLive && arrival == NatsStream::Arrival::kTrusted) {
        Receive(*name, topic, std::move(held));
      } else if (topic.held.size() < NatsTopic::kMaxHeld) {
        topic.held.push_back(std::move(held));
      }
    }
  }
  WaitForShards();
}

void NatsBroker::OnNewsOfStream(const NatsMessage& message) {
  std::optional<int> partition = subjects_.PartitionOfDoubt(message.subject());
  if (partition) {
    if (!streams_[static_cast<std::size_t>(*partition)]->Hear(message.data())) return;
  } else if (partition = subjects_.PartitionOfAdvisory(message.subject()); partition) {
    streams_[static_cast<std::size_t>(*partition)]->Doubt();
  } else {
    return;
  }
  Verify(*partition);
}

void NatsBroker::Receive(const std::string& name, NatsTopic& topic, NatsTopic::Held held) {
  const Position current = topic.log.current();
  if (held.sequence <= current.offset) {
    // A repair was faster, or the stream gives out numbers again that it had given out before.
    const Message* known = topic.log.At(held.sequence);
    const bool same = held.sequence == current.offset
                          ? current.fence == held.message.fence
                          : known == nullptr || known->position().fence == held.message.fence;
    if (!same) Accuse(topic, known == nullptr ? current : known->position());
    return;
  }
  if (!topic.Follows(held)) {
    const std::uint64_t up_to = held.sequence - 1;
    topic.held.push_front(std::move(held));
    return Repair(name, topic, up_to);
  }
  // The stream was read up to here, and what this message follows was not there any more.
  if (!topic.at_head && held.previous > current.offset)
    TellGap(name, topic, NotRecovered::kExpired);
  Deliver(name, topic, std::move(held.message), held.sequence);
}

void NatsBroker::Repair(const std::string& name, NatsTopic& topic, std::uint64_t up_to) {
  if (topic.state != State::kRepairing) repairs_.fetch_add(1, std::memory_order_relaxed);
  topic.state = State::kRepairing;
  topic.busy = true;
  topic.repair_target = up_to;
  const std::uint64_t generation = topic.generation = NewGeneration();
  // From the last message that was delivered: it has to be there, if it is still the same stream.
  StreamOf(topic).ReadRange(
      name, {std::max<std::uint64_t>(1, topic.log.current().offset), up_to, kRepairStep},
      [this, name, generation](absl::StatusOr<std::vector<NatsStream::Fetched>> read) {
        With(name, generation, [&](NatsTopic& topic) {
          topic.busy = false;
          // Else tried again within a second.
          if (read.ok() && !StreamOf(topic).doubted()) OnRepaired(name, topic, std::move(read));
        });
      });
}

void NatsBroker::OnRepaired(const std::string& name, NatsTopic& topic,
                            absl::StatusOr<std::vector<NatsStream::Fetched>> read) {
  const Position current = topic.log.current();
  const bool there = !read->empty() && read->front().sequence == current.offset;
  if (there && read->front().message.fence != current.fence) return Accuse(topic, current);
  if (!there && !topic.at_head && topic.known() && topic.accused != current.offset) {
    // The stream has let go of it, or has gone back and counts on from an earlier place.
    topic.accused = current.offset;
    return Accuse(topic, current);
  }
  // What the stream has let go of may have been this topic's: all before its first message, or, if
  // that is older, all before the topic's first.
  const bool evicted = !there && !topic.at_head && topic.known() && !read->empty();
  if (StreamOf(topic).first_sequence() > current.offset + 1 ||
      (evicted && StreamOf(topic).first_sequence() <= current.offset)) {
    TellGap(name, topic, NotRecovered::kExpired);
  }
  const bool more = read->size() == kRepairStep;
  for (NatsStream::Fetched& fetched : *read) {
    if (fetched.sequence > current.offset) repaired_.fetch_add(1, std::memory_order_relaxed);
    Deliver(name, topic, std::move(fetched.message), fetched.sequence);
  }
  if (more) return Repair(name, topic, topic.repair_target);
  topic.repaired_to = topic.repair_target;
  GoLive(name, topic);
}

void NatsBroker::Accuse(NatsTopic& topic, const Position& position) {
  contradictions_.fetch_add(1, std::memory_order_relaxed);
  StreamOf(topic).Accuse(position);
  Verify(topic.partition);
}

void NatsBroker::GoLive(const std::string& name, NatsTopic& topic) {
  topic.state = State::kLive;
  topic.deliver_from = 0;
  topic.checked = absl::Now();
  if (topic.lost != NotRecovered::kNone) TellGap(name, topic, topic.lost);
  while (!topic.held.empty() && topic.state == State::kLive && !StreamOf(topic).doubted()) {
    NatsTopic::Held held = std::move(topic.held.front());
    topic.held.pop_front();
    Receive(name, topic, std::move(held));
  }
  if (topic.state == State::kLive) Serve(name, topic);
}

void NatsBroker::TellGap(const std::string& name, NatsTopic& topic, NotRecovered reason) {
  topic.lost = NotRecovered::kNone;
  gaps_.fetch_add(1, std::memory_order_relaxed);
  const std::string_view why = kNotRecoveredNames[static_cast<int>(reason)];
  for (std::uint64_t left = index_.Find(name).shards; left != 0; left &= left - 1) {
    Shard& shard = *shards_[static_cast<std::size_t>(std::countr_zero(left))];
    shard.Post([&shard, name, why, position = topic.log.current()] {
      shard.TellGap(name, why, position);
    });
  }
}

void NatsBroker::Deliver(const std::string& name, NatsTopic& topic, StoredMessage message,
                         std::uint64_t sequence) {
  const Position position{topic.log.current().epoch, sequence, message.fence};
  if (sequence <= topic.log.current().offset) return;
  Post(name, std::move(message), position, &topic.log);
  topic.at_head = false;
  if (topic.deliver_from != 0) topic.deliver_from = sequence + 1;
  StreamOf(topic).Saw(position);
}

DeliveryOptionsPtr NatsBroker::OptionsFor(const StoredMessage& stored, const Sent& sent,
                                          std::uint64_t subscribers) {
  if (sent.options) return sent.options;
  if (stored.receipt.empty() || options_.relay == nullptr) return stored.options;
  ReceiptPtr receipt = options_.relay->Incoming(stored.receipt, subscribers);
  if (!receipt) return stored.options;
  auto options = stored.options ? std::make_shared<DeliveryOptions>(*stored.options)
                                : std::make_shared<DeliveryOptions>();
  options->receipt = std::move(receipt);
  return options;
}

void NatsBroker::Post(const std::string& name, StoredMessage stored, const Position& position,
                      TopicLog* log) {
  const Sent sent = Take(stored.fence);
  const TopicIndex::Found found = index_.Find(name);
  DeliveryOptionsPtr options = OptionsFor(stored, sent, found.subscribers);
  // Held by the relay's Incoming, or by Expect.
  const ReceiptPtr held = options ? options->receipt : nullptr;
  const auto message =
      std::make_shared<const Message>(std::move(stored.body), name, position, std::move(options));
  if (log != nullptr) {
    Accounting accounting(history_bytes_, *log);
    log->Append(message, absl::Now());
  }
  for (std::uint64_t left = found.shards; left != 0; left &= left - 1) {
    if (sent.tally) sent.tally->Expect();
    if (held) held->Hold();
    shards_[static_cast<std::size_t>(std::countr_zero(left))]->Deliver(message, stored.except,
                                                                       sent.tally);
  }
  if (sent.tally) sent.tally->Answer(0);
  if (held) held->Release();
}

std::optional<std::uint64_t> NatsBroker::Delivered(std::string_view name) {
  if (index_.Find(name).subscribers == 0) return std::nullopt;
  Stripe& stripe = StripeOf(name);
  MutexLock lock(stripe.mutex);
  const auto it = stripe.topics.find(name);
  return it == stripe.topics.end() ? 0 : it->second->log.current().offset;
}

void NatsBroker::WaitForShards() {
  // While this thread waits, what comes waits in the client library; past its limit it is dropped
  // there, counted, and read from the stream later.
  constexpr int kTries = 500;
  for (const auto& shard : shards_) {
    for (int i = 0; i < kTries && shard->AboveHighWatermark(); ++i)
      absl::SleepFor(absl::Milliseconds(1));
  }
}

}  // namespace herald
