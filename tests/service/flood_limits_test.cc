#include "service/flood_limits.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

TEST(FloodLimitsTest, G2ComeWithGrpc160) {
  for (const char* version : {"1.51.1", "1.59.3", "0.60.0", "1", "", "new"})
    EXPECT_TRUE(LacksFloodLimits(version)) << version;
  for (const char* version : {"1.60.0", "1.83.0", "1.60.0-dev", "2.0.0"})
    EXPECT_FALSE(LacksFloodLimits(version)) << version;
}

}  // namespace
}  // namespace herald
