#include "app/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace herald {
namespace {

TEST(AddressTest, ReadsHostAndPort) {
  const struct {
    std::string_view text, host;
    int port;
    std::string_view printed;
  } cases[] = {
      {"127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"},
      {"[::1]:8080", "::1", 8080, "[::1]:8080"},
      {"[0:0:0:0:0:0:0:1]:1", "::1", 1, "[::1]:1"},
      {"[::]:65535", "::", 65535, "[::]:65535"},
      {":8080", "0.0.0.0", 8080, "0.0.0.0:8080"},
      {"localhost:0", "127.0.0.1", 0, "127.0.0.1:0"},
  };
  for (const auto& [text, host, port, printed] : cases) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << text;
    EXPECT_EQ(address->host, host);
    EXPECT_EQ(address->port, port);
    EXPECT_EQ(ToString(*address), printed);
    EXPECT_EQ(ParseAddress(ToString(*address)).value(), *address);
  }
}

TEST(AddressTest, RefusesWhatIsNotAnAddress) {
  for (std::string_view text : {"",
                                "8080",
                                "127.0.0.1",
                                "127.0.0.1:",
                                "127.0.0.1:65536",
                                "127.0.0.1:-1",
                                "127.0.0.1:80x",
                                "127.0.0.1: 80",
                                "::1:8080",
                                "::1",
                                "[::1]",
                                "[::1",
                                "[::1:80",
                                "[]:80",
                                "[127.0.0.1]:80",
                                "[::1]x:80",
                                "127.0.0:80",
                                "256.0.0.1:80",
                                "example.com:80",
                                " 127.0.0.1:80"}) {
    const auto address = ParseAddress(text);
    EXPECT_FALSE(address.ok()) << text;
    EXPECT_THAT(std::string(address.status().message()), testing::HasSubstr("not an address"))
        << text;
  }
  EXPECT_FALSE(ParseAddress(std::string_view("127.0.0.1\0:80", 13)).ok());
}

TEST(AddressTest, KnowsLoopback) {
  for (std::string_view text :
       {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(IsLoopback(ParseAddress(text).value())) << text;
  }
  for (std::string_view text : {"0.0.0.0:1", ":1", "[::]:1", "128.0.0.1:1", "10.127.0.1:1",
                                "[::ffff:10.0.0.1]:1", "[::127.0.0.1]:1", "[fe80::1]:1"}) {
    EXPECT_FALSE(IsLoopback(ParseAddress(text).value())) << text;
  }
}

}  // namespace
}  // namespace herald
