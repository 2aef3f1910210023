#include "session/random.h"

#include <openssl/rand.h>

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
      if (RAND_bytes(pool.bytes.data(), static_cast<int>(pool.bytes.size())) != 1) std::abort();
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

void MakeMessageId(std::int64_t unix_ms, std::string& id) {
  struct {
    std::uint64_t low;
    std::uint16_t high;
  } random;
  RandomBytes({reinterpret_cast<std::uint8_t*>(&random), 10});
  id.resize(32);
  WriteHex(static_cast<std::uint64_t>(unix_ms) << 16 | random.high, id.data());
  WriteHex(random.low, id.data() + 16);
}

}  // namespace herald
