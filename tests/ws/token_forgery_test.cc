// Tokens as an attacker would make them: another algorithm, another key, a damaged signature.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/ws/token_fixture.h"
#include "ws/auth/token_minter.h"

namespace herald {
namespace {

using namespace std::string_literals;

using TokenForgeryTest = TokenVerifierTest;

// --- the algorithm

TEST_F(TokenForgeryTest, RefusesNone) {
  const std::string input = SigningInput(R"({"alg":"none"})", R"({"sub":"alice"})");
  EXPECT_BAD(Raw(input + "."), "not supported");
  EXPECT_BAD(Raw(input), "three parts");
  for (const char* alg : {"None", "NONE", "nOnE", "", "hs256", "HS384", "HS512", "RS384", "PS256",
                          "ES384", "ES256K", "Ed25519", "HS256 ", "dir", "HS256\\u0000"}) {
    EXPECT_BAD(Header(std::string(R"({"alg":")") + alg + "\"}"), "not supported");
  }
  for (const char* header :
       {"{}", R"({"alg":null})", R"({"alg":["HS256"]})", R"({"ALG":"HS256"})", R"({"alg":256})"}) {
    EXPECT_BAD(Header(header), "no 'alg'");
  }
}

// The classic: the verifier's public key, which everyone has, as HMAC secret.
TEST_F(TokenForgeryTest, RefusesAnHmacWithThePublicKey) {
  const std::string rsa = PublicPem(Rsa()), ec = PublicPem(NewEc()), ed = PublicPem(NewEd25519());
  const auto verifier =
      Make({.keys = {Source("RS256", rsa), Source("ES256", ec), Source("EdDSA", ed)}});
  for (const std::string& pem : {rsa, ec, ed}) {
    for (const std::string& secret : {pem, pem.substr(0, pem.size() - 1)}) {
      for (const char* alg : {"HS256", "RS256", "ES256", "EdDSA"}) {
        const std::string header = std::string(R"({"alg":")") + alg + "\"}";
        EXPECT_FALSE(verifier->Verify(Hs256(header, R"({"sub":"a"})", secret), kNow).ok());
      }
    }
  }
  EXPECT_BAD(verifier->Verify(Hs256(kHs256Header, R"({"sub":"a"})", rsa), kNow).status(),
             "key that is not configured");
}

TEST_F(TokenForgeryTest, TheKeyChoosesTheMethodNotTheToken) {
  const EvpKey ec = NewEc();
  const auto verifier = Make({.keys = {Source("ES256", PublicPem(ec))}});
  const auto with_alg = [&](const char* alg) {
    return verifier
        ->Verify(SignedBy(ec, Algorithm::kEs256, std::string(R"({"alg":")") + alg + "\"}",
                          R"({"sub":"alice"})"),
                 kNow)
        .status();
  };
  EXPECT_TRUE(with_alg("ES256").ok());
  for (const char* alg : {"RS256", "EdDSA", "HS256"}) EXPECT_BAD(with_alg(alg), "not configured");
}

TEST_F(TokenForgeryTest, RefusesAnAlgorithmThatIsNotAllowed) {
  const EvpKey ec = NewEc();
  const auto verifier = Make(
      {.keys = {Source("jwks", R"({"keys":[{)" + EcJwk(ec) + "},{" + SecretJwk(kSecret) + "}]}")},
       .algorithms = {Algorithm::kEs256}});
  EXPECT_BAD(verifier->Verify(Hs256(kHs256Header, R"({"sub":"a"})"), kNow).status(),
             "not configured");
  EXPECT_TRUE(
      verifier
          ->Verify(SignedBy(ec, Algorithm::kEs256, R"({"alg":"ES256"})", R"({"sub":"a"})"), kNow)
          .ok());
}

TEST_F(TokenForgeryTest, IgnoresKeysThatTheTokenBrings) {
  const EvpKey mine = NewEd25519(), theirs = NewEd25519();
  const auto verifier = Make({.keys = {Source("EdDSA", PublicPem(mine))}});
  const std::string header = R"({"alg":"EdDSA","jwk":{)" + Ed25519Jwk(theirs) +
                             R"(},"jku":"https://example.com/k","x5u":"https://example.com/c"})";
  EXPECT_BAD(verifier->Verify(SignedBy(theirs, Algorithm::kEdDsa, header, R"({"sub":"a"})"), kNow)
                 .status(),
             "signature is wrong");
}

// --- the key

TEST_F(TokenForgeryTest, KidChoosesTheKey) {
  const EvpKey one = NewEd25519(), two = NewEd25519();
  const auto verifier =
      Make({.keys = {Source("jwks", R"({"keys":[{"kid":"one",)" + Ed25519Jwk(one) +
                                        R"(},{"kid":"two",)" + Ed25519Jwk(two) +
                                        R"(},{"kid":"hmac",)" + SecretJwk(kSecret) + "}]}")}});
  const auto verify = [&](const EvpKey& key, const std::string& kid) {
    const std::string header = R"({"alg":"EdDSA")" + kid + "}";
    return verifier->Verify(SignedBy(key, Algorithm::kEdDsa, header, R"({"sub":"a"})"), kNow)
        .status();
  };
  EXPECT_TRUE(verify(one, R"(,"kid":"one")").ok());
  EXPECT_TRUE(verify(two, R"(,"kid":"two")").ok());
  EXPECT_BAD(verify(two, ""), "has no 'kid'");  // G14: a forger would have every key tried
  EXPECT_BAD(verify(two, R"(,"kid":"one")"), "signature is wrong");
  EXPECT_BAD(verify(two, R"(,"kid":"three")"), "not configured");
  EXPECT_BAD(verify(two, R"(,"kid":"")"), "not configured");
  EXPECT_BAD(verify(two, R"(,"kid":"hmac")"), "not configured");
  EXPECT_BAD(verify(two, R"(,"kid":2)"), "'kid' that is not a string");
  EXPECT_BAD(verify(two, R"(,"kid":["two"])"), "'kid' that is not a string");
  EXPECT_BAD(verify(two, R"(,"kid":"../../etc/passwd")"), "not configured");
}

TEST_F(TokenForgeryTest, G14EveryKeyThatFitsIsTriedAndTheyAreFew) {
  std::string pem;
  std::vector<EvpKey> keys;
  for (std::size_t i = 0; i < kMaxAttempts; ++i) {
    keys.push_back(NewEd25519());
    pem += PublicPem(keys.back());
  }
  const std::string header = R"({"alg":"EdDSA"})", payload = R"({"sub":"a"})";
  const auto verifier = Make({.keys = {Source("EdDSA", pem)}});
  for (const EvpKey& key : keys) {
    EXPECT_TRUE(verifier->Verify(SignedBy(key, Algorithm::kEdDsa, header, payload), kNow).ok());
  }
  const auto many =
      TokenVerifier::Create({.keys = {Source("EdDSA", pem + PublicPem(NewEd25519()))}});
  EXPECT_THAT(Message(many.status()), testing::HasSubstr("5 EdDSA keys fit the same token"));
}

TEST_F(TokenForgeryTest, AKeyWithoutIdIsTriedWhateverTheKid) {
  EXPECT_TRUE(Header(R"({"alg":"HS256","kid":"anything"})").ok());
}

TEST_F(TokenForgeryTest, RefusesAnotherKeysSignature) {
  EXPECT_BAD(Raw(Hs256(kHs256Header, R"({"sub":"a"})", std::string(32, 'x'))),
             "signature is wrong");
  EXPECT_BAD(Raw(Hs256(kHs256Header, R"({"sub":"a"})", "")), "signature is wrong");
}

TEST_F(TokenForgeryTest, TakesRotatedKeys) {
  const KeySource source = Source("HS256", kSecret);
  const auto verifier = Make({.keys = {source}});
  const std::string next(32, 'n');
  const std::string old_token = Hs256(kHs256Header, R"({"sub":"a"})");
  const std::string new_token = Hs256(kHs256Header, R"({"sub":"a"})", next);
  EXPECT_FALSE(verifier->Verify(new_token, kNow).ok());
  directory_.Write(std::filesystem::path(source.path).filename().string(), next);
  ASSERT_TRUE(verifier->ReloadIfChanged(kNow).ok());
  EXPECT_TRUE(verifier->Verify(new_token, kNow).ok());
  EXPECT_FALSE(verifier->Verify(old_token, kNow).ok());
}

// --- the signature

TEST_F(TokenForgeryTest, RefusesEveryFlippedBit) {
  const EvpKey ed = NewEd25519(), ec = NewEc();
  const auto verifier = Make({.keys = {Source("HS256", kSecret), Source("EdDSA", PublicPem(ed)),
                                       Source("ES256", PublicPem(ec))}});
  for (const std::string& token :
       {Hs256(kHs256Header, R"({"sub":"alice"})"),
        SignedBy(ed, Algorithm::kEdDsa, R"({"alg":"EdDSA"})", R"({"sub":"alice"})"),
        SignedBy(ec, Algorithm::kEs256, R"({"alg":"ES256"})", R"({"sub":"alice"})")}) {
    ASSERT_TRUE(verifier->Verify(token, kNow).ok());
    for (std::size_t bit = 0; bit < token.size() * 8; ++bit) {
      std::string changed = token;
      changed[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      ASSERT_FALSE(verifier->Verify(changed, kNow).ok()) << "bit " << bit;
    }
  }
}

TEST_F(TokenForgeryTest, RefusesEveryCutAndEveryAddition) {
  const std::string token = Hs256(kHs256Header, R"({"sub":"alice"})");
  for (std::size_t size = 0; size < token.size(); ++size) {
    ASSERT_FALSE(Raw(token.substr(0, size)).ok()) << size;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    ASSERT_FALSE(Raw(token + c).ok()) << byte;
    ASSERT_FALSE(Raw(c + token).ok()) << byte;
  }
  for (const char* tail : {"==", "=", ".", "..", " ", "\n", ".x", "\r\nX: y"}) {
    EXPECT_FALSE(Raw(token + tail).ok()) << tail;
  }
}

// 32 bytes are 43 characters, of which the last has two spare bits; Base64
// decoders often let these be anything.
TEST_F(TokenForgeryTest, RefusesSpareBitsInTheSignature) {
  const std::string token = Hs256(kHs256Header, R"({"sub":"alice"})");
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int accepted = 0;
  for (char c : alphabet) accepted += Raw(token.substr(0, token.size() - 1) + c).ok();
  EXPECT_EQ(accepted, 1);
}

TEST_F(TokenForgeryTest, RefusesBase64OfOtherKinds) {
  // Signed as they stand, so that nothing but the encoding is wrong.
  const auto with_input = [this](const std::string& header, const std::string& payload) {
    const std::string input = header + "." + payload;
    return Raw(input + "." + EncodeBase64Url(Hmac(kSecret, input)));
  };
  const std::string header = EncodeBase64Url(kHs256Header);
  const std::string payload = EncodeBase64Url(R"({"sub":"aa?"})");  // 13 bytes: padded with ==
  ASSERT_TRUE(with_input(header, payload).ok());
  EXPECT_BAD(with_input(header, payload + "=="), "payload is not base64url");
  EXPECT_BAD(with_input(header + "=", payload), "header is not base64url");
  EXPECT_BAD(with_input(header, payload + "\n"), "payload is not base64url");
  EXPECT_BAD(with_input(header, " " + payload), "payload is not base64url");
  EXPECT_BAD(with_input(header, payload + std::string("\0", 1)), "payload is not base64url");
  EXPECT_BAD(with_input(header, payload + "AAA"), "payload is not base64url");
  const std::string url = EncodeBase64Url("{\"sub\":\"a\xc3\xbf\xc3\xbf\xc3\xbf\"}");
  std::string plain = url;
  for (char& c : plain) c = c == '-' ? '+' : c == '_' ? '/' : c;
  ASSERT_NE(url, plain);
  EXPECT_TRUE(with_input(header, url).ok());
  EXPECT_BAD(with_input(header, plain), "payload is not base64url");
}

TEST_F(TokenForgeryTest, Es256SignatureIsRawAndNotDer) {
  const EvpKey ec = NewEc();
  const auto verifier = Make({.keys = {Source("ES256", PublicPem(ec))}});
  const std::string input = SigningInput(R"({"alg":"ES256"})", R"({"sub":"alice"})");
  const auto verify = [&](std::string_view signature) {
    return verifier->Verify(input + "." + EncodeBase64Url(signature), kNow).status();
  };
  const std::string raw = *Sign(Key{Algorithm::kEs256, "", "", ec}, input);
  ASSERT_EQ(raw.size(), 64u);
  ASSERT_TRUE(verify(raw).ok());

  std::string der(128, '\0');
  std::size_t size = der.size();
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, ec.get());
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(der.data()), &size,
                 reinterpret_cast<const unsigned char*>(input.data()), input.size());
  EVP_MD_CTX_free(context);
  der.resize(size);
  EXPECT_BAD(verify(der), "signature is wrong");

  EXPECT_BAD(verify(std::string(64, '\0')), "signature is wrong");  // CVE-2022-21449
  EXPECT_BAD(verify(std::string(64, '\xff')), "signature is wrong");
  EXPECT_BAD(verify(raw.substr(0, 63)), "signature is wrong");
  EXPECT_BAD(verify(raw + '\0'), "signature is wrong");
  EXPECT_BAD(verify('\0' + raw), "signature is wrong");
  EXPECT_BAD(verify(""), "signature is wrong");
  EXPECT_BAD(verify(raw.substr(0, 32) + std::string(32, '\0')), "signature is wrong");
  EXPECT_BAD(verify(std::string(32, '\0') + raw.substr(32)), "signature is wrong");
  // The order of the group as r, as s.
  const std::string n =
      "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
      "\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"s;
  EXPECT_BAD(verify(n + n), "signature is wrong");
}

TEST_F(TokenForgeryTest, LeavesNoErrorInOpenSslsQueue) {
  const EvpKey ec = NewEc();
  const auto verifier =
      Make({.keys = {Source("ES256", PublicPem(ec)), Source("RS256", PublicPem(Rsa()))}});
  for (const char* header : {R"({"alg":"ES256"})", R"({"alg":"RS256"})"}) {
    for (std::size_t size : {0, 64, 256}) {
      const std::string token =
          SigningInput(header, "{}") + "." + EncodeBase64Url(std::string(size, '\x7f'));
      EXPECT_FALSE(verifier->Verify(token, kNow).ok());
      EXPECT_EQ(ERR_peek_error(), 0u);
    }
  }
}

}  // namespace
}  // namespace herald
