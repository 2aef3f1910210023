#include "session/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace herald {
namespace {

using ::testing::MatchesRegex;

std::string MessageId(std::int64_t unix_ms) {
  std::string id = "of another message, whose place it takes";
  MakeMessageId(unix_ms, id);
  return id;
}

TEST(RandomTest, MessageIdsAreHexDigitsThatSortByTime) {
  EXPECT_THAT(MessageId(1), MatchesRegex("000000000001[0-9a-f]{20}"));
  EXPECT_LT(MessageId(1'700'000'000'000), MessageId(1'700'000'000'001));
}

TEST(RandomTest, MessageIdsOfOneMillisecondDifferOnAllThreads) {
  constexpr std::size_t kThreads = 4, kIds = 20'000;
  std::vector<std::vector<std::string>> ids(kThreads);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : ids) {
      threads.emplace_back([&mine] {
        for (std::size_t i = 0; i < kIds; ++i) mine.push_back(MessageId(1));
      });
    }
  }
  std::set<std::string> all;
  for (const auto& some : ids) all.insert(some.begin(), some.end());
  EXPECT_EQ(all.size(), kThreads * kIds);
}

TEST(RandomTest, FillsWhatIsLongerThanABlock) {
  std::vector<std::uint8_t> first(10'000), second(10'000);
  RandomBytes(first);
  RandomBytes(second);
  EXPECT_NE(first, second);
  std::array<int, 256> seen{};
  for (const std::uint8_t byte : first) ++seen[byte];
  for (const int count : seen) EXPECT_LT(count, 200) << "of 40 expected";
}

}  // namespace
}  // namespace herald
