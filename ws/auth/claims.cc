#include "ws/auth/claims.h"

#include <simdjson.h>

namespace herald {

bool IsPlainText(const std::string& text, std::size_t max_bytes) {
  if (text.empty() || text.size() > max_bytes) return false;
  if (!simdjson::validate_utf8(text)) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    // U+0080 to U+009F, the C1 controls.
    if (byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) return false;
  }
  return true;
}

}  // namespace herald
