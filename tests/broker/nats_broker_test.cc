#include "broker/nats_broker.h"

#include <gmock/gmock.h>

#include "tests/broker/broker_contract.h"
#include "tests/broker/nats_server.h"

namespace herald {
namespace {

std::unique_ptr<Broker> MakeOnSharedServer(std::vector<std::unique_ptr<Shard>>& shards,
                                           TopicIndex& index,
                                           std::shared_ptr<const TopicRules> rules) {
  return NatsUnderTest::Make(NatsServer::Shared(), NatsUnderTest::NewPrefix())(shards, index,
                                                                               std::move(rules));
}

INSTANTIATE_TEST_SUITE_P(Nats, BrokerContractTest,
                         ::testing::Values(BrokerUnderTest{"Nats", MakeOnSharedServer}),
                         BrokerName);

}  // namespace
}  // namespace herald
