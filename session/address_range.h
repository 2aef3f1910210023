#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "session/client_address.h"

namespace herald {

// Addresses with a common prefix (CIDR, RFC 4632): `10.0.0.0/8`, `2001:db8::/32`, or one address.
class AddressRange {
 public:
  // kInvalidArgument says what is wrong, and how to write it if bits after the prefix are set.
  static absl::StatusOr<AddressRange> Parse(std::string_view text);

  // A range of IPv6 contains no IPv4 address, also not `::/0`.
  bool Contains(const ClientAddress& address) const;
  // What Parse reads.
  std::string ToString() const;

  friend bool operator==(const AddressRange&, const AddressRange&) = default;

 private:
  AddressRange(const ClientAddress& first, int bits) : first_(first), bits_(bits) {}

  ClientAddress first_;
  int bits_ = 128;  // of the 128 of an IPv6 address, also for IPv4
};

}  // namespace herald
