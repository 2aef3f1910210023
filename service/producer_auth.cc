#include "service/producer_auth.h"

#include <openssl/sha.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::size_t kMinTokenBytes = 16;

std::string Hash(std::string_view token) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

absl::StatusOr<ProducerAuth> ProducerAuth::Load(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return absl::InvalidArgumentError(fmt::format("producer_tokens_file {}: cannot be read", path));
  Tokens tokens;
  tokens.open = false;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name, token, more;
    words >> name >> token >> more;
    if (name.empty()) continue;
    const auto bad = [&](std::string_view what) {
      return absl::InvalidArgumentError(
          fmt::format("producer_tokens_file {}:{}: {}", path, number, what));
    };
    if (token.empty() || !more.empty()) return bad("a line must be `<name> <token>`");
    if (token.size() < kMinTokenBytes)
      return bad(fmt::format("a token must have at least {} characters", kMinTokenBytes));
    if (!tokens.names.try_emplace(Hash(token), name).second) return bad("this token stands twice");
  }
  if (tokens.names.empty())
    return absl::InvalidArgumentError(fmt::format("producer_tokens_file {}: holds no token", path));
  return ProducerAuth(std::move(tokens));
}

absl::StatusOr<std::string> ProducerAuth::Check(std::string_view authorization) const {
  const Tokens& tokens = tokens_->Get();
  if (tokens.open) return std::string();
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() ||
      !absl::EqualsIgnoreCase(absl::string_view(authorization.data(), kScheme.size()), "bearer ")) {
    return absl::UnauthenticatedError(
        "a bearer token is needed: send `authorization: Bearer <token>`");
  }
  auto it = tokens.names.find(Hash(authorization.substr(kScheme.size())));
  if (it == tokens.names.end()) return absl::UnauthenticatedError("the bearer token is not known");
  return it->second;
}

}  // namespace herald
