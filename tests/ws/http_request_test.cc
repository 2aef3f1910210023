#include "ws/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/beast/http/field.hpp>

#include "ws/handshake.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using State = HeadScanner::State;
namespace http = boost::beast::http;
using http::field;

constexpr std::size_t kMax = 8192;

State ScanAll(HeadScanner& scanner, std::string_view bytes, std::size_t step,
              std::size_t max = kMax) {
  State state = State::kMore;
  for (std::size_t n = std::min(step, bytes.size());; n = std::min(n + step, bytes.size())) {
    state = scanner.Scan(bytes.substr(0, n), max);
    if (state != State::kMore || n == bytes.size()) return state;
  }
}

TEST(HeadScannerTest, FindsTheEndHoweverTheBytesCome) {
  const std::string head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  for (std::size_t step = 1; step <= head.size() + 4; ++step) {
    HeadScanner scanner;
    ASSERT_EQ(ScanAll(scanner, head + "rest", step), State::kComplete) << step;
    EXPECT_EQ(scanner.begin(), 0u);
    EXPECT_EQ(scanner.end(), head.size());
  }
}

TEST(HeadScannerTest, B11PassesOverEmptyLinesBeforeTheRequestLine) {
  const std::string head = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
  for (std::size_t step = 1; step <= head.size(); ++step) {
    HeadScanner scanner;
    ASSERT_EQ(ScanAll(scanner, head, step), State::kComplete) << step;
    EXPECT_EQ(scanner.begin(), 4u);
    EXPECT_EQ(scanner.end(), head.size());
  }
}

TEST(HeadScannerTest, B4RefusesABareLineFeed) {
  for (const char* bytes :
       {"GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\n"}) {
    HeadScanner scanner;
    EXPECT_EQ(ScanAll(scanner, bytes, 3), State::kMalformed) << bytes;
  }
}

TEST(HeadScannerTest, RefusesWhatIsNoHttpBeforeALineEnds) {
  for (const std::string& bytes : {std::string("\x16\x03\x01\x02", 4), std::string("\0", 1),
                                   std::string("\r\n\x80"), std::string(" GET")}) {
    HeadScanner scanner;
    EXPECT_EQ(scanner.Scan(bytes, kMax), State::kMalformed);
  }
  HeadScanner scanner;
  EXPECT_EQ(scanner.Scan("", kMax), State::kMore);
  EXPECT_EQ(scanner.Scan("\r", kMax), State::kMore);
}

TEST(HeadScannerTest, LimitsTheHeadAndEachLine) {
  const std::string head = "GET / HTTP/1.1\r\n\r\n";
  HeadScanner fits, too_large, endless, long_line;
  EXPECT_EQ(fits.Scan(head, head.size()), State::kComplete);
  EXPECT_EQ(too_large.Scan(head, head.size() - 1), State::kTooLarge);
  EXPECT_EQ(ScanAll(endless, std::string(kMax, 'x'), 100), State::kTooLarge);
  EXPECT_EQ(ScanAll(long_line, "GET / HTTP/1.1\r\nA: " + std::string(70'000, 'x'), 1000, 1 << 20),
            State::kTooLarge);
}

class ParseHeadTest : public ::testing::Test {
 protected:
  std::optional<HttpRequest> Parse(std::string_view line, std::string_view fields) {
    refusal_ = {};
    return ParseHead(std::string(line) + "\r\n" + std::string(fields) + "\r\n", refusal_);
  }
  std::optional<HttpRequest> Get(std::string_view fields) {
    return Parse("GET /ws HTTP/1.1", "Host: a.example\r\n" + std::string(fields));
  }
  Refusal refusal_;
};

TEST_F(ParseHeadTest, B1LinesOfAListCombine) {
  const auto request = Get(
      "Connection: keep-alive\r\nUpgrade: h2c\r\nSec-WebSocket-Protocol: a\r\n"
      "connection: Upgrade\r\nUPGRADE: WebSocket\r\nSec-WebSocket-Protocol: herald.v1.json, b\r\n"
      "Sec-WebSocket-Extensions: x\r\nsec-websocket-extensions: permessage-deflate; a=b\r\n"
      "Cookie: a=1\r\nCookie: herald=t\r\nIf-None-Match: \"1\"\r\nIf-None-Match: W/\"2\"\r\n"
      "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n");
  ASSERT_TRUE(request.has_value()) << refusal_.text;
  EXPECT_EQ(FieldOf(*request, field::connection), "keep-alive, Upgrade");
  EXPECT_EQ(FieldOf(*request, field::upgrade), "h2c, WebSocket");
  EXPECT_EQ(FieldOf(*request, field::sec_websocket_protocol), "a, herald.v1.json, b");
  EXPECT_EQ(FieldOf(*request, field::sec_websocket_extensions), "x, permessage-deflate; a=b");
  EXPECT_EQ(FieldOf(*request, field::cookie), "a=1; herald=t");
  EXPECT_EQ(FieldOf(*request, field::if_none_match), "\"1\", W/\"2\"");
  EXPECT_EQ((*request)["X-Forwarded-For"], "192.0.2.1, 192.0.2.2");
  EXPECT_EQ(request->count(field::connection), 1u);
  EXPECT_TRUE(HasToken(*request, field::connection, "upgrade"));
  EXPECT_TRUE(HasToken(*request, field::upgrade, "websocket"));
  EXPECT_FALSE(HasToken(*request, field::connection, "up"));
}

TEST_F(ParseHeadTest, B2AnAbsoluteTargetNamesPathAndHost) {
  struct Case {
    const char* target;
    const char* path;
    const char* host;
  };
  for (const Case& c : {Case{"http://b.example/ws?topics=a", "/ws?topics=a", "b.example"},
                        {"HTTP://B.example:8080/ws", "/ws", "B.example:8080"},
                        {"https://[::1]:8443/ws?x=http://y/", "/ws?x=http://y/", "[::1]:8443"},
                        {"wss://b.example?topics=a", "/?topics=a", "b.example"},
                        {"http://b.example", "/", "b.example"},
                        {"/ws?x=http://b.example/", "/ws?x=http://b.example/", "a.example"}}) {
    const auto request = Parse("GET " + std::string(c.target) + " HTTP/1.1", "Host: a.example\r\n");
    ASSERT_TRUE(request.has_value()) << c.target << ": " << refusal_.text;
    EXPECT_EQ(request->target(), c.path);
    EXPECT_EQ(FieldOf(*request, field::host), c.host);
  }
  for (const char* target :
       {"http:///ws", "http://", "http://user@b.example/ws", "http://b b/ws", "ftp://b.example/ws",
        "ws", "*", "//b.example\x01/", "http://b:x/", "/ws#fragment", "b.example:443"}) {
    EXPECT_FALSE(Parse("GET " + std::string(target) + " HTTP/1.1", "Host: a.example\r\n"))
        << target;
    EXPECT_EQ(refusal_.reason, RefusalReason::kMalformed);
  }
  EXPECT_TRUE(Parse("OPTIONS * HTTP/1.1", "Host: a.example\r\n"));
  EXPECT_FALSE(Parse("CONNECT b.example:443 HTTP/1.1", "Host: b.example:443\r\n"));
  EXPECT_EQ(refusal_.reason, RefusalReason::kMethod);
}

TEST_F(ParseHeadTest, B3WantsOneHostThatIsWellFormed) {
  EXPECT_TRUE(Parse("GET / HTTP/1.1", "Host: [::1]:8080\r\n"));
  EXPECT_TRUE(Parse("GET / HTTP/1.0", ""));
  for (const char* fields :
       {"", "Host:\r\n", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host: a b\r\n",
        "Host: a/b\r\n", "Host: http://a\r\n", "Host: a:x\r\n", "Host: a@b\r\n"}) {
    EXPECT_FALSE(Parse("GET / HTTP/1.1", fields)) << fields;
    // The target's host does not excuse it.
    EXPECT_FALSE(Parse("GET http://b.example/ HTTP/1.1", fields)) << fields;
  }
}

TEST_F(ParseHeadTest, B4LengthsOfBodiesAreSoundOrRefused) {
  EXPECT_FALSE(HasBody(*Get("")));
  EXPECT_FALSE(HasBody(*Get("Content-Length: 0\r\n")));
  EXPECT_TRUE(HasBody(*Get("Content-Length: 5\r\n")));
  EXPECT_TRUE(HasBody(*Get("Content-Length: 10000000000\r\n")));
  EXPECT_TRUE(HasBody(*Get("Transfer-Encoding: Chunked\r\n")));
  for (const char* fields : {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                             "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                             "Content-Length: 5\r\nContent-Length: 5\r\n",
                             "Content-Length: 5\r\nContent-Length: 6\r\n",
                             "Content-Length: 5, 5\r\n",
                             "Content-Length: -1\r\n",
                             "Content-Length: +5\r\n",
                             "Content-Length: 0x5\r\n",
                             "Content-Length:\r\n",
                             "Content-Length: 5 5\r\n",
                             "Content-Length: 99999999999999999999\r\n",
                             "Transfer-Encoding: xchunked\r\n",
                             "Transfer-Encoding: identity\r\n",
                             "Transfer-Encoding: chunked, identity\r\n",
                             "Transfer-Encoding: gzip, chunked\r\n",
                             "Transfer-Encoding:\r\n",
                             "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                             "Transfer-Encoding : chunked\r\n",
                             "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
                             "Transfer-Encoding: \x0b"
                             "chunked\r\n"}) {
    EXPECT_FALSE(Get(fields)) << fields;
  }
  EXPECT_FALSE(Parse("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"));
}

TEST_F(ParseHeadTest, B4RefusesHeadersThatServersReadDifferently) {
  for (const std::string& fields :
       {std::string("A: b\r\n c\r\n"), std::string("A: b\r\n\tHost: x\r\n"),
        std::string("A : b\r\n"), std::string(" A: b\r\n"), std::string(": b\r\n"),
        std::string("A\r\n"), std::string("A: b\rC: d\r\n"), std::string("A: b\0c\r\n", 8),
        std::string("A: b\x01\r\n"), std::string("A(: b\r\n"), std::string("\xc3\xbc: b\r\n")}) {
    EXPECT_FALSE(Get(fields)) << fields;
  }
  for (const char* line : {"GET  /ws HTTP/1.1", "GET /ws  HTTP/1.1", "GET /ws", "GET /ws HTTP/2.0",
                           "GET /a b HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /ws HTTP/1.1 ",
                           "G(ET /ws HTTP/1.1", "GET\t/ws HTTP/1.1"}) {
    EXPECT_FALSE(Parse(line, "Host: a\r\n")) << line;
  }
}

TEST_F(ParseHeadTest, B5TakesTargetsAsBrowsersSendThem) {
  const auto request =
      Parse(R"(GET /ws?topics=a|b[c]{d}^e"f<g>h\i`j HTTP/1.1)", "Host: a.example\r\n");
  ASSERT_TRUE(request.has_value()) << refusal_.text;
  EXPECT_EQ(PathOf(*request), "/ws");
  EXPECT_EQ(QueryOf(*request), R"(topics=a|b[c]{d}^e"f<g>h\i`j)");
}

TEST_F(ParseHeadTest, B12RefusesASecondLineOfASingleField) {
  for (const char* name : {"Sec-WebSocket-Key", "Sec-WebSocket-Version", "Origin", "Authorization",
                           "Content-Type", "Content-Length", "Range", "If-Modified-Since"}) {
    const std::string line = std::string(name) + ": 1\r\n";
    EXPECT_TRUE(Get(line)) << name;
    EXPECT_FALSE(Get(line + "A: b\r\n" + line)) << name;
    EXPECT_THAT(refusal_.text, HasSubstr(name));
  }
  EXPECT_TRUE(Get("User-Agent: a\r\nUser-Agent: b\r\n"));
}

TEST_F(ParseHeadTest, CombinedLinesAreLimitedToo) {
  const std::string line = "X-A: " + std::string(40'000, 'x') + "\r\n";
  EXPECT_TRUE(Get(line));
  EXPECT_FALSE(Get(line + line));
  EXPECT_EQ(refusal_.reason, RefusalReason::kHeaderTooLarge);
}

}  // namespace
}  // namespace herald
