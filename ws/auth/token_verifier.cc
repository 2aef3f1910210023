#include "ws/auth/token_verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "ws/auth/base64url.h"
#include "ws/auth/claims_json.h"
#include "ws/auth/signature.h"

namespace herald {
namespace {

namespace json = boost::json;

absl::Status Malformed(std::string_view why) { return RefuseToken(TokenFault::kMalformed, why); }

// The compact form, RFC 7515 §7.1; views into the token.
struct Parts {
  std::string_view header, payload, signature;
  std::string_view signed_input;  // header and payload with the dot between
};

std::optional<Parts> Split(std::string_view jwt) {
  const std::size_t first = jwt.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = jwt.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  // A third dot falls to the base64url decoder.
  return Parts{jwt.substr(0, first), jwt.substr(first + 1, second - first - 1),
               jwt.substr(second + 1), jwt.substr(0, second)};
}

absl::StatusOr<json::object> DecodeObject(std::string_view part, std::string_view name) {
  const std::optional<std::string> text = DecodeBase64Url(part);
  if (!text.has_value()) return Malformed(fmt::format("{} is not base64url", name));
  boost::system::error_code error;
  json::value value = json::parse(*text, error);
  if (error || !value.is_object()) return Malformed(fmt::format("{} is not a JSON object", name));
  return std::move(value.get_object());
}

struct Header {
  Algorithm algorithm;
  std::optional<std::string> key_id;
};

absl::StatusOr<Header> ReadHeader(std::string_view part) {
  absl::StatusOr<json::object> object = DecodeObject(part, "header");
  if (!object.ok()) return object.status();
  // RFC 7515 §4.1.11: an extension that must be understood, and none is here.
  // `b64` (RFC 7797) changes what is signed, and must come with `crit`.
  if (object->contains("crit") || object->contains("b64")) {
    return RefuseToken(TokenFault::kAlgorithm, "header has a critical extension");
  }
  const json::value* alg = object->if_contains("alg");
  if (alg == nullptr || !alg->is_string())
    return RefuseToken(TokenFault::kAlgorithm, "header has no 'alg'");
  const std::optional<Algorithm> algorithm =
      ParseAlgorithm({alg->get_string().data(), alg->get_string().size()});
  if (!algorithm.has_value())
    return RefuseToken(TokenFault::kAlgorithm, "header has an 'alg' that is not supported");
  Header header{*algorithm, std::nullopt};
  if (const json::value* kid = object->if_contains("kid")) {
    if (!kid->is_string()) return Malformed("header has a 'kid' that is not a string");
    header.key_id.emplace(kid->get_string().data(), kid->get_string().size());
  }
  return header;
}

absl::Status CheckSignature(const Parts& parts, const Header& header, const KeySet& set,
                            std::uint64_t& key_fingerprint) {
  const std::optional<std::string> signature = DecodeBase64Url(parts.signature);
  if (!signature.has_value()) return Malformed("signature is not base64url");
  std::size_t attempts = 0;
  bool needs_key_id = false;
  for (const Key& key : set.keys) {
    if (key.algorithm != header.algorithm) continue;
    if (!key.id.empty() && key.id != header.key_id) {
      needs_key_id = true;
      continue;
    }
    if (attempts++ == kMaxAttempts) break;
    if (!VerifySignature(key, parts.signed_input, *signature)) continue;
    key_fingerprint = key.fingerprint;
    return absl::OkStatus();
  }
  if (attempts > 0) return RefuseToken(TokenFault::kSignature, "signature is wrong");
  return RefuseToken(TokenFault::kUnknownKey,
                     needs_key_id && !header.key_id.has_value()
                         ? "has no 'kid', and the keys for its algorithm have ids"
                         : "is signed with a key that is not configured");
}

// RFC 7519 §2, NumericDate: seconds since 1970, maybe with a fraction.
absl::StatusOr<absl::Time> ReadTime(const json::value& value, std::string_view claim) {
  boost::system::error_code error;
  const double seconds = value.is_number() ? value.to_number<double>(error) : -1;
  if (error || !(seconds >= 0 && seconds <= kMaxTokenUnixSeconds)) {
    return RefuseToken(TokenFault::kClaims,
                       fmt::format("claim '{}' is not a time in seconds", claim));
  }
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

bool IsString(const json::value& value, std::string_view text) {
  return value.is_string() && std::string_view(value.get_string()) == text;
}

absl::Status CheckIssuerAndAudience(const json::object& payload,
                                    const TokenVerifier::Options& options) {
  if (!options.issuer.empty()) {
    const json::value* iss = payload.if_contains("iss");
    if (iss == nullptr || !IsString(*iss, options.issuer))
      return RefuseToken(TokenFault::kIssuer, "is from another issuer");
  }
  if (!options.audience.empty()) {
    const json::value* aud = payload.if_contains("aud");
    const bool is_member =
        aud != nullptr &&
        (aud->is_array() ? std::any_of(aud->get_array().begin(), aud->get_array().end(),
                                       [&options](const json::value& one) {
                                         return IsString(one, options.audience);
                                       })
                         : IsString(*aud, options.audience));
    if (!is_member) return RefuseToken(TokenFault::kAudience, "is for another audience");
  }
  return absl::OkStatus();
}

absl::Status CheckNotBefore(const json::object& payload, absl::Duration leeway, absl::Time now) {
  const json::value* nbf = payload.if_contains("nbf");
  if (nbf == nullptr) return absl::OkStatus();
  const absl::StatusOr<absl::Time> from = ReadTime(*nbf, "nbf");
  if (!from.ok()) return from.status();
  return now + leeway < *from ? RefuseToken(TokenFault::kNotYetValid, "is not valid yet")
                              : absl::OkStatus();
}

// Whether the token may be valid for as long as it says. Sets `expires`, infinite without `exp`.
absl::Status CheckLifetime(const json::object& payload, const TokenVerifier::Options& options,
                           absl::Time now, absl::Time& expires) {
  const json::value* exp = payload.if_contains("exp");
  const bool limited = options.max_lifetime > absl::ZeroDuration();
  if (exp == nullptr) {
    if (!options.require_exp && !limited) return absl::OkStatus();
    return RefuseToken(TokenFault::kNoExpiry,
                       limited ? "has no 'exp', and jwt_max_lifetime limits how long tokens live"
                               : "has no 'exp' (see jwt_require_exp)");
  }
  const absl::StatusOr<absl::Time> end = ReadTime(*exp, "exp");
  if (!end.ok()) return end.status();
  expires = *end;
  if (!limited) return absl::OkStatus();
  absl::Time issued = now;
  if (const json::value* iat = payload.if_contains("iat")) {
    const absl::StatusOr<absl::Time> time = ReadTime(*iat, "iat");
    if (!time.ok()) return time.status();
    // One that is issued in the future would live longer from now on.
    issued = std::min(*time, now + options.leeway);
  }
  if (*end - issued <= options.max_lifetime) return absl::OkStatus();
  return RefuseToken(TokenFault::kLifetime,
                     fmt::format("is valid for longer than jwt_max_lifetime, {}",
                                 absl::FormatDuration(options.max_lifetime)));
}

}  // namespace

TokenVerifier::TokenVerifier(Options options, std::unique_ptr<KeyStore> keys)
    : options_(std::move(options)), keys_(std::move(keys)) {}

absl::StatusOr<std::unique_ptr<TokenVerifier>> TokenVerifier::Create(Options options) {
  absl::StatusOr<std::unique_ptr<KeyStore>> keys = KeyStore::Load(options.keys, options.algorithms);
  if (!keys.ok()) return keys.status();
  return std::unique_ptr<TokenVerifier>(new TokenVerifier(std::move(options), *std::move(keys)));
}

absl::StatusOr<Claims> TokenVerifier::Verify(std::string_view jwt, absl::Time now) const {
  if (jwt.empty()) return Malformed("is empty");
  if (jwt.size() > kMaxTokenBytes)
    return Malformed(fmt::format("has over {} bytes", kMaxTokenBytes));
  const std::optional<Parts> parts = Split(jwt);
  if (!parts.has_value()) return Malformed("does not have three parts");
  const absl::StatusOr<Header> header = ReadHeader(parts->header);
  if (!header.ok()) return header.status();
  const absl::StatusOr<json::object> payload = DecodeObject(parts->payload, "payload");
  if (!payload.ok()) return payload.status();
  absl::Time expires = absl::InfiniteFuture();
  std::uint64_t key = 0;
  if (absl::Status status = CheckIssuerAndAudience(*payload, options_); !status.ok()) return status;
  if (absl::Status status = CheckNotBefore(*payload, options_.leeway, now); !status.ok())
    return status;
  if (absl::Status status = CheckLifetime(*payload, options_, now, expires); !status.ok())
    return status;
  if (absl::Status status = CheckSignature(*parts, *header, *keys_->Keys(), key); !status.ok())
    return status;
  absl::StatusOr<Claims> claims = ClaimsFromJson(*payload);
  if (!claims.ok()) return claims;
  claims->key = key;
  claims->expires_at = expires + options_.leeway;
  // Last: "expired" means that nothing else was wrong.
  if (now >= claims->expires_at) return RefuseToken(TokenFault::kExpired, "has expired");
  return claims;
}

bool IsTokenExpired(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDeadlineExceeded;
}

}  // namespace herald
