#include "session/address_table.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace herald {
namespace {

AddressKey Key(std::uint32_t number) {
  return ClientAddress::FromV4({10, static_cast<std::uint8_t>(number >> 16),
                                static_cast<std::uint8_t>(number >> 8),
                                static_cast<std::uint8_t>(number)})
      .key();
}

constexpr std::int64_t kMinute = AddressTable::kKeepIdleNs;

TEST(AddressTableTest, G9ABucketOutlivesItsConnections) {
  AddressTable table;
  const std::int64_t now = MonotonicNanos();
  const RateBucket::Rate rate{1, 2};
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(table.Find(Key(1), now)->frames.Take(1, rate, now));
  EXPECT_FALSE(table.Find(Key(1), now)->frames.Take(1, rate, now));
  EXPECT_TRUE(table.Find(Key(2), now)->frames.Take(1, rate, now));
}

TEST(AddressTableTest, OneAddressHasOneState) {
  AddressTable table;
  const std::int64_t now = MonotonicNanos();
  const AddressTable::Ref first = table.Find(Key(1), now);
  const AddressTable::Ref second = table.Find(Key(1), now);
  EXPECT_EQ(first.get(), second.get());
  EXPECT_EQ(first.Share().get(), first.get());
  EXPECT_NE(table.Find(Key(2), now).get(), first.get());
  EXPECT_EQ(table.size(), 2u);
}

TEST(AddressTableTest, IdleStatesGoAfterAMinute) {
  AddressTable table;
  const std::int64_t now = MonotonicNanos();
  const AddressTable::Ref kept = table.Find(Key(0), now);
  for (std::uint32_t i = 1; i <= 10'000; ++i) table.Find(Key(i), now);
  EXPECT_EQ(table.size(), 10'001u);
  // Each look-up drops a few old ones: traffic of one address is enough for a part.
  const std::int64_t later = MonotonicNanos() + kMinute;
  for (std::uint32_t i = 20'000; i < 30'000; ++i) table.Find(Key(i), later);
  EXPECT_LE(table.size(), 10'001u);
  EXPECT_EQ(table.Find(Key(0), later).get(), kept.get());
}

TEST(AddressTableTest, HoldsItsBoundWhateverComes) {
  AddressTable table(/*max_states=*/1600);
  const std::int64_t now = MonotonicNanos();
  std::vector<AddressTable::Ref> held;
  for (std::uint32_t i = 0; i < 100; ++i) held.push_back(table.Find(Key(i), now));
  for (std::uint32_t i = 100; i < 100'000; ++i) table.Find(Key(i), now);
  EXPECT_LE(table.size(), 1600u + AddressTable::kParts);
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(table.Find(Key(i), now).get(), held[i].get());
}

TEST(AddressTableTest, ManyThreadsComeAndGo) {
  AddressTable table(/*max_states=*/64);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table, t] {
      for (std::uint32_t i = 0; i < 20'000; ++i) {
        AddressTable::Ref ref =
            table.Find(Key(i % 500 + static_cast<std::uint32_t>(t)), MonotonicNanos());
        ref->connections.fetch_add(1);
        AddressTable::Ref second = ref.Share();
        ref.Reset();
        second->connections.fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t i = 0; i < 503; ++i)
    EXPECT_EQ(table.Find(Key(i), MonotonicNanos())->connections, 0u);
}

}  // namespace
}  // namespace herald
