#include "service/bounded_work.h"

#include <gmock/gmock.h>

#include <vector>

namespace herald {
namespace {

using ::testing::ElementsAre;

TEST(BoundedWorkTest, BeginsInOrderAndNoMoreThanAllowed) {
  BoundedWork work(2);
  std::vector<int> begun;
  for (int i = 1; i <= 5; ++i) work.Enter([&begun, i] { begun.push_back(i); });
  EXPECT_THAT(begun, ElementsAre(1, 2));
  work.Leave();
  EXPECT_THAT(begun, ElementsAre(1, 2, 3));
  work.Leave();
  work.Leave();
  EXPECT_THAT(begun, ElementsAre(1, 2, 3, 4, 5));
  work.Leave();
  work.Leave();
  work.Enter([&begun] { begun.push_back(6); });
  EXPECT_EQ(begun.back(), 6);
}

}  // namespace
}  // namespace herald
