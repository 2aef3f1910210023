// How the text of a setting becomes its value, and back: one kind for each form of value.
//
// A kind has Parse(text, value): a status that says what text would do, and `value` unchanged on
// error; Print(value): text that Parse reads; and unit(): what to call the text in --help.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "app/address.h"
#include "fmt/format.h"
#include "session/address_range.h"

namespace herald::setting {

struct Switch {
  absl::Status Parse(std::string_view text, bool& value) const;
  std::string Print(bool value) const { return value ? "true" : "false"; }
  std::string unit() const { return "true|false"; }
};

struct Text {
  std::string_view what = "TEXT";
  absl::Status Parse(std::string_view text, std::string& value) const;
  std::string Print(const std::string& value) const { return value; }
  std::string unit() const { return std::string(what); }
};

// A name of lower-case letters, digits and hyphens, at most 63, or nothing; upper case is lowered.
struct NodeName {
  absl::Status Parse(std::string_view text, std::string& value) const;
  std::string Print(const std::string& value) const { return value; }
  std::string unit() const { return "NAME"; }
};

// A URL or several, parted by commas. Printed without what stands before the @.
struct NatsUrl {
  absl::Status Parse(std::string_view text, std::string& value) const;
  std::string Print(const std::string& value) const;
  std::string unit() const { return "URL"; }
};

struct ListenAddress {
  absl::Status Parse(std::string_view text, Address& value) const;
  std::string Print(const Address& value) const { return ToString(value); }
  std::string unit() const { return "ADDRESS"; }
};

// Ranges of IP addresses (CIDR), comma-separated.
struct AddressRanges {
  absl::Status Parse(std::string_view text, std::vector<AddressRange>& value) const;
  std::string Print(const std::vector<AddressRange>& value) const;
  std::string unit() const { return "LIST"; }
};

// `scheme://host[:port]`, `null` or `*`, comma-separated; kept in the form that browsers send.
struct Origins {
  absl::Status Parse(std::string_view text, std::vector<std::string>& value) const;
  std::string Print(const std::vector<std::string>& value) const;
  std::string unit() const { return "LIST"; }
};

// Host names or addresses without ports, or `loopback`, comma-separated; kept in lower case.
struct Hosts {
  absl::Status Parse(std::string_view text, std::vector<std::string>& value) const;
  std::string Print(const std::vector<std::string>& value) const;
  std::string unit() const { return "LIST"; }
};

// A plain integer from min to max.
struct Count {
  std::uint32_t min = 0;
  std::uint32_t max = 1'000'000'000;
  std::string_view what = "N";
  absl::Status Parse(std::string_view text, std::uint32_t& value) const;
  std::string Print(std::uint32_t value) const { return std::to_string(value); }
  std::string unit() const { return std::string(what); }
};

// Bytes: a plain integer, or one with KiB, MiB or GiB behind it.
struct Bytes {
  std::uint64_t min = 0;
  std::uint64_t max = std::uint64_t{1} << 50;
  absl::Status Parse(std::string_view text, std::uint64_t& value) const;
  std::string Print(std::uint64_t value) const;
  std::string unit() const { return "BYTES"; }
};

// 25s, 500ms, 2m30s: as absl::ParseDuration, more than nothing and at most `max`.
struct Duration {
  bool may_be_zero = false;
  absl::Duration max = absl::Hours(24);

  absl::Status Parse(std::string_view text, absl::Duration& value) const;
  std::string Print(absl::Duration value) const { return absl::FormatDuration(value); }
  std::string unit() const { return "DURATION"; }
};

// One word of a few.
template <typename T>
struct Choice {
  std::span<const std::pair<std::string_view, T>> words;

  absl::Status Parse(std::string_view text, T& value) const {
    for (const auto& [word, meaning] : words) {
      if (word != text) continue;
      value = meaning;
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not one of {}", text, unit()));
  }
  std::string Print(T value) const {
    for (const auto& [word, meaning] : words) {
      if (meaning == value) return std::string(word);
    }
    return "";
  }
  std::string unit() const {
    std::string all;
    for (const auto& [word, meaning] : words) {
      if (!word.empty()) all += (all.empty() ? "" : "|") + std::string(word);
    }
    return all;
  }
};

}  // namespace herald::setting
