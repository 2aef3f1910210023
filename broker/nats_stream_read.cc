// Messages of a stream, one or a range of them.
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "broker/jetstream_answer.h"
#include "broker/nats_stream.h"
#include "fmt/format.h"

namespace herald {
namespace {

namespace json = boost::json;
using jetstream::Number, jetstream::Part, jetstream::Text, jetstream::ToJson, jetstream::ToStatus;

constexpr absl::Duration kApiTimeout = absl::Seconds(3);

std::string JsonString(std::string_view text) {
  return json::serialize(json::value(json::string_view(text.data(), text.size())));
}

}  // namespace

void NatsStream::Api(std::string_view what, std::string request,
                     absl::AnyInvocable<void(absl::StatusOr<NatsMessage>)> done) {
  connection_.Request(fmt::format("$JS.API.{}.{}", what, name_), request, kApiTimeout,
                      std::move(done));
}

void NatsStream::GetAt(std::uint64_t sequence, GetDone done) {
  Get(fmt::format(R"({{"seq":{}}})", sequence), From::kLeader, std::move(done));
}

void NatsStream::GetLast(std::string_view topic, From from, GetDone done) {
  Get(fmt::format(R"({{"last_by_subj":{}}})", JsonString(subjects_.Stored(partition_, topic))),
      from, std::move(done));
}

void NatsStream::GetNext(std::string_view topic, std::uint64_t sequence, GetDone done) {
  Get(fmt::format(R"({{"seq":{},"next_by_subj":{}}})", sequence,
                  JsonString(subjects_.Stored(partition_, topic))),
      From::kLeader, std::move(done));
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
  GetNext(reading->topic, range.first,
          [self = shared_from_this(), reading](absl::StatusOr<Fetched> fetched) {
            Range& range = reading->range;
            if (absl::IsNotFound(fetched.status()))
              return reading->done(std::move(reading->messages));
            if (!fetched.ok()) return reading->done(fetched.status());
            if (fetched->sequence > range.last) return reading->done(std::move(reading->messages));
            range.first = fetched->sequence + 1;
            reading->messages.push_back(*std::move(fetched));
            self->ReadOn(reading);
          });
}

}  // namespace herald
