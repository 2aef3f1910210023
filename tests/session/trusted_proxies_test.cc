#include "session/trusted_proxies.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

TrustedProxies Proxies() {
  return TrustedProxies(
      {*AddressRange::Parse("10.0.0.0/8"), *AddressRange::Parse("2001:db8:1::/48")});
}

std::string Client(std::string_view peer, std::string_view forwarded_for) {
  return Proxies().ClientOf({*ClientAddress::Parse(peer), 1234}, forwarded_for).ToString();
}

TEST(TrustedProxiesTest, G9TheLastUntrustedAddressIsTheClient) {
  EXPECT_EQ(Client("10.0.0.1", "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(Client("10.0.0.1", "192.0.2.7, 10.0.0.2"), "192.0.2.7");
  // What stands before it, the client has written.
  EXPECT_EQ(Client("10.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.2"), "192.0.2.7");
  EXPECT_EQ(Client("2001:db8:1::5", "2001:db8:2::7"), "2001:db8:2::7");
}

TEST(TrustedProxiesTest, G9AnUntrustedPeerIsNotBelieved) {
  EXPECT_EQ(Client("192.0.2.9", "198.51.100.1"), "192.0.2.9:1234");
  EXPECT_EQ(
      TrustedProxies().ClientOf({*ClientAddress::Parse("10.0.0.1"), 1}, "192.0.2.7").ToString(),
      "10.0.0.1:1");
}

TEST(TrustedProxiesTest, PortsAndBracketsAreRead) {
  EXPECT_EQ(Client("10.0.0.1", "192.0.2.7:99"), "192.0.2.7:99");
  EXPECT_EQ(Client("10.0.0.1", "[2001:db8:2::7]"), "2001:db8:2::7");
  EXPECT_EQ(Client("10.0.0.1", "[2001:db8:2::7]:99"), "[2001:db8:2::7]:99");
}

TEST(TrustedProxiesTest, NonsenseEndsTheSearchAtTheLastProxy) {
  for (const char* text :
       {"unknown", "192.0.2.7,", "192.0.2.7, x", "1.2.3.4:70000", "[::1", "_hidden", ",", " "})
    EXPECT_EQ(Client("10.0.0.1", text), "10.0.0.1:1234") << text;
  EXPECT_EQ(Client("10.0.0.1", "192.0.2.7, x, 10.0.0.3"), "10.0.0.3");
  EXPECT_EQ(Client("10.0.0.1", ""), "10.0.0.1:1234");
  // Only proxies: the first of them.
  EXPECT_EQ(Client("10.0.0.1", "10.0.0.3, 10.0.0.2"), "10.0.0.3");
}

}  // namespace
}  // namespace herald
