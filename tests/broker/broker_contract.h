// What every Broker must keep, as one suite for all of them. A file that has one to offer says
//
//   INSTANTIATE_TEST_SUITE_P(Memory, BrokerContractTest, ::testing::Values(BrokerUnderTest{...}),
//   BrokerName);
//
// The suite uses fresh topics in each test, so that a broker with a store of its own need not be
// emptied.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/session/node.h"

namespace herald {

struct BrokerUnderTest {
  std::string name;  // letters only
  Node::MakeBroker make;
};

class BrokerContractTest : public ::testing::TestWithParam<BrokerUnderTest> {
 protected:
  BrokerContractTest();

  // A topic that no other test or run uses. `kind`: `kept` keeps 100 messages, `small` 5, `brief`
  // 100 for a second, `live` none.
  std::string NewTopic(std::string_view kind = "kept");
  // Publishes `count` messages "first", "first + 1", ...; returns their positions.
  std::vector<Position> PublishMany(const std::string& topic, int count, int first = 1);

  Node node_;
};

inline std::string BrokerName(const ::testing::TestParamInfo<BrokerUnderTest>& test) {
  return test.param.name;
}

}  // namespace herald
