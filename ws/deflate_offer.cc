#include "ws/deflate_offer.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "ws/shared_deflate.h"

namespace herald {
namespace {

std::string_view Strip(std::string_view text) {
  const absl::string_view stripped =
      absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  return {stripped.data(), stripped.size()};
}

// Takes what stands before `mark` off `rest`; nothing if there is no more. Beast's http::ext_list
// would do, but in 1.81 it passes over a parameter without a value before a comma, and gives an
// extension without parameters those of the one before.
std::optional<std::string_view> Next(std::optional<std::string_view>& rest, char mark) {
  if (!rest) return std::nullopt;
  const std::size_t at = rest->find(mark);
  const std::string_view next = Strip(rest->substr(0, at));
  if (at == std::string_view::npos) {
    rest.reset();
  } else {
    rest->remove_prefix(at + 1);
  }
  return next;
}

bool Is(std::string_view word, std::string_view other) {
  return absl::EqualsIgnoreCase(absl::string_view(word.data(), word.size()),
                                absl::string_view(other.data(), other.size()));
}

// 8 to 15, without leading zeroes (RFC 7692 §7.1.2), maybe in quotes; 0 for all else.
int WindowBits(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  if (value == "8" || value == "9") return value[0] - '0';
  if (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5')
    return 10 + value[1] - '0';
  return 0;
}

// `params` are what stands behind the extension's name; nothing if that is all.
DeflateAnswer AnswerOne(std::optional<std::string_view> params) {
  bool server_takeover = false, client_takeover = false, client_window = false;
  std::optional<int> window;
  while (const auto param = Next(params, ';')) {
    std::optional<std::string_view> value = param;
    const std::string_view name = *Next(value, '=');
    if (value) value = Strip(*value);
    // A parameter that is unknown, comes twice or has a bad value: the offer must be declined.
    bool good = false;
    if (Is(name, "server_no_context_takeover")) {
      good = !std::exchange(server_takeover, true) && !value;
    } else if (Is(name, "client_no_context_takeover")) {
      good = !std::exchange(client_takeover, true) && !value;
    } else if (Is(name, "client_max_window_bits")) {
      good = !std::exchange(client_window, true) && (!value || WindowBits(*value) != 0);
    } else if (Is(name, "server_max_window_bits")) {
      good = !window && value && WindowBits(*value) != 0;
      if (good) window = WindowBits(*value);
    }
    if (!good) return DeflateAnswer::kDeclined;
  }
  if (!window) return DeflateAnswer::kAccepted;
  return *window < SharedDeflate::kWindowBits ? DeflateAnswer::kDeclined
                                              : DeflateAnswer::kAcceptedWithWindow;
}

}  // namespace

DeflateAnswer AnswerDeflate(std::string_view offers) {
  std::optional<std::string_view> rest = offers;
  while (std::optional<std::string_view> offer = Next(rest, ',')) {
    if (!Is(*Next(offer, ';'), "permessage-deflate")) continue;
    const DeflateAnswer answer = AnswerOne(offer);
    if (answer != DeflateAnswer::kDeclined) return answer;
  }
  return DeflateAnswer::kDeclined;
}

std::string_view DeflateHeader(DeflateAnswer answer) {
  static_assert(SharedDeflate::kWindowBits == 12, "as the header says");
  return answer == DeflateAnswer::kAcceptedWithWindow
             ? "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
               "server_max_window_bits=12"
             : "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
}

}  // namespace herald
