#include "session/address_range.h"

#include <charconv>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr int kMappedBits = 96;  // what stands before an IPv4 address

ClientAddress FirstOf(const ClientAddress& address, int bits) {
  ClientAddress::Bytes bytes = address.bytes();
  for (int i = 0; i < 16; ++i) {
    const int keep = bits - 8 * i;
    if (keep <= 0) {
      bytes[static_cast<std::size_t>(i)] = 0;
    } else if (keep < 8) {
      bytes[static_cast<std::size_t>(i)] &= static_cast<std::uint8_t>(0xff << (8 - keep));
    }
  }
  return ClientAddress::FromV6(bytes);
}

}  // namespace

absl::StatusOr<AddressRange> AddressRange::Parse(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a range like 10.0.0.0/8 or 2001:db8::/32: {}", text, why));
  };
  const std::size_t slash = text.find('/');
  const auto address = ClientAddress::Parse(text.substr(0, slash));
  if (!address) return bad("it does not begin with an IP address");
  // `::ffff:10.0.0.0` would leave open which of both prefixes is meant.
  const bool v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  if (!v4 && address->is_v4()) return bad("write an IPv4 address in its dotted form");
  int bits = v4 ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    int given = 0;
    const auto [stop, error] = std::from_chars(length.data(), length.data() + length.size(), given);
    if (error != std::errc() || stop != length.data() + length.size() || given < 0 || given > bits)
      return bad(fmt::format("the prefix is not 0 to {}", bits));
    bits = given;
  }
  const AddressRange range(*address, bits + (v4 ? kMappedBits : 0));
  const ClientAddress first = FirstOf(*address, range.bits_);
  if (first != *address)
    return bad(fmt::format("it has bits after its prefix; write {}/{}", first.ToString(), bits));
  return range;
}

bool AddressRange::Contains(const ClientAddress& address) const {
  const bool v4 = first_.is_v4() && bits_ >= kMappedBits;
  return v4 == address.is_v4() && FirstOf(address, bits_) == first_;
}

std::string AddressRange::ToString() const {
  const bool v4 = first_.is_v4() && bits_ >= kMappedBits;
  return fmt::format("{}/{}", first_.ToString(), v4 ? bits_ - kMappedBits : bits_);
}

}  // namespace herald
