#include "broker/jetstream_answer.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cctype>
#include <iterator>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace herald::jetstream {
namespace {

namespace json = boost::json;

constexpr std::int64_t kNoPeers = 10005;  // a server that starts takes the others for away
constexpr std::int64_t kNotEnabled = 10076;
constexpr std::int64_t kNotEnabledForAccount = 10039;
constexpr std::int64_t kMessageNotFound = 10037;

}  // namespace

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

bool IsFull(const json::object& answer) {
  // Account, cluster, memory and file store (nats-server, server/errors.json).
  constexpr std::int64_t kFull[] = {10002, 10023, 10028, 10047};
  if (std::ranges::find(kFull, ErrorCode(answer)) != std::end(kFull)) return true;
  // What the store of a stream says comes with one code: limits with `discard: new`, and the disk.
  std::string text(Text(Part(answer, "error"), "description"));
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* words : {"maximum messages", "maximum bytes", "maximum message", "insufficient",
                            "no space", "limits exceeded", "resource limit"}) {
    if (text.find(words) != std::string::npos) return true;
  }
  return false;
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
  if (Number(error, "code") == 503 || code == kNoPeers) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

}  // namespace herald::jetstream
