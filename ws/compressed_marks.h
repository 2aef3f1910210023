#pragma once

#include <boost/asio/buffer.hpp>
#include <cstdint>
#include <string>

namespace herald {

// Which messages of a client are compressed. Goes along with the bytes on their way to Beast, takes
// RSV1 off the first frames of such messages and makes them binary: to Beast, which then neither
// inflates nor checks UTF-8, they are messages like others. RSV1 where it must not be stays, and is
// an error to Beast.
//
// Threads: one.
// Limits:  one byte a message that Beast has not given out yet, and it reads ahead 1.5 KB.
// Spec:    RFC 7692 §6, §7.2.2; RFC 6455 §5.2.
class CompressedMarks {
 public:
  enum class Mark : char { kPlain, kCompressedText, kCompressedBinary };

  // `bytes` are the next of the client.
  void Scan(boost::asio::mutable_buffer bytes);
  // Of the next message, in the order in which they came.
  Mark Take();

 private:
  void OnHeaderByte(unsigned char& byte);

  std::string marks_;             // not taken yet
  std::uint64_t size_ = 0;        // of the payload; what is left of it once the header is over
  std::uint8_t header_ = 0;       // bytes of the header seen, up to 2
  std::uint8_t length_left_ = 0;  // bytes of the extended length to come
  std::uint8_t masking_key_left_ = 0;
};

}  // namespace herald
