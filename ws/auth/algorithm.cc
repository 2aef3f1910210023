#include "ws/auth/algorithm.h"

namespace herald {
namespace {

constexpr struct {
  Algorithm algorithm;
  std::string_view name;
} kNames[] = {
    {Algorithm::kHs256, "HS256"},
    {Algorithm::kRs256, "RS256"},
    {Algorithm::kEs256, "ES256"},
    {Algorithm::kEdDsa, "EdDSA"},
};

}  // namespace

std::string_view AlgorithmName(Algorithm algorithm) {
  for (const auto& entry : kNames) {
    if (entry.algorithm == algorithm) return entry.name;
  }
  return "?";
}

std::optional<Algorithm> ParseAlgorithm(std::string_view name) {
  for (const auto& entry : kNames) {
    if (entry.name == name) return entry.algorithm;
  }
  return std::nullopt;
}

}  // namespace herald
