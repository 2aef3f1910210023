#include "session/ban_list.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kLater = kNow + absl::Minutes(10);

TEST(BanListTest, FindsUsersTokensAndTokensOfAUser) {
  BanList bans;
  EXPECT_FALSE(bans.Find("alice", "t1", kNow));
  ASSERT_TRUE(
      bans.Add({{"alice", "", kLater}, {"", "t1", kLater}, {"bob", "t2", kLater}}, kNow).ok());
  EXPECT_EQ(bans.Find("alice", "", kNow), kLater);
  EXPECT_EQ(bans.Find("alice", "any", kNow), kLater);
  EXPECT_EQ(bans.Find("carol", "t1", kNow), kLater);
  EXPECT_EQ(bans.Find("bob", "t2", kNow), kLater);
  EXPECT_FALSE(bans.Find("bob", "", kNow));
  EXPECT_FALSE(bans.Find("carol", "t2", kNow));
  EXPECT_FALSE(bans.Find("", "", kNow));
}

TEST(BanListTest, ABanEndsAndIsForgotten) {
  BanList bans;
  ASSERT_TRUE(bans.Add({{"alice", "", kLater}}, kNow).ok());
  EXPECT_FALSE(bans.Find("alice", "", kLater));
  bans.Sweep(kLater - absl::Seconds(1));
  EXPECT_EQ(bans.size(), 1u);
  bans.Sweep(kLater);
  EXPECT_EQ(bans.size(), 0u);
}

TEST(BanListTest, AnotherBanReplacesItAndAnEndedOneLiftsIt) {
  BanList bans;
  ASSERT_TRUE(bans.Add({{"alice", "", kLater}}, kNow).ok());
  ASSERT_TRUE(bans.Add({{"alice", "", kNow + absl::Seconds(1)}}, kNow).ok());
  EXPECT_EQ(bans.Find("alice", "", kNow), kNow + absl::Seconds(1));
  ASSERT_TRUE(bans.Add({{"alice", "", kNow}}, kNow).ok());
  EXPECT_FALSE(bans.Find("alice", "", kNow));
  EXPECT_EQ(bans.size(), 0u);
}

TEST(BanListTest, AFullListRefusesAllOfACommandAndKeepsItsBans) {
  BanList bans(/*max_bans=*/2);
  ASSERT_TRUE(bans.Add({{"a", "", kLater}}, kNow).ok());
  EXPECT_EQ(bans.Add({{"b", "", kLater}, {"c", "", kLater}}, kNow).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(bans.refused(), 2u);
  EXPECT_FALSE(bans.Find("b", "", kNow));
  EXPECT_TRUE(bans.Find("a", "", kNow));
  EXPECT_TRUE(bans.Add({{"a", "", kLater}, {"b", "", kLater}}, kNow).ok())
      << "one is there already";
  EXPECT_TRUE(bans.Add({{"c", "", kLater + absl::Hours(1)}}, kLater).ok())
      << "the others have ended";
}

TEST(BanListTest, BytesOfNamesAreLimitedToo) {
  BanList bans(/*max_bans=*/100, /*max_bytes=*/100);
  EXPECT_FALSE(bans.Add({{std::string(100, 'a'), "", kLater}}, kNow).ok());
  ASSERT_TRUE(bans.Add({{std::string(90, 'a'), "", kLater}}, kNow).ok());
  EXPECT_FALSE(bans.Add({{std::string(20, 'b'), "", kLater}}, kNow).ok());
  ASSERT_TRUE(bans.Add({{std::string(90, 'a'), "", kNow}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{std::string(20, 'b'), "", kLater}}, kNow).ok());
}

TEST(BanListTest, MergingTakesTheLongerOfTwo) {
  BanList bans(/*max_bans=*/3);
  ASSERT_TRUE(bans.Add({{"a", "", kLater}, {"b", "", kLater}}, kNow).ok());
  bans.Merge({{"a", "", kNow + absl::Seconds(1)},
              {"b", "", kLater + absl::Hours(1)},
              {"c", "t", kLater},
              {"", "", kLater},
              {"gone", "", kNow},
              {"too", "many", kLater}},
             kNow);
  EXPECT_EQ(bans.Find("a", "", kNow), kLater);
  EXPECT_EQ(bans.Find("b", "", kNow), kLater + absl::Hours(1));
  EXPECT_EQ(bans.Find("c", "t", kNow), kLater);
  EXPECT_EQ(bans.size(), 3u);
  EXPECT_EQ(bans.refused(), 1u);
}

TEST(BanListTest, ListsWhatIsInForce) {
  BanList bans;
  ASSERT_TRUE(bans.Add({{"a", "t", kLater}, {"b", "", kNow + absl::Seconds(1)}}, kNow).ok());
  const auto list = bans.List(kNow + absl::Seconds(1));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].user, "a");
  EXPECT_EQ(list[0].token_id, "t");
  EXPECT_EQ(list[0].until, kLater);
}

// One producer that fills the list leaves half of it to the others.
TEST(BanListTest, G19AProducerHasAtMostHalf) {
  BanList bans(/*max_bans=*/4);
  ASSERT_TRUE(bans.Add({{"a1", "", kLater, "greedy"}, {"a2", "", kLater, "greedy"}}, kNow).ok());
  const absl::Status full = bans.Add({{"a3", "", kLater, "greedy"}}, kNow);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(full.message().find("greedy"), absl::string_view::npos);
  EXPECT_EQ(bans.refused(), 1u);
  EXPECT_TRUE(bans.Add({{"b1", "", kLater, "calm"}}, kNow).ok());
  // Its own again takes no more; a ban that another makes anew is the other's.
  EXPECT_TRUE(bans.Add({{"a1", "", kLater, "greedy"}}, kNow).ok());
  EXPECT_FALSE(bans.Add({{"b1", "", kLater, "greedy"}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{"a1", "", kLater, "calm"}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{"a3", "", kLater, "greedy"}}, kNow).ok());
  // What is lifted or has ended counts no more.
  EXPECT_TRUE(bans.Add({{"a3", "", kNow, "greedy"}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{"a4", "", kLater + absl::Hours(1), "greedy"}}, kNow).ok());
  EXPECT_EQ(bans.size(), 4u);
}

TEST(BanListTest, G19AProducerHasAtMostHalfOfTheBytes) {
  BanList bans(/*max_bans=*/100, /*max_bytes=*/100);
  EXPECT_FALSE(bans.Add({{std::string(60, 'a'), "", kLater, "greedy"}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{std::string(40, 'a'), "", kLater, "greedy"}}, kNow).ok());
  EXPECT_FALSE(bans.Add({{std::string(20, 'b'), "", kLater, "greedy"}}, kNow).ok());
  EXPECT_TRUE(bans.Add({{std::string(40, 'c'), "", kLater, "calm"}}, kNow).ok());
}

TEST(BanListTest, G19TheOwnerGoesToOtherReplicas) {
  BanList here(/*max_bans=*/4), there(/*max_bans=*/4);
  ASSERT_TRUE(here.Add({{"a1", "", kLater, "greedy"}, {"a2", "", kLater, "greedy"}}, kNow).ok());
  there.Merge(here.List(kNow), kNow);
  EXPECT_FALSE(there.Add({{"a3", "", kLater, "greedy"}}, kNow).ok());
  there.Merge({{"a4", "", kLater, "greedy"}, {"b1", "", kLater, "calm"}}, kNow);
  EXPECT_FALSE(there.Find("a4", "", kNow));
  EXPECT_TRUE(there.Find("b1", "", kNow));
  EXPECT_EQ(there.refused(), 2u);
}

}  // namespace
}  // namespace herald
