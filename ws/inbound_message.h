#pragma once

#include <boost/asio/buffer.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "session/unfinished_messages.h"

namespace herald {

// A client's message that is read in parts: what has come, and room for the next part.
//
// The room is apart from what has come, so that a message can be let go of while a read into the
// room is pending.
//
// Threads:   its shard.
// Ownership: the connection's. The pool outlives it.
// Memory:    starts with kFirstRoom and doubles; charged to the pool before it grows. The room is at
//            most kMaxRoom.
class InboundMessage final : private UnfinishedMessage {
 public:
  static constexpr std::size_t kFirstRoom = 512;
  static constexpr std::size_t kMaxRoom = 4096;

  using UnfinishedMessage::Refusal;
  // Ends the connection, which is not to delete this message before the call returns.
  using EndConnection = absl::AnyInvocable<void(Refusal why)>;

  InboundMessage(UnfinishedMessages& pool, EndConnection end_connection)
      : pool_(pool), end_connection_(std::move(end_connection)) {}
  ~InboundMessage() { pool_.Release(*this); }

  // Appends `part`. Returns false if the pool refused the message; the connection has been ended.
  bool Append(std::string_view part);
  // Where the next part is to be read to. Valid until the next call of Room.
  boost::asio::mutable_buffer Room();
  // Appends the first `n` bytes of the room.
  bool TakeRoom(std::size_t n) { return Append({room_.get(), n}); }

  std::string_view bytes() const { return whole_; }

 private:
  void OnRefused(Refusal why) override;

  UnfinishedMessages& pool_;
  EndConnection end_connection_;
  std::string whole_;
  std::unique_ptr<char[]> room_;
  std::size_t room_bytes_ = 0;
};

}  // namespace herald
