#include "broker/jetstream_answer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

bool Full(int code, const char* description) {
  return jetstream::IsFull(jetstream::ToJson(fmt::format(
      R"({{"error":{{"code":503,"err_code":{},"description":"{}"}}}})", code, description)));
}

// Producers wait and try again after RESOURCE_EXHAUSTED; UNAVAILABLE sends them to another replica, whose
// NATS is the same.
TEST(JetStreamAnswerTest, G19TellsAFullStoreFromAnother) {
  EXPECT_TRUE(Full(10023, "insufficient resources"));
  EXPECT_TRUE(Full(10047, "insufficient storage resources available"));
  EXPECT_TRUE(Full(10028, "insufficient memory resources available"));
  EXPECT_TRUE(Full(10002, "resource limits exceeded for account"));
  EXPECT_TRUE(Full(10077, "maximum messages exceeded"));
  EXPECT_TRUE(Full(10077, "maximum bytes exceeded"));
  EXPECT_TRUE(Full(10077, "maximum messages per subject exceeded"));
  EXPECT_TRUE(Full(10077, "write /store/1.blk: no space left on device"));
  EXPECT_FALSE(Full(10077, "stream store is closed"));
  EXPECT_FALSE(Full(10008, "JetStream system temporarily unavailable"));
  EXPECT_FALSE(Full(10039, "JetStream not enabled for account"));
  EXPECT_FALSE(jetstream::IsFull({}));
}

}  // namespace
}  // namespace herald
