#pragma once

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cstdint>

namespace herald {

// Finds the frames in the bytes of a client, before Beast sees them: Beast handles empty fragments
// and pongs without a word, and each costs time.
//
// Threads: one.
// Spec:    RFC 6455 §5.2. What is no frame is left to Beast, which closes the connection.
class FrameScanner {
 public:
  // `bytes` are the next of the client. Calls `on_frame` with the first byte of each frame that
  // begins in them, and `on_frame` may change it.
  template <typename OnFrame>
  void Scan(boost::asio::mutable_buffer bytes, OnFrame on_frame) {
    while (bytes.size() > 0) {
      if (header_ == 0 && payload_left_ > 0) {
        const auto skipped =
            static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, bytes.size()));
        payload_left_ -= skipped;
        bytes += skipped;
        continue;
      }
      auto& byte = *static_cast<unsigned char*>(bytes.data());
      bytes += 1;
      if (header_ == 0) {
        header_ = 1;
        on_frame(byte);
      } else {
        OnHeaderByte(byte);
      }
    }
  }

 private:
  // One after the first.
  void OnHeaderByte(unsigned char byte) {
    if (header_ == 1) {
      header_ = 2;
      masking_key_left_ = (byte & 0x80) != 0 ? 4 : 0;
      payload_left_ = byte & 0x7f;
      length_left_ = payload_left_ == 127 ? 8 : payload_left_ == 126 ? 2 : 0;
      if (length_left_ > 0) payload_left_ = 0;
    } else if (length_left_ > 0) {
      payload_left_ = payload_left_ << 8 | byte;
      --length_left_;
    } else {
      --masking_key_left_;
    }
    if (length_left_ == 0 && masking_key_left_ == 0) header_ = 0;
  }

  std::uint64_t payload_left_ = 0;     // while header_ > 0: its length, as far as it has come
  std::uint8_t header_ = 0;            // bytes of the header seen, up to 2
  std::uint8_t length_left_ = 0;       // bytes of the extended length to come
  std::uint8_t masking_key_left_ = 0;  // bytes of the masking key to come
};

}  // namespace herald
