#include "broker/nats_stream.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/random.h"

namespace herald {
namespace {

namespace json = boost::json;

constexpr absl::Duration kApiTimeout = absl::Seconds(3);
constexpr std::string_view kEpochName = "herald epoch ";
// JetStream's error codes.
constexpr std::int64_t kStreamNotFound = 10059;
constexpr std::int64_t kStreamNameInUse = 10058;
constexpr std::int64_t kSubjectsOverlap = 10065;  // with one of the same name that is being made
constexpr std::int64_t kNotEnabled = 10076;
constexpr std::int64_t kNotEnabledForAccount = 10039;
constexpr std::int64_t kMessageNotFound = 10037;
// A leader that has just been elected may not know yet all that was acknowledged.
constexpr int kSuspicions = 4;
constexpr std::size_t kKnown = 65'536;
// A server that deletes a stream says so before its files are gone (2.9.10), and takes the files of
// one that is made at once along.
constexpr absl::Duration kDeleting = absl::Seconds(1);

json::object ToJson(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  return !error && value.is_object() ? std::move(value.as_object()) : json::object();
}

std::uint64_t Number(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) return 0;
  if (value->is_uint64()) return value->get_uint64();
  return value->is_int64() ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

std::string_view Text(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string()
             ? std::string_view(value->get_string().data(), value->get_string().size())
             : std::string_view();
}

const json::object& Part(const json::object& object, const char* name) {
  static const json::object kNone;
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_object() ? value->get_object() : kNone;
}

std::int64_t ErrorCode(const json::object& answer) {
  return static_cast<std::int64_t>(Number(Part(answer, "error"), "err_code"));
}

absl::Status ToStatus(const json::object& answer, std::string_view stream) {
  const json::object& error = Part(answer, "error");
  if (error.empty()) return absl::OkStatus();
  const std::int64_t code = ErrorCode(answer);
  const std::string text = fmt::format("stream {}: {}", stream, Text(error, "description"));
  if (code == kMessageNotFound) return absl::NotFoundError(text);
  if (code == kNotEnabled || code == kNotEnabledForAccount) {
    return absl::FailedPreconditionError(
        "NATS has no JetStream for this account: start nats-server with JetStream (-js), or enable "
        "it for the account");
  }
  if (Number(error, "code") == 503) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

std::uint64_t EpochOf(std::string_view description) {
  if (!description.starts_with(kEpochName)) return 0;
  description.remove_prefix(kEpochName.size());
  std::uint64_t epoch = 0;
  return absl::SimpleHexAtoi(absl::string_view(description.data(), description.size()), &epoch)
             ? epoch
             : 0;
}

// Never 0, which means "no position".
std::uint64_t NewEpoch() { return RandomUint64() | 1; }

// Before the first message; the same on all replicas.
Position StartOf(std::uint64_t epoch) { return {epoch, 0, epoch * 0x9e3779b97f4a7c15}; }

std::string JsonString(std::string_view text) {
  return json::serialize(json::value(json::string_view(text.data(), text.size())));
}

}  // namespace

NatsStream::NatsStream(NatsConnection& connection, const NatsSubjects& subjects, int partition,
                       NatsStreamOptions options)
    : connection_(connection),
      subjects_(subjects),
      partition_(partition),
      options_(options),
      name_(subjects.Stream(partition)) {}

void NatsStream::Api(std::string_view what, std::string request,
                     absl::AnyInvocable<void(absl::StatusOr<NatsMessage>)> done) {
  connection_.Request(fmt::format("$JS.API.{}.{}", what, name_), request, kApiTimeout,
                      std::move(done));
}

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
    const std::uint64_t epoch = EpochOf(Text(config, "description"));
    const json::value* subjects = config.if_contains("subjects");
    const std::string ours = self->subjects_.StoredPattern(self->partition_);
    if (epoch == 0 || subjects == nullptr || !subjects->is_array() ||
        subjects->get_array().size() != 1 || subjects->get_array()[0] != json::string(ours)) {
      return done(absl::FailedPreconditionError(
          fmt::format("the stream {} of NATS was not made by Herald for {}: choose another "
                      "nats_prefix, or delete the stream",
                      self->name_, ours)));
    }
    done(State{epoch, Number(state, "first_seq"), Number(state, "last_seq")});
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
        self->Info(std::move(done));
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

void NatsStream::Compare(const State& state, VerifyDone done) {
  Position head;
  std::uint64_t epoch = 0;
  {
    MutexLock lock(mutex_);
    head = head_;
    epoch = epoch_;
    first_ = state.first;
    missing_since_ = absl::InfinitePast();
  }
  if (state.epoch != epoch) {
    return Adopt(state, epoch == 0 ? Verdict::kSame : Verdict::kNewEpoch, std::move(done));
  }
  // The head may have moved on since the state was asked for: what matters is whether it is there.
  if (head.offset == 0 || head.offset < state.first) {
    return Adopt(state, Verdict::kSame, std::move(done));
  }
  GetAt(head.offset, [self = shared_from_this(), head, state,
                      done = std::move(done)](absl::StatusOr<Fetched> fetched) mutable {
    if (fetched.ok() && fetched->message.fence == head.fence)
      return self->Adopt(state, Verdict::kSame, std::move(done));
    if (!fetched.ok() && !absl::IsNotFound(fetched.status())) return done(fetched.status());
    // Inside the stream a message may be gone by its topic's limit.
    if (!fetched.ok() && head.offset < state.last)
      return self->Adopt(state, Verdict::kSame, std::move(done));
    self->Suspect(std::move(done));
  });
}

void NatsStream::Suspect(VerifyDone done) {
  bool sure = false, first = false;
  std::string evidence;
  {
    MutexLock lock(mutex_);
    first = ++suspicions_ == 1;
    sure = suspicions_ >= kSuspicions;
    doubted_ = true;
    evidence = head_.ToToken();
  }
  // Lost where there is no connection: the next one who notices tells.
  if (first) (void)connection_.Publish(subjects_.Doubt(partition_), evidence);
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
    doubted_ = false;
    first_ = state.first;
    if (epoch_ != state.epoch) {
      epoch_ = state.epoch;
      known_.clear();
      known_order_.clear();
      head_ = StartOf(state.epoch);
      if (verdict == Verdict::kNewEpoch) epoch_changes_.fetch_add(1, std::memory_order_relaxed);
    }
    behind = head_.offset < state.last;
  }
  if (!behind) return done(verdict);
  GetAt(state.last, [self = shared_from_this(), epoch = state.epoch, verdict,
                     done = std::move(done)](absl::StatusOr<Fetched> fetched) mutable {
    if (fetched.ok())
      self->Saw({epoch, fetched->sequence, fetched->message.fence});
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
  return head_;
}

void NatsStream::Saw(const Position& position) {
  MutexLock lock(mutex_);
  if (!doubted_ && position.epoch == epoch_ && position.offset > head_.offset) head_ = position;
}

void NatsStream::Doubt() {
  MutexLock lock(mutex_);
  doubted_ = true;
}

bool NatsStream::Hear(std::string_view evidence) {
  const absl::StatusOr<Position> position = Position::FromToken(evidence);
  MutexLock lock(mutex_);
  if (!position.ok() || position->epoch != epoch_ || *position == head_) return false;
  // If it is wrong, the next look finds it in the stream.
  head_ = *position;
  doubted_ = true;
  return true;
}

bool NatsStream::doubted() const {
  MutexLock lock(mutex_);
  return doubted_;
}

bool NatsStream::Known(const Position& position) const {
  MutexLock lock(mutex_);
  if (position.epoch != epoch_) return false;
  if (position == head_) return true;
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

void NatsStream::GetAt(std::uint64_t sequence, GetDone done) {
  Get(fmt::format(R"({{"seq":{}}})", sequence), From::kLeader, std::move(done));
}

void NatsStream::GetLast(std::string_view topic, From from, GetDone done) {
  Get(fmt::format(R"({{"last_by_subj":{}}})", JsonString(subjects_.Stored(partition_, topic))),
      from, std::move(done));
}

void NatsStream::GetNext(std::string_view topic, std::uint64_t sequence, From from, GetDone done) {
  Get(fmt::format(R"({{"seq":{},"next_by_subj":{}}})", sequence,
                  JsonString(subjects_.Stored(partition_, topic))),
      from, std::move(done));
}

void NatsStream::Get(std::string request, From from, GetDone done) {
  // As the stored subject ends: <prefix>.h.<partition>.<token>.
  const auto topic_of = [](std::string_view subject) {
    return FromToken(subject.substr(subject.rfind('.') + 1)).value_or("");
  };
  if (from == From::kAny) {
    return Api("DIRECT.GET", std::move(request),
               [self = shared_from_this(), topic_of,
                done = std::move(done)](absl::StatusOr<NatsMessage> answer) mutable {
                 if (!answer.ok()) return done(answer.status());
                 const auto status = answer->header("Status");
                 if (status && *status == "404")
                   return done(absl::NotFoundError("no message found"));
                 const auto number = answer->header("Nats-Sequence");
                 std::optional<StoredMessage> message = ParseStoredMessage(answer->data());
                 Fetched fetched;
                 if (!number || !message ||
                     !absl::SimpleAtoi(absl::string_view(number->data(), number->size()),
                                       &fetched.sequence)) {
                   return done(absl::InternalError(
                       fmt::format("stream {}: an answer that makes no sense", self->name_)));
                 }
                 fetched.topic = topic_of(answer->header("Nats-Subject").value_or(""));
                 fetched.message = *std::move(message);
                 done(std::move(fetched));
               });
  }
  Api("STREAM.MSG.GET", std::move(request),
      [self = shared_from_this(), topic_of,
       done = std::move(done)](absl::StatusOr<NatsMessage> answer) mutable {
        if (!answer.ok()) return done(answer.status());
        const json::object got = ToJson(answer->data());
        if (absl::Status status = ToStatus(got, self->name_); !status.ok()) return done(status);
        const json::object& stored = Part(got, "message");
        const std::string_view data = Text(stored, "data");
        std::string bytes;
        std::optional<StoredMessage> message;
        if (absl::Base64Unescape(absl::string_view(data.data(), data.size()), &bytes))
          message = ParseStoredMessage(bytes);
        if (!message) {
          return done(absl::InternalError(
              fmt::format("stream {}: an answer that makes no sense", self->name_)));
        }
        done(
            Fetched{Number(stored, "seq"), topic_of(Text(stored, "subject")), *std::move(message)});
      });
}

struct NatsStream::Reading {
  std::string topic;
  Range range;
  From from = From::kAny;
  std::vector<Fetched> messages;
  absl::AnyInvocable<void(absl::StatusOr<std::vector<Fetched>>)> done;
};

void NatsStream::ReadRange(std::string_view topic, Range range,
                           absl::AnyInvocable<void(absl::StatusOr<std::vector<Fetched>>)> done) {
  auto reading = std::make_shared<Reading>();
  reading->topic = std::string(topic);
  reading->range = range;
  reading->done = std::move(done);
  ReadOn(std::move(reading));
}

void NatsStream::ReadOn(std::shared_ptr<Reading> reading) {
  Range& range = reading->range;
  if (reading->messages.size() >= range.limit || range.first > range.last)
    return reading->done(std::move(reading->messages));
  GetNext(reading->topic, range.first, reading->from,
          [self = shared_from_this(), reading](absl::StatusOr<Fetched> fetched) {
            Range& range = reading->range;
            if (absl::IsNotFound(fetched.status())) {
              if (reading->from == From::kLeader)
                return reading->done(std::move(reading->messages));
              // Whoever answered may be behind; the leader is not.
              reading->from = From::kLeader;
              return self->ReadOn(reading);
            }
            if (!fetched.ok()) return reading->done(fetched.status());
            if (fetched->sequence > range.last) return reading->done(std::move(reading->messages));
            range.first = fetched->sequence + 1;
            reading->messages.push_back(*std::move(fetched));
            self->ReadOn(reading);
          });
}

}  // namespace herald
