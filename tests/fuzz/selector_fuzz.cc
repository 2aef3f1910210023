// Any text is a selector or an error that is safe to log; a selector can be
// asked about any labels.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "session/selector.h"
#include "tests/fuzz/check.h"

namespace {

bool IsPrintable(char c) { return c >= 0x20 && c < 0x7f; }

herald::Labels MakeLabels() {
  herald::Labels labels;
  for (const auto& [key, value] : {std::pair{"a", "1"}, {"platform", "web"}, {"tier", "gold"}}) {
    FUZZ_CHECK(labels.Set(key, value).ok());
  }
  return labels;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const herald::Labels labels = MakeLabels();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<herald::Selector> selector = herald::Selector::Parse(text);
  if (!selector.ok()) {
    const absl::string_view message = selector.status().message();
    FUZZ_CHECK(message.size() < 400);
    FUZZ_CHECK(std::all_of(message.begin(), message.end(), IsPrintable));
    return 0;
  }
  FUZZ_CHECK(size <= herald::kMaxSelectorBytes);
  selector->Matches(herald::Labels());
  const bool matches = selector->Matches(labels);
  // Saying it twice changes nothing.
  if (size * 2 + 1 <= herald::kMaxSelectorBytes) {
    const std::string twice = std::string(text) + "," + std::string(text);
    if (const auto both = herald::Selector::Parse(twice); both.ok()) {
      FUZZ_CHECK(both->Matches(labels) == matches);
    } else {
      FUZZ_CHECK(both.status().message().find("requirements") != absl::string_view::npos);
    }
  }
  return 0;
}
