#pragma once

#include <string>

namespace herald {

// Which messages of a client are compressed. Sees each frame (frame_scanner.h) before Beast, takes
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

  // `first` is the first byte of the client's next frame.
  void OnFrame(unsigned char& first);
  // Of the next message, in the order in which they came.
  Mark Take();

 private:
  std::string marks_;  // not taken yet
};

}  // namespace herald
