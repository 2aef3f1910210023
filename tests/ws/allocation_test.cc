// The way out, from mailbox to socket, allocates for a message and for a run of messages, but not
// for a session: a hundred sessions cost as many allocations as ten.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "tests/ws/server.h"
#include "ws/uring_sender.h"

namespace {

thread_local bool counting = false;
std::atomic<std::uint64_t> allocations{0};

void* Allocate(std::size_t size) {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void* AllocateAligned(std::size_t size, std::align_val_t alignment) {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
  const auto align = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size); }
void* operator new[](std::size_t size) { return Allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) {
  return AllocateAligned(size, align);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace herald {
namespace {

constexpr auto kTopic = "kept/steady";
constexpr int kMessages = 16;
constexpr int kBursts = 10;

struct Way {
  const char* name;
  bool receipts = false;
  bool batched = false;

  friend void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }
};

class AllocationTest : public ::testing::TestWithParam<Way> {
 protected:
  static void Burst(Server& server, bool receipts) {
    Node& node = server.node();
    {
      const Busy one(node.shard(0)), two(node.shard(1));
      for (int i = 0; i < kMessages; ++i) {
        Publication publication{Body(R"({"n":12345})"), kTopic};
        ReceiptPtr receipt;
        if (receipts) {
          auto options = std::make_shared<DeliveryOptions>();
          options->receipt = receipt =
              std::make_shared<Receipt>(Receipt::Level::kWritten, [](const Receipt::Counts&) {});
          publication.options = std::move(options);
        }
        ASSERT_TRUE(node.Publish(std::move(publication)).ok());
        if (receipt) receipt->Release();
      }
    }
    ASSERT_TRUE(Eventually([&] {
      node.Settle();
      return node.shard(0).stats().queued_bytes == 0 && node.shard(1).stats().queued_bytes == 0;
    }));
  }

  // What the shards allocate in kBursts bursts to so many sessions.
  static std::uint64_t AllocationsWith(int sessions, const Way& way) {
    Server server(DevOptions(), nullptr, nullptr,
                  way.batched ? [] { return std::make_unique<UringSender>(); }
                              : std::function<std::unique_ptr<BatchSender>()>());
    std::vector<RawSocket> clients;
    for (int i = 0; i < sessions; ++i) {
      RawSocket& client = clients.emplace_back(server.port());
      EXPECT_TRUE(client.Send(UpgradeText("herald.v1.json", std::string("/ws?topics=") + kTopic)));
      EXPECT_FALSE(client.ReadUntil("\r\n\r\n").empty());
      EXPECT_TRUE(client.Send(ClientFrame(0x81, R"({"connect":{}})")));
      const std::string hello = client.ReadUntil("}}");
      EXPECT_NE(hello.find("hello"), std::string::npos) << i << ": " << hello;
    }
    for (int i = 0; i < kBursts; ++i) Burst(server, way.receipts);  // queues find their size
    for (auto& shard : server.node().shards()) RunOn(*shard, [] { counting = true; });
    allocations = 0;
    for (int i = 0; i < kBursts; ++i) Burst(server, way.receipts);
    const std::uint64_t counted = allocations;
    for (auto& shard : server.node().shards()) RunOn(*shard, [] { counting = false; });
    return counted;
  }
};

TEST_P(AllocationTest, ADeliveryAllocatesNothing) {
  const Way& way = GetParam();
  if (way.batched && !UringSender::Check().ok()) GTEST_SKIP() << UringSender::Check().message();
  const std::uint64_t few = AllocationsWith(20, way);
  const std::uint64_t many = AllocationsWith(200, way);
  EXPECT_GT(few, 0u) << "nothing is counted";
  // Settle asks the shards a few times more or less often.
  EXPECT_LT(many, few + 10 * kBursts) << 180 * kBursts * kMessages << " more deliveries";
}

INSTANTIATE_TEST_SUITE_P(Ways, AllocationTest,
                         ::testing::Values(Way{"plain"}, Way{"receipts", true},
                                           Way{"io_uring", false, true}, Way{"both", true, true}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace herald
