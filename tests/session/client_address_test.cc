#include "session/client_address.h"

#include <gtest/gtest.h>

#include "absl/hash/hash.h"

namespace herald {
namespace {

ClientAddress Address(std::string_view text) {
  const auto parsed = ClientAddress::Parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(ClientAddress());
}

AddressKey Key(std::string_view text) { return Address(text).key(); }

TEST(ClientAddressTest, G9AnIpv4AddressIsAKeyOfItsOwn) {
  EXPECT_NE(Key("192.0.2.1"), Key("192.0.2.2"));
  EXPECT_EQ(Key("192.0.2.1").ToString(), "192.0.2.1");
}

TEST(ClientAddressTest, G9AnIpv6AddressCountsByItsSlash64) {
  EXPECT_EQ(Key("2001:db8:1:2::1"), Key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  EXPECT_NE(Key("2001:db8:1:2::1"), Key("2001:db8:1:3::1"));
  EXPECT_EQ(Key("2001:db8:1:2:3:4:5:6").ToString(), "2001:db8:1:2::/64");
}

TEST(ClientAddressTest, G9AMappedIpv4AddressIsTheIpv4Address) {
  EXPECT_EQ(Address("::ffff:192.0.2.1"), Address("192.0.2.1"));
  EXPECT_NE(Key("::ffff:192.0.2.1"), Key("::ffff:192.0.2.2"));
  EXPECT_TRUE(Address("::ffff:192.0.2.1").is_v4());
  // Neither IPv4-compatible (deprecated) nor another prefix is mapped.
  EXPECT_FALSE(Address("::192.0.2.1").is_v4());
  EXPECT_FALSE(Address("64:ff9b::192.0.2.1").is_v4());
}

TEST(ClientAddressTest, EqualKeysHashEqually) {
  const absl::Hash<AddressKey> hash;
  EXPECT_EQ(hash(Key("2001:db8:1:2::1")), hash(Key("2001:db8:1:2::2")));
  EXPECT_NE(hash(Key("192.0.2.1")), hash(Key("192.0.2.2")));
}

TEST(ClientAddressTest, TextIsReadBack) {
  for (const char* text : {"192.0.2.1", "255.255.255.255", "2001:db8::1", "::1", "fe80::1"})
    EXPECT_EQ(Address(text).ToString(), text);
}

TEST(ClientAddressTest, OnlyAddressesPass) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:80", "[::1]",
                           "fe80::1%eth0", "localhost", "::g", "01.2.3.4 ", "1:2:3:4:5:6:7:8:9",
                           "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"})
    EXPECT_FALSE(ClientAddress::Parse(text).has_value()) << text;
  EXPECT_FALSE(ClientAddress::Parse(std::string_view("1.2.3.4\0x", 9)).has_value());
}

TEST(ClientAddressTest, AnEndpointShowsItsPort) {
  EXPECT_EQ((ClientEndpoint{Address("192.0.2.1"), 80}.ToString()), "192.0.2.1:80");
  EXPECT_EQ((ClientEndpoint{Address("2001:db8::1"), 65535}.ToString()), "[2001:db8::1]:65535");
  EXPECT_EQ((ClientEndpoint{Address("2001:db8::1"), 0}.ToString()), "2001:db8::1");
}

}  // namespace
}  // namespace herald
