// Tokens built by hand, so that neither our minter nor our checks can hide a fault of the other.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/ws/test_keys.h"
#include "ws/auth/signature.h"
#include "ws/auth/token_verifier.h"

namespace herald {

inline const std::string kSecret = "0123456789abcdef0123456789abcdef";
inline const std::string kHs256Header = R"({"alg":"HS256","typ":"JWT"})";
inline const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

inline std::string Hmac(std::string_view secret, std::string_view input) {
  unsigned char mac[32];
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(input.data()), input.size(), mac, nullptr);
  return {reinterpret_cast<char*>(mac), sizeof mac};
}

inline std::string SigningInput(std::string_view header, std::string_view payload) {
  return EncodeBase64Url(header) + "." + EncodeBase64Url(payload);
}

inline std::string Hs256(std::string_view header, std::string_view payload,
                         std::string_view secret = kSecret) {
  const std::string input = SigningInput(header, payload);
  return input + "." + EncodeBase64Url(Hmac(secret, input));
}

inline std::string SignedBy(const EvpKey& key, Algorithm algorithm, std::string_view header,
                            std::string_view payload) {
  const std::string input = SigningInput(header, payload);
  const auto signature = Sign(Key{algorithm, "", "", key}, input);
  EXPECT_TRUE(signature.ok()) << signature.status();
  return input + "." + EncodeBase64Url(*signature);
}

// RSA keys take a while to make.
inline const EvpKey& Rsa() {
  static const EvpKey key = NewRsa();
  return key;
}

class TokenVerifierTest : public ::testing::Test {
 protected:
  // Most tests are not about `exp`: it is not required here.
  std::unique_ptr<TokenVerifier> Make(TokenVerifier::Options options) {
    options.require_exp = false;
    auto verifier = TokenVerifier::Create(std::move(options));
    EXPECT_TRUE(verifier.ok()) << verifier.status();
    return verifier.ok() ? *std::move(verifier) : nullptr;
  }

  KeySource Source(const std::string& kind, const std::string& text) {
    static int number = 0;
    const std::string path = directory_.Write("key" + std::to_string(++number), text);
    return *ParseKeySource(kind + ":" + path);
  }

  // Knows kSecret only.
  TokenVerifier& SecretVerifier() {
    if (secret_verifier_ == nullptr) {
      secret_verifier_ = Make({.keys = {Source("HS256", kSecret)}, .leeway = {}});
    }
    return *secret_verifier_;
  }

  // The status of a token with this payload and a good HS256 signature.
  absl::Status Payload(std::string_view payload) {
    return SecretVerifier().Verify(Hs256(kHs256Header, payload), kNow).status();
  }
  absl::Status Header(std::string_view header) {
    return SecretVerifier().Verify(Hs256(header, R"({"sub":"alice"})"), kNow).status();
  }
  absl::Status Raw(std::string_view token) { return SecretVerifier().Verify(token, kNow).status(); }

  TempDirectory directory_;
  std::unique_ptr<TokenVerifier> secret_verifier_;
};

#define EXPECT_BAD(status, text)                                        \
  do {                                                                  \
    const absl::Status bad_ = (status);                                 \
    EXPECT_EQ(bad_.code(), absl::StatusCode::kUnauthenticated) << bad_; \
    EXPECT_THAT(Message(bad_), ::testing::HasSubstr(text));             \
  } while (false)

}  // namespace herald
