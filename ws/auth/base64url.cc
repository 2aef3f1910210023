#include "ws/auth/base64url.h"

#include "absl/strings/escaping.h"

namespace herald {

std::string EncodeBase64Url(std::string_view bytes) {
  return absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes)) {
    return std::nullopt;
  }
  // Abseil's decoder lets padding, white space and stray bits pass.
  if (EncodeBase64Url(bytes) != text) return std::nullopt;
  return bytes;
}

}  // namespace herald
