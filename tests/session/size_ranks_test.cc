#include "session/size_ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "session/random.h"

namespace herald {
namespace {

struct Thing {
  std::size_t bytes = 0;
  SizeRanks<Thing>::Place place;
};

TEST(SizeRanksTest, FindsOneThatHoldsAtLeastHalfOfTheMost) {
  std::vector<Thing> things(50);
  SizeRanks<Thing> ranks;
  EXPECT_EQ(ranks.Largest(), nullptr);
  for (int i = 0; i < 10'000; ++i) {
    Thing& thing = things[RandomUint64() % things.size()];
    thing.bytes = RandomUint64() % 4 == 0 ? 0 : RandomUint64() >> (RandomUint64() % 64);
    ranks.Update(thing, thing.bytes);
    const auto most =
        std::max_element(things.begin(), things.end(),
                         [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    if (most->bytes == 0) {
      ASSERT_EQ(ranks.Largest(), nullptr);
    } else {
      ASSERT_GE(ranks.Largest()->bytes, most->bytes / 2);
    }
  }
}

}  // namespace
}  // namespace herald
