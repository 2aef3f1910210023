#include "cli/connection.h"

#include <gtest/gtest.h>

namespace herald::cli {
namespace {

TEST(ConnectionTest, AddressesGetTheirPort) {
  EXPECT_EQ(NormalizeAddress("herald"), "herald:50051");
  EXPECT_EQ(NormalizeAddress("herald:1"), "herald:1");
  EXPECT_EQ(NormalizeAddress(":1"), "127.0.0.1:1");
  EXPECT_EQ(NormalizeAddress("::1"), "[::1]:50051");
  EXPECT_EQ(NormalizeAddress("[::1]"), "[::1]:50051");
  EXPECT_EQ(NormalizeAddress("[::1]:1"), "[::1]:1");
  EXPECT_EQ(NormalizeAddress("unix:/run/herald.sock"), "unix:/run/herald.sock");
  EXPECT_EQ(NormalizeAddress("dns:///herald:1"), "dns:///herald:1");
}

TEST(ConnectionTest, CodesHaveNames) {
  EXPECT_EQ(CodeName(0), "OK");
  EXPECT_EQ(CodeName(3), "INVALID_ARGUMENT");
  EXPECT_EQ(CodeName(16), "UNAUTHENTICATED");
  EXPECT_EQ(CodeName(17), "CODE_17");
}

}  // namespace
}  // namespace herald::cli
