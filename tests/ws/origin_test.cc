#include "ws/origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

using ::testing::HasSubstr;

TEST(OriginAllowedTest, ByDefaultOnlyTheSameHost) {
  EXPECT_TRUE(OriginAllowed({}, "", "example.com"));  // not a browser
  EXPECT_TRUE(OriginAllowed({}, "https://example.com", "example.com"));
  EXPECT_TRUE(OriginAllowed({}, "http://EXAMPLE.com:8080", "example.com:8080"));
  EXPECT_TRUE(OriginAllowed({}, "http://[::1]:8080", "[::1]:8080"));
  for (const char* origin :
       {"https://evil.com", "https://example.com.evil.com", "https://evil-example.com",
        "https://example.com:8443", "https://sub.example.com", "null", "example.com", "https://",
        "https://example.com/", "://example.com.evil"}) {
    EXPECT_FALSE(OriginAllowed({}, origin, "example.com")) << origin;
  }
  EXPECT_FALSE(OriginAllowed({}, "https://", ""));
}

TEST(OriginAllowedTest, TheSchemesOwnPortMayBeLeftOut) {
  EXPECT_TRUE(OriginAllowed({}, "https://example.com", "example.com:443"));
  EXPECT_TRUE(OriginAllowed({}, "http://example.com", "example.com:80"));
  EXPECT_FALSE(OriginAllowed({}, "http://example.com", "example.com:443"));
  EXPECT_FALSE(OriginAllowed({}, "https://example.com", "example.com:80"));
  EXPECT_FALSE(OriginAllowed({}, "https://example.com", "example.com:8443"));
}

// Whoever sits on the wire can put words into a page that came by http.
TEST(OriginAllowedTest, WithTlsTheSameHostIsSoByHttpsOnly) {
  EXPECT_TRUE(OriginAllowed({}, "https://example.com", "example.com", /*tls=*/true));
  EXPECT_TRUE(OriginAllowed({}, "HTTPS://example.com:8443", "example.com:8443", true));
  EXPECT_TRUE(OriginAllowed({}, "", "example.com", true));
  EXPECT_FALSE(OriginAllowed({}, "http://example.com", "example.com", true));
  EXPECT_FALSE(OriginAllowed({}, "http://example.com:8443", "example.com:8443", true));
  EXPECT_TRUE(OriginAllowed({"http://example.com"}, "http://example.com", "example.com", true));
}

TEST(OriginAllowedTest, OrThoseOnTheList) {
  const std::vector<std::string> list = {"https://app.example.com", "http://localhost:3000"};
  EXPECT_TRUE(OriginAllowed(list, "https://app.example.com", "x"));
  EXPECT_TRUE(OriginAllowed(list, "HTTPS://APP.example.com", "x"));
  EXPECT_TRUE(OriginAllowed(list, "http://localhost:3000", "x"));
  EXPECT_TRUE(OriginAllowed(list, "", "x"));
  for (const char* origin :
       {"http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil.com",
        "http://localhost", "https://x" /* the host itself */, "null"}) {
    EXPECT_FALSE(OriginAllowed(list, origin, "x")) << origin;
  }
  EXPECT_TRUE(OriginAllowed({"*"}, "https://evil.com", "x"));
}

TEST(OriginAllowedTest, B7AHeaderIsComparedInNormalForm) {
  EXPECT_TRUE(OriginAllowed({"https://a.example"}, "https://a.example:443", "x"));
  EXPECT_TRUE(OriginAllowed({"http://[::1]:3000"}, "http://[0::1]:3000", "x"));
  EXPECT_TRUE(OriginAllowed({"null"}, "null", "x"));
  EXPECT_FALSE(OriginAllowed({"null"}, "NULL", "x"));
  EXPECT_FALSE(OriginAllowed({"https://a.example"}, "https://a.example/", "x"));
  EXPECT_FALSE(OriginAllowed({"https://a.example"}, "https://a.example, https://b.example", "x"));
  EXPECT_TRUE(OriginAllowed({}, "https://example.com:443", "example.com"));
  EXPECT_TRUE(OriginAllowed({}, "http://example.com:80", "example.com"));
}

TEST(AllowedOriginTest, B7IsBroughtToTheFormThatBrowsersSend) {
  struct Case {
    const char* text;
    const char* normal;
  };
  for (const Case& c : {Case{"https://example.com", "https://example.com"},
                        {"https://example.com:443", "https://example.com"},
                        {"http://example.com:80", "http://example.com"},
                        {"http://example.com:443", "http://example.com:443"},
                        {"https://example.com:0443", "https://example.com"},
                        {"HTTPS://Example.COM:8443", "https://example.com:8443"},
                        {"http://[0:0::1]:3000", "http://[::1]:3000"},
                        {"https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
                        {"capacitor://localhost", "capacitor://localhost"},
                        {"chrome-extension://abcdef", "chrome-extension://abcdef"},
                        {"null", "null"},
                        {"*", "*"}}) {
    const auto normal = ParseAllowedOrigin(c.text);
    ASSERT_TRUE(normal.ok()) << c.text << ": " << normal.status();
    EXPECT_EQ(*normal, c.normal);
  }
}

TEST(AllowedOriginTest, B7RefusesWhatWouldNeverMatch) {
  struct Case {
    const char* text;
    const char* why;
  };
  for (const Case& c : {Case{"\"https://example.com\"", "quotes"},
                        {"'https://example.com'", "quotes"},
                        {"https://b\xc3\xbc"
                         "cher.example",
                         "Punycode"},
                        {"https://*.example.com", "wildcard"},
                        {"https://example.com/app", "path"},
                        {"https://example.com/", "slash"},
                        {"https://user@example.com", "is not an origin"},
                        {"https://example.com?x", "path"},
                        {"https://example.com:99999", "is not an origin"},
                        {"https://exa mple.com", "is not an origin"},
                        {"example.com", "scheme"},
                        {"://example.com", "scheme"},
                        {"https:example.com", "scheme"},
                        {"https://", "host"},
                        {"", "is not an origin"}}) {
    const auto normal = ParseAllowedOrigin(c.text);
    ASSERT_FALSE(normal.ok()) << c.text << " became " << *normal;
    EXPECT_THAT(std::string(normal.status().message()), HasSubstr(c.why)) << c.text;
  }
}

}  // namespace
}  // namespace herald
