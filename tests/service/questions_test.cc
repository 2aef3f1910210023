#include "service/questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/service/replicas.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class QuestionsTest : public ReplicasTest {
 protected:
  static absl::StatusOr<v1::ListSessionsResponse> List(Replica& at,
                                                       const v1::ListSessionsRequest& request) {
    Awaited<absl::StatusOr<v1::ListSessionsResponse>> answer;
    at.questions().ListSessions(request, nullptr, answer.callback());
    return answer.Get();
  }
  static absl::StatusOr<v1::GetSessionResponse> Get(Replica& at, const std::string& id) {
    v1::GetSessionRequest request;
    request.set_session_id(id);
    Awaited<absl::StatusOr<v1::GetSessionResponse>> answer;
    at.questions().GetSession(request, nullptr, answer.callback());
    return answer.Get();
  }
  static absl::StatusOr<v1::GetPresenceResponse> Presence(Replica& at, const std::string& topic,
                                                          std::uint32_t limit = 0) {
    v1::GetPresenceRequest request;
    request.set_topic(topic);
    request.set_include_sessions(true);
    request.set_limit(limit);
    Awaited<absl::StatusOr<v1::GetPresenceResponse>> answer;
    at.questions().GetPresence(request, nullptr, answer.callback());
    return answer.Get();
  }
  static v1::GetInfoResponse Info(Replica& at) {
    Awaited<absl::StatusOr<v1::GetInfoResponse>> answer;
    at.questions().GetInfo(answer.callback());
    return *answer.Get();
  }
};

TEST_F(QuestionsTest, PagesGoThroughTheSessionsOfAllNodesInTheOrderOfTheirIds) {
  std::vector<std::string> expected;
  for (int i = 0; i < 25; ++i) {
    Replica& replica = *std::array{&a_, &b_, &c_}[static_cast<std::size_t>(i * i % 3)];
    expected.push_back(replica.IdOf(*replica.node().Add({}, i % 2, i % 2 == 0 ? "alice" : "bob")));
  }
  std::sort(expected.begin(), expected.end());
  v1::ListSessionsRequest request;
  request.set_page_size(4);
  std::vector<std::string> found;
  do {
    const auto page = List(b_, request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(page->total(), 25u);
    EXPECT_THAT(page->unanswered_nodes(), IsEmpty());
    EXPECT_LE(page->sessions_size(), 4);
    for (const v1::Session& session : page->sessions()) {
      found.push_back(session.session_id());
      EXPECT_THAT(session.session_id(), testing::StartsWith(session.node() + "-"));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(found, expected);
  request.set_user_id("alice");
  EXPECT_EQ(List(c_, request)->total(), 13u);
}

TEST_F(QuestionsTest, APageSaysWhoDidNotAnswerForItOrOneBefore) {
  for (Replica* replica : {&a_, &b_, &c_}) replica->node().Add();
  v1::ListSessionsRequest request;
  request.set_page_size(1);
  network_.Silence("b");
  auto page = List(a_, request);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->total(), 2u);
  EXPECT_THAT(page->unanswered_nodes(), ElementsAre("b"));
  network_.Heal("b");
  ASSERT_TRUE(WaitPeers(a_.cluster(), {"b", "c"}));
  request.set_page_token(page->next_page_token());
  page = List(a_, request);
  EXPECT_EQ(page->total(), 3u);
  EXPECT_THAT(page->unanswered_nodes(), ElementsAre("b"));
  request.set_page_token("!");
  EXPECT_THAT(std::string(List(a_, request).status().message()), HasSubstr("page_token"));
}

TEST_F(QuestionsTest, ASessionIsFoundOnItsNode) {
  auto session = b_.node().Add({}, 1, "alice");
  const auto found = Get(a_, b_.IdOf(*session));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->session().user_id(), "alice");
  EXPECT_EQ(found->session().node(), "b");
  std::string unknown = b_.IdOf(*session);
  unknown.back() = unknown.back() == '0' ? '1' : '0';
  EXPECT_EQ(Get(a_, unknown).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get(a_, "x" + unknown).status().code(), absl::StatusCode::kNotFound);
  network_.Silence("b");
  EXPECT_EQ(Get(a_, b_.IdOf(*session)).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(QuestionsTest, PresenceCountsUsersOnce) {
  struct Who {
    Replica* at;
    std::string user;
  };
  for (const Who& who :
       {Who{&a_, "alice"}, Who{&b_, "alice"}, Who{&b_, "bob"}, Who{&c_, "carol"}, Who{&c_, ""}}) {
    auto session = who.at->node().Add({}, 0, who.user);
    ASSERT_TRUE(who.at->node().Subscribe(*session, "t").ok());
  }
  auto presence = Presence(a_, "t");
  EXPECT_EQ(presence->session_count(), 5u);
  EXPECT_EQ(presence->user_count(), 3u);
  EXPECT_THAT(presence->users(), ElementsAre("alice", "bob", "carol"));
  EXPECT_EQ(presence->sessions_size(), 5);
  presence = Presence(b_, "t", 2);
  EXPECT_EQ(presence->user_count(), 3u);
  EXPECT_THAT(presence->users(), ElementsAre("alice", "bob"));
  network_.Silence("c");
  presence = Presence(a_, "t");
  EXPECT_EQ(presence->session_count(), 3u);
  EXPECT_THAT(presence->unanswered_nodes(), ElementsAre("c"));
}

TEST_F(QuestionsTest, InfoNamesAllNodesAlsoOneThatWasLostLately) {
  const auto names = [](const v1::GetInfoResponse& info) {
    std::vector<std::string> names;
    for (const v1::NodeInfo& node : info.nodes()) names.push_back(node.node());
    return names;
  };
  v1::GetInfoResponse info = Info(b_);
  EXPECT_EQ(info.node(), "b");
  EXPECT_THAT(names(info), ElementsAre("a", "b", "c"));
  EXPECT_THAT(info.unanswered_nodes(), IsEmpty());
  network_.Silence("c");
  info = Info(b_);
  EXPECT_THAT(names(info), ElementsAre("a", "b"));
  EXPECT_THAT(info.unanswered_nodes(), ElementsAre("c"));
  ASSERT_TRUE(WaitPeers(b_.cluster(), {"a"}));
  EXPECT_THAT(Info(b_).unanswered_nodes(), ElementsAre("c"));
}

TEST(QuestionsAloneTest, ANodeWithoutOthersAnswersForItself) {
  Executor executor;  // first: the node's shards post to it
  Node node(2);
  Questions questions(
      node.table(), "node-1", "memory", [] { return v1::NodeInfo(); }, executor, nullptr);
  auto session = node.Add({}, 1, "alice");
  Awaited<absl::StatusOr<v1::ListSessionsResponse>> list;
  questions.ListSessions({}, nullptr, list.callback());
  EXPECT_EQ(list.Get()->total(), 1u);
  v1::ListSessionsRequest bad;
  bad.set_selector("a in (");
  Awaited<absl::StatusOr<v1::ListSessionsResponse>> refused;
  questions.ListSessions(bad, nullptr, refused.callback());
  EXPECT_THAT(std::string(refused.Get().status().message()), HasSubstr("selector"));
}

}  // namespace
}  // namespace herald
