#include "cli/output.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "cli/text.h"

namespace herald::cli {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
#if GOOGLE_PROTOBUF_VERSION < 5026000
  options.always_print_primitive_fields = true;
#else
  options.always_print_fields_with_no_presence = true;
#endif
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  // Only google.protobuf.Any can fail, and Herald's messages hold none.
  if (!status.ok()) json = "{}";
  return json;
}

void PrintJson(const google::protobuf::Message& message) { Print(ToJson(message) + "\n"); }

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintError(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "heraldctl: {}\n", Printable(text));
}

std::size_t TerminalWidth() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0) return 0;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
}

std::string LocalTime(const google::protobuf::Timestamp& time) {
  const absl::TimeZone zone = absl::LocalTimeZone();
  const absl::Time at = FromProto(time);
  const bool today = absl::ToCivilDay(at, zone) == absl::ToCivilDay(absl::Now(), zone);
  return absl::FormatTime(today ? "%H:%M:%E3S" : "%Y-%m-%d %H:%M:%E3S", at, zone);
}

std::string PayloadText(std::string_view payload, std::string_view content_type) {
  const bool text = content_type.empty() || content_type.starts_with("text/") ||
                    content_type.find("json") != std::string_view::npos ||
                    content_type.find("xml") != std::string_view::npos;
  if (text) return Printable(payload);
  return fmt::format("<{} bytes of {}>", Thousands(payload.size()), Printable(content_type));
}

std::string PayloadText(const v1::Message& message) {
  return PayloadText(message.payload(), message.content_type());
}

std::string LabelText(const google::protobuf::Map<std::string, std::string>& labels) {
  std::string out;
  for (const auto& [key, value] :
       std::map<std::string, std::string>(labels.begin(), labels.end())) {
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", key, value);
  }
  return out;
}

std::string DroppedText(const google::protobuf::Map<std::string, std::uint64_t>& dropped) {
  std::string out;
  for (const auto& [reason, count] :
       std::map<std::string, std::uint64_t>(dropped.begin(), dropped.end())) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", reason, Thousands(count));
  }
  return out;
}

}  // namespace herald::cli
