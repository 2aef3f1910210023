#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ws/refusals.h"

namespace herald {

// An HTTP/1.1 answer that is the last of its connection.
struct HttpAnswer {
  int status = 200;
  std::vector<std::pair<std::string_view, std::string>> fields;  // names are constants
  std::string body;

  // The bytes to send. Adds Date, Server, Connection and, where a body may be, Content-Length.
  // `head`: without the body, as HEAD is answered.
  std::string ToWire(bool head) const;
};

// The answer to a refused request: its text, and the fields that its status asks for.
HttpAnswer AnswerRefusal(const Refusal& refusal);

// 204 with what the path allows, such as "GET, HEAD, OPTIONS".
HttpAnswer AnswerOptions(std::string_view allow);

// True if one of the entity tags of If-None-Match is `etag`, or it is `*` (RFC 9110 §13.1.2): weak
// and strong tags are not told apart.
bool MatchesEtag(std::string_view if_none_match, std::string_view etag);

}  // namespace herald
