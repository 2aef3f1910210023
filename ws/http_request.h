#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <cstddef>
#include <optional>
#include <string_view>

#include "ws/refusals.h"

namespace herald {

using HttpRequest = boost::beast::http::request<boost::beast::http::empty_body>;

// Finds the end of a request's head in the bytes that have been read so far.
//
// Empty lines before the request line are passed over (RFC 9112 §2.2). A line that ends with a bare
// LF is refused at once: others might see two requests where this server sees one.
// Cost: each byte is looked at once.
class HeadScanner {
 public:
  enum class State { kMore, kComplete, kMalformed, kTooLarge };

  // `bytes` are all bytes since the connection began: those of the last call and maybe more. The
  // head may have `max_bytes`, empty lines before it included.
  State Scan(std::string_view bytes, std::size_t max_bytes);

  // After kComplete: where the request line begins, and where the head's empty line ends.
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return scanned_; }

 private:
  std::size_t begin_ = 0;
  std::size_t line_ = 0;     // where the line begins that has not ended yet
  std::size_t scanned_ = 0;  // up to here no line is incomplete, or nothing ends one
};

// Parses the head that HeadScanner found, and makes one form of what may come in several:
//
//  - The target is in origin-form (`/ws?topics=a`) or `*`. The host of an absolute-form replaces the
//    Host field (RFC 9112 §3.2.2).
//  - A field that came on several lines is one line, joined by commas, Cookie by "; " (RFC 9110 §5.3,
//    RFC 6265 §5.4): `request[name]` is the whole value.
//
// Nothing with a `refusal` if the request is malformed: no or two Host fields, a field twice that
// may come once, an unsound length of the body, a folded line. Beast's parser does the rest.
std::optional<HttpRequest> ParseHead(std::string_view head, Refusal& refusal);

// Whether a body follows the head.
bool HasBody(const HttpRequest& request);

// The whole value of a field; empty if there is none.
std::string_view FieldOf(const HttpRequest& request, boost::beast::http::field name);
// Whether a comma-separated field holds this token, in any case.
bool HasToken(const HttpRequest& request, boost::beast::http::field name, std::string_view token);
// The target's path and what follows its `?`, not decoded.
std::string_view PathOf(const HttpRequest& request);
std::string_view QueryOf(const HttpRequest& request);

}  // namespace herald
