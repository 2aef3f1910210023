#include "service/command_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fmt/format.h"
#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class CommandRunnerTest : public ::testing::Test {
 protected:
  v1::CommandResult Run(const v1::Command& command, CommandRunner::Context context = {}) {
    Awaited<v1::CommandResult> result;
    runner_.Run(command, context, result.callback());
    return result.Get();
  }

  // A delivery of `payload` with the target that `aim` sets.
  template <typename F>
  static v1::Command Deliver(F aim, std::string payload = "hi") {
    v1::Command command;
    command.set_seq(7);
    aim(*command.mutable_deliver()->mutable_target());
    command.mutable_deliver()->mutable_message()->set_payload(std::move(payload));
    return command;
  }
  static auto ToUser(std::string user) {
    return [user](v1::Target& target) { target.set_user_id(user); };
  }
  static auto ToTopic(std::string topic) {
    return [topic](v1::Target& target) { target.set_topic(topic); };
  }

  std::string IdOf(const RecordingSession& session) { return session.id().ToString("node-1"); }

  static ShardOptions FourTopics() {
    ShardOptions options;
    options.max_topics_per_session = 4;
    return options;
  }

  Node node_{2, FourTopics()};
  ReceiptClock clock_;
  CommandRunner runner_{node_.broker(), node_.table(), clock_, "node-1", 1024, 4};
};

TEST_F(CommandRunnerTest, DeliversToAllSessionsOfAUserOnAllShards) {
  auto first = node_.Add({}, 0, "alice");
  auto second = node_.Add({}, 1, "alice");
  auto other = node_.Add({}, 1, "bob");
  const v1::CommandResult result = Run(Deliver(ToUser("alice")));
  EXPECT_EQ(result.code(), 0) << result.detail();
  EXPECT_EQ(result.seq(), 7u);
  EXPECT_EQ(result.matched(), 2u);
  EXPECT_THAT(result.message_id(), SizeIs(32));
  ASSERT_THAT(result.positions(), SizeIs(1));
  EXPECT_EQ(result.positions(0).topic(), "$user/alice");
  EXPECT_EQ(result.positions(0).offset(), 1u);
  EXPECT_TRUE(node_.WaitReceived(*first, 1));
  EXPECT_TRUE(node_.WaitReceived(*second, 1));
  EXPECT_THAT(node_.ReceivedBy(*other), SizeIs(0));
}

TEST_F(CommandRunnerTest, G6SessionsOutsideTheReachAreNotTouched) {
  auto mine = node_.Add({}, 0, "a/1");
  auto theirs = node_.Add({}, 1, "b/1");
  auto nobody = node_.Add({}, 1);
  CommandRunner::Context context;
  context.reach = std::make_shared<const Reach>(Reach{*PatternSet::Parse({"a/**"}), {}});
  context.beyond_reach = std::make_shared<std::atomic<std::uint64_t>>(0);
  constexpr int kDenied = 7;
  for (const auto& other : {theirs, nobody}) {
    const auto aim = [&](v1::Target& target) { target.set_session_id(IdOf(*other)); };
    EXPECT_EQ(Run(Deliver(aim), context).code(), kDenied);
    v1::Command change;
    aim(*change.mutable_set_labels()->mutable_target());
    (*change.mutable_set_labels()->mutable_set())["k"] = "v";
    EXPECT_EQ(Run(change, context).code(), kDenied);
    change.Clear();
    aim(*change.mutable_disconnect()->mutable_target());
    EXPECT_EQ(Run(change, context).code(), kDenied);
    change.Clear();
    aim(*change.mutable_join()->mutable_target());
    change.mutable_join()->add_topics("t");
    EXPECT_EQ(Run(change, context).code(), kDenied);
    EXPECT_THAT(node_.ReceivedBy(*other), SizeIs(0));
  }
  EXPECT_EQ(*context.beyond_reach, 8u);
  EXPECT_EQ(node_.index().Find("t").subscribers, 0u);
  EXPECT_EQ(Run(Deliver([&](v1::Target& t) { t.set_session_id(IdOf(*mine)); }), context).matched(),
            1u);
  // A topic as target: of its sessions only those.
  v1::Command join;
  join.mutable_join()->mutable_target()->set_all(true);
  join.mutable_join()->add_topics("room");
  EXPECT_EQ(Run(join).matched(), 3u);
  v1::Command leave;
  leave.mutable_leave()->mutable_target()->set_topic("room");
  leave.mutable_leave()->add_topics("room");
  EXPECT_EQ(Run(leave, context).matched(), 1u);
  EXPECT_EQ(node_.index().Find("room").subscribers, 2u);
  // An unknown session is unknown to everybody.
  EXPECT_EQ(Run(Deliver([](v1::Target& t) {
                  t.set_session_id("node-1-00-00000000000000000000000000000000");
                }),
                context)
                .code(),
            5);
}

TEST_F(CommandRunnerTest, ExceptedSessionsAndUsersAreNotCountedAndGetNothing) {
  auto alice = node_.Add({}, 0, "alice");
  auto bob = node_.Add({}, 0, "bob");
  auto carol = node_.Add({}, 1, "carol");
  for (auto* session : {&alice, &bob, &carol})
    ASSERT_TRUE(node_.Subscribe(**session, "kept/a").ok());
  v1::Command command = Deliver(ToTopic("kept/a"));
  command.mutable_deliver()->mutable_target()->add_except_users("bob");
  command.mutable_deliver()->mutable_target()->add_except_sessions(IdOf(*carol));
  const v1::CommandResult result = Run(command);
  EXPECT_EQ(result.matched(), 1u);
  EXPECT_THAT(result.positions(), SizeIs(0)) << "with exceptions it is live-only";
  EXPECT_TRUE(node_.WaitReceived(*alice, 1));
  node_.Settle();
  EXPECT_THAT(node_.ReceivedBy(*bob), SizeIs(0));
  EXPECT_THAT(node_.ReceivedBy(*carol), SizeIs(0));
  EXPECT_THAT(node_.Read({"kept/a", {}, 10, false}).messages, SizeIs(0));
}

TEST_F(CommandRunnerTest, UnknownSessionIsNotFound) {
  auto session = node_.Add();
  const std::string id = IdOf(*session);
  EXPECT_EQ(Run(Deliver([&](v1::Target& t) { t.set_session_id(id); })).matched(), 1u);
  std::string other = id;
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_EQ(Run(Deliver([&](v1::Target& t) { t.set_session_id(other); })).code(), 5);
  // Of another node, and of a shard that is not there.
  EXPECT_EQ(Run(Deliver([&](v1::Target& t) { t.set_session_id("x" + id); })).code(), 5);
  std::string shard = id;
  shard.replace(shard.size() - 35, 2, "3f");
  EXPECT_EQ(Run(Deliver([&](v1::Target& t) { t.set_session_id(shard); })).code(), 5);
}

TEST_F(CommandRunnerTest, RequireOnlineKeepsNothingThatNobodyIsThereFor) {
  v1::Command command = Deliver(ToTopic("kept/a"));
  EXPECT_EQ(Run(command).code(), 0);
  command.mutable_deliver()->set_require_online(true);
  const v1::CommandResult result = Run(command);
  EXPECT_EQ(result.code(), 5);
  EXPECT_THAT(node_.Read({"kept/a", {}, 10, false}).messages, SizeIs(1));
}

TEST_F(CommandRunnerTest, WhatGoesNowhereIsCheckedAndAnsweredAllTheSame) {
  v1::Command command = Deliver(ToTopic("live/a"), "{broken");
  const v1::CommandResult result = Run(command);
  EXPECT_EQ(result.code(), 0);
  EXPECT_EQ(result.matched(), 0u);
  EXPECT_THAT(result.message_id(), SizeIs(32));
  EXPECT_EQ(runner_.no_session(), 1u);
  command.mutable_deliver()->mutable_message()->set_id("mine");
  EXPECT_EQ(Run(command).message_id(), "mine");
  command.mutable_deliver()->mutable_message()->set_content_type("application/json");
  EXPECT_EQ(Run(command).code(), 3);
  EXPECT_EQ(runner_.no_session(), 2u);
}

// As a broker over a network answers.
class SlowBroker final : public Broker {
 public:
  explicit SlowBroker(Broker& broker) : broker_(broker) {}
  void Subscribe(Shard& shard, const std::string& topic, std::optional<Position> since,
                 std::uint64_t max_subscribers, SubscribeDone done) override {
    broker_.Subscribe(shard, topic, since, max_subscribers, std::move(done));
  }
  void Unsubscribe(Shard& shard, const std::string& topic) override {
    broker_.Unsubscribe(shard, topic);
  }
  void Publish(Publication publication, PublishDone done) override {
    threads_.emplace_back(
        [this, publication = std::move(publication), done = std::move(done)]() mutable {
          if (away) return done(absl::UnavailableError("away"));
          broker_.Publish(std::move(publication), std::move(done));
        });
  }
  void Read(ReadRequest request, ReadDone done) override {
    broker_.Read(std::move(request), std::move(done));
  }
  bool HasHistory(std::string_view topic) const override { return broker_.HasHistory(topic); }
  std::string_view name() const override { return "slow"; }
  std::uint64_t history_bytes() const override { return 0; }
  std::uint64_t evicted_messages() const override { return 0; }
  std::uint64_t forgotten_topics() const override { return 0; }
  void EverySecond(absl::Time now) override { broker_.EverySecond(now); }

  std::atomic<bool> away{false};

 private:
  Broker& broker_;
  std::vector<std::jthread> threads_;
};

TEST_F(CommandRunnerTest, ABrokerMayAnswerLater) {
  SlowBroker broker(node_.broker());
  CommandRunner runner(broker, node_.table(), clock_, "node-1", 1024, 4);
  auto session = node_.Add({}, 0, "alice");
  Awaited<v1::CommandResult> delivered, refused;
  runner.Run(Deliver(ToUser("alice")), {}, delivered.callback());
  const v1::CommandResult result = delivered.Get();
  EXPECT_EQ(result.code(), 0);
  EXPECT_EQ(result.seq(), 7u);
  EXPECT_EQ(result.matched(), 1u);
  ASSERT_THAT(result.positions(), SizeIs(1));
  EXPECT_EQ(result.positions(0).topic(), "$user/alice");
  EXPECT_TRUE(node_.WaitReceived(*session, 1));
  broker.away = true;
  runner.Run(Deliver(ToUser("alice")), {}, refused.callback());
  EXPECT_EQ(refused.Get().code(), 14);
}

TEST_F(CommandRunnerTest, SkipHistoryKeepsNothing) {
  v1::Command command = Deliver(ToTopic("kept/a"));
  command.mutable_deliver()->mutable_policy()->set_skip_history(true);
  EXPECT_THAT(Run(command).positions(), SizeIs(0));
  EXPECT_THAT(node_.Read({"kept/a", {}, 10, false}).messages, SizeIs(0));
}

TEST_F(CommandRunnerTest, BadInputNamesTheField) {
  const auto detail_of = [&](const v1::Command& command) {
    const v1::CommandResult result = Run(command);
    EXPECT_EQ(result.code(), 3) << command.ShortDebugString();
    return result.detail();
  };
  EXPECT_THAT(detail_of({}), HasSubstr("action"));
  EXPECT_THAT(detail_of(Deliver([](v1::Target&) {})), HasSubstr("target"));
  EXPECT_THAT(detail_of(Deliver([](v1::Target& t) { t.set_all(false); })), HasSubstr("target"));
  EXPECT_THAT(detail_of(Deliver(ToUser(""))), HasSubstr("target.user_id"));
  EXPECT_THAT(detail_of(Deliver(ToTopic("$all"))), HasSubstr("target.topic"));
  EXPECT_THAT(detail_of(Deliver(ToTopic(std::string(256, 'a')))), HasSubstr("target.topic"));
  EXPECT_THAT(detail_of(Deliver([](v1::Target& t) { t.mutable_users(); })),
              HasSubstr("target.users"));
  EXPECT_THAT(detail_of(Deliver([](v1::Target& t) { t.set_selector("a in ("); })),
              HasSubstr("target.selector"));
  EXPECT_THAT(detail_of(Deliver([](v1::Target& t) { t.set_session_id("nonsense"); })),
              HasSubstr("target.session_id"));
  EXPECT_THAT(detail_of(Deliver(ToUser("a"), std::string(1025, 'x'))),
              HasSubstr("message.payload"));
  v1::Command long_key = Deliver(ToUser("a"));
  long_key.mutable_deliver()->set_idempotency_key(std::string(129, 'k'));
  EXPECT_THAT(detail_of(long_key), HasSubstr("idempotency_key"));
}

TEST_F(CommandRunnerTest, NamesThePartOfAPolicyThatIsWrong) {
  const auto detail_with = [&](auto change) {
    v1::Command command = Deliver(ToUser("alice"));
    change(*command.mutable_deliver()->mutable_policy());
    const v1::CommandResult result = Run(command);
    EXPECT_EQ(result.code(), 3);
    return result.detail();
  };
  EXPECT_THAT(detail_with([](v1::Policy& p) { p.mutable_ttl(); }), HasSubstr("policy.ttl"));
  EXPECT_THAT(detail_with([](v1::Policy& p) { p.mutable_ttl()->set_seconds(-1); }),
              HasSubstr("policy.ttl"));
  EXPECT_THAT(detail_with([](v1::Policy& p) { p.set_collapse_key(std::string(129, 'k')); }),
              HasSubstr("policy.collapse_key"));
  EXPECT_THAT(detail_with([](v1::Policy& p) { p.set_priority(static_cast<v1::Priority>(9)); }),
              HasSubstr("policy.priority"));
  EXPECT_THAT(detail_with([](v1::Policy& p) { p.set_overflow(static_cast<v1::Overflow>(9)); }),
              HasSubstr("policy.overflow"));
}

TEST_F(CommandRunnerTest, JoinIsAllOrNothingForASession) {
  auto session = node_.Add();  // may be on four topics
  v1::Command command;
  command.mutable_join()->mutable_target()->set_session_id(IdOf(*session));
  for (const char* topic : {"a", "b", "c"}) command.mutable_join()->add_topics(topic);
  EXPECT_EQ(Run(command).code(), 0);
  command.mutable_join()->clear_topics();
  for (const char* topic : {"d", "e"}) command.mutable_join()->add_topics(topic);
  EXPECT_EQ(Run(command).code(), 8);
  EXPECT_EQ(node_.index().Find("d").subscribers, 0u);
  EXPECT_EQ(node_.index().Find("e").subscribers, 0u);
  command.mutable_join()->set_topics(1, "$all");
  EXPECT_EQ(Run(command).code(), 3);
}

TEST_F(CommandRunnerTest, SetLabelsMovesASessionIntoASelector) {
  auto session = node_.Add();
  const auto gold = Deliver([](v1::Target& t) { t.set_selector("tier=gold"); });
  EXPECT_EQ(Run(gold).matched(), 0u);
  v1::Command command;
  command.mutable_set_labels()->mutable_target()->set_all(true);
  (*command.mutable_set_labels()->mutable_set())["tier"] = "gold";
  EXPECT_EQ(Run(command).matched(), 1u);
  EXPECT_EQ(Run(gold).matched(), 1u);
  (*command.mutable_set_labels()->mutable_set())["client/tier"] = "gold";
  EXPECT_EQ(Run(command).code(), 3) << "client/ labels are the client's";
}

TEST_F(CommandRunnerTest, TraceparentGoesIntoTheAttributes) {
  CommandRunner::Context context;
  context.traceparent = "00-1-2-01";
  EXPECT_EQ(Run(Deliver(ToTopic("kept/a")), context).code(), 0);
  const auto read = node_.Read({"kept/a", {}, 1, false});
  ASSERT_THAT(read.messages, SizeIs(1));
  EXPECT_THAT(read.messages[0]->body().attributes,
              testing::ElementsAre(testing::Pair("traceparent", "00-1-2-01")));
}

TEST_F(CommandRunnerTest, RefusesWhileDrainingAndWithoutMemory) {
  runner_.memory = MemoryLevel::kFull;
  EXPECT_EQ(Run(Deliver(ToUser("alice"))).code(), 8);
  runner_.memory = MemoryLevel::kNormal;
  runner_.draining = true;
  EXPECT_EQ(Run(Deliver(ToUser("alice"))).code(), 14);
}

TEST_F(CommandRunnerTest, G19SessionsAreClosedAlsoWhereTheBanDoesNotFit) {
  BanList bans(/*max_bans=*/2);
  CommandRunner runner(node_.broker(), node_.table(), clock_, "node-1", 1024, 4, &bans);
  std::vector<std::string> told;
  runner.set_on_ban([&](const std::string& producer, const std::vector<BanList::Ban>& of,
                        const absl::Status& status) {
    told.push_back(fmt::format("{} {} {}", producer, of[0].user, status.ok()));
  });
  const auto ban = [&](const std::string& user, const std::string& producer) {
    v1::Command command;
    command.mutable_disconnect()->mutable_target()->set_user_id(user);
    command.mutable_disconnect()->mutable_ban_for()->set_seconds(600);
    CommandRunner::Context context;
    context.producer = producer;
    Awaited<v1::CommandResult> result;
    runner.Run(command, context, result.callback());
    return result.Get();
  };
  auto alice = node_.Add({}, 0, "alice");
  EXPECT_EQ(ban("mallory", "greedy").code(), 0);
  const v1::CommandResult full = ban("alice", "greedy");
  EXPECT_EQ(full.code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(full.matched(), 1u);
  EXPECT_TRUE(RunOn(node_.shard(0), [&] { return alice->closing(); }));
  EXPECT_FALSE(bans.Find("alice", "", absl::Now()));
  EXPECT_EQ(ban("bob", "calm").code(), 0);
  EXPECT_THAT(told,
              ::testing::ElementsAre("greedy mallory true", "greedy alice false", "calm bob true"));
}

}  // namespace
}  // namespace herald
