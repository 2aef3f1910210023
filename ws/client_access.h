#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "session/compact_time.h"
#include "session/topic_rules.h"
#include "ws/auth/claims.h"

namespace herald {

// What one client may subscribe to and publish on, by the topic's rule and the client's token, and
// by which token it came and until when.
//
// A token grants a topic for subscribing if a pattern in `allow.subscribe` matches it or `topics`
// names it; for publishing, if a pattern in `allow.publish` matches it.
//
// Threads:   the session's shard.
// Memory:    one pointer; 32 bytes more for a client with a token, and what its lists hold.
class ClientAccess {
 public:
  ClientAccess() = default;
  // Patterns of the token that are not well formed grant nothing.
  explicit ClientAccess(const Claims& claims);

  // `user`: empty for an anonymous client. kPermissionDenied says whether the rule or the token
  // stands against it, or that the client should sign in.
  absl::Status MaySubscribe(const TopicRule& rule, const std::string& topic,
                            std::string_view user) const;
  absl::Status MayPublish(const TopicRule& rule, const std::string& topic,
                          std::string_view user) const;
  // The token's `topics` names it: the session is subscribed at connect, whatever the rule says.
  bool SubscribedByToken(std::string_view topic) const;

  // When the token is not accepted any more; never without a token.
  absl::Time expires_at() const {
    return token_ ? absl::Time(token_->expires_at) : absl::InfiniteFuture();
  }
  // The token is not accepted after `time`, if it was until then.
  void ExpireAt(absl::Time time);

  // Fingerprint of the key that verified the token; 0 without a token.
  std::uint64_t key() const { return token_ ? token_->key : 0; }
  // The token has this `jti`.
  bool HasTokenId(std::string_view token_id) const;

 private:
  struct Grants {
    std::vector<TopicPattern> subscribe;
    std::vector<TopicPattern> publish;
    std::string topics;  // each with a line end behind it
  };
  struct Token {
    std::uint64_t key = 0;
    std::uint64_t id_hash = 0;  // of `jti`; 0: it has none
    CompactTime expires_at = absl::InfiniteFuture();
    std::unique_ptr<const Grants> grants;  // null: it grants nothing
  };
  std::unique_ptr<Token> token_;  // null: there is none
};

}  // namespace herald
