#include "ws/proxy_header.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace herald {
namespace {

using State = ProxyHeader::State;

constexpr std::string_view kSignatureV1 = "PROXY ";
constexpr std::string_view kSignatureV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixedBytesV2 = 16;
constexpr std::size_t kUnixBytes = 216;

ProxyHeader Bad(const char* error) { return {State::kBad, 0, std::nullopt, error}; }

// A decimal number without sign or leading zero, as §2.1 wants it.
std::optional<std::uint16_t> ParsePort(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool zeros = text.size() > 1 && text[0] == '0';
  if (error != std::errc() || stop != text.data() + text.size() || zeros) return std::nullopt;
  return port;
}

// Cuts off the word before the next single space.
std::string_view TakeWord(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

ProxyHeader ParseV1(std::string_view bytes) {
  const std::size_t end = bytes.substr(0, ProxyHeader::kMaxBytesV1).find("\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() >= ProxyHeader::kMaxBytesV1) return Bad("the line is over 107 bytes");
    if (bytes.find('\n') != std::string_view::npos) return Bad("the line does not end with CRLF");
    return {State::kNeedMore, 0, std::nullopt, ""};
  }
  ProxyHeader header{State::kComplete, end + 2, std::nullopt, ""};
  std::string_view line = bytes.substr(kSignatureV1.size(), end - kSignatureV1.size());
  const std::string_view protocol = TakeWord(line);
  if (protocol == "UNKNOWN") return header;
  if (protocol != "TCP4" && protocol != "TCP6") return Bad("the protocol is not TCP4 or TCP6");
  const std::string_view from = TakeWord(line), to = TakeWord(line);
  const std::string_view from_port = TakeWord(line);
  const auto source = ClientAddress::Parse(from), destination = ClientAddress::Parse(to);
  const auto port = ParsePort(from_port), to_port = ParsePort(line);
  if (!source || !destination || !port || !to_port) return Bad("an address or a port is malformed");
  const bool v4 = protocol == "TCP4";
  if ((from.find(':') == from.npos) != v4 || (to.find(':') == to.npos) != v4)
    return Bad("an address is not of the protocol");
  header.source = ClientEndpoint{*source, *port};
  return header;
}

std::uint16_t BigEndian16(std::string_view bytes) {
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[0]) << 8 |
                                    static_cast<std::uint8_t>(bytes[1]));
}

bool TlvsFit(std::string_view tlvs) {
  while (!tlvs.empty()) {
    if (tlvs.size() < 3) return false;
    const std::size_t size = 3u + BigEndian16(tlvs.substr(1));
    if (tlvs.size() < size) return false;
    tlvs.remove_prefix(size);
  }
  return true;
}

template <std::size_t n>
std::array<std::uint8_t, n> Bytes(std::string_view from) {
  std::array<std::uint8_t, n> bytes;
  std::memcpy(bytes.data(), from.data(), n);
  return bytes;
}

ProxyHeader ParseV2(std::string_view bytes) {
  if (bytes.size() < kFixedBytesV2) return {State::kNeedMore, 0, std::nullopt, ""};
  const auto version_command = static_cast<std::uint8_t>(bytes[12]);
  const auto family_protocol = static_cast<std::uint8_t>(bytes[13]);
  const std::size_t size = kFixedBytesV2 + BigEndian16(bytes.substr(14));
  if (version_command >> 4 != 2) return Bad("the version is not 2");
  const int command = version_command & 0xf;
  if (command > 1) return Bad("the command is neither LOCAL nor PROXY");
  const int family = family_protocol >> 4, protocol = family_protocol & 0xf;
  if (family > 3 || protocol > 2) return Bad("the address family or protocol is unknown");
  if (size > ProxyHeader::kMaxBytesV2) return Bad("the header is over 4,096 bytes");
  if (bytes.size() < size) return {State::kNeedMore, 0, std::nullopt, ""};
  ProxyHeader header{State::kComplete, size, std::nullopt, ""};
  // Of a LOCAL or unspecified one all else is to be skipped unread.
  if (command == 0 || family == 0 || protocol == 0) return header;
  if (protocol != 1) return Bad("the protocol is not a stream");
  const std::string_view body = bytes.substr(kFixedBytesV2, size - kFixedBytesV2);
  constexpr std::size_t kAddressBytes[] = {0, 12, 36, kUnixBytes};
  const std::size_t addresses = kAddressBytes[family];
  if (body.size() < addresses) return Bad("the addresses are cut short");
  if (!TlvsFit(body.substr(addresses))) return Bad("a TLV is cut short");
  if (family == 1) {
    header.source =
        ClientEndpoint{ClientAddress::FromV4(Bytes<4>(body)), BigEndian16(body.substr(8))};
  } else if (family == 2) {
    header.source =
        ClientEndpoint{ClientAddress::FromV6(Bytes<16>(body)), BigEndian16(body.substr(32))};
  }
  return header;
}

// Whether `bytes` begins with `signature`, or may once more has come.
State Compare(std::string_view bytes, std::string_view signature) {
  const std::size_t n = std::min(bytes.size(), signature.size());
  if (bytes.substr(0, n) != signature.substr(0, n)) return State::kAbsent;
  return n < signature.size() ? State::kNeedMore : State::kComplete;
}

}  // namespace

ProxyHeader ParseProxyHeader(std::string_view bytes) {
  const State v1 = Compare(bytes, kSignatureV1), v2 = Compare(bytes, kSignatureV2);
  if (v1 == State::kComplete) return ParseV1(bytes);
  if (v2 == State::kComplete) return ParseV2(bytes);
  if (v1 == State::kNeedMore || v2 == State::kNeedMore)
    return {State::kNeedMore, 0, std::nullopt, ""};
  return {};
}

}  // namespace herald
