#include "service/producer_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace herald {
namespace {

using ::testing::HasSubstr;

class ProducerAuthTest : public ::testing::Test {
 protected:
  absl::StatusOr<ProducerAuth> Load(const std::string& text) {
    const std::string path = testing::TempDir() + "/producer_tokens";
    std::ofstream(path) << text;
    return ProducerAuth::Load(path);
  }
};

TEST_F(ProducerAuthTest, WithoutAFileAnybodyMayCall) { EXPECT_TRUE(ProducerAuth().Check("").ok()); }

TEST_F(ProducerAuthTest, TellsTheProducerByItsToken) {
  auto auth = Load("# who may call\norders  0123456789abcdef # ours\nchat fedcba9876543210\n\n");
  ASSERT_TRUE(auth.ok()) << auth.status();
  EXPECT_EQ(*auth->Check("Bearer 0123456789abcdef"), "orders");
  EXPECT_EQ(*auth->Check("bearer fedcba9876543210"), "chat");
  for (const char* bad :
       {"", "Bearer ", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "0123456789abcdef"}) {
    EXPECT_EQ(auth->Check(bad).status().code(), absl::StatusCode::kUnauthenticated) << bad;
  }
}

TEST_F(ProducerAuthTest, BadFilesNameTheLine) {
  EXPECT_THAT(std::string(Load("a 0123456789abcdef\nb short\n").status().message()),
              HasSubstr(":2: "));
  EXPECT_THAT(std::string(Load("a\n").status().message()), HasSubstr(":1: "));
  EXPECT_THAT(std::string(Load("a 0123456789abcdef x\n").status().message()), HasSubstr(":1: "));
  EXPECT_THAT(std::string(Load("a 0123456789abcdef\nb 0123456789abcdef\n").status().message()),
              HasSubstr("twice"));
  EXPECT_FALSE(Load("# nobody\n").ok());
  EXPECT_FALSE(ProducerAuth::Load("/nonexistent").ok());
}

}  // namespace
}  // namespace herald
