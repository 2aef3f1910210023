#include "ws/auth/signature.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>

namespace herald {
namespace {

constexpr std::size_t kSha256Bytes = 32;
constexpr std::size_t kEs256NumberBytes = 32;  // of r and of s

using MdContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)>;

// Nothing of a failed call may stay in this thread's queue: TLS reads it too.
struct ErrorQueueCleaner {
  ~ErrorQueueCleaner() { ERR_clear_error(); }
};

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::optional<std::string> HmacSha256(const std::string& secret, std::string_view input) {
  std::array<unsigned char, kSha256Bytes> mac;
  unsigned int size = mac.size();
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), Bytes(input), input.size(),
           mac.data(), &size) == nullptr ||
      size != mac.size()) {
    return std::nullopt;
  }
  return std::string(mac.begin(), mac.end());
}

// Ed25519 has its hash inside.
const EVP_MD* Digest(Algorithm algorithm) {
  return algorithm == Algorithm::kEdDsa ? nullptr : EVP_sha256();
}

std::optional<std::string> Es256ToDer(std::string_view raw) {
  if (raw.size() != 2 * kEs256NumberBytes) return std::nullopt;
  const EcdsaSignature signature(ECDSA_SIG_new(), &ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(Bytes(raw), kEs256NumberBytes, nullptr);
  BIGNUM* s = BN_bin2bn(Bytes(raw) + kEs256NumberBytes, kEs256NumberBytes, nullptr);
  if (signature == nullptr || r == nullptr || s == nullptr ||
      ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return std::nullopt;
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

std::optional<std::string> Es256FromDer(std::string_view der) {
  const unsigned char* at = Bytes(der);
  const EcdsaSignature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())),
                                 &ECDSA_SIG_free);
  if (signature == nullptr) return std::nullopt;
  std::array<unsigned char, 2 * kEs256NumberBytes> raw;
  const int width = kEs256NumberBytes;
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), width) != width ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + width, width) != width) {
    return std::nullopt;
  }
  return std::string(raw.begin(), raw.end());
}

}  // namespace

bool VerifySignature(const Key& key, std::string_view input, std::string_view signature) {
  const ErrorQueueCleaner cleaner;
  if (key.algorithm == Algorithm::kHs256) {
    const std::optional<std::string> mac = HmacSha256(key.secret, input);
    return mac.has_value() && signature.size() == mac->size() &&
           CRYPTO_memcmp(mac->data(), signature.data(), mac->size()) == 0;
  }
  std::string der;
  if (key.algorithm == Algorithm::kEs256) {
    std::optional<std::string> converted = Es256ToDer(signature);
    if (!converted.has_value()) return false;
    der = *std::move(converted);
    signature = der;
  }
  const MdContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, Digest(key.algorithm), nullptr,
                              key.evp.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(input),
                          input.size()) == 1;
}

absl::StatusOr<std::string> Sign(const Key& key, std::string_view input) {
  const ErrorQueueCleaner cleaner;
  if (key.algorithm == Algorithm::kHs256) {
    std::optional<std::string> mac = HmacSha256(key.secret, input);
    if (!mac.has_value()) return absl::InternalError("HMAC failed");
    return *std::move(mac);
  }
  const MdContext context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::size_t size = 0;
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, Digest(key.algorithm), nullptr, key.evp.get()) !=
          1 ||
      EVP_DigestSign(context.get(), nullptr, &size, Bytes(input), input.size()) != 1) {
    return absl::InvalidArgumentError("the key cannot sign: is it a private key?");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     Bytes(input), input.size()) != 1) {
    return absl::InvalidArgumentError("the key cannot sign: is it a private key?");
  }
  signature.resize(size);
  if (key.algorithm != Algorithm::kEs256) return signature;
  std::optional<std::string> raw = Es256FromDer(signature);
  if (!raw.has_value()) return absl::InternalError("the ES256 signature has an unexpected form");
  return *std::move(raw);
}

}  // namespace herald
