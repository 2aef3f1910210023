#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "session/message.h"

namespace herald {

bool IsUtf8(std::string_view text);
bool IsJson(std::string_view text);
// `application/json` or `…+json`, with parameters or without.
bool SaysJson(std::string_view content_type);

// Finds out what `payload` is. An empty `content_type` is filled in: `application/json` for valid
// JSON, else `text/plain` for UTF-8, else `application/octet-stream`. Nothing if the content type
// says JSON (`application/json` or `…+json`) and the payload is not.
std::optional<PayloadKind> ClassifyPayload(std::string_view payload, std::string& content_type);

}  // namespace herald
