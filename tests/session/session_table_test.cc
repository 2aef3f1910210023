#include "session/session_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "tests/session/node.h"

namespace herald {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SessionTableTest : public ::testing::Test {
 protected:
  SessionTableTest() {
    alice0_ = Add(0, "alice", "web", {"a", "b"});
    alice1_ = Add(1, "alice", "ios", {"a"});
    bob_ = Add(1, "bob", "web", {"b"});
    guest_ = Add(0, "", "", {});
  }

  RecordingSessionPtr Add(int shard, const std::string& user, const std::string& platform,
                          const std::vector<std::string>& topics) {
    auto session = node_.Add({.remove_on_close = false}, shard, user);
    RunOn(node_.shard(shard), [&] {
      Labels labels;
      if (!platform.empty()) {
        EXPECT_TRUE(labels.Set("platform", platform).ok());
      }
      session->set_labels(std::move(labels));
    });
    for (const std::string& topic : topics) EXPECT_TRUE(node_.Subscribe(*session, topic).ok());
    return session;
  }

  // Whom the action met. Each once, or this fails.
  std::set<Session*> Meet(const Target& target) {
    Mutex mutex;
    std::set<Session*> met;
    std::size_t calls = 0;
    Awaited<std::uint64_t> matched;
    node_.table().ForEach(
        target,
        [&](Session& session) {
          MutexLock lock(mutex);
          ++calls;
          met.insert(&session);
        },
        matched.callback());
    EXPECT_EQ(matched.Get(), calls);
    EXPECT_EQ(met.size(), calls);
    return met;
  }

  std::vector<SessionInfo> List(SessionFilter filter) {
    Awaited<std::vector<SessionInfo>> answer;
    node_.table().List(std::move(filter), answer.callback());
    return answer.Get();
  }
  std::vector<std::string> ListIds(SessionFilter filter) {
    std::vector<std::string> ids;
    for (const SessionInfo& info : List(std::move(filter))) ids.push_back(info.id);
    return ids;
  }

  Node node_{2};
  RecordingSessionPtr alice0_, alice1_, bob_, guest_;
};

TEST_F(SessionTableTest, MeetsASessionById) {
  EXPECT_THAT(Meet({bob_->id(), nullptr}), UnorderedElementsAre(bob_.get()));
  EXPECT_THAT(Meet({SessionId::New(0), nullptr}), IsEmpty());
  EXPECT_THAT(Meet({SessionId::New(200), nullptr}), IsEmpty());  // no such shard
}

TEST_F(SessionTableTest, MeetsTheSessionsOfUsers) {
  EXPECT_THAT(Meet({ToUsers{{"alice"}}, nullptr}),
              UnorderedElementsAre(alice0_.get(), alice1_.get()));
  EXPECT_THAT(Meet({ToUsers{{"alice", "bob", "carol"}}, nullptr}),
              UnorderedElementsAre(alice0_.get(), alice1_.get(), bob_.get()));
  EXPECT_THAT(Meet({ToUsers{{"carol"}}, nullptr}), IsEmpty());
}

TEST_F(SessionTableTest, MeetsASessionOnTwoTopicsOnce) {
  EXPECT_THAT(Meet({ToTopics{{"a"}}, nullptr}), UnorderedElementsAre(alice0_.get(), alice1_.get()));
  EXPECT_THAT(Meet({ToTopics{{"a", "b"}}, nullptr}),
              UnorderedElementsAre(alice0_.get(), alice1_.get(), bob_.get()));
}

TEST_F(SessionTableTest, MeetsAllOrWhomASelectorMatches) {
  EXPECT_THAT(Meet({ToAll{}, nullptr}),
              UnorderedElementsAre(alice0_.get(), alice1_.get(), bob_.get(), guest_.get()));
  EXPECT_THAT(Meet({*Selector::Parse("platform=web"), nullptr}),
              UnorderedElementsAre(alice0_.get(), bob_.get()));
  EXPECT_THAT(Meet({*Selector::Parse("!platform"), nullptr}), UnorderedElementsAre(guest_.get()));
}

TEST_F(SessionTableTest, LeavesOutExceptions) {
  auto except = std::make_shared<Exceptions>();
  except->users.insert("bob");
  except->sessions.insert(alice1_->id());
  for (const Target& target : {Target{ToAll{}, except}, Target{ToTopics{{"a", "b"}}, except},
                               Target{ToUsers{{"alice", "bob"}}, except}}) {
    const auto met = Meet(target);
    EXPECT_FALSE(met.contains(bob_.get()));
    EXPECT_FALSE(met.contains(alice1_.get()));
    EXPECT_TRUE(met.contains(alice0_.get()));
  }
  EXPECT_THAT(Meet({alice1_->id(), except}), IsEmpty());
  // An exception of nobody in particular is not one of sessions without a user.
  auto nobody = std::make_shared<Exceptions>();
  nobody->users.insert("");
  EXPECT_THAT(Meet({guest_->id(), nobody}), SizeIs(1));
}

TEST_F(SessionTableTest, DoesNotMeetSessionsThatAreClosing) {
  RunOn(node_.shard(1), [&] { bob_->Close({}); });
  EXPECT_THAT(Meet({ToAll{}, nullptr}), SizeIs(3));
  EXPECT_THAT(Meet({ToUsers{{"bob"}}, nullptr}), IsEmpty());
  EXPECT_THAT(Meet({bob_->id(), nullptr}), IsEmpty());
  EXPECT_THAT(ListIds({.user = "bob"}), IsEmpty());
}

TEST_F(SessionTableTest, AnActionMayEndItsSession) {
  Awaited<std::uint64_t> matched;
  node_.table().ForEach(
      {ToAll{}, nullptr},
      [this](Session& session) { node_.shard(session.id().shard).Remove(session); },
      matched.callback());
  EXPECT_EQ(matched.Get(), 4u);
  EXPECT_THAT(Meet({ToAll{}, nullptr}), IsEmpty());
  EXPECT_EQ(node_.index().Count().topics, 0u);
}

TEST_F(SessionTableTest, TakesEffectInTheOrderAsked) {
  std::atomic<int> step{0};
  Awaited<std::uint64_t> first, second;
  std::atomic<bool> in_order{true};
  const Target one{bob_->id(), nullptr};
  for (int i = 0; i < 1000; ++i) {
    node_.table().ForEach(
        one, [&, i](Session&) { in_order = in_order && step.exchange(i + 1) == i; },
        [](std::uint64_t) {});
  }
  node_.Settle();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(step, 1000);
}

TEST_F(SessionTableTest, ListsByUserTopicAndSelector) {
  EXPECT_THAT(ListIds({}), SizeIs(4));
  EXPECT_THAT(ListIds({.user = "alice"}),
              UnorderedElementsAre(alice0_->id_text(), alice1_->id_text()));
  EXPECT_THAT(ListIds({.topic = "b"}), UnorderedElementsAre(alice0_->id_text(), bob_->id_text()));
  EXPECT_THAT(ListIds({.selector = *Selector::Parse("platform=web")}),
              UnorderedElementsAre(alice0_->id_text(), bob_->id_text()));
  EXPECT_THAT(
      ListIds({.user = "alice", .topic = "b", .selector = *Selector::Parse("platform=web")}),
      UnorderedElementsAre(alice0_->id_text()));
  EXPECT_THAT(ListIds({.user = "nobody"}), IsEmpty());
  EXPECT_THAT(ListIds({.topic = "nothing"}), IsEmpty());
}

TEST_F(SessionTableTest, TellsAboutASession) {
  ASSERT_TRUE(node_.Publish("a", "hello").ok());
  node_.Settle();
  Awaited<std::optional<SessionInfo>> answer;
  node_.table().Get(alice0_->id(), answer.callback());
  const auto info = answer.Get();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->id, alice0_->id_text());
  EXPECT_EQ(info->user, "alice");
  EXPECT_THAT(info->topics, UnorderedElementsAre("a", "b"));  // the personal one is not told
  EXPECT_EQ(info->labels.Get("platform"), "web");
  EXPECT_EQ(info->messages_out, 1u);
  EXPECT_GT(info->bytes_out, 5u);
  EXPECT_EQ(info->queued_bytes, 0u);

  Awaited<std::optional<SessionInfo>> none, nowhere;
  node_.table().Get(SessionId::New(0), none.callback());
  node_.table().Get(SessionId::New(99), nowhere.callback());
  EXPECT_FALSE(none.Get().has_value());
  EXPECT_FALSE(nowhere.Get().has_value());
}

TEST_F(SessionTableTest, TellsWhoIsOnATopic) {
  Awaited<std::vector<SessionTable::Present>> answer;
  node_.table().Presence("a", nullptr, answer.callback());
  std::vector<std::string> present;
  for (const auto& one : answer.Get()) present.push_back(one.user + " " + one.session_id);
  EXPECT_THAT(present,
              UnorderedElementsAre("alice " + alice0_->id_text(), "alice " + alice1_->id_text()));
  Awaited<std::vector<SessionTable::Present>> nobody;
  node_.table().Presence("nothing", nullptr, nobody.callback());
  EXPECT_THAT(nobody.Get(), IsEmpty());
}

TEST_F(SessionTableTest, G19OutsideTheReachIsNotEvenDescribed) {
  const ReachPtr reach = std::make_shared<const Reach>(Reach{*PatternSet::Parse({"bob"}), {}});
  EXPECT_THAT(ListIds({.reach = reach}), UnorderedElementsAre(bob_->id_text()));
  Awaited<std::vector<SessionTable::Present>> answer;
  node_.table().Presence("b", reach, answer.callback());
  std::vector<std::string> present;
  for (const auto& one : answer.Get()) present.push_back(one.user);
  EXPECT_THAT(present, UnorderedElementsAre("bob"));
}

}  // namespace
}  // namespace herald
