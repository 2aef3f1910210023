#pragma once

#include <nats/nats.h>

#include <memory>
#include <optional>
#include <string_view>

namespace herald {

// A message that came from NATS; owns it. Views into it live as long as it does.
//
// Threads: one at a time (headers are parsed when first asked for).
class NatsMessage {
 public:
  explicit NatsMessage(natsMsg* message) : message_(message) {}

  std::string_view subject() const { return natsMsg_GetSubject(message_.get()); }
  // Where an answer is awaited; empty for none.
  std::string_view reply() const {
    const char* reply = natsMsg_GetReply(message_.get());
    return reply == nullptr ? std::string_view() : std::string_view(reply);
  }
  std::string_view data() const {
    return {natsMsg_GetData(message_.get()),
            static_cast<std::size_t>(natsMsg_GetDataLength(message_.get()))};
  }
  std::optional<std::string_view> header(const char* name) const {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message_.get(), name, &value) != NATS_OK || value == nullptr)
      return std::nullopt;
    return value;
  }
  bool no_responders() const { return natsMsg_IsNoResponders(message_.get()); }

 private:
  struct Destroy {
    void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
  };
  std::unique_ptr<natsMsg, Destroy> message_;
};

}  // namespace herald
