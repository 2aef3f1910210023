#include "ws/http_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ws/assets.h"
#include "ws/pages.h"

namespace herald {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(HttpAnswerTest, IsTheLastOfItsConnection) {
  const HttpAnswer answer{200, {{"Content-Type", "text/plain"}}, "hello"};
  const std::string wire = answer.ToWire(/*head=*/false);
  EXPECT_THAT(wire, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(wire, HasSubstr("\r\nContent-Type: text/plain\r\n"));
  EXPECT_THAT(wire, HasSubstr("\r\nContent-Length: 5\r\n"));
  EXPECT_THAT(wire, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(wire, HasSubstr(" GMT\r\n"));
  EXPECT_THAT(wire, EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(answer.ToWire(/*head=*/true), EndsWith("\r\n\r\n"));
  EXPECT_THAT(answer.ToWire(/*head=*/true), HasSubstr("Content-Length: 5"));
  EXPECT_THAT(AnswerOptions("GET").ToWire(false), Not(HasSubstr("Content-Length")));
}

TEST(HttpAnswerTest, B8EtagsMatchWeaklyAndInLists) {
  const std::string etag = "\"abc\"";
  for (const char* list : {"\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\"", "W/\"x\",W/\"abc\"",
                           "\"a,b\" , \"abc\"", " , \"abc\" ,", "\"x\" *"}) {
    EXPECT_TRUE(MatchesEtag(list, etag)) << list;
  }
  for (const char* list : {"", "\"x\"", "abc", "\"abc", "W/abc", "w/\"abc\"", "\"ab\"", "\"x\",",
                           "\"*\"", "\"x,\"abc\""}) {
    EXPECT_FALSE(MatchesEtag(list, etag)) << list;
  }
}

TEST(HttpAnswerTest, ARefusalSaysWhatItsStatusAsksFor) {
  EXPECT_THAT(AnswerRefusal({RefusalReason::kMethod, "x", {}, "GET"}).ToWire(false),
              HasSubstr("\r\nAllow: GET\r\n"));
  const std::string upgrade = AnswerRefusal({RefusalReason::kNotUpgrade, "x", {}}).ToWire(false);
  EXPECT_THAT(upgrade, HasSubstr("\r\nConnection: close, Upgrade\r\n"));
  EXPECT_THAT(upgrade, HasSubstr("\r\nSec-WebSocket-Version: 13\r\n"));
  EXPECT_THAT(AnswerRefusal({RefusalReason::kFull, "x", {}}).ToWire(false),
              HasSubstr("\r\nRetry-After: "));
}

class PagesTest : public ::testing::Test {
 protected:
  std::optional<HttpAnswer> Answer(std::string_view method, std::string_view path) {
    HttpRequest request(boost::beast::http::string_to_verb({method.data(), method.size()}),
                        {path.data(), path.size()}, 11);
    if (!if_none_match_.empty())
      request.set(boost::beast::http::field::if_none_match, if_none_match_);
    return AnswerPage(request, /*enable_demo=*/true, refusal_);
  }
  std::string if_none_match_;
  Refusal refusal_;
};

TEST_F(PagesTest, B10AllowIsWhatWorks) {
  for (const char* path : {"/herald.js", "/", "*"}) {
    const auto answer = Answer("OPTIONS", path);
    ASSERT_TRUE(answer.has_value()) << path;
    EXPECT_EQ(answer->status, 204);
    EXPECT_EQ(answer->fields[0].second, "GET, HEAD, OPTIONS");
  }
  for (const char* method : {"GET", "HEAD"}) EXPECT_EQ(Answer(method, "/herald.js")->status, 200);
  EXPECT_FALSE(Answer("POST", "/herald.js").has_value());
  EXPECT_EQ(refusal_.allow, "GET, HEAD, OPTIONS");
  EXPECT_FALSE(Answer("OPTIONS", "/nothing").has_value());
  EXPECT_EQ(refusal_.reason, RefusalReason::kNotFound);
}

TEST_F(PagesTest, B8AKnownPageIsNotSentAgain) {
  if_none_match_ = "\"old\", W/" + std::string(FindAsset("/herald.js")->etag);
  const auto answer = Answer("GET", "/herald.js");
  EXPECT_EQ(answer->status, 304);
  EXPECT_EQ(answer->body, "");
}

TEST(RefusalsTest, C3CountsAndKeepsOneExampleOfEachReason) {
  Refusals refusals;
  EXPECT_FALSE(refusals.Take().has_value());
  for (int i = 0; i < 3; ++i)
    refusals.Add({RefusalReason::kNotFound, "nothing here", {}}, "192.0.2.1");
  refusals.Add({RefusalReason::kOrigin, "not allowed", "origin https://evil.example"}, "192.0.2.2");
  EXPECT_EQ(refusals.total(), 4u);
  EXPECT_EQ(refusals.count(RefusalReason::kNotFound), 3u);
  const auto first = refusals.Take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->reason, RefusalReason::kOrigin);
  EXPECT_EQ(first->count, 1u);
  EXPECT_EQ(first->detail, "origin https://evil.example");
  EXPECT_EQ(first->address, "192.0.2.2");
  refusals.Add({RefusalReason::kOrigin, "not allowed", {}}, "192.0.2.2");
  const auto second = refusals.Take();  // in turn: what is frequent hides nothing
  EXPECT_EQ(second->reason, RefusalReason::kNotFound);
  EXPECT_EQ(second->count, 3u);
  EXPECT_EQ(refusals.Take()->reason, RefusalReason::kOrigin);
  EXPECT_FALSE(refusals.Take().has_value());
}

TEST(RefusalsTest, EachReasonHasANameAndAStatus) {
  for (std::size_t i = 0; i < kRefusalReasons; ++i) {
    const RefusalKind& kind = KindOf(static_cast<RefusalReason>(i));
    ASSERT_NE(kind.name, nullptr);
    EXPECT_GE(kind.status, 400);
  }
  EXPECT_EQ(KindOf(RefusalReason::kDraining).status, 503);
}

}  // namespace
}  // namespace herald
