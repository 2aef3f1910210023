#include "session/address_range.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

bool Contains(std::string_view range, std::string_view address) {
  const auto parsed = AddressRange::Parse(range);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Contains(*ClientAddress::Parse(address));
}

TEST(AddressRangeTest, G9ContainsWhatSharesItsPrefix) {
  EXPECT_TRUE(Contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(Contains("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(Contains("192.0.2.128/25", "192.0.2.129"));
  EXPECT_FALSE(Contains("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(Contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(Contains("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(Contains("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(Contains("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(Contains("10.0.0.0/8", "::ffff:10.1.2.3"));
}

TEST(AddressRangeTest, EachFamilyIsItsOwn) {
  EXPECT_TRUE(Contains("0.0.0.0/0", "192.0.2.1"));
  EXPECT_FALSE(Contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(Contains("::/0", "2001:db8::1"));
  EXPECT_FALSE(Contains("::/0", "192.0.2.1"));
}

TEST(AddressRangeTest, TextIsReadBack) {
  for (const char* text :
       {"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128", "::/0", "0.0.0.0/0"})
    EXPECT_EQ(AddressRange::Parse(text)->ToString(), text);
}

TEST(AddressRangeTest, SaysWhatIsWrong) {
  const auto error = [](std::string_view text) {
    return std::string(AddressRange::Parse(text).status().message());
  };
  EXPECT_THAT(error("10.0.0.1/8"), ::testing::HasSubstr("write 10.0.0.0/8"));
  EXPECT_THAT(error("2001:db8::1/32"), ::testing::HasSubstr("write 2001:db8::/32"));
  EXPECT_THAT(error("10.0.0.0/33"), ::testing::HasSubstr("0 to 32"));
  EXPECT_THAT(error("::ffff:10.0.0.0/104"), ::testing::HasSubstr("dotted"));
  for (const char* text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "proxy.example/8", "10.0.0.0/ 8"})
    EXPECT_FALSE(AddressRange::Parse(text).ok()) << text;
}

}  // namespace
}  // namespace herald
