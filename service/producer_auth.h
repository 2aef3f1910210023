#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "session/current.h"
#include "session/string_map.h"

namespace herald {

// The bearer tokens that producers may use, from a file: one `<name> <token>` a line, `#` begins a
// comment. Only hashes are kept, so that a comparison says nothing about a token and a core dump
// holds none.
//
// Threads:   any. A reload replaces the tokens in place.
class ProducerAuth {
 public:
  // Anybody may call: for loopback, mTLS and --insecure_grpc.
  ProducerAuth() : ProducerAuth(Tokens{}) {}
  // kInvalidArgument names the file and the line: a token has at least 16 characters and stands
  // once.
  static absl::StatusOr<ProducerAuth> Load(const std::string& path);

  // `authorization`: the header's value, empty if absent. The producer's name, or kUnauthenticated.
  absl::StatusOr<std::string> Check(std::string_view authorization) const;

  // `other`'s tokens are those that count, for calls that begin from now on.
  void Replace(const ProducerAuth& other) {
    tokens_->Set(std::make_shared<const Tokens>(other.tokens_->Get()));
  }
  friend bool operator==(const ProducerAuth& a, const ProducerAuth& b) {
    return a.tokens_->Get() == b.tokens_->Get();
  }

 private:
  struct Tokens {
    bool open = true;
    StringMap<std::string> names;  // SHA-256 of the token → name

    bool operator==(const Tokens&) const = default;
  };
  explicit ProducerAuth(Tokens tokens)
      : tokens_(
            std::make_unique<Current<Tokens>>(std::make_shared<const Tokens>(std::move(tokens)))) {}

  std::unique_ptr<Current<Tokens>> tokens_;
};

}  // namespace herald
