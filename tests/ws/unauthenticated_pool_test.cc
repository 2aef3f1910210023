#include "ws/unauthenticated_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

namespace herald {
namespace {

using Entry = UnauthenticatedPool::Entry;

AddressKey Key(int number) {
  return ClientAddress::FromV4(
             {10, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)})
      .key();
}

TEST(UnauthenticatedPoolTest, G4TheOldestOfTheHeaviestAddressGoesFirst) {
  UnauthenticatedPool pool;
  EXPECT_EQ(pool.OldestOfHeaviest(), nullptr);
  Entry honest, first, second;
  pool.Add(honest, Key(1), 100);
  EXPECT_EQ(pool.OldestOfHeaviest(), &honest);
  pool.Add(first, Key(2), 200);
  pool.Add(second, Key(2), 300);
  EXPECT_EQ(pool.OldestOfHeaviest(), &first);
  EXPECT_EQ(pool.heaviest(), 2u);
  pool.Remove(first);
  // With one each, the address that has come to it first.
  EXPECT_EQ(pool.OldestOfHeaviest(), &honest);
  EXPECT_EQ(pool.heaviest(), 1u);
  pool.Remove(honest);
  EXPECT_EQ(pool.OldestOfHeaviest(), &second);
  pool.Remove(second);
  EXPECT_EQ(pool.OldestOfHeaviest(), nullptr);
  EXPECT_EQ(pool.heaviest(), 0u);
}

TEST(UnauthenticatedPoolTest, AMovedEntryKeepsItsAge) {
  UnauthenticatedPool pool;
  Entry old, young;
  pool.Add(old, Key(1), 100);
  pool.Add(young, Key(2), 200);
  pool.Move(old, Key(2));
  EXPECT_EQ(pool.OldestOf(Key(2)), &old);
  EXPECT_EQ(pool.OldestOf(Key(1)), nullptr);
  EXPECT_EQ(old.since_ns(), 100);
  pool.Remove(old);
  EXPECT_EQ(pool.OldestOf(Key(2)), &young);
  pool.Remove(young);
}

// Against a plain list of everything.
TEST(UnauthenticatedPoolTest, AgreesWithAModel) {
  std::mt19937 random(1);
  UnauthenticatedPool pool;
  std::deque<std::pair<Entry, int>> entries;
  std::vector<std::size_t> in;  // indices, the oldest first
  for (int step = 0; step < 20'000; ++step) {
    if (in.empty() || random() % 100 < 52) {
      entries.emplace_back();
      entries.back().second = static_cast<int>(random() % 30);
      pool.Add(entries.back().first, Key(entries.back().second), step);
      in.push_back(entries.size() - 1);
    } else {
      const std::size_t at = random() % in.size();
      pool.Remove(entries[in[at]].first);
      in.erase(in.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (step % 50 != 0) continue;
    std::map<int, std::vector<std::size_t>> by_address;
    for (std::size_t i : in) by_address[entries[i].second].push_back(i);
    std::size_t most = 0;
    for (const auto& [address, own] : by_address) {
      most = std::max(most, own.size());
      EXPECT_EQ(pool.OldestOf(Key(address)), &entries[own.front()].first);
      EXPECT_EQ(pool.CountOf(Key(address)), own.size());
    }
    EXPECT_EQ(pool.size(), in.size());
    EXPECT_EQ(pool.heaviest(), most);
    const Entry* const victim = pool.OldestOfHeaviest();
    const bool of_heaviest = std::ranges::any_of(by_address, [&](const auto& one) {
      return one.second.size() == most && &entries[one.second.front()].first == victim;
    });
    EXPECT_EQ(of_heaviest, !in.empty());
  }
  for (std::size_t i : in) pool.Remove(entries[i].first);
  EXPECT_EQ(pool.size(), 0u);
}

}  // namespace
}  // namespace herald
