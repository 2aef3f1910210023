#include "ws/auth/token_minter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/ws/token_fixture.h"

namespace herald {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::string_literals;

using TokenMinterTest = TokenVerifierTest;

TEST_F(TokenMinterTest, RefusesWhatAVerifierWould) {
  const TokenMinter minter(*MakeSecretKey(kSecret));
  const auto mint = [&](TokenSpec spec) { return minter.Mint(spec, kNow).status(); };
  EXPECT_TRUE(mint({.subject = "a"}).ok());
  EXPECT_THAT(Message(mint({})), HasSubstr("'sub'"));
  EXPECT_THAT(Message(mint({.subject = "a\nb"})), HasSubstr("'sub'"));
  EXPECT_THAT(Message(mint({.subject = "a\x80"})), HasSubstr("'sub'"));
  EXPECT_THAT(Message(mint({.subject = "a", .topics = {""}})), HasSubstr("'topics'"));
  EXPECT_THAT(Message(mint({.subject = "a", .ttl = absl::ZeroDuration()})), HasSubstr("positive"));
  EXPECT_THAT(Message(mint({.subject = "a", .ttl = absl::Hours(1e9)})), HasSubstr("9999"));
  EXPECT_THAT(Message(mint({.subject = "a", .key_id = "\x80"})), HasSubstr("plain text"));
  EXPECT_THAT(Message(mint({.subject = "a",
                            .topics = std::vector<std::string>(100, std::string(100, 't'))})),
              HasSubstr("8192 are allowed"));
  const auto public_only = TokenMinter(*MakeAsymmetricKey(Own([] {
    const std::string pem = PublicPem(NewEc());
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    EVP_PKEY* key = PEM_read_bio_PUBKEY(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    return key;
  }())));
  EXPECT_THAT(Message(public_only.Mint({.subject = "a"}, kNow).status()), HasSubstr("private key"));
}

TEST_F(TokenMinterTest, WithoutEndMakesATokenThatNeverExpires) {
  const TokenMinter minter(*MakeSecretKey(kSecret));
  const auto token = minter.Mint({.subject = "a", .ttl = absl::InfiniteDuration()}, kNow);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(SecretVerifier().Verify(*token, kNow)->expires_at, absl::InfiniteFuture());
}

TEST_F(TokenMinterTest, NamesTheFileThatIsBad) {
  EXPECT_THAT(Message(TokenMinter::FromSecretFile(directory_.Write("s", "short")).status()),
              AllOf(HasSubstr(directory_.Path("s")), HasSubstr("5 bytes")));
  EXPECT_THAT(Message(TokenMinter::FromPemFile(directory_.Path("absent")).status()),
              HasSubstr(directory_.Path("absent")));
  EXPECT_THAT(Message(TokenMinter::FromPemFile(directory_.Write("p", "x")).status()),
              AllOf(HasSubstr(directory_.Path("p")), HasSubstr("PEM")));
}

}  // namespace
}  // namespace herald
