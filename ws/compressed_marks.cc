#include "ws/compressed_marks.h"

#include <algorithm>

#include "session/frame.h"

namespace herald {
namespace {

constexpr unsigned char kRsv1 = 0x40;

}  // namespace

void CompressedMarks::Scan(boost::asio::mutable_buffer bytes) {
  while (bytes.size() > 0) {
    if (header_ == 0 && size_ > 0) {
      const std::size_t skipped =
          static_cast<std::size_t>(std::min<std::uint64_t>(size_, bytes.size()));
      size_ -= skipped;
      bytes += skipped;
    } else {
      OnHeaderByte(*static_cast<unsigned char*>(bytes.data()));
      bytes += 1;
    }
  }
}

void CompressedMarks::OnHeaderByte(unsigned char& byte) {
  if (header_ == 0) {
    header_ = 1;
    const auto opcode = static_cast<Opcode>(byte & 0x0f);
    if (opcode != Opcode::kText && opcode != Opcode::kBinary) return;  // continuation or control
    Mark mark = Mark::kPlain;
    if ((byte & kRsv1) != 0) {
      mark = opcode == Opcode::kText ? Mark::kCompressedText : Mark::kCompressedBinary;
      byte = static_cast<unsigned char>((byte & 0xb0) | static_cast<int>(Opcode::kBinary));
    }
    marks_.push_back(static_cast<char>(mark));
    return;
  }
  if (header_ == 1) {
    header_ = 2;
    masking_key_left_ = (byte & 0x80) != 0 ? 4 : 0;
    size_ = byte & 0x7f;
    length_left_ = size_ == 127 ? 8 : size_ == 126 ? 2 : 0;
    if (length_left_ > 0) size_ = 0;
  } else if (length_left_ > 0) {
    size_ = size_ << 8 | byte;
    --length_left_;
  } else {
    --masking_key_left_;
  }
  if (length_left_ == 0 && masking_key_left_ == 0) header_ = 0;
}

CompressedMarks::Mark CompressedMarks::Take() {
  if (marks_.empty()) return Mark::kPlain;
  const auto mark = static_cast<Mark>(marks_.front());
  marks_.erase(0, 1);
  if (marks_.empty()) marks_.shrink_to_fit();
  return mark;
}

}  // namespace herald
