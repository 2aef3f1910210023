// What a client with permessage-deflate sends, made by zlib.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

namespace herald {

// Messages of one deflate stream: with context takeover, that is.
inline std::vector<std::string> DeflatedTogether(const std::vector<std::string>& texts,
                                                 int window_bits = 15, int level = 6) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, level, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::vector<std::string> messages;
  for (const std::string& text : texts) {
    std::string out(text.size() + text.size() / 8 + 1000, '\0');
    z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<unsigned char*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    out.resize(out.size() - z.avail_out - 4);
    messages.push_back(std::move(out));
  }
  deflateEnd(&z);
  return messages;
}

inline std::string Deflated(const std::string& text, int window_bits = 15, int level = 6) {
  return DeflatedTogether({text}, window_bits, level)[0];
}

}  // namespace herald
