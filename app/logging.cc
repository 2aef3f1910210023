#include "app/logging.h"

#include <boost/json.hpp>
#include <memory>
#include <type_traits>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fmt/format.h"
#include "session/utf8.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace herald {
namespace {

namespace json = boost::json;

struct Output {
  spdlog::logger logger;
  LogFormat format;
};

std::unique_ptr<Output> MakeOutput(LogLevel level, LogFormat format, spdlog::sink_ptr sink);

// The one logger of the process, as spdlog's own default would be.
std::unique_ptr<Output>& CurrentOutput() {
  static auto* const output = new std::unique_ptr<Output>(MakeOutput(
      LogLevel::kInfo, LogFormat::kJson, std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  return *output;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::unique_ptr<Output> MakeOutput(LogLevel level, LogFormat format, spdlog::sink_ptr sink) {
  auto output = std::make_unique<Output>(Output{spdlog::logger("herald", std::move(sink)), format});
  output->logger.set_level(ToSpdlog(level));
  output->logger.set_pattern("%v");  // the line is made here, all of it
  output->logger.flush_on(spdlog::level::debug);
  return output;
}

json::value ToJson(const LogValue& value) {
  return std::visit(
      [](const auto& v) -> json::value {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string_view>) {
          return json::value(ReplaceInvalidUtf8(v));
        } else {
          return json::value(v);
        }
      },
      value.get());
}

std::string Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
}

std::string JsonLine(LogLevel level, std::string_view message, LogFields fields) {
  json::object line;
  line.reserve(3 + fields.size());
  line.emplace("time", Now());
  line.emplace("level", LevelName(level));
  line.emplace("msg", ReplaceInvalidUtf8(message));
  for (const LogField& field : fields) line.emplace(field.key, ToJson(field.value));
  return json::serialize(line);
}

// A character that terminals and editors obey, beyond ASCII: C1 controls, line and paragraph
// separators, and those that change the direction of text (UAX #9).
bool Controls(char32_t c) {
  return (c >= 0x80 && c < 0xA0) || c == 0x61C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

// Of valid UTF-8, each of these as JSON's escape, whatever is around it.
std::string EscapeControls(std::string text) {
  std::string escaped;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view before = rest;
    const char32_t c = TakeCodePoint(rest).value_or(0xFFFD);
    if (Controls(c)) {
      escaped += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      escaped += before.substr(0, before.size() - rest.size());
    }
  }
  return escaped;
}

// Text that can neither end the line nor be taken for another field stands as it is, other text
// as a JSON string.
std::string Quoted(std::string_view text, std::string_view also_special) {
  std::string clean = ReplaceInvalidUtf8(text);
  for (const char c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || also_special.find(c) != std::string_view::npos) {
      return json::serialize(json::value(clean));
    }
  }
  return clean;
}

std::string TextLine(LogLevel level, std::string_view message, LogFields fields) {
  std::string line = fmt::format("{} {:<5} {}", Now(), LevelName(level), Quoted(message, ""));
  for (const LogField& field : fields) {
    const auto* const text = std::get_if<std::string_view>(&field.value.get());
    line += fmt::format(" {}={}", field.key,
                        !text           ? json::serialize(ToJson(field.value))
                        : text->empty() ? "\"\""
                                        : Quoted(*text, " =\"\\"));
  }
  return line;
}

}  // namespace

void InitLogging(LogLevel level, LogFormat format) {
  CurrentOutput() = MakeOutput(level, format, std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

void InitLogging(LogLevel level, LogFormat format, std::ostream& out) {
  CurrentOutput() =
      MakeOutput(level, format, std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
}

void SetLogLevel(LogLevel level) { CurrentOutput()->logger.set_level(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view message, LogFields fields) {
  Output& output = *CurrentOutput();
  const spdlog::level::level_enum spdlog_level = ToSpdlog(level);
  if (!output.logger.should_log(spdlog_level)) return;
  // Inside strings only: nothing else of a line can have such a character.
  const std::string line =
      EscapeControls(output.format == LogFormat::kJson ? JsonLine(level, message, fields)
                                                       : TextLine(level, message, fields));
  output.logger.log(spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace herald
