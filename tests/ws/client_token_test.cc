// Who may come in, and what a token allows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/ws/server.h"
#include "tests/ws/test_keys.h"
#include "tests/ws/wire.h"
#include "ws/auth/token_minter.h"

namespace herald {
namespace {

using ::testing::SizeIs;

const std::string kSecret = "0123456789abcdef0123456789abcdef";

class TokenTest : public ::testing::Test {
 protected:
  TokenTest() {
    verifier_ = *TokenVerifier::Create(
        {.keys = {*ParseKeySource("HS256:" + directory_.Write("secret", kSecret))},
         .leeway = absl::ZeroDuration()});
    options_.rules = std::make_shared<const TopicRules>();
    server_.emplace(options_, verifier_.get());
  }
  std::string Token(TokenSpec spec, absl::Time now = absl::Now()) {
    return *TokenMinter(*MakeSecretKey(kSecret)).Mint(spec, now);
  }
  int CloseCodeFor(const std::string& connect) {
    JsonClient client(*server_);
    client.Send(R"({"connect":)" + connect + "}");
    return client.ws().ReadClose();
  }
  static std::string With(const std::string& token, const std::string& more = "") {
    return R"({"token":")" + token + "\"" + more + "}";
  }

  TempDirectory directory_;
  std::unique_ptr<TokenVerifier> verifier_;
  FrontEndOptions options_;
  std::optional<Server> server_;
};

TEST_F(TokenTest, NoTokenOrABadOneIs4401) {
  EXPECT_EQ(CloseCodeFor("{}"), 4401);
  EXPECT_EQ(CloseCodeFor(With("x")), 4401);
}

TEST_F(TokenTest, AnExpiredTokenIs4402) {
  EXPECT_EQ(CloseCodeFor(With(Token({.subject = "alice"}, absl::Now() - absl::Hours(2)))), 4402);
}

TEST_F(TokenTest, ATopicThatIsNotAllowedIs4403) {
  EXPECT_EQ(CloseCodeFor(With(Token({.subject = "alice"}), R"(,"resume":[{"topic":"secret"}])")),
            4403);
}

TEST_F(TokenTest, ATokenSaysWhoAndWhatIsAllowed) {
  auto client = JsonClient::Open(*server_, "/ws",
                                 With(Token({.subject = "alice",
                                             .topics = {"orders/42"},
                                             .allow_subscribe = {"news/*"},
                                             .allow_publish = {}})));
  EXPECT_EQ(Text(client.hello, "user_id"), "alice");
  EXPECT_THAT(client.hello.at("topics").as_array(), SizeIs(3));
  EXPECT_TRUE(client.Subscribe("news/1"));
  EXPECT_EQ(ErrorCode(client.Ask("subscribe", R"({"topic":"orders/43"})")), "PERMISSION_DENIED");
  EXPECT_EQ(ErrorCode(client.Ask("publish", R"({"topic":"news/1","text":"x"})")),
            "PERMISSION_DENIED");
}

TEST_F(TokenTest, ASessionEndsWithItsTokenUnlessItIsRefreshed) {
  auto ends =
      JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice", .ttl = absl::Seconds(2)})));
  auto stays =
      JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice", .ttl = absl::Seconds(2)})));
  EXPECT_TRUE(stays.Ask("refresh", With(Token({.subject = "alice"}))).contains("ok"));
  EXPECT_EQ(ends.ws().ReadClose(), 4402);
  EXPECT_TRUE(stays.Ask("ping", "{}").contains("ok"));
  stays.Send(R"({"refresh":)" + With(Token({.subject = "bob"})) + "}");
  EXPECT_EQ(stays.ws().ReadClose(), 4401);  // of another user
}

TEST_F(TokenTest, ABadRefreshIs4401) {
  auto client = JsonClient::Open(*server_, "/ws", With(Token({.subject = "alice"})));
  client.Send(R"({"refresh":{"token":"x"}})");
  EXPECT_EQ(client.ws().ReadClose(), 4401);
}

}  // namespace
}  // namespace herald
