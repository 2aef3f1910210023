// What a good token says, and which forms and claims are refused.
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

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// --- good tokens

// RFC 7515 A.1, made by others. Its payload has no `sub` and expired in 2011, and
// its line ends are inside the JSON, so only the signature can be taken from it.
TEST(SignatureTest, VerifiesTheExampleOfRfc7515A1) {
  const std::string secret = *DecodeBase64Url(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
  const std::string input =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ";
  const std::string signature = *DecodeBase64Url("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
  EXPECT_TRUE(VerifySignature(*MakeSecretKey(secret), input, signature));
  EXPECT_FALSE(VerifySignature(*MakeSecretKey(secret), input + "x", signature));
}

TEST_F(TokenVerifierTest, VerifiesTheExampleOfRfc8037A4) {
  // The key as a JWK without `alg`; the payload is not a claims object.
  const auto verifier = Make({.keys = {Source("jwks",
                                              R"({"keys":[{"kty":"OKP","crv":"Ed25519",
                "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})")}});
  const std::string token =
      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
  EXPECT_BAD(verifier->Verify(token, kNow).status(), "payload is not a JSON object");
  const std::size_t dot = token.rfind('.');
  const std::string signature = *DecodeBase64Url(token.substr(dot + 1));
  const Key& key = verifier->Keys()->keys[0];
  EXPECT_TRUE(VerifySignature(key, token.substr(0, dot), signature));
  EXPECT_FALSE(VerifySignature(key, token.substr(0, dot - 1), signature));
}

// --- how long a token may live

TEST_F(TokenVerifierTest, C4ATokenWithoutExpIsRefusedUnlessThatIsAllowed) {
  const KeySource source = Source("HS256", kSecret);
  const std::string token = Hs256(kHs256Header, R"({"sub":"a"})");
  const auto strict = TokenVerifier::Create({.keys = {source}});
  const absl::Status refused = (*strict)->Verify(token, kNow).status();
  EXPECT_BAD(refused, "has no 'exp'");
  EXPECT_EQ(TokenFaultOf(refused), TokenFault::kNoExpiry);
  EXPECT_TRUE(Make({.keys = {source}})->Verify(token, kNow).ok());
}

TEST_F(TokenVerifierTest, C4ALifetimeIsFromIatOrFromNow) {
  const auto verifier = TokenVerifier::Create(
      {.keys = {Source("HS256", kSecret)}, .leeway = {}, .max_lifetime = absl::Hours(1)});
  const auto verify = [&](const std::string& times) {
    return (*verifier)->Verify(Hs256(kHs256Header, R"({"sub":"a",)" + times + "}"), kNow).status();
  };
  EXPECT_TRUE(verify(R"("iat":1800000000,"exp":1800003600)").ok());
  EXPECT_TRUE(verify(R"("exp":1800003600)").ok());
  for (const char* times : {R"("iat":1799999999,"exp":1800003600)", R"("exp":1800003601)",
                            R"("iat":1800003600,"exp":1800007200)"}) {
    const absl::Status refused = verify(times);
    EXPECT_BAD(refused, "longer than jwt_max_lifetime, 1h");
    EXPECT_EQ(TokenFaultOf(refused), TokenFault::kLifetime);
  }
  EXPECT_BAD(verify(R"("iat":"x","exp":1800003600)"), "'iat' is not a time");
}

// --- what costs little comes first

TEST_F(TokenVerifierTest, G14CheapChecksComeBeforeTheSignature) {
  const auto verifier = TokenVerifier::Create(
      {.keys = {Source("HS256", kSecret)}, .audience = "herald", .issuer = "login"});
  const std::string forged(32, 'x');
  const auto fault = [&](const std::string& payload) {
    return TokenFaultOf((*verifier)->Verify(Hs256(kHs256Header, payload, forged), kNow).status());
  };
  EXPECT_EQ(fault(R"({"sub":"a","exp":1800000060,"aud":"herald"})"), TokenFault::kIssuer);
  EXPECT_EQ(fault(R"({"sub":"a","exp":1800000060,"iss":"login"})"), TokenFault::kAudience);
  EXPECT_EQ(fault(R"({"sub":"a","aud":"herald","iss":"login"})"), TokenFault::kNoExpiry);
  EXPECT_EQ(fault(R"({"sub":"a","aud":"herald","iss":"login","exp":1800000060,"nbf":1800000050})"),
            TokenFault::kNotYetValid);
  EXPECT_EQ(fault(R"({"sub":"a","aud":"herald","iss":"login","exp":1800000060})"),
            TokenFault::kSignature);
  // Only a genuine token is called expired.
  EXPECT_EQ(fault(R"({"sub":"a","aud":"herald","iss":"login","exp":1})"), TokenFault::kSignature);
}

TEST_F(TokenVerifierTest, ReadsEveryClaim) {
  const auto claims = SecretVerifier().Verify(
      Hs256(kHs256Header, R"({"sub":"alice","jti":"t1","exp":1800000060.5,"nbf":1799999999,"iat":1,
          "topics":["orders/42","news"],"labels":{"tier":"gold","platform":"web"},
          "allow":{"subscribe":["orders/*"],"publish":["chat/**","x"]},"realm":{"roles":["a"]}})"),
      kNow);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ(claims->subject, "alice");
  EXPECT_EQ(claims->token_id, "t1");
  EXPECT_TRUE(SecretVerifier().Accepts(claims->key));
  EXPECT_FALSE(SecretVerifier().Accepts(claims->key + 1));
  EXPECT_EQ(claims->expires_at, kNow + absl::Milliseconds(60500));
  EXPECT_THAT(claims->topics, ElementsAre("orders/42", "news"));
  EXPECT_THAT(claims->allow_subscribe, ElementsAre("orders/*"));
  EXPECT_THAT(claims->allow_publish, ElementsAre("chat/**", "x"));
  EXPECT_EQ(claims->labels.Get("tier"), "gold");
  EXPECT_EQ(claims->labels.size(), 2u);
}

TEST_F(TokenVerifierTest, AbsentClaimsAreEmptyAndNeverExpire) {
  const auto claims = SecretVerifier().Verify(Hs256(kHs256Header, R"({"sub":"alice"})"), kNow);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ(*claims, (Claims{.subject = "alice", .key = claims->key}));
  EXPECT_EQ(claims->expires_at, absl::InfiniteFuture());
}

TEST_F(TokenVerifierTest, AllowAsAListMeansBoth) {
  const auto claims =
      SecretVerifier().Verify(Hs256(kHs256Header, R"({"sub":"a","allow":["chat/*"]})"), kNow);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_THAT(claims->allow_subscribe, ElementsAre("chat/*"));
  EXPECT_THAT(claims->allow_publish, ElementsAre("chat/*"));
}

TEST_F(TokenVerifierTest, AllowAsAnObjectGrantsOnlyWhatItNames) {
  const auto claims = SecretVerifier().Verify(
      Hs256(kHs256Header, R"({"sub":"a","allow":{"publish":["x"],"future":1}})"), kNow);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_THAT(claims->allow_subscribe, ElementsAre());
  EXPECT_THAT(claims->allow_publish, ElementsAre("x"));
}

TEST_F(TokenVerifierTest, AcceptsWhatTheMinterMakesWithEveryAlgorithm) {
  const EvpKey rsa = Rsa(), ec = NewEc(), ed = NewEd25519();
  const auto verifier =
      Make({.keys = {Source("HS256", kSecret), Source("RS256", PublicPem(rsa)),
                     Source("ES256", PublicPem(ec)), Source("EdDSA", PublicPem(ed))},
            .audience = "herald",
            .issuer = "login",
            .leeway = {}});
  TokenSpec spec{.subject = "zoë",
                 .ttl = absl::Minutes(5),
                 .topics = {"a/b"},
                 .issuer = "login",
                 .audience = "herald",
                 .key_id = "k1"};
  ASSERT_TRUE(spec.labels.Set("tier", "gold").ok());
  std::vector<TokenMinter> minters = {
      *TokenMinter::FromSecretFile(directory_.Write("secret", kSecret + "\n"))};
  for (const EvpKey& key : {rsa, ec, ed}) {
    minters.push_back(*TokenMinter::FromPemFile(directory_.Write("private", PrivatePem(key))));
  }
  for (const TokenMinter& minter : minters) {
    SCOPED_TRACE(std::string(AlgorithmName(minter.algorithm())));
    for (int round = 0; round < 20; ++round) {  // r or s may begin with zeros
      spec.allow_publish = {"round/" + std::to_string(round)};
      const auto token = minter.Mint(spec, kNow);
      ASSERT_TRUE(token.ok()) << token.status();
      const auto claims = verifier->Verify(*token, kNow);
      ASSERT_TRUE(claims.ok()) << claims.status();
      EXPECT_EQ(claims->subject, "zoë");
      EXPECT_EQ(claims->expires_at, kNow + absl::Minutes(5));
      EXPECT_THAT(claims->topics, ElementsAre("a/b"));
      EXPECT_TRUE(claims->allow_subscribe.empty());
      EXPECT_EQ(claims->allow_publish, spec.allow_publish);
      EXPECT_EQ(claims->labels, spec.labels);
    }
  }
}

// --- the form

TEST_F(TokenVerifierTest, RefusesOtherForms) {
  for (const char* token : {"", ".", "..", "...", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "...."}) {
    EXPECT_EQ(Raw(token).code(), absl::StatusCode::kUnauthenticated) << token;
  }
  const std::string token = Hs256(kHs256Header, R"({"sub":"alice"})");
  EXPECT_FALSE(Raw("Bearer " + token).ok());
  EXPECT_FALSE(Raw(std::string(1, '\0')).ok());
}

TEST_F(TokenVerifierTest, RefusesCriticalExtensions) {
  EXPECT_BAD(Header(R"({"alg":"HS256","crit":["exp"],"exp":1})"), "critical extension");
  EXPECT_BAD(Header(R"({"alg":"HS256","crit":[]})"), "critical extension");
  EXPECT_BAD(Header(R"({"alg":"HS256","crit":null})"), "critical extension");
  EXPECT_BAD(Header(R"({"alg":"HS256","b64":false})"), "critical extension");
}

TEST_F(TokenVerifierTest, RefusesHeadersAndPayloadsThatAreNotObjects) {
  for (const char* text : {"", "null", "[]", "\"HS256\"", "{", "{}{}", "{}x", "{'alg':'HS256'}",
                           "{\"alg\":\"HS256\",}", "/**/{}", "\xef\xbb\xbf{}", "NaN"}) {
    EXPECT_BAD(Header(text), "header is not a JSON object");
    EXPECT_BAD(Payload(text), "payload is not a JSON object");
  }
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "[";
  EXPECT_BAD(Payload("{\"sub\":\"a\",\"x\":" + deep), "payload is not a JSON object");
}

TEST_F(TokenVerifierTest, RefusesOversizedTokensBeforeLookingAtThem) {
  const auto of_size = [](std::size_t size) {
    // Three parts of base64url for each four bytes more.
    std::string token;
    for (std::size_t pad = size * 3 / 4 - 150; token.size() < size; ++pad) {
      token = Hs256(kHs256Header, R"({"sub":"alice","x":")" + std::string(pad, 'x') + "\"}");
    }
    return token;
  };
  const std::string fits = of_size(kMaxTokenBytes - 2);
  ASSERT_LE(fits.size(), kMaxTokenBytes);
  EXPECT_TRUE(Raw(fits).ok()) << Raw(fits);
  EXPECT_BAD(Raw(of_size(kMaxTokenBytes + 1)), "over 8192 bytes");
  EXPECT_BAD(Raw(std::string(100 << 20, 'a')), "over 8192 bytes");
}

TEST_F(TokenVerifierTest, OfARepeatedMemberTheLastCounts) {
  // RFC 7515 §4 and RFC 7519 §4 leave this or an error; a reader in front of
  // Herald and Herald must not see two users, so it is fixed here.
  EXPECT_BAD(Header(R"({"alg":"HS256","alg":"none"})"), "not supported");
  const auto claims =
      SecretVerifier().Verify(Hs256(kHs256Header, R"({"sub":"eve","sub":"alice"})"), kNow);
  ASSERT_TRUE(claims.ok());
  EXPECT_EQ(claims->subject, "alice");
}

// --- the claims

TEST_F(TokenVerifierTest, RefusesBadSubjects) {
  for (const char* payload : {"{}", R"({"sub":null})", R"({"sub":7})", R"({"sub":["alice"]})",
                              R"({"sub":{}})", R"({"sub":true})", R"({"Sub":"alice"})"}) {
    EXPECT_BAD(Payload(payload), "'sub' is missing or not a string");
  }
  for (const char* sub : {"", R"(\u0000)", R"(a\u0000b)", R"(a\nb)", R"(\u001b[31m)", R"(\u007f)",
                          R"(\u0085)", R"(\u009f)", "\xc2\x80"}) {
    EXPECT_BAD(Payload(std::string(R"({"sub":")") + sub + "\"}"), "'sub' is empty");
  }
  EXPECT_TRUE(Payload(R"({"sub":"zo\u00eb \ud83d\ude00 \u00a0|/@:"})").ok());
  EXPECT_TRUE(Payload(R"({"sub":")" + std::string(249, 'a') + "\"}").ok());
  EXPECT_BAD(Payload(R"({"sub":")" + std::string(250, 'a') + "\"}"), "over 249 bytes");
}

TEST_F(TokenVerifierTest, RefusesSubjectsThatAreNotUtf8) {
  for (const char* sub : {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xff", "\xc3",
                          R"(\ud800)", R"(\udc00)", R"(\ud800\ud800)", R"(\ud800x)"}) {
    EXPECT_EQ(Payload(std::string(R"({"sub":")") + sub + "\"}").code(),
              absl::StatusCode::kUnauthenticated)
        << sub;
  }
}

TEST_F(TokenVerifierTest, ExpiresAtTheVerySecond) {
  const std::string token = Hs256(kHs256Header, R"({"sub":"a","exp":1800000000})");
  const absl::Time end = kNow;
  EXPECT_TRUE(SecretVerifier().Verify(token, end - absl::Nanoseconds(1)).ok());
  const absl::Status expired = SecretVerifier().Verify(token, end).status();
  EXPECT_EQ(expired.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(IsTokenExpired(expired));
  EXPECT_FALSE(IsTokenExpired(Payload("{}")));
  EXPECT_FALSE(IsTokenExpired(absl::OkStatus()));
}

TEST_F(TokenVerifierTest, ExpiredIsSaidOnlyOfATokenThatIsGoodOtherwise) {
  const auto verifier = Make({.keys = {Source("HS256", kSecret)}, .audience = "herald"});
  const auto verify = [&](const char* payload, const std::string& secret = kSecret) {
    return verifier->Verify(Hs256(kHs256Header, payload, secret), kNow).status();
  };
  EXPECT_TRUE(IsTokenExpired(verify(R"({"sub":"a","aud":"herald","exp":1})")));
  EXPECT_BAD(verify(R"({"sub":"a","aud":"other","exp":1})"), "another audience");
  EXPECT_BAD(verify(R"({"aud":"herald","exp":1})"), "'sub'");
  EXPECT_BAD(verify(R"({"sub":"a","aud":"herald","exp":1})", std::string(32, 'x')),
             "signature is wrong");
}

TEST_F(TokenVerifierTest, HonoursNotBefore) {
  EXPECT_TRUE(Payload(R"({"sub":"a","nbf":1800000000})").ok());
  EXPECT_BAD(Payload(R"({"sub":"a","nbf":1800000001})"), "not valid yet");
  EXPECT_BAD(Payload(R"({"sub":"a","nbf":1800000000.5})"), "not valid yet");
}

TEST_F(TokenVerifierTest, LeewayCountsForBothEndsAndForExpiresAt) {
  const auto verifier = Make({.keys = {Source("HS256", kSecret)}, .leeway = absl::Seconds(10)});
  const auto verify = [&](const char* payload) {
    return verifier->Verify(Hs256(kHs256Header, payload), kNow);
  };
  EXPECT_TRUE(verify(R"({"sub":"a","nbf":1800000010})").ok());
  EXPECT_BAD(verify(R"({"sub":"a","nbf":1800000011})").status(), "not valid yet");
  EXPECT_TRUE(IsTokenExpired(verify(R"({"sub":"a","exp":1799999990})").status()));
  const auto claims = verify(R"({"sub":"a","exp":1799999991})");
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ(claims->expires_at, kNow + absl::Seconds(1));
}

TEST_F(TokenVerifierTest, RefusesTimesThatAreNotSeconds) {
  for (const char* time :
       {"\"1800000001\"", "null", "true", "[]", "{}", "-1", "-1e300", "1e300",
        "18446744073709551615", "9223372036854775807", "1800000001000" /* ms */}) {
    EXPECT_BAD(Payload(std::string(R"({"sub":"a","exp":)") + time + "}"), "'exp' is not a time");
    EXPECT_BAD(Payload(std::string(R"({"sub":"a","nbf":)") + time + "}"), "'nbf' is not a time");
  }
  EXPECT_TRUE(Payload(R"({"sub":"a","exp":253402300799,"nbf":0})").ok());
}

TEST_F(TokenVerifierTest, ChecksIssuerAndAudienceWhenConfigured) {
  const auto verifier =
      Make({.keys = {Source("HS256", kSecret)}, .audience = "herald", .issuer = "login"});
  const auto verify = [&](const char* rest) {
    return verifier->Verify(Hs256(kHs256Header, std::string(R"({"sub":"a")") + rest + "}"), kNow)
        .status();
  };
  EXPECT_TRUE(verify(R"(,"iss":"login","aud":"herald")").ok());
  EXPECT_TRUE(verify(R"(,"iss":"login","aud":["x","herald"])").ok());
  EXPECT_BAD(verify(R"(,"iss":"login")"), "another audience");
  EXPECT_BAD(verify(R"(,"iss":"login","aud":[])"), "another audience");
  EXPECT_BAD(verify(R"(,"iss":"login","aud":["Herald",7,["herald"]])"), "another audience");
  EXPECT_BAD(verify(R"(,"iss":"login","aud":"herald2")"), "another audience");
  EXPECT_BAD(verify(R"(,"iss":"login","aud":{"herald":1})"), "another audience");
  EXPECT_BAD(verify(R"(,"aud":"herald")"), "another issuer");
  EXPECT_BAD(verify(R"(,"iss":"login/","aud":"herald")"), "another issuer");
  EXPECT_BAD(verify(R"(,"iss":["login"],"aud":"herald")"), "another issuer");
  EXPECT_TRUE(Payload(R"({"sub":"a","iss":"x","aud":"y"})").ok()) << "not configured";
}

TEST_F(TokenVerifierTest, RefusesBadTopicsAndPatterns) {
  const auto with = [this](const std::string& claim, const std::string& value) {
    return Payload(R"({"sub":"a",)" + claim + ":" + value + "}");
  };
  const auto list = [](std::size_t size) {
    std::string out = "[\"t\"";
    for (std::size_t i = 1; i < size; ++i) out += ",\"t\"";
    return out + "]";
  };
  const std::string longest = "\"" + std::string(255, 't') + "\"";
  const std::string too_long = "\"" + std::string(256, 't') + "\"";
  for (const char* claim : {R"("topics")", R"("allow")"}) {
    EXPECT_TRUE(with(claim, "[]").ok());
    EXPECT_TRUE(with(claim, list(128)).ok());
    EXPECT_TRUE(with(claim, "[" + longest + "]").ok());
    EXPECT_BAD(with(claim, list(129)), "129 entries, 128 are allowed");
    EXPECT_BAD(with(claim, "\"t\""), "is n");
    EXPECT_BAD(with(claim, "null"), "is n");
    EXPECT_BAD(with(claim, "[\"t\",7]"), "not a string");
    EXPECT_BAD(with(claim, "[\"\"]"), "is empty");
    EXPECT_BAD(with(claim, "[\"a\\u0000b\"]"), "not plain text");
    EXPECT_BAD(with(claim, "[" + too_long + "]"), "over 255 bytes");
  }
  EXPECT_TRUE(with(R"("allow")", "{}").ok());
  EXPECT_BAD(with(R"("allow")", R"({"subscribe":"t"})"), "'allow.subscribe' is not an array");
  EXPECT_BAD(with(R"("allow")", R"({"subscribe":[],"publish":[1]})"), "'allow.publish'");
}

TEST_F(TokenVerifierTest, RefusesBadLabels) {
  const auto with = [this](const std::string& labels) {
    return Payload(R"({"sub":"a","labels":)" + labels + "}");
  };
  std::string many = R"({"k0":"v")";
  for (std::size_t i = 1; i < kMaxLabels; ++i) many += ",\"k" + std::to_string(i) + "\":\"v\"";
  EXPECT_TRUE(with(many + "}").ok());
  EXPECT_BAD(with(many + R"(,"x":"v"})"), "more than 32 labels");
  EXPECT_BAD(with("[]"), "'labels' is not an object");
  EXPECT_BAD(with(R"({"tier":1})"), "not a string");
  EXPECT_BAD(with(R"({"":"x"})"), "not plain");
  EXPECT_BAD(with(R"({"tier":"a b"})"), "not plain");
  EXPECT_BAD(with(R"({"client/tier":"gold"})"), "under 'client/'");
}

TEST_F(TokenVerifierTest, ErrorsHoldNothingOfTheToken) {
  const char* const marker = "s3cr3t-marker";
  const std::string m = marker;
  for (const std::string& token :
       {Hs256(R"({"alg":")" + m + "\"}", "{}"), Hs256(kHs256Header, m),
        Hs256(kHs256Header, R"({"sub":")" + m + "\\n\"}"),
        Hs256(kHs256Header, R"({"sub":"a","topics":[")" + m + "\\n\"]}"),
        Hs256(kHs256Header, R"({"sub":"a","labels":{")" + m + "\":\"" + m + " \"}}"),
        Hs256(kHs256Header, R"({"sub":"a","exp":")" + m + "\"}"), m + "." + m + "." + m}) {
    const absl::Status status = Raw(token);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(Message(status), AllOf(Not(HasSubstr(marker)), HasSubstr("token ")));
  }
}

TEST_F(TokenVerifierTest, VerifiesFromManyThreadsWhileKeysChange) {
  const EvpKey ed = NewEd25519();
  const auto verifier = Make({.keys = {Source("HS256", kSecret), Source("EdDSA", PublicPem(ed))}});
  const std::string good = SignedBy(ed, Algorithm::kEdDsa, R"({"alg":"EdDSA"})", R"({"sub":"a"})");
  const std::string bad = Hs256(kHs256Header, R"({"sub":"a"})", std::string(32, 'x'));
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(verifier->Verify(good, kNow).ok());
        ASSERT_FALSE(verifier->Verify(bad, kNow).ok());
      }
    });
  }
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(verifier->Reload().ok());
}

}  // namespace
}  // namespace herald
