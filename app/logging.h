// What Herald says about itself, on stderr.
//
//   LogInfo("session closed", {{"session", id}, {"code", 1001}});
//
// writes {"time":"2026-01-31T12:00:00.000Z","level":"info","msg":"session
// closed","session":"…","code":1001} or, as text, 2026-01-31T12:00:00.000Z info  session closed
// session=… code=1001
//
// Never pass a token or a payload. Bytes that are not UTF-8 are replaced, line ends escaped: one
// call is one line, whatever is in it.
//
// Threads: all functions from any thread, but InitLogging only while no other thread logs.
//          A call writes before it returns: keep it off the path of a message.
// Fields:  keys are ours and constant; `time`, `level` and `msg` are taken.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <variant>

namespace herald {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kJson, kText };

// A string (borrowed for the call), integer, floating-point number or bool.
class LogValue {
 public:
  using Variant = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogValue(std::string_view value) : value_(value) {}    // NOLINT: implicit, for field lists
  LogValue(const std::string& value) : value_(value) {}  // NOLINT
  LogValue(const char* value) : value_(std::string_view(value)) {}                         // NOLINT
  LogValue(bool value) : value_(value) {}                                                  // NOLINT
  LogValue(std::floating_point auto value) : value_(static_cast<double>(value)) {}         // NOLINT
  LogValue(std::signed_integral auto value) : value_(static_cast<std::int64_t>(value)) {}  // NOLINT
  LogValue(std::unsigned_integral auto value)                                              // NOLINT
      : value_(static_cast<std::uint64_t>(value)) {}

  const Variant& get() const { return value_; }

 private:
  Variant value_;
};

struct LogField {
  std::string_view key;
  LogValue value;
};
using LogFields = std::initializer_list<LogField>;

// Lines below `level` are not written. Until the first call: info, JSON, stderr.
void InitLogging(LogLevel level, LogFormat format);
// Any thread.
void SetLogLevel(LogLevel level);
// As above, to `out`, which stays alive until the next call; for tests.
void InitLogging(LogLevel level, LogFormat format, std::ostream& out);

void Log(LogLevel level, std::string_view message, LogFields fields = {});

inline void LogDebug(std::string_view m, LogFields f = {}) { Log(LogLevel::kDebug, m, f); }
inline void LogInfo(std::string_view m, LogFields f = {}) { Log(LogLevel::kInfo, m, f); }
inline void LogWarn(std::string_view m, LogFields f = {}) { Log(LogLevel::kWarn, m, f); }
inline void LogError(std::string_view m, LogFields f = {}) { Log(LogLevel::kError, m, f); }

}  // namespace herald
