#include "session/random.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "session/hex.h"

namespace herald {
namespace {

struct Pool {
  std::array<std::uint8_t, 4096> bytes;
  std::size_t used = sizeof(bytes);
};

}  // namespace

void RandomBytes(std::span<std::uint8_t> out) {
  thread_local Pool pool;
  while (!out.empty()) {
    if (pool.used == pool.bytes.size()) {
      // Up to 256 bytes come whole; larger reads may be cut by a signal.
      for (std::size_t at = 0; at < pool.bytes.size(); at += 256) {
        if (getrandom(pool.bytes.data() + at, 256, 0) != 256) std::abort();
      }
      pool.used = 0;
    }
    std::size_t n = std::min(out.size(), pool.bytes.size() - pool.used);
    std::memcpy(out.data(), pool.bytes.data() + pool.used, n);
    std::memset(pool.bytes.data() + pool.used, 0, n);  // given out once only
    pool.used += n;
    out = out.subspan(n);
  }
}

std::uint64_t RandomUint64() {
  std::uint64_t value;
  RandomBytes({reinterpret_cast<std::uint8_t*>(&value), sizeof(value)});
  return value;
}

std::string NewMessageId(std::int64_t unix_ms) {
  std::uint64_t high = (static_cast<std::uint64_t>(unix_ms) << 16) | (RandomUint64() & 0xffff);
  std::string id;
  id.reserve(32);
  AppendHex(high, id);
  AppendHex(RandomUint64(), id);
  return id;
}

}  // namespace herald
