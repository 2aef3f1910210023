#include "ws/auth/token_minter.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "ws/auth/base64url.h"
#include "ws/auth/claims_json.h"
#include "ws/auth/key_file.h"
#include "ws/auth/pem.h"
#include "ws/auth/signature.h"
#include "ws/auth/token_verifier.h"

namespace herald {
namespace {

namespace json = boost::json;

// The file's name in front of what is wrong with it.
absl::StatusOr<TokenMinter> MakeMinter(const std::string& path, absl::StatusOr<Key> key) {
  if (!key.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", path, std::string(key.status().message())));
  }
  return TokenMinter(*std::move(key));
}

std::string Encode(const json::object& object) { return EncodeBase64Url(json::serialize(object)); }

}  // namespace

absl::StatusOr<TokenMinter> TokenMinter::FromSecretFile(const std::string& path) {
  absl::StatusOr<KeyFile> file = ReadKeyFile(path);
  if (!file.ok()) return file.status();
  return MakeMinter(path, ParseSecretText(std::move(file->text)));
}

absl::StatusOr<TokenMinter> TokenMinter::FromPemFile(const std::string& path) {
  const absl::StatusOr<KeyFile> file = ReadKeyFile(path);
  if (!file.ok()) return file.status();
  return MakeMinter(path, ParsePrivateKeyPem(file->text));
}

absl::StatusOr<std::string> TokenMinter::Mint(const TokenSpec& spec, absl::Time now) const {
  json::object payload = ClaimsToJson({.subject = spec.subject,
                                       .topics = spec.topics,
                                       .allow_subscribe = spec.allow_subscribe,
                                       .allow_publish = spec.allow_publish,
                                       .labels = spec.labels,
                                       .token_id = spec.token_id});
  if (const auto claims = ClaimsFromJson(payload); !claims.ok()) {
    return absl::InvalidArgumentError(std::string(claims.status().message()));
  }
  if (spec.ttl <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the time to live is not positive");
  }
  for (const std::string* text : {&spec.issuer, &spec.audience, &spec.key_id}) {
    if (!text->empty() && !IsPlainText(*text, kMaxTokenBytes)) {
      return absl::InvalidArgumentError("issuer, audience and key id must be plain text");
    }
  }
  if (!spec.issuer.empty()) payload["iss"] = spec.issuer;
  if (!spec.audience.empty()) payload["aud"] = spec.audience;
  payload["iat"] = absl::ToUnixSeconds(now);
  if (spec.ttl != absl::InfiniteDuration()) {
    if (now + spec.ttl > absl::FromUnixSeconds(kMaxTokenUnixSeconds)) {
      return absl::InvalidArgumentError("the time to live reaches beyond the year 9999");
    }
    payload["exp"] = absl::ToUnixSeconds(now + spec.ttl);
  }

  json::object header{{"alg", AlgorithmName(key_.algorithm)}, {"typ", "JWT"}};
  if (!spec.key_id.empty()) header["kid"] = spec.key_id;
  std::string token = Encode(header) + '.' + Encode(payload);
  const absl::StatusOr<std::string> signature = Sign(key_, token);
  if (!signature.ok()) return signature.status();
  token += '.' + EncodeBase64Url(*signature);
  if (token.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(
        fmt::format("the token has {} bytes, {} are allowed", token.size(), kMaxTokenBytes));
  }
  return token;
}

}  // namespace herald
