#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

// What JetStream's API answers: JSON, with an `error` in it where it did not do as asked
// (docs.nats.io/reference/reference-protocols/nats_api_reference). Threads: any.
namespace herald::jetstream {

// Empty if `text` is no JSON object.
boost::json::object ToJson(std::string_view text);
// Members of an object; 0, empty, or an empty object if they are not there. Views live as long as it.
std::uint64_t Number(const boost::json::object& object, const char* name);
std::string_view Text(const boost::json::object& object, const char* name);
const boost::json::object& Part(const boost::json::object& object, const char* name);

// `err_code` of the error; 0: none.
std::int64_t ErrorCode(const boost::json::object& answer);
// True if the error says that the store, or what the account or the stream may hold, is full: it stays
// until something is freed or a limit is raised.
bool IsFull(const boost::json::object& answer);
// kNotFound: no such message; kUnavailable: no leader, too few servers, or not now;
// kFailedPrecondition: no JetStream, and what else an operator has to know, in one line.
absl::Status ToStatus(const boost::json::object& answer, std::string_view stream);

}  // namespace herald::jetstream
