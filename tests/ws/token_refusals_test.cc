#include "ws/token_refusals.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace herald {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class TokenRefusalsTest : public ::testing::Test {
 protected:
  void Refuse(absl::Time now, TokenFault fault = TokenFault::kSignature) {
    refusals_.Add(RefuseToken(fault, "signature is wrong"), "192.0.2.1", now,
                  [this](const TokenRefusals::Line& line) {
                    told_.push_back(std::string(line.reason) + "|" + std::string(line.address) +
                                    "|" + std::to_string(line.untold));
                  });
  }

  TokenRefusals refusals_;
  std::vector<std::string> told_;
};

TEST_F(TokenRefusalsTest, C3TellsOfOneASecondAndCountsAll) {
  Refuse(kNow);
  for (int i = 1; i < 1000; ++i) Refuse(kNow + absl::Milliseconds(i));
  Refuse(kNow + absl::Seconds(1));
  EXPECT_EQ(refusals_.count(TokenFault::kSignature), 1001u);
  EXPECT_EQ(told_, (std::vector<std::string>{"token signature is wrong|192.0.2.1|0",
                                             "token signature is wrong|192.0.2.1|999"}));
}

TEST_F(TokenRefusalsTest, AClockThatWasSetBackDoesNotSilenceIt) {
  Refuse(kNow);
  Refuse(kNow - absl::Hours(1));
  EXPECT_EQ(told_.size(), 2u);
}

TEST_F(TokenRefusalsTest, EveryFaultHasItsCounter) {
  for (std::size_t i = 0; i < kTokenFaults; ++i) Refuse(kNow, static_cast<TokenFault>(i));
  for (std::size_t i = 0; i < kTokenFaults; ++i)
    EXPECT_EQ(refusals_.count(static_cast<TokenFault>(i)), 1u) << kTokenFaultNames[i];
}

}  // namespace
}  // namespace herald
