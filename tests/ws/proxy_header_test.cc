#include "ws/proxy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace herald {
namespace {

using State = ProxyHeader::State;
using namespace std::string_literals;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string V2(int command, int family_protocol, const std::string& body, int length = -1) {
  std::string header = kSignature;
  header += static_cast<char>(0x20 | command);
  header += static_cast<char>(family_protocol);
  const auto size = static_cast<std::size_t>(length >= 0 ? length : static_cast<int>(body.size()));
  header += static_cast<char>(size >> 8);
  header += static_cast<char>(size & 0xff);
  return header + body;
}

const std::string kInet("\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x01\xbb", 12);

// The whole header is taken and what follows left; each beginning of it asks for more.
void ExpectSource(const std::string& bytes, const std::string& source) {
  const ProxyHeader header = ParseProxyHeader(bytes + "GET /ws HTTP/1.1");
  EXPECT_EQ(header.state, State::kComplete) << header.error;
  EXPECT_EQ(header.size, bytes.size());
  EXPECT_EQ(header.source ? header.source->ToString() : "", source);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const std::string begin = bytes.substr(0, n);
    EXPECT_EQ(ParseProxyHeader(begin).state, State::kNeedMore) << n;
  }
}

State StateOf(const std::string& bytes) { return ParseProxyHeader(bytes).state; }

TEST(ProxyHeaderTest, G9VersionOneNamesTheClient) {
  ExpectSource("PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", "192.0.2.7:12345");
  ExpectSource("PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n", "[2001:db8::7]:12345");
  ExpectSource("PROXY TCP6 ::ffff:192.0.2.7 ::1 65535 0\r\n", "192.0.2.7:65535");
}

TEST(ProxyHeaderTest, G9VersionOneMayNotKnow) {
  ExpectSource("PROXY UNKNOWN\r\n", "");
  ExpectSource("PROXY UNKNOWN ffff::1 anything 65535 65535\r\n", "");
}

TEST(ProxyHeaderTest, G9VersionTwoNamesTheClient) {
  ExpectSource(V2(1, 0x11, kInet), "192.0.2.7:12345");
  const std::string v6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07" +
                         "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" + "\x30\x39\x01\xbb"s;
  ExpectSource(V2(1, 0x21, v6), "[2001:db8::7]:12345");
}

TEST(ProxyHeaderTest, G9VersionTwoSkipsItsTlvs) {
  const std::string alpn("\x01\x00\x02h2", 5), no_op("\x04\x00\x03\x00\x00\x00", 6),
      empty("\x05\x00\x00", 3);
  ExpectSource(V2(1, 0x11, kInet + alpn + no_op + empty), "192.0.2.7:12345");
  EXPECT_EQ(StateOf(V2(1, 0x11, kInet + "\x01")), State::kBad);
  EXPECT_EQ(StateOf(V2(1, 0x11, kInet + std::string("\x01\x00\x09h2", 5))), State::kBad);
}

TEST(ProxyHeaderTest, G9VersionTwoMayNameNoClient) {
  ExpectSource(V2(0, 0x00, ""), "");                     // LOCAL
  ExpectSource(V2(0, 0x11, "skipped unread"), "");       // LOCAL, whatever it carries
  ExpectSource(V2(1, 0x00, "whatever"), "");             // AF_UNSPEC
  ExpectSource(V2(1, 0x31, std::string(216, 'u')), "");  // AF_UNIX
}

TEST(ProxyHeaderTest, G9MalformedOnesAreBad) {
  for (const char* line : {
           "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 12345 443 1\r\n",
           "PROXY TCP4 192.0.2.7  10.0.0.1 12345 443\r\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 012345 443\r\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n",
           "PROXY TCP4 192.0.2.7 10.0.0.1 1 443x\r\n",
           "PROXY TCP4 2001:db8::7 2001:db8::1 12345 443\r\n",
           "PROXY TCP6 192.0.2.7 10.0.0.1 12345 443\r\n",
           "PROXY TCP4 localhost 10.0.0.1 12345 443\r\n",
           "PROXY UDP4 192.0.2.7 10.0.0.1 12345 443\r\n",
           "PROXY \r\n",
       })
    EXPECT_EQ(StateOf(line), State::kBad) << line;
  EXPECT_EQ(StateOf("PROXY UNKNOWN " + std::string(200, 'x')), State::kBad);
  EXPECT_EQ(StateOf(V2(2, 0x11, kInet)), State::kBad);            // the command
  EXPECT_EQ(StateOf(V2(1, 0x41, kInet)), State::kBad);            // the family
  EXPECT_EQ(StateOf(V2(1, 0x13, kInet)), State::kBad);            // the protocol
  EXPECT_EQ(StateOf(V2(1, 0x12, kInet)), State::kBad);            // datagrams
  EXPECT_EQ(StateOf(V2(1, 0x11, kInet.substr(1))), State::kBad);  // cut short
  EXPECT_EQ(StateOf(V2(1, 0x21, kInet)), State::kBad);
  EXPECT_EQ(StateOf(V2(1, 0x31, std::string(215, 'u'))), State::kBad);
  EXPECT_EQ(StateOf(V2(1, 0x11, kInet, 65'535)), State::kBad);  // oversize, refused at once
  std::string version = V2(1, 0x11, kInet);
  version[12] = 0x31;
  EXPECT_EQ(StateOf(version), State::kBad);
}

TEST(ProxyHeaderTest, OtherBeginningsAreLeftAlone) {
  for (const std::string& bytes : {"GET / HTTP/1.1\r\n"s, "POST"s, "PROXIED"s, "PROXY\r\n"s,
                                   "\x16\x03\x01"s, "\r\nGET"s, "\r\n\r\nG"s})
    EXPECT_EQ(StateOf(bytes), State::kAbsent) << bytes;
  EXPECT_EQ(StateOf(""), State::kNeedMore);
}

}  // namespace
}  // namespace herald
