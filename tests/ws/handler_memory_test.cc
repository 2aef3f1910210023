#include "ws/handler_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace herald {
namespace {

using Memory = HandlerMemory<64>;

bool Within(const Memory& memory, const void* at) {
  const auto begin = reinterpret_cast<std::uintptr_t>(&memory);
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  return address >= begin && address < begin + sizeof memory;
}

TEST(HandlerMemoryTest, HoldsOneOperationAtATime) {
  Memory memory;
  Memory::Allocator<std::uint64_t> allocator(memory);
  std::uint64_t* first = allocator.allocate(8);
  EXPECT_TRUE(Within(memory, first));
  std::uint64_t* second = allocator.allocate(1);
  EXPECT_FALSE(Within(memory, second)) << "it is taken";
  allocator.deallocate(second, 1);
  EXPECT_FALSE(Within(memory, second = allocator.allocate(1))) << "it is taken still";
  allocator.deallocate(first, 8);
  EXPECT_TRUE(Within(memory, first = allocator.allocate(1)));
  allocator.deallocate(first, 1);
  allocator.deallocate(second, 1);
}

TEST(HandlerMemoryTest, WhatDoesNotFitIsAllocated) {
  Memory memory;
  Memory::Allocator<char> allocator(memory);
  char* large = allocator.allocate(65);
  EXPECT_FALSE(Within(memory, large));
  allocator.deallocate(large, 65);
  struct alignas(64) Aligned {
    char byte;
  };
  Memory::Allocator<Aligned> rebound(allocator);
  Aligned* aligned = rebound.allocate(1);
  EXPECT_FALSE(Within(memory, aligned));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 64, 0u);
  rebound.deallocate(aligned, 1);
}

}  // namespace
}  // namespace herald
