#include "ws/refusals.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace herald {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class RefusalsTest : public ::testing::Test {
 protected:
  void Refuse(absl::Time now, TokenFault fault = TokenFault::kSignature) {
    refusals_.Token(RefuseToken(fault, "signature is wrong"), "192.0.2.1", now,
                    [this](const Refusals::Line& line) {
                      told_.push_back(std::string(line.message) + "|" + std::string(line.reason) +
                                      "|" + std::string(line.address) + "|" +
                                      std::to_string(line.untold));
                    });
  }

  Refusals refusals_;
  std::vector<std::string> told_;
};

TEST_F(RefusalsTest, C3TellsOfOneASecondAndCountsAll) {
  Refuse(kNow);
  for (int i = 1; i < 1000; ++i) Refuse(kNow + absl::Milliseconds(i));
  Refuse(kNow + absl::Seconds(1));
  EXPECT_EQ(refusals_.tokens(TokenFault::kSignature), 1001u);
  EXPECT_EQ(told_,
            (std::vector<std::string>{"token refused|token signature is wrong|192.0.2.1|0",
                                      "token refused|token signature is wrong|192.0.2.1|999"}));
}

TEST_F(RefusalsTest, AClockThatWasSetBackDoesNotSilenceIt) {
  Refuse(kNow);
  Refuse(kNow - absl::Hours(1));
  EXPECT_EQ(told_.size(), 2u);
}

TEST_F(RefusalsTest, EveryFaultHasItsCounter) {
  for (std::size_t i = 0; i < kTokenFaults; ++i) Refuse(kNow, static_cast<TokenFault>(i));
  for (std::size_t i = 0; i < kTokenFaults; ++i)
    EXPECT_EQ(refusals_.tokens(static_cast<TokenFault>(i)), 1u) << kTokenFaultNames[i];
}

TEST_F(RefusalsTest, OriginsAreCutAndCounted) {
  std::string told;
  refusals_.Origin(std::string(1000, 'x'), "192.0.2.1", kNow,
                   [&](const Refusals::Line& line) { told = std::string(line.reason); });
  EXPECT_EQ(told, std::string(200, 'x'));
  EXPECT_EQ(refusals_.origins(), 1u);
}

}  // namespace
}  // namespace herald
