#include "service/reach_wire.h"

namespace herald {
namespace {

PatternSet Read(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return PatternSet::Parse({texts.begin(), texts.end()}).value_or(PatternSet());
}

}  // namespace

internal::v1::Reach ToWire(const Reach& reach) {
  internal::v1::Reach wire;
  for (std::string& text : reach.users.texts()) wire.add_users(std::move(text));
  for (std::string& text : reach.topics.texts()) wire.add_topics(std::move(text));
  return wire;
}

ReachPtr FromWire(const internal::v1::Reach& wire) {
  auto reach = std::make_shared<Reach>();
  reach->users = Read(wire.users());
  reach->topics = Read(wire.topics());
  return reach;
}

}  // namespace herald
