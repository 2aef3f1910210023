#include "ws/auth/key.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace herald {
namespace {

absl::Status CheckRsa(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return absl::InvalidArgumentError(fmt::format("the RSA key has {} bits, {} to {} are allowed",
                                                  bits, kMinRsaBits, kMaxRsaBits));
  }
  // With the exponent 1 anyone can sign.
  BIGNUM* raw = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw);
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> exponent(raw, &BN_free);
  if (exponent == nullptr || !BN_is_odd(exponent.get()) || BN_is_one(exponent.get())) {
    return absl::InvalidArgumentError("the RSA key's exponent is not an odd number above 1");
  }
  return absl::OkStatus();
}

absl::Status CheckEc(const EVP_PKEY* key) {
  char group[64] = "";
  EVP_PKEY_get_group_name(key, group, sizeof group, nullptr);
  if (std::string_view(group) != "prime256v1") {
    return absl::InvalidArgumentError(
        fmt::format("the EC key is on curve '{}', ES256 needs P-256 (prime256v1)", group));
  }
  return absl::OkStatus();
}

std::uint64_t Fingerprint(Algorithm algorithm, std::string_view material) {
  std::string input(AlgorithmName(algorithm));
  input.append(1, '\0').append(material);
  std::array<unsigned char, 32> digest{};
  EVP_Digest(input.data(), input.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::uint64_t fingerprint = 0;
  std::memcpy(&fingerprint, digest.data(), sizeof fingerprint);
  return fingerprint == 0 ? 1 : fingerprint;
}

// The public half in DER.
std::string PublicDer(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

}  // namespace

absl::StatusOr<Key> MakeSecretKey(std::string secret, std::string id) {
  if (secret.size() < kMinSecretBytes) {
    return absl::InvalidArgumentError(fmt::format("the secret has {} bytes, HS256 needs {} or more",
                                                  secret.size(), kMinSecretBytes));
  }
  const std::uint64_t fingerprint = Fingerprint(Algorithm::kHs256, secret);
  return Key{Algorithm::kHs256, std::move(id), std::move(secret), nullptr, fingerprint};
}

absl::StatusOr<Key> ParseSecretText(std::string text) {
  // A public key as the secret of an HMAC would let everyone sign.
  if (text.find("-----BEGIN ") != std::string::npos) {
    return absl::InvalidArgumentError("PEM text cannot be a secret for HS256");
  }
  if (text.ends_with("\r\n")) {
    text.resize(text.size() - 2);
  } else if (text.ends_with('\n')) {
    text.pop_back();
  }
  return MakeSecretKey(std::move(text));
}

absl::StatusOr<Key> MakeAsymmetricKey(std::shared_ptr<EVP_PKEY> evp, std::string id) {
  absl::Status status;
  Algorithm algorithm{};
  if (evp == nullptr) {
    status = absl::InvalidArgumentError("the key's numbers do not make a key");
  } else if (EVP_PKEY_is_a(evp.get(), "RSA")) {  // not RSA-PSS, which is another algorithm
    algorithm = Algorithm::kRs256;
    status = CheckRsa(evp.get());
  } else if (EVP_PKEY_is_a(evp.get(), "EC")) {
    algorithm = Algorithm::kEs256;
    status = CheckEc(evp.get());
  } else if (EVP_PKEY_is_a(evp.get(), "ED25519")) {
    algorithm = Algorithm::kEdDsa;
  } else {
    const char* type = EVP_PKEY_get0_type_name(evp.get());
    status = absl::InvalidArgumentError(fmt::format(
        "a key of type {} serves none of RS256, ES256, EdDSA", type == nullptr ? "unknown" : type));
  }
  const std::uint64_t fingerprint =
      status.ok() ? Fingerprint(algorithm, PublicDer(evp.get())) : std::uint64_t{0};
  ERR_clear_error();  // this thread's queue: the next TLS call would report it
  if (!status.ok()) return status;
  return Key{algorithm, std::move(id), {}, std::move(evp), fingerprint};
}

}  // namespace herald
