#include "ws/auth/jwks.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ws/auth/base64url.h"
#include "ws/auth/key_file.h"

namespace herald {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kP256NumberBytes = 32;
constexpr std::size_t kEd25519Bytes = 32;

using Bignum = std::unique_ptr<BIGNUM, decltype(&BN_free)>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)>;

// The string, or "" if the member is absent or something else.
std::string_view StringMember(const json::object& jwk, std::string_view name) {
  const json::value* value = jwk.if_contains(name);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

absl::StatusOr<std::string> BytesMember(const json::object& jwk, std::string_view name) {
  std::optional<std::string> bytes = DecodeBase64Url(StringMember(jwk, name));
  if (!bytes.has_value() || bytes->empty()) {
    return absl::InvalidArgumentError(fmt::format("'{}' is missing or not base64url", name));
  }
  return *std::move(bytes);
}

// Null on failure, which MakeAsymmetricKey turns into an error.
std::shared_ptr<EVP_PKEY> BuildPublicKey(const char* type, OSSL_PARAM_BLD* builder) {
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr);
  EVP_PKEY* key = nullptr;
  if (params != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context) == 1) {
    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
  }
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  return {key, &EVP_PKEY_free};
}

Bignum ToBignum(const std::string& bytes) {
  return {BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                    static_cast<int>(bytes.size()), nullptr),
          &BN_free};
}

absl::StatusOr<Key> ReadRsa(const json::object& jwk, std::string id) {
  const absl::StatusOr<std::string> n = BytesMember(jwk, "n");
  if (!n.ok()) return n.status();
  const absl::StatusOr<std::string> e = BytesMember(jwk, "e");
  if (!e.ok()) return e.status();
  const Bignum modulus = ToBignum(*n), exponent = ToBignum(*e);
  const ParamBuilder builder(OSSL_PARAM_BLD_new(), &OSSL_PARAM_BLD_free);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return MakeAsymmetricKey(BuildPublicKey("RSA", builder.get()), std::move(id));
}

absl::StatusOr<Key> ReadEc(const json::object& jwk, std::string id) {
  const absl::StatusOr<std::string> x = BytesMember(jwk, "x");
  if (!x.ok()) return x.status();
  const absl::StatusOr<std::string> y = BytesMember(jwk, "y");
  if (!y.ok()) return y.status();
  if (x->size() != kP256NumberBytes || y->size() != kP256NumberBytes) {
    return absl::InvalidArgumentError("'x' and 'y' must have 32 bytes each");
  }
  const std::string point = '\x04' + *x + *y;  // SEC 1 §2.3.3, uncompressed
  const ParamBuilder builder(OSSL_PARAM_BLD_new(), &OSSL_PARAM_BLD_free);
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return MakeAsymmetricKey(BuildPublicKey("EC", builder.get()), std::move(id));
}

absl::StatusOr<Key> ReadEd25519(const json::object& jwk, std::string id) {
  const absl::StatusOr<std::string> x = BytesMember(jwk, "x");
  if (!x.ok()) return x.status();
  if (x->size() != kEd25519Bytes) return absl::InvalidArgumentError("'x' must have 32 bytes");
  return MakeAsymmetricKey(
      {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                   reinterpret_cast<const unsigned char*>(x->data()), x->size()),
       &EVP_PKEY_free},
      std::move(id));
}

absl::StatusOr<Key> ReadSecret(const json::object& jwk, std::string id) {
  absl::StatusOr<std::string> k = BytesMember(jwk, "k");
  if (!k.ok()) return k.status();
  return MakeSecretKey(*std::move(k), std::move(id));
}

// What the key's kind gives, or nothing if Herald does not know it.
std::optional<Algorithm> KindAlgorithm(const json::object& jwk) {
  const std::string_view kty = StringMember(jwk, "kty");
  const std::string_view crv = StringMember(jwk, "crv");
  if (kty == "oct") return Algorithm::kHs256;
  if (kty == "RSA") return Algorithm::kRs256;
  if (kty == "EC" && crv == "P-256") return Algorithm::kEs256;
  if (kty == "OKP" && crv == "Ed25519") return Algorithm::kEdDsa;
  return std::nullopt;
}

bool IsForVerifying(const json::object& jwk) {
  if (jwk.contains("use") && StringMember(jwk, "use") != "sig") return false;
  const json::value* ops = jwk.if_contains("key_ops");
  if (ops == nullptr) return true;
  if (!ops->is_array()) return false;
  const json::array& list = ops->get_array();
  return std::find(list.begin(), list.end(), json::value("verify")) != list.end();
}

// Nothing if the key is to be skipped.
absl::StatusOr<std::optional<Key>> ReadJwk(const json::value& value,
                                           const std::vector<Algorithm>& allowed) {
  if (!value.is_object()) return absl::InvalidArgumentError("is not an object");
  const json::object& jwk = value.get_object();
  const std::optional<Algorithm> algorithm = KindAlgorithm(jwk);
  if (!algorithm.has_value() || !IsForVerifying(jwk)) return std::nullopt;
  if (jwk.contains("alg")) {
    const std::optional<Algorithm> pinned = ParseAlgorithm(StringMember(jwk, "alg"));
    if (!pinned.has_value()) return std::nullopt;
    if (*pinned != *algorithm) {
      return absl::InvalidArgumentError(fmt::format(
          "alg {} does not fit a key of kty {}", AlgorithmName(*pinned), StringMember(jwk, "kty")));
    }
  }
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), *algorithm) == allowed.end()) {
    return std::nullopt;
  }
  if (jwk.contains("kid") && !jwk.at("kid").is_string()) {
    return absl::InvalidArgumentError("'kid' is not a string");
  }
  std::string id(StringMember(jwk, "kid"));
  absl::StatusOr<Key> key = absl::InternalError("unreachable");
  switch (*algorithm) {
    case Algorithm::kHs256:
      key = ReadSecret(jwk, std::move(id));
      break;
    case Algorithm::kRs256:
      key = ReadRsa(jwk, std::move(id));
      break;
    case Algorithm::kEs256:
      key = ReadEc(jwk, std::move(id));
      break;
    case Algorithm::kEdDsa:
      key = ReadEd25519(jwk, std::move(id));
      break;
  }
  ERR_clear_error();
  if (!key.ok()) return key.status();
  return *std::move(key);
}

}  // namespace

absl::StatusOr<std::vector<Key>> ParseJwks(std::string_view text,
                                           const std::vector<Algorithm>& allowed,
                                           std::vector<std::string>* skipped) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  const json::value document = json::parse(text, error, {}, options);
  if (error) return absl::InvalidArgumentError(fmt::format("not JSON: {}", error.message()));
  const json::object* root = document.if_object();
  const json::value* list = root == nullptr ? nullptr : root->if_contains("keys");
  if (list == nullptr || !list->is_array()) {
    return absl::InvalidArgumentError("not a key set: there is no array 'keys'");
  }
  std::vector<Key> keys;
  std::vector<std::string> broken;
  std::size_t number = 0;
  for (const json::value& value : list->get_array()) {
    ++number;
    absl::StatusOr<std::optional<Key>> key = ReadJwk(value, allowed);
    if (!key.ok()) {
      broken.push_back(fmt::format("key {}: {}", number, std::string(key.status().message())));
      continue;
    }
    if (!key->has_value()) continue;
    if (keys.size() == kMaxKeys) {
      return absl::InvalidArgumentError(fmt::format("more than {} keys", kMaxKeys));
    }
    keys.push_back(**std::move(key));
  }
  if (keys.empty()) {
    return absl::InvalidArgumentError(fmt::format("none of the {} keys can be used{}{}", number,
                                                  broken.empty() ? "" : "; ",
                                                  broken.empty() ? "" : broken.front()));
  }
  if (skipped != nullptr) {
    skipped->insert(skipped->end(), std::make_move_iterator(broken.begin()),
                    std::make_move_iterator(broken.end()));
  }
  return keys;
}

}  // namespace herald
