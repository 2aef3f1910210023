// What the stream is, and whether it still is what it was.
#include "broker/nats_stream.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "broker/jetstream_answer.h"
#include "fmt/format.h"
#include "session/random.h"

namespace herald {
namespace {

namespace json = boost::json;
using jetstream::ErrorCode, jetstream::Number, jetstream::Part, jetstream::Text, jetstream::ToJson,
    jetstream::ToStatus;

constexpr std::string_view kEpochName = "herald epoch ";
// JetStream's error codes.
constexpr std::int64_t kStreamNotFound = 10059;
constexpr std::int64_t kStreamNameInUse = 10058;
constexpr std::int64_t kSubjectsOverlap = 10065;  // with one of the same name that is being made
// A leader that has just been elected may not know yet all that was acknowledged.
constexpr int kSuspicions = 4;
constexpr std::size_t kKnown = 65'536;
// A server that deletes a stream says so before its files are gone (2.9.10), and takes the files of
// one that is made at once along.
constexpr absl::Duration kDeleting = absl::Seconds(1);

std::uint64_t EpochOf(std::string_view description) {
  if (!description.starts_with(kEpochName)) return 0;
  description.remove_prefix(kEpochName.size());
  std::uint64_t epoch = 0;
  return absl::SimpleHexAtoi(absl::string_view(description.data(), description.size()), &epoch)
             ? epoch
             : 0;
}

// Of one life of the stream: who makes it again with the same description makes another. `created` is
// what the server tells, the same from all its nodes and over their restarts. Never 0.
std::uint64_t EpochOf(std::uint64_t described, std::string_view created) {
  absl::Time at = absl::UnixEpoch();
  absl::ParseTime(absl::RFC3339_full, absl::string_view(created.data(), created.size()), &at,
                  nullptr);
  return (described ^ static_cast<std::uint64_t>(absl::ToUnixNanos(at)) * 0x9e3779b97f4a7c15) | 1;
}

// Never 0, which means "no position".
std::uint64_t NewEpoch() { return RandomUint64() | 1; }

}  // namespace

Position NatsStream::StartOf(std::uint64_t epoch) { return {epoch, 0, epoch * 0x9e3779b97f4a7c15}; }

NatsStream::NatsStream(NatsConnection& connection, const NatsSubjects& subjects, int partition,
                       NatsStreamOptions options)
    : connection_(connection),
      subjects_(subjects),
      partition_(partition),
      options_(options),
      name_(subjects.Stream(partition)) {}

std::string NatsStream::Config(std::uint64_t epoch) const {
  const auto nanoseconds = [](absl::Duration time) { return absl::ToInt64Nanoseconds(time); };
  json::object config;
  config["name"] = name_;
  config["description"] = fmt::format("{}{:016x}", kEpochName, epoch);
  config["subjects"] = {subjects_.StoredPattern(partition_)};
  config["retention"] = "limits";
  config["storage"] = "file";
  config["discard"] = "old";
  config["max_age"] = nanoseconds(options_.max_age);
  config["max_msgs_per_subject"] = options_.max_messages_per_topic;
  config["max_bytes"] =
      options_.max_bytes == 0 ? std::int64_t{-1} : static_cast<std::int64_t>(options_.max_bytes);
  config["max_msgs"] = -1;
  config["max_consumers"] = -1;
  config["num_replicas"] = options_.replicas;
  config["duplicate_window"] = nanoseconds(std::min(options_.duplicate_window, options_.max_age));
  config["allow_direct"] = true;
  json::object republish;
  republish["src"] = subjects_.StoredPattern(partition_);
  republish["dest"] = subjects_.LivePattern();
  config["republish"] = std::move(republish);
  return json::serialize(config);
}

void NatsStream::Info(StateDone done) {
  Api("STREAM.INFO", "", [self = shared_from_this(), done = std::move(done)](auto answer) mutable {
    if (!answer.ok()) return done(answer.status());
    const json::object info = ToJson(answer->data());
    if (absl::Status status = ToStatus(info, self->name_); !status.ok()) {
      return done(ErrorCode(info) == kStreamNotFound ? absl::NotFoundError(status.message())
                                                     : status);
    }
    const json::object& config = Part(info, "config");
    const json::object& state = Part(info, "state");
    const std::uint64_t described = EpochOf(Text(config, "description"));
    const json::value* subjects = config.if_contains("subjects");
    const std::string ours = self->subjects_.StoredPattern(self->partition_);
    if (described == 0 || subjects == nullptr || !subjects->is_array() ||
        subjects->get_array().size() != 1 || subjects->get_array()[0] != json::string(ours)) {
      return done(absl::FailedPreconditionError(
          fmt::format("the stream {} of NATS was not made by Herald for {}: choose another "
                      "nats_prefix, or delete the stream",
                      self->name_, ours)));
    }
    done(State{EpochOf(described, Text(info, "created")), Number(state, "first_seq"),
               Number(state, "last_seq")});
  });
}

void NatsStream::Create(StateDone done) {
  Api("STREAM.CREATE", Config(NewEpoch()),
      [self = shared_from_this(), done = std::move(done)](auto answer) mutable {
        if (!answer.ok()) return done(answer.status());
        const json::object created = ToJson(answer->data());
        // Another replica was faster: then it is its epoch that counts.
        if (ErrorCode(created) != kStreamNameInUse && ErrorCode(created) != kSubjectsOverlap) {
          if (absl::Status status = ToStatus(created, self->name_); !status.ok())
            return done(status);
        }
        self->Info([done = std::move(done)](absl::StatusOr<State> state) mutable {
          // The server that is asked need not know of it yet.
          if (absl::IsNotFound(state.status()))
            return done(absl::UnavailableError(state.status().message()));
          done(std::move(state));
        });
      });
}

void NatsStream::Update(std::uint64_t epoch, StateDone done) {
  Api("STREAM.UPDATE", Config(epoch),
      [self = shared_from_this(), done = std::move(done)](auto answer) mutable {
        if (!answer.ok()) return done(answer.status());
        if (absl::Status status = ToStatus(ToJson(answer->data()), self->name_); !status.ok())
          return done(status);
        self->Info(std::move(done));  // where two did so, the last one counts
      });
}

void NatsStream::Renew(absl::AnyInvocable<void(absl::Status)> done) {
  Update(NewEpoch(),
         [done = std::move(done)](absl::StatusOr<State> state) mutable { done(state.status()); });
}

bool NatsStream::MayCreate() {
  const absl::Time now = absl::Now();
  MutexLock lock(mutex_);
  if (missing_since_ == absl::InfinitePast()) missing_since_ = now;
  return epoch_ == 0 || missing_since_ + kDeleting < now;
}

void NatsStream::Verify(VerifyDone done) {
  {
    MutexLock lock(mutex_);
    verifying_ = doubts_;
  }
  auto looked = [self = shared_from_this(),
                 done = std::move(done)](absl::StatusOr<State> state) mutable {
    if (!state.ok()) return done(state.status());
    self->Compare(*state, std::move(done));
  };
  Info([self = shared_from_this(),
        looked = std::move(looked)](absl::StatusOr<State> state) mutable {
    if (!absl::IsNotFound(state.status())) return looked(std::move(state));
    if (!self->MayCreate()) {
      return looked(absl::UnavailableError("the stream is gone, and is made again in a moment"));
    }
    self->Create(std::move(looked));
  });
}

struct NatsStream::Trial {
  State state;
  std::vector<Position> evidence;
  std::size_t next = 0;
  VerifyDone done;
};

void NatsStream::Compare(const State& state, VerifyDone done) {
  auto trial = std::make_shared<Trial>();
  std::uint64_t epoch = 0;
  {
    MutexLock lock(mutex_);
    trial->evidence = witness_.Evidence();
    epoch = epoch_;
    first_ = state.first;
    missing_since_ = absl::InfinitePast();
  }
  if (state.epoch != epoch) {
    return Adopt(state, epoch == 0 ? Verdict::kSame : Verdict::kNewEpoch, std::move(done));
  }
  trial->state = state;
  trial->done = std::move(done);
  Try(std::move(trial));
}

void NatsStream::Try(std::shared_ptr<Trial> trial) {
  while (trial->next < trial->evidence.size() &&
         trial->evidence[trial->next].offset < trial->state.first) {
    ++trial->next;  // too old to be kept
  }
  if (trial->next == trial->evidence.size()) {
    {
      MutexLock lock(mutex_);
      witness_.Confirm(trial->evidence);
    }
    return Adopt(trial->state, Verdict::kSame, std::move(trial->done));
  }
  const Position& position = trial->evidence[trial->next];
  GetAt(position.offset, [self = shared_from_this(), position,
                          trial](absl::StatusOr<Fetched> fetched) {
    if (!fetched.ok() && !absl::IsNotFound(fetched.status())) return trial->done(fetched.status());
    // Inside the stream a message may be gone by its topic's limit. But not once it has been
    // seen to end before: then it was overtaken.
    const bool there = fetched.ok() ? fetched->message.fence == position.fence
                                    : position.offset < trial->state.last && !self->suspected();
    if (!there) return self->Suspect(position, std::move(trial->done));
    ++trial->next;
    self->Try(trial);
  });
}

void NatsStream::Suspect(const Position& missing, VerifyDone done) {
  bool sure = false, first = false;
  {
    MutexLock lock(mutex_);
    first = ++suspicions_ == 1;
    sure = suspicions_ >= kSuspicions;
    witness_.Accuse(missing);
  }
  // Lost where there is no connection: the next one who notices tells.
  if (first) (void)connection_.Publish(subjects_.Doubt(partition_), missing.ToToken());
  if (!sure) return done(Verdict::kUnsure);
  Update(NewEpoch(),
         [self = shared_from_this(), done = std::move(done)](absl::StatusOr<State> state) mutable {
           if (!state.ok()) return done(state.status());
           self->Adopt(*state, Verdict::kNewEpoch, std::move(done));
         });
}

void NatsStream::Adopt(const State& state, Verdict verdict, VerifyDone done) {
  bool behind = false;
  {
    MutexLock lock(mutex_);
    suspicions_ = 0;
    first_ = state.first;
    if (epoch_ != state.epoch) {
      epoch_ = state.epoch;
      known_.clear();
      known_order_.clear();
      witness_.Reset(StartOf(state.epoch));
      if (verdict == Verdict::kNewEpoch) epoch_changes_.fetch_add(1, std::memory_order_relaxed);
    }
    behind = witness_.newest().offset < state.last;
  }
  if (!behind) return done(verdict);
  GetAt(state.last, [self = shared_from_this(), epoch = state.epoch, verdict,
                     done = std::move(done)](absl::StatusOr<Fetched> fetched) mutable {
    if (fetched.ok())
      self->MoveHead({epoch, fetched->sequence, fetched->message.fence});
    else if (!absl::IsNotFound(fetched.status()))
      return done(fetched.status());
    done(verdict);
  });
}

std::uint64_t NatsStream::epoch() const {
  MutexLock lock(mutex_);
  return epoch_;
}

std::uint64_t NatsStream::first_sequence() const {
  MutexLock lock(mutex_);
  return first_;
}

Position NatsStream::head() const {
  MutexLock lock(mutex_);
  return witness_.newest();
}

void NatsStream::Saw(const Position& position) {
  if (!doubted()) MoveHead(position);
}

void NatsStream::MoveHead(const Position& position) {
  MutexLock lock(mutex_);
  witness_.Saw(position);
}

NatsStream::Arrival NatsStream::Receive(std::uint64_t sequence) {
  MutexLock lock(mutex_);
  if (trusted_ < doubts_) return Arrival::kDoubted;
  if (witness_.Receive(sequence)) return Arrival::kTrusted;
  ++doubts_;
  return Arrival::kAgain;
}

void NatsStream::Accuse(const Position& position) {
  MutexLock lock(mutex_);
  if (position.epoch != epoch_) return;
  witness_.Accuse(position);
  ++doubts_;
}

void NatsStream::Doubt() {
  MutexLock lock(mutex_);
  ++doubts_;
}

void NatsStream::Trust() {
  MutexLock lock(mutex_);
  trusted_ = verifying_;
}

bool NatsStream::Hear(std::string_view evidence) {
  const absl::StatusOr<Position> position = Position::FromToken(evidence);
  MutexLock lock(mutex_);
  if (!position.ok() || position->epoch != epoch_ || witness_.accused(*position)) return false;
  // If it is wrong, the next look finds it in the stream.
  witness_.Accuse(*position);
  suspicions_ = std::max(suspicions_, 1);
  ++doubts_;
  return true;
}

bool NatsStream::suspected() const {
  MutexLock lock(mutex_);
  return suspicions_ > 0;
}

bool NatsStream::doubted() const {
  MutexLock lock(mutex_);
  return trusted_ < doubts_;
}

bool NatsStream::Known(const Position& position) const {
  MutexLock lock(mutex_);
  if (position.epoch != epoch_) return false;
  if (position == witness_.newest()) return true;
  if (position == StartOf(epoch_)) return first_ <= 1;
  const auto it = known_.find(position.offset);
  return it != known_.end() && it->second == position.fence;
}

void NatsStream::Learn(const Position& position) {
  MutexLock lock(mutex_);
  if (position.epoch != epoch_ || !known_.emplace(position.offset, position.fence).second) return;
  known_order_.push_back(position.offset);
  if (known_order_.size() > kKnown) {
    known_.erase(known_order_.front());
    known_order_.pop_front();
  }
}

}  // namespace herald
