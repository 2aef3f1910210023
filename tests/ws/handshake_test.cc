#include "ws/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ws/test_keys.h"
#include "ws/auth/token_minter.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace http = boost::beast::http;

const std::string kSecret = "0123456789abcdef0123456789abcdef";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class CheckUpgradeTest : public ::testing::Test {
 protected:
  CheckUpgradeTest() {
    request_.method(http::verb::get);
    request_.target("/ws");
    request_.version(11);
    request_.set(http::field::host, "example.com");
    request_.set(http::field::connection, "keep-alive, Upgrade");
    request_.set(http::field::upgrade, "websocket");
    request_.set(http::field::sec_websocket_version, "13");
    request_.set(http::field::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==");
    request_.set(http::field::sec_websocket_protocol, "herald.v1.json");
    verifier_ = *TokenVerifier::Create(
        {.keys = {*ParseKeySource("HS256:" + directory_.Write("secret", kSecret))}});
  }

  std::string Token(std::string subject = "alice") {
    return *TokenMinter(*MakeSecretKey(kSecret)).Mint({.subject = std::move(subject)}, kNow);
  }

  absl::StatusOr<UpgradeDetails> Check() {
    FrontEnd front_end(options_, table_, with_keys_ ? verifier_.get() : nullptr);
    return CheckUpgrade(front_end, request_, kNow, refusal_);
  }
  // The status of the refusal, 101 if there is none.
  int Status() { return Check().ok() ? 101 : KindOf(refusal_.reason).status; }
  UpgradeDetails Details() {
    auto details = Check();
    EXPECT_TRUE(details.ok()) << details.status();
    return details.ok() ? *std::move(details) : UpgradeDetails{};
  }

  TempDirectory directory_;
  std::unique_ptr<TokenVerifier> verifier_;
  bool with_keys_ = true;
  std::vector<std::unique_ptr<Shard>> shards_;
  TopicIndex index_;
  SessionTable table_{shards_, index_};
  FrontEndOptions options_;
  UpgradeRequest request_;
  Refusal refusal_;
};

TEST_F(CheckUpgradeTest, AcceptsAGoodRequest) {
  request_.set(http::field::user_agent, "test/1");
  const UpgradeDetails details = Details();
  EXPECT_EQ(details.protocol, Protocol::kJson);
  EXPECT_EQ(details.subprotocol, "herald.v1.json");
  EXPECT_EQ(details.user_agent, "test/1");
  EXPECT_FALSE(details.claims.has_value());  // the token may come in `connect`
  EXPECT_THAT(details.topics, IsEmpty());
}

TEST_F(CheckUpgradeTest, CutsALongUserAgent) {
  request_.set(http::field::user_agent, std::string(1000, 'x'));
  EXPECT_EQ(Details().user_agent.size(), 256u);
}

TEST_F(CheckUpgradeTest, RefusesHttp10) {
  request_.version(10);
  EXPECT_EQ(Status(), 400);
  EXPECT_THAT(refusal_.text, HasSubstr("HTTP/1.1"));
}

TEST_F(CheckUpgradeTest, WantsAnUpgradeToWebSocket13) {
  for (const auto& [field, value] : std::vector<std::pair<http::field, std::string>>{
           {http::field::connection, "keep-alive"},
           {http::field::connection, "Upgrades"},
           {http::field::upgrade, "h2c"},
           {http::field::sec_websocket_version, "8"},
           {http::field::sec_websocket_version, "13, 8"}}) {
    const std::string before(request_[field]);
    request_.set(field, value);
    EXPECT_EQ(Status(), 426) << value;
    request_.erase(field);
    EXPECT_EQ(Status(), 426) << "without " << value;
    request_.set(field, before);
  }
  request_.set(http::field::upgrade, "WebSocket");
  EXPECT_EQ(Status(), 101);
}

TEST_F(CheckUpgradeTest, WantsAKeyOf16Bytes) {
  for (const char* key :
       {"", "x", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZSE=", "!GhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEhISE="}) {
    request_.set(http::field::sec_websocket_key, key);
    EXPECT_EQ(Status(), 400) << key;
  }
  request_.erase(http::field::sec_websocket_key);
  EXPECT_EQ(Status(), 400);
}

TEST_F(CheckUpgradeTest, RefusesOtherOrigins) {
  request_.set(http::field::origin, "https://evil.com");
  EXPECT_EQ(Status(), 403);
  options_.allowed_origins = {"https://evil.com"};
  EXPECT_EQ(Status(), 101);
}

// What is wrong with the protocol is told first, then who may not.
TEST_F(CheckUpgradeTest, TellsAMalformedRequestBeforeAForbiddenOne) {
  request_.set(http::field::origin, "https://evil.com");
  request_.set(http::field::sec_websocket_key, "x");
  EXPECT_EQ(Status(), 400);
}

TEST_F(CheckUpgradeTest, C3ARefusedOriginIsNamedForTheLogWithItsSetting) {
  request_.set(http::field::origin, "https://evil.com");
  EXPECT_EQ(Status(), 403);
  EXPECT_EQ(refusal_.reason, RefusalReason::kOrigin);
  EXPECT_THAT(refusal_.text, HasSubstr("allowed_origins"));
  EXPECT_EQ(refusal_.detail, "origin https://evil.com, host example.com");
  request_.set(http::field::origin, std::string(5000, 'x'));
  EXPECT_EQ(Status(), 403);
  EXPECT_LT(refusal_.detail.size(), 300u);
}

TEST_F(CheckUpgradeTest, B4RefusesABody) {
  request_.set(http::field::content_length, "0");
  EXPECT_EQ(Status(), 101);
  request_.set(http::field::content_length, "5");
  EXPECT_EQ(Status(), 400);
  request_.erase(http::field::content_length);
  request_.set(http::field::transfer_encoding, "chunked");
  EXPECT_EQ(Status(), 400);
  EXPECT_EQ(refusal_.reason, RefusalReason::kBody);
}

TEST_F(CheckUpgradeTest, B11TakesSeveralSpacesBehindBearer) {
  request_.set(http::field::authorization, "Bearer   " + Token());
  EXPECT_EQ(Details().claims->subject, "alice");
  request_.set(http::field::authorization, "Bearerx" + Token());
  EXPECT_FALSE(Details().claims.has_value());
}

TEST_F(CheckUpgradeTest, ChoosesTheFirstSubprotocolItKnows) {
  struct Case {
    const char* offered;
    const char* chosen;
  };
  for (const Case& c : {Case{"herald.v1.json", "herald.v1.json"},
                        {"herald.v1.proto", "herald.v1.proto"},
                        {"v2, herald.v1.proto , herald.v1.json", "herald.v1.proto"},
                        {"herald.v1.json,herald.v1.proto", "herald.v1.json"}}) {
    request_.set(http::field::sec_websocket_protocol, c.offered);
    EXPECT_EQ(Details().subprotocol, c.chosen) << c.offered;
  }
  for (const char* offered : {"herald.v2.json", "HERALD.V1.JSON", "mqtt, other"}) {
    request_.set(http::field::sec_websocket_protocol, offered);
    options_.enable_raw = true;
    EXPECT_EQ(Status(), 400) << offered;  // a client would fail on an answer without one
  }
}

TEST_F(CheckUpgradeTest, RawMustBeSwitchedOn) {
  options_.allow_anonymous = true;
  request_.erase(http::field::sec_websocket_protocol);
  EXPECT_EQ(Status(), 400);
  options_.enable_raw = true;
  const UpgradeDetails details = Details();
  EXPECT_EQ(details.protocol, Protocol::kRaw);
  EXPECT_EQ(details.subprotocol, "");
  EXPECT_TRUE(details.claims.has_value());
}

TEST_F(CheckUpgradeTest, RawNeedsATokenInTheRequest) {
  options_.enable_raw = true;
  request_.erase(http::field::sec_websocket_protocol);
  EXPECT_EQ(Status(), 401);
  request_.set(http::field::sec_websocket_protocol, "bearer." + Token());
  EXPECT_EQ(Details().claims->subject, "alice");
}

TEST_F(CheckUpgradeTest, TakesTokensFromAllTheirPlaces) {
  request_.set(http::field::authorization, "bEaReR " + Token("header"));
  EXPECT_EQ(Details().claims->subject, "header");
  request_.erase(http::field::authorization);

  request_.set(http::field::sec_websocket_protocol, "herald.v1.json, bearer." + Token("protocol"));
  EXPECT_EQ(Details().claims->subject, "protocol");
  EXPECT_EQ(Details().subprotocol, "herald.v1.json");  // the token is never answered
  request_.set(http::field::sec_websocket_protocol, "herald.v1.json");

  request_.set(http::field::cookie, "a=b; herald= " + Token("cookie") + " ; c=d");
  EXPECT_FALSE(Details().claims.has_value());
  options_.token_cookie = "herald";
  EXPECT_EQ(Details().claims->subject, "cookie");
  request_.erase(http::field::cookie);

  request_.target("/ws?token=" + Token("query"));
  EXPECT_FALSE(Details().claims.has_value());
  options_.allow_query_token = true;
  EXPECT_EQ(Details().claims->subject, "query");
}

TEST_F(CheckUpgradeTest, RefusesBadAndExpiredTokens) {
  const std::string expired =
      *TokenMinter(*MakeSecretKey(kSecret)).Mint({.subject = "alice"}, kNow - absl::Hours(2));
  for (const std::string& token : {std::string("x"), Token() + "x", expired}) {
    request_.set(http::field::authorization, "Bearer " + token);
    EXPECT_EQ(Status(), 401);
    EXPECT_EQ(refusal_.text.find(token.size() > 10 ? token : "\n"), std::string::npos);
    options_.allow_anonymous = true;  // a bad token is not as good as none
    EXPECT_EQ(Status(), 401);
  }
}

TEST_F(CheckUpgradeTest, AnonymousSessionsHaveNoUser) {
  options_.allow_anonymous = true;
  EXPECT_FALSE(Details().claims.has_value());  // may still come in `connect`
  with_keys_ = false;
  EXPECT_EQ(Details().claims->subject, "");
}

TEST_F(CheckUpgradeTest, DevBelievesTheUrl) {
  options_.dev = true;
  options_.allow_anonymous = true;
  request_.target("/ws?user=bob%2F1&labels=platform=web,beta");
  const UpgradeDetails details = Details();
  EXPECT_EQ(details.claims->subject, "bob/1");
  EXPECT_EQ(details.claims->labels.Get("platform"), "web");
  EXPECT_EQ(details.claims->labels.Get("beta"), "");
  for (const char* target : {"/ws?user=%00", "/ws?labels=a%20b=c", "/ws?labels==x"}) {
    request_.target(target);
    EXPECT_EQ(Status(), 400) << target;
  }
  options_.dev = false;
  request_.target("/ws?user=bob");
  EXPECT_FALSE(Details().claims.has_value());
}

TEST_F(CheckUpgradeTest, A2DevBelievesTheUrlOnlyOfAnonymousClients) {
  options_.dev = true;
  options_.enable_raw = true;
  request_.target("/ws?user=bob");
  EXPECT_FALSE(Details().claims.has_value());  // a token may still come in `connect`
  request_.erase(http::field::sec_websocket_protocol);
  EXPECT_EQ(Status(), 401);
  EXPECT_EQ(TokenFaultOf(refusal_.token), TokenFault::kMissing);
}

TEST_F(CheckUpgradeTest, TakesTopicsFromTheUrl) {
  request_.target("/ws?topics=a,b%2F1,&x=y&topics=c");
  EXPECT_THAT(Details().topics, ElementsAre("a", "b/1", "c"));
  for (const char* target :
       {"/ws?topics=$all", "/ws?topics=a,%24user%2Fbob", "/ws?topics=%ff", "/ws?topics=a%00b"}) {
    request_.target(target);
    EXPECT_EQ(Status(), 400) << target;
  }
  request_.target("/ws?topics=%zz");
  EXPECT_EQ(Status(), 400);
}

TEST_F(CheckUpgradeTest, RefusesTooManyTopics) {
  options_.limits.max_topics_per_session = 2;
  request_.target("/ws?topics=a,b");
  EXPECT_EQ(Status(), 101);
  request_.target("/ws?topics=a,b,c");
  EXPECT_EQ(Status(), 400);
}

}  // namespace
}  // namespace herald
