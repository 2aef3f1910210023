#include "broker/stored_message.h"

#include <cstring>

#include "herald/internal/v1/stored_message.pb.h"

namespace herald {
namespace {

constexpr std::size_t kSessionBytes = 17;

std::string SessionBytes(const SessionId& id) {
  std::string bytes(kSessionBytes, '\0');
  std::memcpy(bytes.data(), &id.high, 8);
  std::memcpy(bytes.data() + 8, &id.low, 8);
  bytes[16] = static_cast<char>(id.shard);
  return bytes;
}

SessionId SessionFrom(std::string_view bytes) {
  SessionId id;
  std::memcpy(&id.high, bytes.data(), 8);
  std::memcpy(&id.low, bytes.data() + 8, 8);
  id.shard = static_cast<std::uint8_t>(bytes[16]);
  return id;
}

DeliveryOptionsPtr OptionsFrom(internal::v1::StoredMessage& stored) {
  if (stored.expires_unix_ms() == 0 && stored.collapse_key().empty() && !stored.high_priority() &&
      stored.overflow() == 0) {
    return nullptr;
  }
  auto options = std::make_shared<DeliveryOptions>();
  options->expires_unix_ms = stored.expires_unix_ms();
  options->collapse_key = std::move(*stored.mutable_collapse_key());
  options->high_priority = stored.high_priority();
  if (stored.overflow() != 0 && stored.overflow() <= 3)
    options->overflow = static_cast<Overflow>(stored.overflow() - 1);
  return options;
}

}  // namespace

std::string Serialize(const Publication& publication, std::uint64_t fence, std::string_view receipt,
                      std::string_view fingerprint) {
  internal::v1::StoredMessage stored;
  const MessageBody& body = *publication.body;
  stored.set_fence(fence);
  stored.set_id(body.id);
  stored.set_payload(body.payload);
  stored.set_content_type(body.content_type);
  stored.set_event(body.event);
  for (const auto& [name, value] : body.attributes) {
    stored.add_attributes(name);
    stored.add_attributes(value);
  }
  stored.set_sender(body.sender);
  stored.set_accepted_unix_ms(body.accepted_unix_ms);
  stored.set_payload_kind(static_cast<std::uint32_t>(body.kind));
  if (const DeliveryOptions* options = publication.options.get()) {
    stored.set_expires_unix_ms(options->expires_unix_ms);
    stored.set_collapse_key(options->collapse_key);
    stored.set_high_priority(options->high_priority);
    if (options->overflow) stored.set_overflow(static_cast<std::uint32_t>(*options->overflow) + 1);
  }
  if (publication.except) {
    for (const SessionId& id : publication.except->sessions)
      stored.add_except_sessions(SessionBytes(id));
    for (const std::string& user : publication.except->users) stored.add_except_users(user);
  }
  stored.set_receipt(std::string(receipt));
  stored.set_fingerprint(std::string(fingerprint));
  return stored.SerializeAsString();
}

std::optional<StoredMessage> ParseStoredMessage(std::string_view bytes) {
  internal::v1::StoredMessage stored;
  if (!stored.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      stored.payload_kind() > static_cast<std::uint32_t>(PayloadKind::kBytes)) {
    return std::nullopt;
  }
  StoredMessage message;
  message.fence = stored.fence();
  auto body = std::make_shared<MessageBody>();
  body->id = std::move(*stored.mutable_id());
  body->payload = std::move(*stored.mutable_payload());
  body->content_type = std::move(*stored.mutable_content_type());
  body->event = std::move(*stored.mutable_event());
  for (int i = 0; i + 1 < stored.attributes_size(); i += 2) {
    body->attributes.emplace_back(std::move(*stored.mutable_attributes(i)),
                                  std::move(*stored.mutable_attributes(i + 1)));
  }
  body->sender = std::move(*stored.mutable_sender());
  body->accepted_unix_ms = stored.accepted_unix_ms();
  body->kind = static_cast<PayloadKind>(stored.payload_kind());
  message.body = std::move(body);
  message.options = OptionsFrom(stored);
  if (stored.except_sessions_size() > 0 || stored.except_users_size() > 0) {
    auto except = std::make_shared<Exceptions>();
    for (const std::string& session : stored.except_sessions()) {
      if (session.size() == kSessionBytes) except->sessions.insert(SessionFrom(session));
    }
    for (const std::string& user : stored.except_users()) except->users.insert(user);
    message.except = std::move(except);
  }
  message.receipt = std::move(*stored.mutable_receipt());
  message.fingerprint = std::move(*stored.mutable_fingerprint());
  return message;
}

}  // namespace herald
