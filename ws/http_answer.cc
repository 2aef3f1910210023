#include "ws/http_answer.h"

#include <boost/beast/http/status.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fmt/format.h"

namespace herald {
namespace {

namespace http = boost::beast::http;

// Seconds from 1 to 10: clients that are refused together should not come back together.
std::string RetryAfter() { return fmt::format("{}", 1 + absl::GetCurrentTimeNanos() / 1000 % 10); }

std::string Date() {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone());
}

std::string_view StripWeak(std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  return tag;
}

}  // namespace

std::string HttpAnswer::ToWire(bool head) const {
  const auto reason = http::obsolete_reason(http::int_to_status(status));
  std::string wire = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nServer: herald\r\n", status,
                                 std::string_view(reason.data(), reason.size()), Date());
  const auto add = [&wire](std::string_view name, std::string_view value) {
    wire.append(name).append(": ").append(value).append("\r\n");
  };
  for (const auto& [name, value] : fields) add(name, value);
  add("Connection", status == 426 ? "close, Upgrade" : "close");
  if (status != 204 && status != 304) add("Content-Length", fmt::format("{}", body.size()));
  wire += "\r\n";
  if (!head) wire += body;
  return wire;
}

HttpAnswer AnswerRefusal(const Refusal& refusal) {
  HttpAnswer answer{KindOf(refusal.reason).status,
                    {{"Content-Type", "text/plain; charset=utf-8"}},
                    refusal.text + "\n"};
  switch (answer.status) {
    case 405:
      answer.fields.emplace_back("Allow", refusal.allow);
      break;
    case 426:
      answer.fields.emplace_back("Upgrade", "websocket");
      answer.fields.emplace_back("Sec-WebSocket-Version", "13");
      break;
    case 503:
    case 429:
      answer.fields.emplace_back("Retry-After", RetryAfter());
      break;
    case 401:
      answer.fields.emplace_back("WWW-Authenticate", "Bearer");
      break;
    default:
      break;
  }
  return answer;
}

HttpAnswer AnswerOptions(std::string_view allow) {
  return {204, {{"Allow", std::string(allow)}}, ""};
}

bool MatchesEtag(std::string_view list, std::string_view etag) {
  const std::string_view wanted = StripWeak(etag);
  for (;;) {
    const std::size_t begin = list.find_first_not_of(" \t,");
    if (begin == std::string_view::npos) return false;
    list.remove_prefix(begin);
    if (list[0] == '*') return true;
    list = StripWeak(list);
    // A tag may hold commas, and no quotes.
    const std::size_t end = list.find('"', 1);
    if (list.empty() || list[0] != '"' || end == std::string_view::npos) return false;
    if (list.substr(0, end + 1) == wanted) return true;
    list.remove_prefix(end + 1);
  }
}

}  // namespace herald
