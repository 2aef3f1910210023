#include "ws/inflate.h"

#include <zlib.h>

#include <algorithm>

namespace herald {
namespace {

// The largest: a client may use what it likes.
constexpr int kWindowBits = 15;
// What the client has left out of its last block.
constexpr std::string_view kTail("\x00\x00\xff\xff", 4);

struct Inflater {
  Inflater() { ok = inflateInit2(&z, -kWindowBits) == Z_OK; }
  ~Inflater() { inflateEnd(&z); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream z{};
  bool ok;
};

}  // namespace

absl::Status Inflate(std::string_view data, std::size_t max_bytes, std::string& out) {
  thread_local Inflater inflater;
  if (!inflater.ok) return absl::ResourceExhaustedError("no memory to inflate a message");
  z_stream& z = inflater.z;
  inflateReset(&z);
  out.clear();
  z.avail_out = 0;
  bool whole = false;  // between two blocks
  for (std::string_view part : {data, kTail}) {
    z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(part.data()));
    z.avail_in = static_cast<uInt>(part.size());
    do {
      if (z.avail_out == 0) {
        const std::size_t have = out.size();
        if (have > max_bytes) return absl::ResourceExhaustedError("a message inflates to too much");
        out.resize(std::min(max_bytes + 1, std::max(2 * have, 4 * data.size() + 256)));
        z.next_out = reinterpret_cast<unsigned char*>(out.data()) + have;
        z.avail_out = static_cast<uInt>(out.size() - have);
      }
      const int result = inflate(&z, Z_SYNC_FLUSH);
      if (result == Z_BUF_ERROR) break;  // nothing left to do
      if (result != Z_OK && result != Z_STREAM_END)
        return absl::InvalidArgumentError("a compressed message is broken");
      // What zlib says of the place it has stopped at.
      whole = result == Z_STREAM_END || (z.data_type & 128) != 0;
      if (result == Z_STREAM_END) inflateReset(&z);
    } while (z.avail_in > 0 || z.avail_out == 0);
  }
  if (!whole) return absl::InvalidArgumentError("a compressed message is not whole");
  out.resize(out.size() - z.avail_out);
  if (out.size() > max_bytes) return absl::ResourceExhaustedError("a message inflates to too much");
  return absl::OkStatus();
}

}  // namespace herald
