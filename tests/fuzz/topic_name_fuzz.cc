// Feeds a pattern and a topic, parted by the first zero byte, to the checks of names.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "session/topic_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const std::string_view text = input.substr(0, zero);
  const std::string_view topic =
      zero == std::string_view::npos ? std::string_view() : input.substr(zero + 1);

  const bool valid = herald::ValidateTopic(topic).ok();
  if (herald::ValidateClientTopic(topic).ok() && (!valid || herald::IsReserved(topic))) {
    __builtin_trap();
  }
  if (herald::ValidateUserId(topic).ok() &&
      !herald::ValidateTopic(herald::PersonalTopic(topic)).ok()) {
    __builtin_trap();
  }

  const auto pattern = herald::TopicPattern::Parse(text);
  if (!pattern.ok()) return 0;
  const bool matches = pattern->Matches(topic);
  // A pattern without stars matches its own text and nothing else.
  if (text.find('*') == std::string_view::npos && matches != (text == topic)) __builtin_trap();
  if (matches && herald::IsReserved(topic) && !herald::IsReserved(text)) __builtin_trap();
  return 0;
}
