#include "ws/inflate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/random.h"
#include "tests/ws/zlib_text.h"

namespace herald {
namespace {

using namespace std::string_literals;

constexpr std::size_t kMax = 100'000;

std::string Inflated(std::string_view data, std::size_t max = kMax) {
  std::string out;
  const absl::Status status = Inflate(data, max, out);
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

absl::StatusCode Refusal(std::string_view data, std::size_t max = kMax) {
  std::string out;
  return Inflate(data, max, out).code();
}

TEST(InflateTest, ReadsTheExamplesOfTheRfc) {
  const std::string hello = "Hello";
  EXPECT_EQ(Inflated("\xf2\x48\xcd\xc9\xc9\x07\x00"s), hello);                          // §7.2.3.1
  EXPECT_EQ(Inflated("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"s), hello);          // §7.2.3.3
  EXPECT_EQ(Inflated("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"s), hello);                      // §7.2.3.4
  EXPECT_EQ(Inflated("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"s), hello);  // §7.2.3.5
  EXPECT_EQ(Inflated("\x00"s), "");                                                     // §7.2.3.6
}

// Among them those whose output ends where the buffer does, and whose last repeat lies across it.
TEST(InflateTest, ReadsAllSizesOneAfterTheOther) {
  for (std::size_t size = 0; size < 3000; ++size) {
    const std::string text(size, 'x');
    ASSERT_EQ(Inflated(Deflated(text)), text);
  }
  for (std::size_t size = 3000; size <= kMax; size += 997) {
    const std::string text(size, 'x');
    ASSERT_EQ(Inflated(Deflated(text)), text);
    ASSERT_EQ(Inflated(Deflated(text), size), text) << "just as much as it may";
    ASSERT_EQ(Refusal(Deflated(text), size - 1), absl::StatusCode::kResourceExhausted);
  }
}

TEST(InflateTest, ReadsAllWindowsAndLevels) {
  std::string text;
  for (int i = 0; text.size() < 60'000; ++i)
    text += std::to_string(i * 7919 % 1009) + (i % 3 ? "," : std::string(300, 'a'));
  for (int bits = 9; bits <= 15; ++bits) {
    for (const int level : {0, 1, 6, 9}) EXPECT_EQ(Inflated(Deflated(text, bits, level)), text);
  }
}

TEST(InflateTest, StopsAtTheLimitWhateverIsToCome) {
  const std::string bomb = Deflated(std::string(100'000'000, '\0'));
  EXPECT_LT(bomb.size(), 110'000u);
  std::string out;
  EXPECT_EQ(Inflate(bomb, kMax, out).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LE(out.capacity(), 2 * kMax);
}

TEST(InflateTest, RefusesWhatIsBroken) {
  EXPECT_EQ(Refusal("\xff\xff\xff"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal("\x00\x05\x00\x00\x00Hello"s), absl::StatusCode::kInvalidArgument);
  const std::string whole = Deflated("a sentence that is long enough to be cut anywhere");
  for (std::size_t size = 1; size + 1 < whole.size(); ++size) {
    EXPECT_EQ(Refusal(whole.substr(0, size)), absl::StatusCode::kInvalidArgument) << size;
  }
  EXPECT_EQ(Inflated(whole), "a sentence that is long enough to be cut anywhere");
}

// A message may not refer to the one before it.
TEST(InflateTest, KeepsNothingOfTheMessageBefore) {
  const std::string text = "what is said twice is said twice";
  const std::vector<std::string> with_takeover = DeflatedTogether({text, text});
  EXPECT_EQ(Inflated(with_takeover[0]), text);
  EXPECT_EQ(Refusal(with_takeover[1]), absl::StatusCode::kInvalidArgument);
}

TEST(InflateTest, SurvivesNoise) {
  for (int i = 0; i < 20'000; ++i) {
    std::string noise;
    for (std::size_t size = RandomUint64() % 64; noise.size() < size;)
      noise += static_cast<char>(RandomUint64());
    std::string out;
    (void)Inflate(noise, 1000, out);
  }
  EXPECT_EQ(Inflated(Deflated("fine")), "fine");
}

}  // namespace
}  // namespace herald
