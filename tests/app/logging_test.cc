#include "app/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace herald {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class LoggingTest : public ::testing::Test {
 protected:
  ~LoggingTest() override { InitLogging(LogLevel::kInfo, LogFormat::kJson); }

  // All lines but the last line's end.
  std::string Text() {
    std::string text = out_.str();
    EXPECT_THAT(text, EndsWith("\n"));
    text.pop_back();
    return text;
  }
  boost::json::object Json() { return boost::json::parse(Text()).as_object(); }

  std::ostringstream out_;
};

TEST_F(LoggingTest, JsonLineCarriesTimeLevelMessageAndTypedFields) {
  InitLogging(LogLevel::kInfo, LogFormat::kJson, out_);
  LogWarn("session closed", {{"session", std::string("s1")},
                             {"code", 1001},
                             {"bytes", std::uint64_t{1} << 63},
                             {"seconds", 1.5},
                             {"resumed", true}});
  const boost::json::object line = Json();
  EXPECT_EQ(line.at("level"), "warn");
  EXPECT_EQ(line.at("msg"), "session closed");
  EXPECT_EQ(line.at("session"), "s1");
  EXPECT_EQ(line.at("code").as_int64(), 1001);
  EXPECT_EQ(line.at("bytes").as_uint64(), std::uint64_t{1} << 63);
  EXPECT_EQ(line.at("seconds").as_double(), 1.5);
  EXPECT_TRUE(line.at("resumed").as_bool());

  const std::string time(line.at("time").as_string());
  absl::Time parsed;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, time, &parsed, nullptr)) << time;
  EXPECT_EQ(time.size(), std::string("2026-01-31T12:00:00.000Z").size());
}

TEST_F(LoggingTest, JsonStaysOneValidLineWhateverTheText) {
  InitLogging(LogLevel::kInfo, LogFormat::kJson, out_);
  LogInfo("a \"quoted\"\nline {} %v", {{"value", "tab\t\\ \x01 bad \xff end"}});
  EXPECT_EQ(Text().find('\n'), std::string::npos);
  EXPECT_EQ(Json().at("msg"), "a \"quoted\"\nline {} %v");
  EXPECT_EQ(Json().at("value"), "tab\t\\ \x01 bad \uFFFD end");
}

TEST_F(LoggingTest, FieldDoesNotReplaceTheLinesOwn) {
  InitLogging(LogLevel::kInfo, LogFormat::kJson, out_);
  LogInfo("true message", {{"msg", "other"}});
  EXPECT_EQ(Json().at("msg"), "true message");
}

TEST_F(LoggingTest, TextIsReadableAndCannotBeForged) {
  InitLogging(LogLevel::kInfo, LogFormat::kText, out_);
  LogError("no\nluck", {{"user", "alice admin=true"}, {"plain", "x"}, {"n", 3}, {"none", ""}});
  const std::string line = Text();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_THAT(line, EndsWith(R"(Z error "no\nluck" user="alice admin=true" plain=x n=3 none="")"));
}

TEST_F(LoggingTest, CharactersThatTerminalsObeyAreEscaped) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    InitLogging(LogLevel::kInfo, format, out_);
    LogError("x", {{"topic", "a\u009b31m \u2028level=error \u202Eb ü 🚢"}});
    const std::string line = Text();
    EXPECT_NE(line.find("a\\u009b31m \\u2028level=error \\u202eb ü 🚢"), std::string::npos) << line;
  }
}

TEST_F(LoggingTest, LinesBelowTheLevelAreNotWritten) {
  InitLogging(LogLevel::kWarn, LogFormat::kText, out_);
  LogDebug("no");
  LogInfo("no");
  LogWarn("yes");
  EXPECT_THAT(Text(), EndsWith("yes"));
  EXPECT_EQ(Text().find('\n'), std::string::npos);
}

TEST_F(LoggingTest, LinesOfManyThreadsDoNotMix) {
  InitLogging(LogLevel::kInfo, LogFormat::kJson, out_);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 200; ++i) LogInfo("line", {{"i", i}});
      });
    }
  }
  std::istringstream lines(out_.str());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(boost::json::parse(line).at("msg"), "line");
  }
  EXPECT_EQ(count, 800);
}

}  // namespace
}  // namespace herald
