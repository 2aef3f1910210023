#include "session/current.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

namespace herald {
namespace {

TEST(CurrentTest, ReadersSeeTheNewestAndKeepWhatTheyHold) {
  Current<std::string> current(std::make_shared<const std::string>("one"));
  const std::string& held = current.Get();
  for (int i = 0; i < 1000; ++i) current.Set(std::make_shared<const std::string>(30, 'x'));
  EXPECT_EQ(*current.operator->(), std::string(30, 'x'));
  EXPECT_EQ(held, "one") << "replaced, and not gone";
}

TEST(CurrentTest, ReadersAndWritersMayRace) {
  Current<std::string> current(std::make_shared<const std::string>(40, 'a'));
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      const std::string& text = current.Get();
      ASSERT_EQ(text, std::string(40, text[0]));
    }
  });
  for (int i = 0; i < 10'000; ++i)
    current.Set(std::make_shared<const std::string>(40, static_cast<char>('a' + i % 26)));
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace herald
