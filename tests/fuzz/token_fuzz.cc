// Two ways in, by the first byte:
//   'r'  the rest is a token as it comes from the network. It is never good: the
//        fuzzer does not know the keys.
//   else a header, up to the first line end, and a payload, which are encoded and
//        signed with the right secret. This is what reaches the claims.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/fuzz/check.h"
#include "ws/auth/base64url.h"
#include "ws/auth/signature.h"
#include "ws/auth/token_minter.h"
#include "ws/auth/token_verifier.h"

namespace {

using herald::Key;

const std::string kSecret = "of this process only, and 32 bytes or more";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// The secret, and the public keys of RFC 7515 A.3 and RFC 8037 A.2.
std::unique_ptr<herald::TokenVerifier> MakeVerifier() {
  char path[] = "/tmp/herald-fuzz-XXXXXX";
  const int fd = ::mkstemp(path);
  FUZZ_CHECK(fd >= 0);
  const std::string set =
      R"({"keys":[{"kty":"oct","k":")" + herald::EncodeBase64Url(kSecret) + R"("},
      {"kty":"EC","crv":"P-256","kid":"e","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
       "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
      {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";
  FUZZ_CHECK(::write(fd, set.data(), set.size()) == static_cast<ssize_t>(set.size()));
  ::close(fd);
  auto verifier = herald::TokenVerifier::Create(
      {.keys = {{.kind = herald::KeySource::Kind::kJwks, .path = path}},
       .leeway = {},
       .require_exp = false});
  ::unlink(path);
  FUZZ_CHECK(verifier.ok());
  return *std::move(verifier);
}

std::string MakeToken(std::string_view text, const Key& key) {
  const std::size_t end = text.find('\n');
  const std::string_view header = text.substr(0, end);
  const std::string_view payload =
      end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  const std::string input =
      herald::EncodeBase64Url(header) + "." + herald::EncodeBase64Url(payload);
  return input + "." + herald::EncodeBase64Url(*herald::Sign(key, input));
}

// What was accepted is within its limits, and comes out the same when it is
// said again.
void CheckAccepted(const herald::Claims& claims, const herald::TokenVerifier& verifier,
                   const Key& key) {
  FUZZ_CHECK(herald::IsPlainText(claims.subject, herald::kMaxSubjectBytes));
  for (const auto* list : {&claims.topics, &claims.allow_subscribe, &claims.allow_publish}) {
    FUZZ_CHECK(list->size() <= herald::kMaxTokenTopics);
    for (const std::string& text : *list) {
      FUZZ_CHECK(herald::IsPlainText(text, herald::kMaxTokenTopicBytes));
    }
  }
  FUZZ_CHECK(claims.labels.size() <= herald::kMaxLabels);
  FUZZ_CHECK(claims.expires_at > kNow);
  const auto token = herald::TokenMinter(key).Mint({.subject = claims.subject,
                                                    .ttl = absl::InfiniteDuration(),
                                                    .topics = claims.topics,
                                                    .allow_subscribe = claims.allow_subscribe,
                                                    .allow_publish = claims.allow_publish,
                                                    .labels = claims.labels,
                                                    .token_id = claims.token_id},
                                                   kNow);
  if (!token.ok()) {  // `allow` written as two lists may be too long
    FUZZ_CHECK(token.status().message().find("bytes") != absl::string_view::npos);
    return;
  }
  auto again = verifier.Verify(*token, kNow);
  FUZZ_CHECK(again.ok());
  again->expires_at = claims.expires_at;
  FUZZ_CHECK(*again == claims);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto verifier = MakeVerifier();
  static const Key key = *herald::MakeSecretKey(kSecret);
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.front() == 'r') {
    FUZZ_CHECK(!verifier->Verify(text.substr(1), kNow).ok());
    return 0;
  }
  const auto claims = verifier->Verify(MakeToken(text.substr(1), key), kNow);
  if (claims.ok()) CheckAccepted(*claims, *verifier, key);
  return 0;
}
