#include "broker/receipt_relay.h"

#include <array>
#include <charconv>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/random.h"

namespace herald {
namespace {

constexpr std::string_view kPublishedMethod = "receipt.published";
constexpr std::string_view kDoneMethod = "receipt.done";
// What is told waits so long for more.
constexpr absl::Duration kBatch = absl::Milliseconds(3);
constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr std::uint64_t kTicksASweep = 10;
// A message without an offset that this node has subscribers for may be on its way so long.
constexpr absl::Duration kGrace = absl::Milliseconds(50);
// So much earlier than the origin's do the other receipts end, so that their counts arrive.
constexpr absl::Duration kMargin = absl::Milliseconds(300);

// Takes the next word off `line`; the last one is all that is left.
std::string_view Word(std::string_view& line, char end = ' ') {
  const std::string_view word = line.substr(0, line.find(end));
  line.remove_prefix(std::min(word.size() + 1, line.size()));
  return word;
}

std::uint64_t Number(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::int64_t MillisLeft(absl::Time deadline) {
  constexpr absl::Duration kMost = absl::Hours(1);  // "no deadline" among others
  const absl::Duration left = std::min(deadline - absl::Now(), kMost);
  return std::max<std::int64_t>(0, absl::ToInt64Milliseconds(left));
}

std::string CountsText(std::uint64_t number, const Receipt::Counts& counts) {
  std::string line =
      fmt::format("{} {} {} {}", number, counts.matched, counts.written, counts.acked);
  for (std::uint64_t dropped : counts.dropped) line += fmt::format(" {}", dropped);
  return line;
}

}  // namespace

ReceiptRelay::ReceiptRelay(Cluster& cluster, ReceiptClock& clock)
    : cluster_(cluster),
      clock_(clock),
      // Another incarnation of this node must not take the answers for its own.
      next_number_(RandomUint64() >> 16) {
  cluster.Handle(std::string(kPublishedMethod),
                 [this](std::string_view from, const std::string& lines, const Cluster::Answer&) {
                   OnPublished(from, lines);
                 });
  cluster.Handle(std::string(kDoneMethod), [this](std::string_view from, const std::string& lines,
                                                  const Cluster::Answer&) { OnDone(from, lines); });
  cluster.Watch([this](const Cluster::PeerChange& change) { OnPeer(change); });
}

std::optional<ReceiptRelay::Header> ReceiptRelay::Parse(std::string_view header) {
  Header parsed;
  parsed.node = Word(header, '/');
  parsed.number = Number(Word(header, '/'));
  const std::string_view level = Word(header, '/');
  parsed.left = absl::Milliseconds(static_cast<std::int64_t>(Number(header)));
  if (parsed.node.empty() || parsed.number == 0 || (level != "w" && level != "a"))
    return std::nullopt;
  if (level == "a") parsed.level = Receipt::Level::kAcked;
  return parsed;
}

std::string ReceiptRelay::Add(const ReceiptPtr& receipt, Sent sent) {
  receipt->Hold();
  sent.receipt = receipt;
  std::uint64_t number;
  {
    MutexLock lock(mutex_);
    number = next_number_++;
    sent_.emplace(number, std::move(sent));
    ScheduleTick();
  }
  return fmt::format("{}/{}/{}/{}", cluster_.self(), number,
                     receipt->level() == Receipt::Level::kAcked ? 'a' : 'w',
                     MillisLeft(receipt->deadline()));
}

std::string ReceiptRelay::Outgoing(const ReceiptPtr& receipt) { return Add(receipt, {}); }

std::string ReceiptRelay::Expect(const ReceiptPtr& receipt, const std::vector<std::string>& nodes) {
  Sent sent;
  sent.published = sent.own_part_done = true;
  sent.awaited.insert(nodes.begin(), nodes.end());
  // Who asks counts on the receipt itself, and says whether anybody was met at all.
  sent.matched = 1;
  receipt->Await(static_cast<std::uint32_t>(nodes.size()));
  return Add(receipt, std::move(sent));
}

void ReceiptRelay::Published(std::string_view header, std::string topic, std::uint64_t offset) {
  const auto parsed = Parse(header);
  if (!parsed) return;
  const std::vector<std::string> peers = cluster_.peers();
  const absl::Time now = absl::Now();
  Releases releases;
  bool asks_itself = false;
  {
    MutexLock lock(mutex_);
    const auto sent = sent_.find(parsed->number);
    if (sent == sent_.end()) return;
    sent->second.published = true;
    sent->second.topic = topic;
    sent->second.offset = offset;
    for (const std::string& peer : peers) {
      if (!sent->second.heard.contains(peer)) sent->second.awaited.insert(peer);
    }
    sent->second.receipt->Await(static_cast<std::uint32_t>(sent->second.awaited.size()));
    TellPublished(parsed->number, sent->second, now);
    asks_itself = !sent->second.own_part_done;
    if (!asks_itself) CloseIfDone(sent, releases);
  }
  Release(releases);
  if (!asks_itself) return;
  TryAnswer({{{std::string(cluster_.self()), parsed->number},
              std::move(topic),
              offset,
              now,
              absl::InfiniteFuture()}});
}

void ReceiptRelay::TellPublished(std::uint64_t number, Sent& sent, absl::Time now) {
  sent.told = now;
  for (const std::string& node : sent.awaited) {
    TellSoon(node, kPublishedMethod,
             fmt::format("{} {} {} {}\n", number, sent.offset, MillisLeft(sent.receipt->deadline()),
                         sent.topic));
  }
}

void ReceiptRelay::Failed(std::string_view header) {
  const auto parsed = Parse(header);
  if (!parsed) return;
  Releases releases;
  {
    MutexLock lock(mutex_);
    const auto sent = sent_.find(parsed->number);
    if (sent == sent_.end()) return;
    releases.push_back(std::move(sent->second.receipt));
    sent_.erase(sent);
  }
  Release(releases);
}

ReceiptPtr ReceiptRelay::Incoming(std::string_view header, std::uint64_t subscribers) {
  const auto parsed = Parse(header);
  if (!parsed) return nullptr;
  const Key key{parsed->node, parsed->number};
  if (parsed->node == cluster_.self()) {
    ReceiptPtr receipt;
    Releases releases;
    {
      MutexLock lock(mutex_);
      const auto sent = sent_.find(parsed->number);
      if (sent == sent_.end() || sent->second.own_part_done) return nullptr;
      receipt = sent->second.receipt;
      receipt->Hold();
      sent->second.own_part_done = true;
      sent->second.matched += subscribers;
      CloseIfDone(sent, releases);
    }
    Release(releases);
    return receipt;
  }
  const absl::Time now = absl::Now();
  const absl::Time deadline = now + parsed->left - std::min(kMargin, parsed->left / 3);
  auto receipt = std::make_shared<Receipt>(
      parsed->level, [this, key](const Receipt::Counts& counts) { OnEnded(key, counts); },
      deadline);
  {
    MutexLock lock(mutex_);
    if (!met_.emplace(key, Met{receipt, "", now + parsed->left + absl::Seconds(1)}).second)
      return nullptr;
    ScheduleTick();
  }
  clock_.Schedule(receipt, deadline);
  return receipt;
}

void ReceiptRelay::OnEnded(const Key& key, const Receipt::Counts& counts) {
  MutexLock lock(mutex_);
  const auto met = met_.find(key);
  if (met == met_.end()) return;
  met->second.counts = CountsText(key.second, counts) + "\n";
  // The receipt stays with the entry: it is in the middle of its end.
  TellSoon(key.first, kDoneMethod, met->second.counts);
}

void ReceiptRelay::OnPublished(std::string_view from, std::string_view lines) {
  std::vector<Question> questions;
  const absl::Time now = absl::Now();
  while (!lines.empty()) {
    std::string_view line = Word(lines, '\n');
    Question& question = questions.emplace_back();
    question.key = {std::string(from), Number(Word(line))};
    question.offset = Number(Word(line));
    question.asked = now;
    question.until = now + absl::Milliseconds(static_cast<std::int64_t>(Number(Word(line))));
    question.topic = line;
  }
  TryAnswer(std::move(questions));
}

void ReceiptRelay::TryAnswer(std::vector<Question> questions) {
  std::vector<std::optional<std::uint64_t>> delivered;
  delivered.reserve(questions.size());
  for (const Question& question : questions) delivered.push_back(delivered_(question.topic));
  const absl::Time now = absl::Now();
  Releases releases;
  {
    MutexLock lock(mutex_);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      if (!TryAnswer(questions[i], delivered[i], now, releases))
        questions_.push_back(std::move(questions[i]));
    }
    if (!questions_.empty()) ScheduleTick();
  }
  Release(releases);
}

bool ReceiptRelay::TryAnswer(const Question& question, std::optional<std::uint64_t> delivered,
                             absl::Time now, Releases& releases) {
  const bool own = question.key.first == cluster_.self();
  SentMap::iterator sent = own ? sent_.find(question.key.second) : sent_.end();
  if (own && (sent == sent_.end() || sent->second.own_part_done)) return true;
  if (const auto met = met_.find(question.key); met != met_.end()) {
    // Told before, and maybe lost.
    if (!met->second.counts.empty()) TellSoon(question.key.first, kDoneMethod, met->second.counts);
    return true;
  }
  if (delivered) {
    const bool passed =
        question.offset != 0 ? *delivered >= question.offset : now >= question.asked + kGrace;
    if (!passed) return now > question.until;
  }
  if (own) {
    sent->second.own_part_done = true;
    CloseIfDone(sent, releases);
    return true;
  }
  Met none{nullptr, CountsText(question.key.second, {}) + "\n", question.until + absl::Seconds(1)};
  TellSoon(question.key.first, kDoneMethod, none.counts);
  met_.emplace(question.key, std::move(none));
  return true;
}

void ReceiptRelay::OnDone(std::string_view from, std::string_view lines) {
  Releases releases;
  {
    MutexLock lock(mutex_);
    while (!lines.empty()) {
      std::string_view line = Word(lines, '\n');
      const auto sent = sent_.find(Number(Word(line)));
      if (sent == sent_.end()) continue;
      if (!sent->second.heard.emplace(from).second) continue;
      Receipt::Counts counts;
      counts.matched = Number(Word(line));
      counts.written = Number(Word(line));
      counts.acked = Number(Word(line));
      for (std::uint64_t& dropped : counts.dropped) dropped = Number(Word(line));
      const auto awaited = sent->second.awaited.find(from);
      if (awaited != sent->second.awaited.end()) {
        sent->second.awaited.erase(awaited);
      } else {
        sent->second.receipt->Await(1);  // faster than the broker's answer, or a new node
      }
      sent->second.receipt->Add(counts);
      sent->second.matched += counts.matched;
      CloseIfDone(sent, releases);
    }
  }
  Release(releases);
}

void ReceiptRelay::OnPeer(const Cluster::PeerChange& change) {
  if (change.here) return;
  Releases releases;
  {
    MutexLock lock(mutex_);
    // What it has counted will never be known: the receipt goes on awaiting it, and this does not.
    for (auto sent = sent_.begin(); sent != sent_.end();) {
      const auto next = std::next(sent);
      if (sent->second.awaited.erase(change.node) > 0) {
        ++sent->second.matched;  // who can say that nobody was met?
        CloseIfDone(sent, releases);
      }
      sent = next;
    }
  }
  Release(releases);
}

void ReceiptRelay::CloseIfDone(SentMap::iterator sent, Releases& releases) {
  Sent& entry = sent->second;
  if (!entry.published || !entry.own_part_done || !entry.awaited.empty()) return;
  if (entry.matched == 0) entry.receipt->NoSession();
  releases.push_back(std::move(entry.receipt));
  sent_.erase(sent);
}

void ReceiptRelay::TellSoon(const std::string& node, std::string_view method, std::string line) {
  to_tell_[{node, std::string(method)}] += line;
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  cluster_.After(kBatch, [this] { Flush(); });
}

void ReceiptRelay::Flush() {
  std::map<std::pair<std::string, std::string>, std::string> to_tell;
  {
    MutexLock lock(mutex_);
    to_tell.swap(to_tell_);
    flush_scheduled_ = false;
  }
  for (auto& [to, lines] : to_tell) cluster_.Tell(to.first, to.second, std::move(lines));
}

void ReceiptRelay::ScheduleTick() {
  if (tick_scheduled_) return;
  tick_scheduled_ = true;
  cluster_.After(kTick, [this] { Tick(); });
}

void ReceiptRelay::Tick() {
  Releases releases;
  std::vector<Question> questions;
  const absl::Time now = absl::Now();
  {
    MutexLock lock(mutex_);
    tick_scheduled_ = false;
    questions.swap(questions_);
    if (++ticks_ % kTicksASweep == 0) {
      // Erasing may end receipts' lives, not the receipts.
      absl::erase_if(sent_, [&](auto& entry) {
        if (!entry.second.receipt->final()) return false;
        releases.push_back(std::move(entry.second.receipt));
        return true;
      });
      std::erase_if(met_, [&](const auto& entry) {
        const Met& met = entry.second;
        return met.forget_at <= now && (!met.receipt || met.receipt->final());
      });
      for (auto& [number, sent] : sent_) {
        if (sent.published && !sent.topic.empty() && !sent.awaited.empty() &&
            now - sent.told > absl::Seconds(1)) {
          TellPublished(number, sent, now);
        }
      }
    }
    if (!sent_.empty() || !met_.empty()) ScheduleTick();
  }
  Release(releases);
  if (!questions.empty()) TryAnswer(std::move(questions));
}

void ReceiptRelay::Release(Releases& releases) {
  for (const ReceiptPtr& receipt : releases) receipt->Release();
}

std::size_t ReceiptRelay::open() const {
  MutexLock lock(mutex_);
  return sent_.size() + questions_.size();
}

}  // namespace herald
