// Keys made when a test needs them, and a directory to keep them in. None is
// ever committed.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "ws/auth/base64url.h"

namespace herald {

using EvpKey = std::shared_ptr<EVP_PKEY>;

inline EvpKey Own(EVP_PKEY* key) {
  EXPECT_NE(key, nullptr);
  return {key, &EVP_PKEY_free};
}

inline EvpKey NewRsa(unsigned bits = 2048) { return Own(EVP_RSA_gen(bits)); }
inline EvpKey NewEc(const char* curve = "P-256") { return Own(EVP_EC_gen(curve)); }
inline EvpKey NewEd25519() { return Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

inline std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

inline std::string PublicPem(const EvpKey& key) {
  BIO* bio = BIO_new(BIO_s_mem());
  EXPECT_EQ(PEM_write_bio_PUBKEY(bio, key.get()), 1);
  return BioText(bio);
}

inline std::string PrivatePem(const EvpKey& key, const char* pass_phrase = nullptr) {
  BIO* bio = BIO_new(BIO_s_mem());
  const EVP_CIPHER* cipher = pass_phrase == nullptr ? nullptr : EVP_aes_256_cbc();
  EXPECT_EQ(PEM_write_bio_PKCS8PrivateKey(bio, key.get(), cipher, pass_phrase,
                                          pass_phrase == nullptr ? 0 : 4, nullptr, nullptr),
            1);
  return BioText(bio);
}

// A number of a key as JWK has it; `width` pads on the left, 0 does not.
inline std::string Number(const EvpKey& key, const char* name, int width = 0) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key.get(), name, &number), 1);
  if (width == 0) width = BN_num_bytes(number);
  std::string bytes(static_cast<std::size_t>(width), '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), width);
  BN_free(number);
  return EncodeBase64Url(bytes);
}

// Members of a JWK without its braces, so that a test can add others.
inline std::string RsaJwk(const EvpKey& key) {
  return R"("kty":"RSA","n":")" + Number(key, OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
         Number(key, OSSL_PKEY_PARAM_RSA_E) + '"';
}

inline std::string EcJwk(const EvpKey& key) {
  return R"("kty":"EC","crv":"P-256","x":")" + Number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32) +
         R"(","y":")" + Number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32) + '"';
}

inline std::string Ed25519Jwk(const EvpKey& key) {
  std::string bytes(32, '\0');
  std::size_t size = bytes.size();
  EXPECT_EQ(
      EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size),
      1);
  return R"("kty":"OKP","crv":"Ed25519","x":")" + EncodeBase64Url(bytes) + '"';
}

inline std::string SecretJwk(std::string_view secret) {
  return R"("kty":"oct","k":")" + EncodeBase64Url(secret) + '"';
}

// Removed with all that is in it when the test ends.
class TempDirectory {
 public:
  TempDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "herald-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    path_ = path;
  }
  ~TempDirectory() { std::filesystem::remove_all(path_); }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  std::string Path(std::string_view name) const { return (path_ / name).string(); }

  // As a careful operator replaces a file: at once, by a rename.
  std::string Write(std::string_view name, std::string_view text) const {
    const std::string path = Path(name), next = path + ".next";
    std::ofstream(next, std::ios::binary) << text;
    std::filesystem::rename(next, path);
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace herald
