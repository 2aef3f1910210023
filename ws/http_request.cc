#include "ws/http_request.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "fmt/format.h"
#include "ws/host.h"

namespace herald {
namespace {

namespace http = boost::beast::http;
using http::field;

// Fields whose value is no list, and of which only one can be meant (RFC 9110 §5.3, RFC 6455 §11.3).
// User-Agent and Referer decide nothing here, so a second one does no harm.
constexpr std::array kSingletons = {
    field::host,     field::content_length,    field::content_type,          field::authorization,
    field::origin,   field::sec_websocket_key, field::sec_websocket_version, field::range,
    field::if_range, field::if_modified_since, field::if_unmodified_since,   field::max_forwards,
};

// Absolute targets of WebSocket clients behind a proxy have these too.
constexpr std::array<std::string_view, 4> kSchemes = {"http", "https", "ws", "wss"};

// Beast aborts the process at a name or value of 64 KiB.
constexpr std::size_t kMaxLineBytes = 60'000;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }
boost::beast::string_view Beast(std::string_view text) { return {text.data(), text.size()}; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(absl::string_view(a.data(), a.size()),
                                absl::string_view(b.data(), b.size()));
}

bool IsGraphic(char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes what comes before the next comma off `list`.
std::string_view NextOf(std::string_view& list) {
  const std::size_t comma = list.find(',');
  const std::string_view next = Trim(list.substr(0, comma));
  list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  return next;
}

bool Refuse(Refusal& refusal, std::string text, RefusalReason reason = RefusalReason::kMalformed) {
  refusal = {reason, std::move(text), {}};
  return false;
}

// Beast keeps the lines of one name together, in the order they came.
bool CombineLines(HttpRequest& request, Refusal& refusal) {
  std::vector<std::pair<std::string, std::string>> combined;
  for (auto it = request.begin(); it != request.end();) {
    const auto first = it++;
    if (it == request.end() ||
        !EqualsIgnoreCase(View(it->name_string()), View(first->name_string())))
      continue;
    std::string name(View(first->name_string()));
    if (std::ranges::find(kSingletons, first->name()) != kSingletons.end())
      return Refuse(refusal, fmt::format("the request has more than one {} field", name));
    std::string value(View(first->value()));
    for (; it != request.end() && EqualsIgnoreCase(View(it->name_string()), name); ++it) {
      value += first->name() == field::cookie ? "; " : ", ";
      value += View(it->value());
    }
    if (value.size() > kMaxLineBytes) {
      return Refuse(refusal, fmt::format("the {} fields are over {} bytes", name, kMaxLineBytes),
                    RefusalReason::kHeaderTooLarge);
    }
    combined.emplace_back(std::move(name), std::move(value));
  }
  for (const auto& [name, value] : combined) request.set(Beast(name), Beast(value));
  return true;
}

// RFC 9112 §6.1 and §6.3. Beast refuses both lengths at once and a Content-Length that is no number.
bool CheckBodyLength(const HttpRequest& request, Refusal& refusal) {
  if (FieldOf(request, field::content_length).find(',') != std::string_view::npos)
    return Refuse(refusal, "Content-Length is a list");
  if (request.find(field::transfer_encoding) == request.end()) return true;
  if (request.version() < 11) return Refuse(refusal, "HTTP/1.0 has no Transfer-Encoding");
  if (!EqualsIgnoreCase(FieldOf(request, field::transfer_encoding), "chunked"))
    return Refuse(refusal, "the only Transfer-Encoding known here is chunked");
  return true;
}

bool CheckHost(const HttpRequest& request, Refusal& refusal) {
  const auto host = request.find(field::host);
  if (host == request.end()) {
    if (request.version() < 11) return true;
    return Refuse(refusal, "there is no Host field");
  }
  if (!ParseHost(View(host->value()))) return Refuse(refusal, "the Host field is malformed");
  return true;
}

// Makes `http://host/path?query` a Host field and `/path?query` (RFC 9112 §3.2).
bool NormalizeTarget(HttpRequest& request, Refusal& refusal) {
  const std::string_view target = View(request.target());
  if (target.find('#') != std::string_view::npos)
    return Refuse(refusal, "the request target has a fragment");
  if (target[0] == '/') return true;
  if (target == "*" && request.method() == http::verb::options) return true;
  const std::size_t end = target.find("://");
  const std::string_view scheme = target.substr(0, end);
  if (end == std::string_view::npos ||
      std::ranges::none_of(kSchemes, [&](auto known) { return EqualsIgnoreCase(scheme, known); })) {
    return Refuse(refusal, "the request target is neither a path nor a URL of http or https");
  }
  std::string_view rest = target.substr(end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  if (!ParseHost(authority)) return Refuse(refusal, "the request target's host is malformed");
  request.set(field::host, Beast(authority));
  const std::string path = (rest.starts_with('/') ? "" : "/") + std::string(rest);
  request.target(path);
  return true;
}

}  // namespace

HeadScanner::State HeadScanner::Scan(std::string_view bytes, std::size_t max_bytes) {
  for (;;) {
    // What is no HTTP at all, such as TLS, may never send an end of line.
    if (line_ == begin_ && bytes.size() > begin_ && !IsGraphic(bytes[begin_]) &&
        bytes[begin_] != '\r') {
      return State::kMalformed;
    }
    const std::size_t end = bytes.find('\n', scanned_);
    const std::size_t known = std::min(end, bytes.size());
    if (known >= max_bytes || known - line_ > kMaxLineBytes) return State::kTooLarge;
    if (end == std::string_view::npos) {
      scanned_ = bytes.size();
      return State::kMore;
    }
    if (end == line_ || bytes[end - 1] != '\r') return State::kMalformed;
    const bool empty = end - line_ == 1;
    scanned_ = end + 1;
    if (empty && line_ > begin_) return State::kComplete;
    if (empty) begin_ = scanned_;
    line_ = scanned_;
  }
}

std::optional<HttpRequest> ParseHead(std::string_view head, Refusal& refusal) {
  // Beast joins folded lines, and servers behind a proxy are known to disagree about them.
  if (head.find("\r\n ") != std::string_view::npos ||
      head.find("\r\n\t") != std::string_view::npos) {
    Refuse(refusal, "a line of the header begins with white space");
    return std::nullopt;
  }
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(head.size() + 1));
  parser.body_limit(boost::none);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) {
    Refuse(refusal, fmt::format("bad request: {}", error.message()));
    return std::nullopt;
  }
  HttpRequest request = parser.release();
  if (request.method() == http::verb::connect) {
    Refuse(refusal, "this is no proxy", RefusalReason::kMethod);
    return std::nullopt;
  }
  if (!CombineLines(request, refusal) || !CheckHost(request, refusal) ||
      !CheckBodyLength(request, refusal) || !NormalizeTarget(request, refusal)) {
    return std::nullopt;
  }
  return request;
}

bool HasBody(const HttpRequest& request) {
  const std::string_view length = FieldOf(request, field::content_length);
  return request.find(field::transfer_encoding) != request.end() ||
         length.find_first_not_of('0') != std::string_view::npos;
}

std::string_view FieldOf(const HttpRequest& request, field name) { return View(request[name]); }

bool HasToken(const HttpRequest& request, field name, std::string_view token) {
  for (std::string_view list = FieldOf(request, name); !list.empty();) {
    if (EqualsIgnoreCase(NextOf(list), token)) return true;
  }
  return false;
}

std::string_view PathOf(const HttpRequest& request) {
  const std::string_view target = View(request.target());
  return target.substr(0, target.find('?'));
}

std::string_view QueryOf(const HttpRequest& request) {
  const std::string_view target = View(request.target());
  const std::size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

}  // namespace herald
