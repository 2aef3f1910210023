#include "ws/inbound_message.h"

#include <algorithm>

namespace herald {

bool InboundMessage::Append(std::string_view part) {
  const std::size_t size = whole_.size() + part.size();
  if (size > whole_.capacity()) {
    const std::size_t capacity = std::max(size, 2 * whole_.capacity());
    if (!pool_.Charge(*this, sizeof *this + capacity + room_bytes_)) return false;
    whole_.reserve(capacity);
  }
  whole_ += part;
  return true;
}

boost::asio::mutable_buffer InboundMessage::Room() {
  const std::size_t wanted = std::clamp(whole_.size(), kFirstRoom, kMaxRoom);
  if (room_bytes_ < wanted) {
    room_bytes_ = wanted;
    room_ = std::make_unique_for_overwrite<char[]>(room_bytes_);
  }
  return boost::asio::buffer(room_.get(), room_bytes_);
}

void InboundMessage::OnRefused(Refusal why) {
  std::string().swap(whole_);
  end_connection_(why);
}

}  // namespace herald
