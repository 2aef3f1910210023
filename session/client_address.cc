#include "session/client_address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kKeyBytesOfV6 = 8;  // a /64

bool IsMapped(const std::array<std::uint8_t, 16>& bytes) {
  return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

std::string Text(const std::array<std::uint8_t, 16>& bytes) {
  char text[INET6_ADDRSTRLEN];
  const bool v4 = IsMapped(bytes);
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? kMapped.size() : 0), text, sizeof text);
  return text;
}

}  // namespace

std::string AddressKey::ToString() const { return Text(bytes_) + (IsMapped(bytes_) ? "" : "/64"); }

ClientAddress ClientAddress::FromV4(const std::array<std::uint8_t, 4>& bytes) {
  Bytes mapped{};
  std::copy(kMapped.begin(), kMapped.end(), mapped.begin());
  std::copy(bytes.begin(), bytes.end(), mapped.begin() + kMapped.size());
  return ClientAddress(mapped);
}

std::optional<ClientAddress> ClientAddress::Parse(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof terminated || text.find('\0') != text.npos) return std::nullopt;
  terminated[text.copy(terminated, text.size())] = '\0';
  std::array<std::uint8_t, 4> v4;
  if (inet_pton(AF_INET, terminated, v4.data()) == 1) return FromV4(v4);
  Bytes v6;
  if (inet_pton(AF_INET6, terminated, v6.data()) == 1) return ClientAddress(v6);
  return std::nullopt;
}

bool ClientAddress::is_v4() const { return IsMapped(bytes_); }

AddressKey ClientAddress::key() const {
  AddressKey::Bytes key = bytes_;
  if (!is_v4()) std::fill(key.begin() + kKeyBytesOfV6, key.end(), std::uint8_t{0});
  return AddressKey(key);
}

std::string ClientAddress::ToString() const { return Text(bytes_); }

std::string ClientEndpoint::ToString() const {
  if (port == 0) return address.ToString();
  return address.is_v4() ? fmt::format("{}:{}", address.ToString(), port)
                         : fmt::format("[{}]:{}", address.ToString(), port);
}

}  // namespace herald
