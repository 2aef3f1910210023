#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "herald/v1/event_service.pb.h"

namespace herald::cli {

// `client_message` for EVENT_KIND_CLIENT_MESSAGE, and back.
std::string EventKindName(v1::EventKind kind);
std::optional<v1::EventKind> ParseEventKind(std::string_view name);
// All of them, for help and errors.
std::string EventKindNames(std::string_view separator = ", ");

// One event on one line, for people; without the newline.
std::string EventText(const v1::Event& event);

}  // namespace herald::cli
