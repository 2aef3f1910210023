#include "broker/cluster_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/broker/local_cluster.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ClusterNodeTest : public ::testing::Test {
 protected:
  struct Changes {
    Mutex mutex;
    std::vector<Cluster::PeerChange> list ABSL_GUARDED_BY(mutex);
    std::vector<std::string> Text() {
      MutexLock lock(mutex);
      std::vector<std::string> text;
      for (const auto& change : list)
        text.push_back((change.here ? "+" : change.lost ? "!" : "-") + change.node);
      return text;
    }
  };

  ~ClusterNodeTest() override {
    for (auto& node : nodes_) node->Stop(false);
  }

  ClusterNode& Make(const std::string& name) { return Make(network_.Options(name)); }
  ClusterNode& Make(ClusterNodeOptions options) {
    nodes_.push_back(network_.Join(std::move(options)));
    ClusterNode& node = *nodes_.back();
    node.Handle("echo", [&node](std::string_view from, std::string request, auto answer) {
      answer(fmt::format("{}<{}:{}", node.self(), from, request));
    });
    node.Handle("refuse", [](std::string_view, std::string, auto answer) {
      answer(absl::ResourceExhaustedError("full"));
    });
    return node;
  }
  ClusterNode& Started(const std::string& name) {
    ClusterNode& node = Make(name);
    EXPECT_TRUE(node.Start().ok());
    return node;
  }
  void Meet() {
    for (auto& node : nodes_) {
      std::set<std::string> others;
      for (auto& other : nodes_) {
        if (other != node) others.insert(std::string(other->self()));
      }
      ASSERT_TRUE(WaitPeers(*node, others));
    }
  }
  absl::StatusOr<std::string> Ask(ClusterNode& from, std::string_view to, std::string_view method,
                                  std::string request = "",
                                  absl::Duration deadline = absl::Seconds(30)) {
    Awaited<absl::StatusOr<std::string>> answer;
    from.Ask(to, method, std::move(request), deadline, answer.callback());
    return answer.Get();
  }

  LocalNetwork network_;
  std::vector<std::unique_ptr<ClusterNode>> nodes_;
};

TEST_F(ClusterNodeTest, AnswersComeToWhoAsked) {
  ClusterNode &a = Started("a"), &b = Started("b");
  Meet();
  EXPECT_EQ(*Ask(a, "b", "echo", "hi"), "b<a:hi");
  EXPECT_EQ(*Ask(b, "a", "echo", "ho"), "a<b:ho");
  const auto refused = Ask(a, "b", "refuse");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refused.status().message()), "full");
}

TEST_F(ClusterNodeTest, SaysWhyThereIsNoAnswer) {
  ClusterNode& a = Started("a");
  Started("b");
  Meet();
  EXPECT_EQ(Ask(a, "c", "echo").status().code(), absl::StatusCode::kNotFound);
  const auto unknown = Ask(a, "b", "later-version");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("later-version"));
  network_.Silence("b");
  EXPECT_EQ(Ask(a, "b", "echo", "", absl::Milliseconds(20)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  // Asks under way end when the node is lost, whatever their deadline; later ones at once.
  EXPECT_EQ(Ask(a, "b", "echo").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask(a, "b", "echo").status().code(), absl::StatusCode::kUnavailable);
  network_.Heal("b");
  ASSERT_TRUE(WaitPeers(a, {"b"}));
  EXPECT_TRUE(Ask(a, "b", "echo").ok());
}

TEST_F(ClusterNodeTest, MessagesKeepTheirOrderLongOnesIncluded) {
  ClusterNodeOptions options = network_.Options("a");
  options.max_frame_bytes = 1000;
  ClusterNode &a = Make(options), &b = Make("b");
  std::vector<std::size_t> told;
  Mutex mutex;
  b.Handle("note", [&](std::string_view, std::string message, auto) {
    MutexLock lock(mutex);
    told.push_back(message.size());
  });
  ASSERT_TRUE(a.Start().ok());
  ASSERT_TRUE(b.Start().ok());
  Meet();
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < 300; ++i) {
    expected.push_back(i * 37);
    a.Tell(i % 2 == 0 ? "b" : "", "note", std::string(i * 37, 'x'));
  }
  ASSERT_TRUE(Eventually([&] {
    MutexLock lock(mutex);
    return told.size() == expected.size();
  }));
  MutexLock lock(mutex);
  EXPECT_EQ(told, expected);
}

TEST_F(ClusterNodeTest, AskAllTellsWhoDidNotAnswer) {
  ClusterNode& a = Started("a");
  Started("b");
  Started("c");
  Meet();
  const auto ask = [&] {
    Awaited<Cluster::Answers> answers;
    a.AskAll("echo", "x", absl::Milliseconds(200), answers.callback());
    return answers.Get();
  };
  Cluster::Answers answers = ask();
  EXPECT_THAT(answers.by_node, UnorderedElementsAre(Pair("b", "b<a:x"), Pair("c", "c<a:x")));
  EXPECT_THAT(answers.unanswered, IsEmpty());
  network_.Silence("c");
  answers = ask();
  EXPECT_THAT(answers.by_node, ElementsAre(Pair("b", "b<a:x")));
  EXPECT_THAT(answers.unanswered, ElementsAre("c"));
  // Also once it is held to be lost: what it has is missing all the same.
  ASSERT_TRUE(WaitPeers(a, {"b"}));
  answers = ask();
  EXPECT_THAT(answers.unanswered, IsEmpty());
  EXPECT_THAT(answers.lost, ElementsAre("c"));
  for (auto& node : nodes_) {
    if (node->self() == "b") node->Stop(/*goodbye=*/true);
  }
  ASSERT_TRUE(WaitPeers(a, {}));
  answers = ask();
  EXPECT_THAT(answers.by_node, IsEmpty());
  EXPECT_THAT(answers.lost, ElementsAre("c")) << "b said goodbye";
}

TEST_F(ClusterNodeTest, TellsWhoComesAndHowWhoGoesWent) {
  ClusterNode& a = Make("a");
  Changes changes;
  a.Watch([&](const Cluster::PeerChange& change) {
    MutexLock lock(changes.mutex);
    changes.list.push_back(change);
  });
  ASSERT_TRUE(a.Start().ok());
  ClusterNodeOptions options = network_.Options("b");
  options.sessions = [] { return std::uint64_t{7}; };
  ClusterNode& b = Make(options);
  ASSERT_TRUE(b.Start().ok());
  Started("c");
  Meet();
  b.Stop(/*goodbye=*/true);
  ASSERT_TRUE(WaitPeers(a, {"c"}));
  network_.Silence("c");
  ASSERT_TRUE(WaitPeers(a, {}));
  ASSERT_TRUE(Eventually([&] { return changes.Text().size() == 4; }));
  EXPECT_THAT(changes.Text(), ElementsAre("+b", "+c", "-b", "!c"));
  MutexLock lock(changes.mutex);
  EXPECT_EQ(changes.list[2].sessions, 7u);
}

TEST_F(ClusterNodeTest, ARestartedNodeGoesAndComes) {
  ClusterNode& a = Make("a");
  Changes changes;
  a.Watch([&](const Cluster::PeerChange& change) {
    MutexLock lock(changes.mutex);
    changes.list.push_back(change);
  });
  ASSERT_TRUE(a.Start().ok());
  ClusterNode& before = Started("b");
  ASSERT_TRUE(WaitPeers(a, {"b"}));
  before.Stop(/*goodbye=*/false);  // killed
  network_.Leave(before);
  ClusterNode& after = Started("b");
  ASSERT_TRUE(Eventually([&] { return changes.Text().size() == 3; }));
  EXPECT_THAT(changes.Text(), ElementsAre("+b", "!b", "+b"));
  ASSERT_TRUE(WaitPeers(after, {"a"}));
  EXPECT_TRUE(Ask(a, "b", "echo").ok());
}

TEST_F(ClusterNodeTest, ASecondNodeOfOneNameIsRefusedAndDisturbsNobody) {
  ClusterNode& a = Make("a");
  Changes changes;
  a.Watch([&](const Cluster::PeerChange& change) {
    MutexLock lock(changes.mutex);
    changes.list.push_back(change);
  });
  ASSERT_TRUE(a.Start().ok());
  Started("b");
  ASSERT_TRUE(WaitPeers(a, {"b"}));
  ClusterNodeOptions patient = network_.Options("b");
  patient.name_check = absl::Seconds(30);
  ClusterNode& second = Make(patient);
  const absl::Status refused = second.Start();
  second.Stop(/*goodbye=*/true);
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("node_name"));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_THAT(changes.Text(), ElementsAre("+b"));
}

TEST_F(ClusterNodeTest, TwoOfOneNameThatMeetLaterSaySo) {
  std::atomic<int> conflicts{0};
  ClusterNodeOptions options = network_.Options("b");
  options.on_conflict = [&](const std::string&) { ++conflicts; };
  ASSERT_TRUE(Make(options).Start().ok());
  network_.set_drop([](const ClusterFrame& frame) { return frame.kind == FrameKind::kItsMe; });
  ASSERT_TRUE(Make(options).Start().ok());
  EXPECT_TRUE(Eventually([&] { return conflicts >= 2; })) << "both are told";
}

TEST_F(ClusterNodeTest, WhoIsCutOffDoesNotHoldTheOthersToBeLost) {
  ClusterNode &a = Started("a"), &b = Started("b");
  Meet();
  network_.Cut("b");
  ASSERT_TRUE(WaitPeers(a, {}));
  EXPECT_THAT(b.peers(), ElementsAre("a"));
  EXPECT_EQ(Ask(b, "a", "echo").status().code(), absl::StatusCode::kUnavailable);
  network_.Heal("b");
  Meet();
}

TEST_F(ClusterNodeTest, BarriersPassInTheirOrderAndAtOnceWhereNothingCanBeSent) {
  ClusterNode& a = Started("a");
  std::vector<int> passed;
  Mutex mutex;
  const auto pass = [&](int i) {
    a.Barrier([&, i] {
      MutexLock lock(mutex);
      passed.push_back(i);
    });
  };
  const auto wait = [&](std::size_t count) {
    return Eventually([&] {
      MutexLock lock(mutex);
      return passed.size() == count;
    });
  };
  for (int i = 0; i < 100; ++i) pass(i);
  ASSERT_TRUE(wait(100));
  network_.Cut("a");
  for (int i = 100; i < 200; ++i) pass(i);
  ASSERT_TRUE(wait(200));
  // One that is lost on its way does not hold the others for ever.
  network_.Heal("a");
  network_.Silence("a");
  pass(200);
  network_.Heal("a");
  pass(201);
  ASSERT_TRUE(wait(202));
  MutexLock lock(mutex);
  EXPECT_TRUE(std::is_sorted(passed.begin(), passed.end()));
}

TEST(ClusterFrameTest, IgnoresWhatIsNotOurs) {
  const ClusterFrame frame{FrameKind::kTell, "a", 0xabc, 7, "word", "body\nof two lines"};
  const auto decoded = ClusterFrame::Decode(frame.Encode());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->from, "a");
  EXPECT_EQ(decoded->incarnation, 0xabcu);
  EXPECT_EQ(decoded->id, 7u);
  EXPECT_EQ(decoded->word, "word");
  EXPECT_EQ(decoded->body, "body\nof two lines");
  for (const char* bad :
       {"", "\n", "h2 T a 1 1 w\n", "h1 T a 1 1 w", "h1 TT a 1 1 w\n", "h1 T a x1 1 w\n",
        "h1 T a 1 -1 w\n", "h1 T a 1 1 \n", "h1  a 1 1 w\n", "GET / HTTP/1.1\r\n"}) {
    EXPECT_FALSE(ClusterFrame::Decode(bad)) << bad;
  }
}

}  // namespace
}  // namespace herald
