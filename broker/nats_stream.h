#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/log_witness.h"
#include "broker/nats_connection.h"
#include "broker/nats_subjects.h"
#include "broker/stored_message.h"
#include "session/mutex.h"
#include "session/position.h"

namespace herald {

struct NatsStreamOptions {
  int replicas = 1;
  // Older messages are gone, whatever the topics' rules: so long a client may stay away. What a topic
  // keeps (its rule's size and time) is applied when it is read.
  absl::Duration max_age = absl::Hours(24);
  std::uint64_t max_messages_per_topic = 1'000;
  std::uint64_t max_bytes = 0;  // 0: no limit
  absl::Duration duplicate_window = absl::Minutes(2);
};

// One partition of the topics with history: a JetStream stream.
//
// Truth: the stream's `epoch` is made of its description, where replicas write a number, and of the time
//        at which it was created. A stream that was deleted and made again has a new one, whoever did so.
//        A stream that went back to an older state has not. So this remembers positions that it has
//        seen (LogWitness) and asks the leader whether they are still there. If one is not, it tells
//        the other replicas which, so that they doubt too, and after some looks gives the stream a
//        new epoch. All positions from before are then answered with `recovered: false`.
// Reads: from the stream's leader. A follower may be behind, and with nats-server 2.9 its log may
//        differ from the leader's for good.
//
// Threads: any. Callbacks run on the connection's threads.
// Source:  JetStream's API (docs.nats.io/reference/reference-protocols/nats_api_reference) through
//          plain requests, since libnats 3.4 knows nothing newer than server 2.9.
class NatsStream : public std::enable_shared_from_this<NatsStream> {
 public:
  NatsStream(NatsConnection& connection, const NatsSubjects& subjects, int partition,
             NatsStreamOptions options);

  enum class Verdict {
    kSame,      // what was known still holds
    kNewEpoch,  // nothing that was known holds any more
    kUnsure,    // it seems to have gone back; to be asked again before that is believed
  };
  // Makes the stream if it is not there, and looks whether it is still what it was. An error where it
  // cannot be told: then what is known is to be doubted until it can.
  //   kUnavailable         no answer, no leader
  //   kFailedPrecondition  no JetStream, or a stream of this name that is not ours, said in one line
  // To be called by one at a time.
  void Verify(absl::AnyInvocable<void(absl::StatusOr<Verdict>)> done);

  // Gives the stream a new epoch, which the next Verify will find.
  void Renew(absl::AnyInvocable<void(absl::Status)> done);
  // From now until Trust what is known may be wrong: the connection was lost. What is
  // seen meanwhile does not move the head, or a stream that went back could outgrow the evidence.
  void Doubt();
  bool doubted() const;
  // `position` was delivered here, and what has been read or received since contradicts it. The next
  // Verify asks the leader for it.
  void Accuse(const Position& position);
  // A position that was seen is missing, and it is not decided yet whether the log has to begin anew.
  // What is stored meanwhile may be lost.
  bool suspected() const;
  // What Verify has found is in force: on a new epoch, nothing that follows the old one is left. A doubt
  // that came after that Verify began stays.
  void Trust();
  // Another replica says that this position is missing. True if that is news, to be verified.
  bool Hear(std::string_view evidence);

  // The position before the first message of an epoch; the same on all replicas.
  static Position StartOf(std::uint64_t epoch);
  // 0 before the first Verify.
  std::uint64_t epoch() const;
  // A position at the newest message of the stream that is known, of whatever topic.
  Position head() const;
  // A message has been seen at `offset`. Moves the head; ignored if it belongs to another epoch.
  void Saw(const Position& position);
  enum class Arrival {
    kTrusted,
    kDoubted,  // the stream is doubted
    kAgain,    // it gives out numbers again: from now on it is doubted, and to be verified
  };
  // A message of the stream has come at `sequence`.
  Arrival Receive(std::uint64_t sequence);
  // True if `position` is known to be right: it was the head once, or was checked.
  bool Known(const Position& position) const;
  // To be called when Get has shown that `position` is right.
  void Learn(const Position& position);

  struct Fetched {
    std::uint64_t sequence = 0;
    std::string topic;
    StoredMessage message;
  };
  // The leader knows all that is acknowledged. Any other server costs less, and what it says has to be
  // confirmed by the leader before it counts.
  enum class From { kLeader, kAny };
  // kNotFound if there is none.
  using GetDone = absl::AnyInvocable<void(absl::StatusOr<Fetched>)>;
  void GetAt(std::uint64_t sequence, GetDone done);  // from the leader
  void GetLast(std::string_view topic, From from, GetDone done);

  // Messages of `topic` at `first` to `last` (both included), oldest first, at most `limit`: with that
  // many there may be more.
  struct Range {
    std::uint64_t first = 1, last = UINT64_MAX;
    std::size_t limit = 100;
  };
  void ReadRange(std::string_view topic, Range range,
                 absl::AnyInvocable<void(absl::StatusOr<std::vector<Fetched>>)> done);

  // `sequence` of the oldest message there is, as of the last Verify.
  std::uint64_t first_sequence() const;
  const std::string& name() const { return name_; }
  std::uint64_t epoch_changes() const { return epoch_changes_.load(std::memory_order_relaxed); }

 private:
  struct State {
    std::uint64_t epoch = 0, first = 0, last = 0;
  };
  struct Reading;
  using VerifyDone = absl::AnyInvocable<void(absl::StatusOr<Verdict>)>;
  using StateDone = absl::AnyInvocable<void(absl::StatusOr<State>)>;

  void Api(std::string_view what, std::string request,
           absl::AnyInvocable<void(absl::StatusOr<NatsMessage>)> done);
  std::string Config(std::uint64_t epoch) const;
  void Info(StateDone done);
  void Create(StateDone done);
  void Update(std::uint64_t epoch, StateDone done);
  // Where there is no stream: not at once, if there was one.
  bool MayCreate();
  void GetNext(std::string_view topic, std::uint64_t sequence, GetDone done);
  void Compare(const State& state, VerifyDone done);
  // Asks for the positions from `next` on.
  struct Trial;
  void Try(std::shared_ptr<Trial> trial);
  void Suspect(const Position& missing, VerifyDone done);
  // Takes the state as it is; its head follows from its last message.
  void Adopt(const State& state, Verdict verdict, VerifyDone done);
  void MoveHead(const Position& position);
  void Get(std::string request, From from, GetDone done);
  void ReadOn(std::shared_ptr<Reading> reading);

  NatsConnection& connection_;
  const NatsSubjects& subjects_;
  const int partition_;
  const NatsStreamOptions options_;
  const std::string name_;
  std::atomic<std::uint64_t> epoch_changes_{0};
  mutable Mutex mutex_;
  std::uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  LogWitness witness_ ABSL_GUARDED_BY(mutex_);
  int suspicions_ ABSL_GUARDED_BY(mutex_) = 0;
  // How many doubts there have been, when the current or last Verify began, and up to which they are
  // settled.
  std::uint64_t doubts_ ABSL_GUARDED_BY(mutex_) = 1;
  std::uint64_t verifying_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t trusted_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time missing_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::flat_hash_map<std::uint64_t, std::uint64_t> known_
      ABSL_GUARDED_BY(mutex_);  // offset → fence
  std::deque<std::uint64_t> known_order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace herald
