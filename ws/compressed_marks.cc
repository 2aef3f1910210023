#include "ws/compressed_marks.h"

#include "session/frame.h"

namespace herald {
namespace {

constexpr unsigned char kRsv1 = 0x40;

}  // namespace

void CompressedMarks::OnFrame(unsigned char& first) {
  const auto opcode = static_cast<Opcode>(first & 0x0f);
  if (opcode != Opcode::kText && opcode != Opcode::kBinary) return;  // continuation or control
  Mark mark = Mark::kPlain;
  if ((first & kRsv1) != 0) {
    mark = opcode == Opcode::kText ? Mark::kCompressedText : Mark::kCompressedBinary;
    first = static_cast<unsigned char>((first & 0xb0) | static_cast<int>(Opcode::kBinary));
  }
  marks_.push_back(static_cast<char>(mark));
}

CompressedMarks::Mark CompressedMarks::Take() {
  if (marks_.empty()) return Mark::kPlain;
  const auto mark = static_cast<Mark>(marks_.front());
  marks_.erase(0, 1);
  if (marks_.empty()) marks_.shrink_to_fit();
  return mark;
}

}  // namespace herald
