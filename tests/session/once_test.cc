#include "session/once.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace herald {
namespace {

TEST(OnceTest, IsDoneByTheFirst) {
  Once once;
  std::string done;
  once.Do([&] { done += "first"; });
  once.Do([&] { done += "second"; });
  EXPECT_EQ(done, "first");
}

TEST(OnceTest, AllSeeWhatOneHasMade) {
  for (int round = 0; round < 2000; ++round) {
    Once once;
    std::string made;
    int times = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        once.Do([&] {
          ++times;
          // Sometimes long enough for the others to have to wait.
          if (round % 8 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          made = "something that is longer than a small string";
        });
        EXPECT_EQ(made.size(), 44u);
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(times, 1);
  }
}

}  // namespace
}  // namespace herald
