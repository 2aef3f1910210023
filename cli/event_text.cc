#include "cli/event_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/output.h"
#include "cli/text.h"

namespace herald::cli {
namespace {

constexpr std::string_view kPrefix = "EVENT_KIND_";

std::string Detail(const v1::Event& event) {
  switch (event.detail_case()) {
    case v1::Event::kSessionOpened: {
      const v1::SessionOpened& opened = event.session_opened();
      return fmt::format("from {}{}{}", opened.remote_address(), opened.labels().empty() ? "" : " ",
                         LabelText(opened.labels()));
    }
    case v1::Event::kSessionClosed: {
      const v1::SessionClosed& closed = event.session_closed();
      std::string text = fmt::format("{}{}{} after {}, out {} in {}", closed.code(),
                                     closed.reason().empty() ? "" : " ", closed.reason(),
                                     HumanDuration(FromProto(closed.duration())),
                                     HumanBytes(static_cast<double>(closed.bytes_out())),
                                     HumanBytes(static_cast<double>(closed.bytes_in())));
      if (!closed.dropped().empty()) text += ", dropped " + DroppedText(closed.dropped());
      return text;
    }
    case v1::Event::kClientMessage: {
      const v1::ClientMessage& message = event.client_message();
      return fmt::format("{}{}{}", message.event(), message.event().empty() ? "" : ": ",
                         PayloadText(message.payload(), message.content_type()));
    }
    case v1::Event::kNodeLost:
      return fmt::format("{} with {} sessions", event.node_lost().node(),
                         Thousands(event.node_lost().sessions()));
    default:
      return "";
  }
}

}  // namespace

std::string EventKindName(v1::EventKind kind) {
  std::string name = v1::EventKind_Name(kind);
  if (name.empty()) return fmt::format("kind_{}", static_cast<int>(kind));
  name.erase(0, kPrefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::optional<v1::EventKind> ParseEventKind(std::string_view name) {
  for (int i = v1::EventKind_MIN + 1; i <= v1::EventKind_MAX; ++i) {
    if (!v1::EventKind_IsValid(i)) continue;
    const auto kind = static_cast<v1::EventKind>(i);
    if (EventKindName(kind) == name) return kind;
  }
  return std::nullopt;
}

std::string EventKindNames(std::string_view separator) {
  std::string names;
  for (int i = v1::EventKind_MIN + 1; i <= v1::EventKind_MAX; ++i) {
    if (!v1::EventKind_IsValid(i)) continue;
    if (!names.empty()) names += separator;
    names += EventKindName(static_cast<v1::EventKind>(i));
  }
  return names;
}

std::string EventText(const v1::Event& event) {
  std::string line =
      fmt::format("{}  {:<14}", LocalTime(event.time()), EventKindName(event.kind()));
  for (const std::string& part : {event.user_id().empty() ? "-" : event.user_id(),
                                  event.session_id(), event.topic(), Detail(event)}) {
    if (!part.empty()) line += "  " + Printable(part);
  }
  if (event.redelivered()) line += "  (again)";
  return line;
}

}  // namespace herald::cli
