// The first bytes of a connection from a trusted proxy. Whatever they are, the header lies within
// them, and more bytes do not change what was decided.
#include <cstdint>
#include <string_view>

#include "tests/fuzz/check.h"
#include "ws/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using State = herald::ProxyHeader::State;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const herald::ProxyHeader whole = herald::ParseProxyHeader(bytes);
  FUZZ_CHECK(whole.size <= size);
  FUZZ_CHECK((whole.state == State::kComplete) == (whole.size > 0));
  FUZZ_CHECK(!whole.source || whole.state == State::kComplete);
  FUZZ_CHECK((whole.state == State::kBad) == (*whole.error != '\0'));
  // A header that never completes must not be waited for without end.
  if (whole.state == State::kNeedMore) FUZZ_CHECK(size < herald::ProxyHeader::kMaxBytesV2);
  for (std::size_t n = 0; n < size && n < 300; ++n) {
    const herald::ProxyHeader part = herald::ParseProxyHeader(bytes.substr(0, n));
    FUZZ_CHECK(part.state == State::kNeedMore || part.state == whole.state);
    if (part.state == State::kComplete) FUZZ_CHECK(part.size == whole.size);
  }
  return 0;
}
