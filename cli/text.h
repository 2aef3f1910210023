#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace herald::cli {

// Values as people read them.

// 1234567 → "1,234,567".
std::string Thousands(std::uint64_t value);
// A rate: "0", "0.4", "12.5", "1,234".
std::string HumanRate(double per_second);
// "812 B", "1.5 KiB", "64.0 MiB".
std::string HumanBytes(double bytes);
// Two units at most: "350 ms", "12 s", "5m 12s", "2d 3h".
std::string HumanDuration(absl::Duration duration);

// What came from clients and producers must not drive the terminal: control characters become `\n`,
// `\t` or
// `\x1b`, and bytes that are not UTF-8 become `\xff`.
std::string Printable(std::string_view text);
// For a URL's query: all but unreserved characters and '/' (RFC 3986 §2.3, §3.4) becomes %XX.
std::string PercentEncode(std::string_view text);
// Columns that `text` takes: one for each UTF-8 code point, which is near enough for names.
std::size_t DisplayWidth(std::string_view text);
// Cuts to `width` columns with a final `…`. 0 means no limit.
std::string Truncate(std::string text, std::size_t width);

}  // namespace herald::cli
