// The way out, from mailbox to socket, allocates for a message and for a run of messages, but not
// for a session: a hundred sessions cost as many allocations as ten. And a session at rest is two
// blocks, which its parts fill.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <boost/version.hpp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "tests/ws/server.h"
#include "ws/uring_sender.h"

namespace {

thread_local bool counting = false;
std::atomic<std::uint64_t> allocations{0};

// What a session at rest takes, as jemalloc rounds it up: four sizes between two powers of two
// (jemalloc(3), SIZE CLASSES).
constexpr std::size_t kStreamBlock = 2560, kSessionBlock = 768;
std::atomic<int> stream_blocks{0}, session_blocks{0};  // live ones of these sizes

void CountBlock(std::size_t size, int change) {
  if (!counting || size < 512) return;
  const std::size_t step = std::bit_floor(size - 1) / 4;
  const std::size_t rounded = (size + step - 1) / step * step;
  if (rounded == kStreamBlock) stream_blocks += change;
  if (rounded == kSessionBlock) session_blocks += change;
}

// The size stands before the block.
void* Allocate(std::size_t size, std::size_t align = __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
  CountBlock(size, 1);
  auto* const memory =
      static_cast<char*>(std::aligned_alloc(align, (size + 2 * align - 1) / align * align));
  if (memory == nullptr) throw std::bad_alloc();
  std::memcpy(memory + align - sizeof size, &size, sizeof size);
  return memory + align;
}

void Free(void* block, std::size_t align = __STDCPP_DEFAULT_NEW_ALIGNMENT__) {
  if (block == nullptr) return;
  char* const memory = static_cast<char*>(block) - align;
  std::size_t size;
  std::memcpy(&size, memory + align - sizeof size, sizeof size);
  CountBlock(size, -1);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size); }
void* operator new[](std::size_t size) { return Allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) {
  return Allocate(size, std::max<std::size_t>(static_cast<std::size_t>(align), 16));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t align) noexcept {
  Free(memory, std::max<std::size_t>(static_cast<std::size_t>(align), 16));
}
void operator delete(void* memory, std::size_t, std::align_val_t align) noexcept {
  Free(memory, std::max<std::size_t>(static_cast<std::size_t>(align), 16));
}

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

void Connect(Server& server, int sessions, std::vector<RawSocket>& clients) {
  for (int i = 0; i < sessions; ++i) {
    RawSocket& client = clients.emplace_back(server.port());
    EXPECT_TRUE(client.Send(UpgradeText("herald.v1.json", std::string("/ws?topics=") + kTopic)));
    EXPECT_FALSE(client.ReadUntil("\r\n\r\n").empty());
    EXPECT_TRUE(client.Send(ClientFrame(0x81, R"({"connect":{}})")));
    const std::string hello = client.ReadUntil("}}");
    EXPECT_NE(hello.find("hello"), std::string::npos) << i << ": " << hello;
  }
}

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
    Connect(server, sessions, clients);
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

// Beast's stream with ours below it, and the session with its pending read. Both fill a size of
// jemalloc's to the last bytes: one more member costs 512 or 128 bytes a session (herald-bench p5).
// Asio's descriptors and the tables come on top.
TEST(SessionMemoryTest, ASessionAtRestIsTwoBlocks) {
  if (BOOST_VERSION != 108100) GTEST_SKIP() << "the sizes are Boost's too";
  constexpr int kSessions = 200;
  Server server;
  std::vector<RawSocket> clients;
  clients.reserve(kSessions);
  for (auto& shard : server.node().shards()) RunOn(*shard, [] { counting = true; });
  const int streams = stream_blocks, sessions = session_blocks;
  Connect(server, kSessions, clients);
  for (auto& shard : server.node().shards()) RunOn(*shard, [] { counting = false; });
  EXPECT_NEAR(stream_blocks - streams, kSessions, 5);
  EXPECT_NEAR(session_blocks - sessions, kSessions, 5);
}

}  // namespace
}  // namespace herald
