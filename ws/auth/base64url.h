// base64url without padding, as JOSE uses it.
//
// Decoding is strict: one text for one sequence of bytes. Padding, white space,
// characters of plain base64 and unused bits that are not zero are refused, so
// that two different tokens never carry the same signature.
//
// Spec: RFC 7515 §2, RFC 4648 §5 and §3.5.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace herald {

std::string EncodeBase64Url(std::string_view bytes);

// Nothing if `text` is not what EncodeBase64Url gives.
std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace herald
