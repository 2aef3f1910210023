#include "ws/host.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

TEST(HostTest, ReadsHostAndPort) {
  struct Case {
    const char* text;
    const char* host;
    int port;  // 0: none
  };
  for (const Case& c : {Case{"example.com", "example.com", 0},
                        {"EXAMPLE.com:8080", "example.com", 8080},
                        {"example.com.:", "example.com.", 0},
                        {"a_b-c~d", "a_b-c~d", 0},
                        {"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
                        {"127.0.0.1:1", "127.0.0.1", 1},
                        {"[::1]:65535", "[::1]", 65535},
                        {"[0:0:0:0:0:0:0:1]", "[::1]", 0},
                        {"[2001:DB8::1]", "[2001:db8::1]", 0}}) {
    const auto parsed = ParseHost(c.text);
    ASSERT_TRUE(parsed.has_value()) << c.text;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port.value_or(0), c.port);
  }
}

TEST(HostTest, B3RefusesAMalformedHost) {
  for (const std::string text : {"",
                                 ":80",
                                 "a b",
                                 "a/b",
                                 "a@b",
                                 "user@example.com",
                                 "http://a",
                                 "a:b",
                                 "a:65536",
                                 "a:-1",
                                 "a:80:80",
                                 "a:80 ",
                                 " a",
                                 "::1",
                                 "[::1",
                                 "[::1]x",
                                 "[]",
                                 "[1.2.3.4]",
                                 "[fe80::1%eth0]",
                                 "a,b",
                                 "a#b",
                                 "a?b",
                                 "a\\b",
                                 "a\"b",
                                 "b\xc3\xbc",
                                 "a|b",
                                 "<a>",
                                 "%41"}) {
    EXPECT_FALSE(ParseHost(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseHost(std::string(256, 'a')).has_value());
}

TEST(HostTest, G16LoopbackMeansThisMachine) {
  const std::vector<std::string> allowed = {"loopback"};
  for (const char* host : {"localhost", "LOCALHOST:8080", "localhost.", "app.localhost:3000",
                           "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8080"}) {
    EXPECT_TRUE(HostAllowed(allowed, host)) << host;
  }
  for (const char* host :
       {"", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example",
        "evillocalhost", "10.0.0.1", "128.0.0.1", "[::2]", "[::ffff:7f00:1]", "127.1", "a b"}) {
    EXPECT_FALSE(HostAllowed(allowed, host)) << host;
  }
}

TEST(HostTest, G16OnlyListedHosts) {
  const std::vector<std::string> allowed = {"push.example.com", "[2001:db8::1]"};
  EXPECT_TRUE(HostAllowed(allowed, "PUSH.example.com:8443"));
  EXPECT_TRUE(HostAllowed(allowed, "[2001:db8:0::1]:80"));
  EXPECT_FALSE(HostAllowed(allowed, "example.com"));
  EXPECT_FALSE(HostAllowed(allowed, "localhost"));
  EXPECT_TRUE(HostAllowed({}, "anything.example"));
  EXPECT_TRUE(HostAllowed({}, ""));  // HTTP/1.0
}

TEST(HostTest, SettingsNameHostsWithoutPorts) {
  EXPECT_EQ(*ParseAllowedHost("Push.Example.com"), "push.example.com");
  EXPECT_EQ(*ParseAllowedHost("[::0001]"), "[::1]");
  EXPECT_EQ(*ParseAllowedHost("loopback"), "loopback");
  for (const char* text : {"", "a:80", "a:", "*", "*.example.com", "http://a", "a/b"})
    EXPECT_FALSE(ParseAllowedHost(text).ok()) << text;
}

}  // namespace
}  // namespace herald
