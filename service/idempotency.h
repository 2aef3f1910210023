#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "herald/v1/push_service.pb.h"
#include "service/fingerprint.h"
#include "service/refused_seqs.h"
#include "session/mutex.h"
#include "session/owner.h"
#include "session/size_ranks.h"

namespace herald {

// Of producer ids and idempotency keys: at most 128 bytes of UTF-8, or kInvalidArgument naming
// `field`.
absl::Status CheckIdempotencyKey(std::string_view field, std::string_view key);

// Remembers which commands have been carried out, so that a repeat is answered and not done again.
//
// A command has a key: `seq` of a producer id, or an idempotency key of its own; both belong to one
// authenticated producer name. Begin says what to do with it, Finish tells how it went:
//
//   key                          | Begin
//   -----------------------------+------------------------------------------------------------------
//   new, or failed before        | carry it out, then Finish
//   in flight                    | wait: Finish of the first answers this one too
//   succeeded within the window  | the first answer, `duplicate` set
//   either, with another payload | ALREADY_EXISTS
//   seq that may be forgotten    | OUT_OF_RANGE: neither done again nor called done
//
// Only successes are remembered. Of a failed `seq` it is kept that it failed, for last_seq. Of one that
// rights or rates refused only its number is (RefusedSeqs): nothing was tried.
//
// Forgetting: the window after a command succeeded (repeats do not prolong it). When there are more
//            than max_keys, the producer name that holds the most, in all its producer ids and keys,
//            loses one: the lowest seq of a producer id with more than 1/kShare of all, else its
//            oldest. So no name pushes out what others did. A producer id goes with its last entry
//            and stream.
//            After a success has been forgotten, a lower seq that is not remembered may have been
//            carried out as well: that is OUT_OF_RANGE. Numbers that were left out above it are new.
// Threads:   any. Locks are striped by producer id and by key; none is held while a command runs
//            or a callback is called.
// Limits:    max_keys finished commands, of about 300 bytes each; an answer longer than
//            kAnswerBytesAKey (many positions) counts as several. Those in flight are bounded by
//            their streams. Expiry is amortised: an operation forgets a few of its own name, Sweep
//            the rest.
// Ownership: outlives its streams, and whatever may call Finish.
class Idempotency {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  using Done = absl::AnyInvocable<void(v1::CommandResult)>;

  static constexpr std::size_t kAnswerBytesAKey = 256;
  static constexpr std::size_t kShare = 8;

  // The clock is a steady one: setting the time of day must not shorten the window.
  Idempotency(absl::Duration window, std::size_t max_keys,
              Clock clock = std::chrono::steady_clock::now);
  ~Idempotency();

  // What is remembered goes by the new limits too.
  void SetLimits(absl::Duration window, std::size_t max_keys) {
    window_ = absl::ToChronoNanoseconds(window);
    max_keys_ = max_keys;
  }

 private:
  struct Entry;
  struct Producer;
  struct Share;
  struct Stripe;
  using Entries = std::list<Entry>;

 public:
  // An open stream of a producer id: its state stays while there is one.
  class Stream {
   public:
    Stream() = default;
    Stream(Stream&& other) noexcept { *this = std::move(other); }
    Stream& operator=(Stream&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(stripe_, other.stripe_);
      std::swap(producer_, other.producer_);
      std::swap(generation_, other.generation_);
      return *this;
    }
    ~Stream() {
      if (owner_ != nullptr) owner_->Close(*this);
    }
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    friend class Idempotency;
    Idempotency* owner_ = nullptr;
    Stripe* stripe_ = nullptr;
    Producer* producer_ = nullptr;
    std::uint64_t generation_ = 0;
  };

  // A command that was begun, and must be finished once.
  class Ticket {
    friend class Idempotency;
    Ticket(Stripe& stripe, Entries::iterator entry) : stripe_(&stripe), entry_(entry) {}
    Stripe* stripe_;
    Entries::iterator entry_;
  };
  struct Wait {};
  // Carry it out, or this is the answer, or it comes through what `on_wait` gave.
  using Begun = std::variant<Ticket, v1::CommandResult, Wait>;
  // Called where a command has to wait, under a lock: it only hands over what is to be called.
  using OnWait = absl::FunctionRef<Done()>;

  // Several streams of one producer id may be open: one that is half dead, and its successor.
  Stream Open(std::string_view name, std::string_view producer_id);
  // The highest seq up to which all commands that were begun have succeeded; 0 for none. Failed
  // ones and those in flight hold it back until they succeed or are forgotten.
  std::uint64_t LastSeq(const Stream& stream);

  // What was carried out of a producer id, for another node.
  struct History {
    struct Command {
      std::uint64_t seq = 0;
      Fingerprint payload{};
      std::string answer;  // a serialized CommandResult without seq
    };
    std::vector<Command> done;    // the newest that succeeded, in the order of their seq
    std::uint64_t forgotten = 0;  // the highest that succeeded and is not among them
    std::vector<std::uint64_t> failed;
    std::vector<SeqRange> refused;
  };
  // The producer has moved to another node: from now on, until it opens another stream here, its
  // commands are refused with UNAVAILABLE. What it has carried out, at most `max` one by one; nothing
  // while some are in flight: ask again.
  std::optional<History> LetGo(std::string_view name, std::string_view producer_id,
                               std::size_t max);
  // Remembers what another node has carried out, as if it had been done here, now.
  void Adopt(const Stream& stream, History history);

  // `seq` must not be 0.
  Begun Begin(const Stream& stream, std::uint64_t seq, const Fingerprint& payload, OnWait on_wait);
  // `seq` is only for the answer.
  Begun Begin(std::string_view name, std::string_view key, std::uint64_t seq,
              const Fingerprint& payload, OnWait on_wait);
  // As Begin, where rights or rates refuse the command with `refusal`: a repeat gets what Begin says,
  // and anything else `refusal`. last_seq stays below it until it has been carried out, or the window
  // has passed.
  Begun Refuse(const Stream& stream, std::uint64_t seq, const Fingerprint& payload,
               const v1::CommandResult& refusal, OnWait on_wait);
  // To be called before the producer is told the result. Answers all that wait for it.
  void Finish(Ticket ticket, v1::CommandResult& result);

  // Forgets what the window has passed for; to be called now and then.
  void Sweep();

  // Finished commands that are remembered.
  std::size_t keys() const { return keys_.load(std::memory_order_relaxed); }
  // Repeats answered with a first result.
  std::uint64_t duplicates() const { return duplicates_.load(std::memory_order_relaxed); }
  // Forgotten before their time, because of max_keys.
  std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  // Producer ids that are known.
  std::size_t producers() const { return producers_.load(std::memory_order_relaxed); }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Waiter {
    std::uint64_t seq;
    Done done;
  };
  // A seq of a producer id, or else an idempotency key.
  struct Key {
    Producer* producer = nullptr;
    std::uint64_t seq = 0;
    Fingerprint text{};
    std::uint64_t generation = 0;  // of the stream
    Share* share = nullptr;        // of its name
  };
  struct Entry {
    enum class State : std::uint8_t { kRunning, kSucceeded, kFailed };

    Key key;
    Fingerprint payload;
    TimePoint finished{};
    std::string answer;  // a serialized CommandResult without seq
    std::unique_ptr<std::vector<Waiter>> waiters;
    State state = State::kRunning;

    std::size_t cost() const { return 1 + answer.size() / kAnswerBytesAKey; }
  };
  struct Producer {
    Fingerprint id;
    Share* share = nullptr;  // of its name
    std::size_t streams = 0;
    std::uint64_t generation = 0;  // grows when it is let go of: older streams are over
    absl::btree_map<std::uint64_t, Entries::iterator> seqs;
    absl::btree_set<std::uint64_t> unsettled;  // those of `seqs` in flight or failed
    RefusedSeqs refused;
    std::uint64_t forgotten = 0;  // the highest that succeeded and is not in `seqs`
    std::size_t cost = 0;         // of its finished commands
    SizeRanks<Producer>::Place place;
  };
  static constexpr TimePoint::rep kNone = std::numeric_limits<TimePoint::rep>::max();
  static constexpr std::size_t kStripes = 16;
  // A producer name.
  struct Owner {
    Owner() {
      for (auto& since : oldest) since = kNone;
    }
    std::atomic<std::size_t> cost{0};
    // For each stripe, the highest rank of its producer ids, and when the oldest of its commands was
    // finished, so that evicting need not lock all stripes to choose one.
    std::array<std::atomic<std::uint8_t>, kStripes> highest{};
    std::array<std::atomic<TimePoint::rep>, kStripes> oldest;
  };
  // What a name has in one stripe. It stays.
  struct Share {
    Owner& owner;
    Entries finished;  // the oldest first
    SizeRanks<Producer> by_cost;
  };
  struct alignas(64) Stripe {
    Mutex mutex;
    Entries running ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<Owner*, std::unique_ptr<Share>> shares ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<OwnerId, Share*> share_of ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<Fingerprint, Entries::iterator, FingerprintHash> keys
        ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<Fingerprint, std::unique_ptr<Producer>, FingerprintHash> producers
        ABSL_GUARDED_BY(mutex);
  };

  Stripe& StripeOf(const Fingerprint& id) { return stripes_[id[1] % kStripes]; }
  std::size_t IndexOf(const Stripe& stripe) const {
    return static_cast<std::size_t>(&stripe - stripes_.data());
  }
  Share& ShareOf(Stripe& stripe, OwnerId owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void Close(Stream& stream);
  // `refusal`: null, or what a command gets that would have to be carried out.
  Begun BeginKey(Stripe& stripe, OwnerId owner, Key key, std::uint64_t seq,
                 const Fingerprint& payload, const v1::CommandResult* refusal, OnWait on_wait);
  std::optional<Entries::iterator> Find(Stripe& stripe, const Key& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  Entries::iterator Add(Stripe& stripe, const Key& key, const Fingerprint& payload)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  bool Expired(const Entry& entry, TimePoint now) const {
    return now - entry.finished >= window_.load(std::memory_order_relaxed);
  }
  // Forgets at most `count` of the share; true if there may be more.
  bool Expire(Stripe& stripe, Share& share, TimePoint now, std::size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void Forget(Stripe& stripe, Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void DropIfUnused(Stripe& stripe, Producer& producer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void Uncount(Stripe& stripe, const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void Count(Stripe& stripe, const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void Rank(Stripe& stripe, Producer& producer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void PublishOldest(Stripe& stripe, Share& share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  // Forgets one command of the name that holds the most; false if there is none.
  bool Evict();
  // Of its producer id with the most, if that is more than its share; false if it is not.
  bool EvictFromProducerId(Owner& owner);

  std::atomic<std::chrono::nanoseconds> window_;
  std::atomic<std::size_t> max_keys_;
  const Clock clock_;
  OwnerTable<Owner> owners_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<std::size_t> keys_{0};
  std::atomic<std::size_t> cost_{0};
  std::atomic<std::size_t> producers_{0};
  std::atomic<std::uint64_t> duplicates_{0};
  std::atomic<std::uint64_t> evicted_{0};
};

}  // namespace herald
