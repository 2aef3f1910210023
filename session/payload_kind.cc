#include "session/payload_kind.h"

#include <simdjson.h>

#include <boost/json/basic_parser_impl.hpp>

#include "absl/strings/match.h"

namespace herald {
namespace {

// Accepts whatever RFC 8259 accepts: used where simdjson refuses a number for its size.
struct NullHandler {
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  using Error = boost::system::error_code;
  using Text = boost::json::string_view;
  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_object_begin(Error&) { return true; }
  bool on_object_end(std::size_t, Error&) { return true; }
  bool on_array_begin(Error&) { return true; }
  bool on_array_end(std::size_t, Error&) { return true; }
  bool on_key_part(Text, std::size_t, Error&) { return true; }
  bool on_key(Text, std::size_t, Error&) { return true; }
  bool on_string_part(Text, std::size_t, Error&) { return true; }
  bool on_string(Text, std::size_t, Error&) { return true; }
  bool on_number_part(Text, Error&) { return true; }
  bool on_int64(std::int64_t, Text, Error&) { return true; }
  bool on_uint64(std::uint64_t, Text, Error&) { return true; }
  bool on_double(double, Text, Error&) { return true; }
  bool on_bool(bool, Error&) { return true; }
  bool on_null(Error&) { return true; }
  bool on_comment_part(Text, Error&) { return true; }
  bool on_comment(Text, Error&) { return true; }
};

bool IsJsonWithAnyNumber(std::string_view text) {
  boost::json::basic_parser<NullHandler> parser(boost::json::parse_options{});
  boost::system::error_code error;
  std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  return !error && used == text.size();
}

}  // namespace

bool IsUtf8(std::string_view text) {
  return text.empty() || simdjson::validate_utf8(text.data(), text.size());
}

bool IsJson(std::string_view text) {
  // A first look spares plain text the parser and its padded copy.
  std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  constexpr std::string_view kStarts = "{[\"-0123456789tfn";
  if (kStarts.find(text[first]) == std::string_view::npos) return false;
  thread_local simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(text.data(), text.size(), true).error();
  if (error == simdjson::SUCCESS) return true;
  const bool maybe_number = error == simdjson::NUMBER_ERROR;
  return maybe_number && IsUtf8(text) && IsJsonWithAnyNumber(text);
}

bool SaysJson(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  const absl::string_view name(type.data(), type.size());
  return absl::EqualsIgnoreCase(name, "application/json") ||
         absl::EndsWithIgnoreCase(name, "+json");
}

std::optional<PayloadKind> ClassifyPayload(std::string_view payload, std::string& content_type) {
  if (content_type.empty()) {
    if (IsJson(payload)) {
      content_type = "application/json";
      return PayloadKind::kJson;
    }
    const bool text = IsUtf8(payload);
    content_type = text ? "text/plain" : "application/octet-stream";
    return text ? PayloadKind::kText : PayloadKind::kBytes;
  }
  if (SaysJson(content_type)) {
    if (!IsJson(payload)) return std::nullopt;
    return PayloadKind::kJson;
  }
  const bool text = absl::StartsWithIgnoreCase(content_type, "text/") && IsUtf8(payload);
  return text ? PayloadKind::kText : PayloadKind::kBytes;
}

}  // namespace herald
