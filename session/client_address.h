#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace herald {

// What the budgets of an address are kept under: an IPv4 address whole, an IPv6 address by its /64.
// One subscriber has a whole /64 and may send from any address in it (RFC 6177 §2).
//
// A plain value of 16 bytes; ordered, compared and hashed by them.
class AddressKey {
 public:
  using Bytes = std::array<std::uint8_t, 16>;

  AddressKey() = default;
  explicit AddressKey(const Bytes& bytes) : bytes_(bytes) {}

  const Bytes& bytes() const { return bytes_; }
  // "192.0.2.1" or "2001:db8::/64".
  std::string ToString() const;

  friend auto operator<=>(const AddressKey&, const AddressKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const AddressKey& key) {
    std::uint64_t halves[2];
    std::memcpy(halves, key.bytes_.data(), sizeof halves);
    return H::combine(std::move(h), halves[0], halves[1]);
  }

 private:
  Bytes bytes_{};
};

// The IP address that a client connects from.
//
// A plain value of 16 bytes: IPv6, or IPv4 in its IPv4-mapped form `::ffff:192.0.2.1` (RFC 4291
// §2.5.5.2). So an IPv4 client is the same client on an IPv4 listener and on one for both.
class ClientAddress {
 public:
  using Bytes = std::array<std::uint8_t, 16>;

  // `::`, which no client has.
  ClientAddress() = default;
  static ClientAddress FromV4(const std::array<std::uint8_t, 4>& bytes);
  static ClientAddress FromV6(const Bytes& bytes) { return ClientAddress(bytes); }
  // "192.0.2.1", "2001:db8::1" or "::ffff:192.0.2.1"; no port, no brackets, no zone.
  static std::optional<ClientAddress> Parse(std::string_view text);

  bool is_v4() const;
  const Bytes& bytes() const { return bytes_; }
  AddressKey key() const;
  // IPv4 in dotted form, IPv6 as RFC 5952 says. Parse reads it back.
  std::string ToString() const;

  friend auto operator<=>(const ClientAddress&, const ClientAddress&) = default;

 private:
  explicit ClientAddress(const Bytes& bytes) : bytes_(bytes) {}

  Bytes bytes_{};
};

// A client's address with its port, as sessions, events and logs show it. Port 0: a proxy has named
// the address alone.
struct ClientEndpoint {
  ClientAddress address;
  std::uint16_t port = 0;

  // "192.0.2.1:80" or "[2001:db8::1]:80"; without a port as the address alone.
  std::string ToString() const;

  friend auto operator<=>(const ClientEndpoint&, const ClientEndpoint&) = default;
};

}  // namespace herald
