// heraldctl token: a client's JWT, for development. Asks no server.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "ws/auth/token_minter.h"

namespace herald::cli {
namespace {

struct TokenFlags {
  std::string secret_file;
  std::string key_file;
  TokenSpec spec;
  std::map<std::string, std::string> labels;
  std::optional<absl::Duration> expires;
};

ExitCode Token(TokenFlags flags, const GlobalOptions&) {
  if (flags.secret_file.empty() == flags.key_file.empty()) {
    return UsageError(absl::InvalidArgumentError(
        "give one of --secret FILE (HS256) and --private-key FILE (RS256, ES256, EdDSA)"));
  }
  const auto minter = flags.secret_file.empty() ? TokenMinter::FromPemFile(flags.key_file)
                                                : TokenMinter::FromSecretFile(flags.secret_file);
  if (!minter.ok()) return UsageError(minter.status());
  if (flags.expires) flags.spec.ttl = *flags.expires;
  for (const auto& [key, value] : flags.labels) {
    const absl::Status set = flags.spec.labels.Set(key, value);
    if (!set.ok()) return UsageError(set);
  }
  const auto token = minter->Mint(flags.spec, absl::Now());
  if (!token.ok()) return UsageError(token.status());
  Print(*token + "\n");
  return kOk;
}

}  // namespace

Action DeclareToken(CLI::App& app) {
  auto flags = std::make_shared<TokenFlags>();
  TokenSpec& spec = flags->spec;
  const char* key = "Key (one of)";
  app.add_option("--secret", flags->secret_file, "HS256 with the secret in this file")
      ->option_text("FILE")
      ->group(key);
  app.add_option("--private-key", flags->key_file, "RS256, ES256 or EdDSA, as this PEM file says")
      ->option_text("FILE")
      ->group(key);
  app.add_option("--key-id", spec.key_id, "kid, to choose among several keys")
      ->option_text("ID")
      ->group(key);
  const char* claims = "Claims";
  app.add_option("--user", spec.subject, "sub: the user id")
      ->required()
      ->option_text("USER")
      ->group(claims);
  AddDuration(app, "--expires", flags->expires, "exp: from now on [1h]")->group(claims);
  AddList(app, "--topics", spec.topics, "Subscribed at connect")->option_text("A,B")->group(claims);
  AddList(app, "--allow-subscribe", spec.allow_subscribe, "Patterns it may subscribe to")
      ->option_text("A,B")
      ->group(claims);
  AddList(app, "--allow-publish", spec.allow_publish, "Patterns it may publish to")
      ->option_text("A,B")
      ->group(claims);
  AddPairs(app, "--label", flags->labels, "A label of its sessions; may be repeated")
      ->group(claims);
  app.add_option("--token-id", spec.token_id, "jti, by which kick can ban the token")
      ->option_text("JTI")
      ->group(claims);
  app.add_option("--issuer", spec.issuer, "iss")->option_text("NAME")->group(claims);
  app.add_option("--audience", spec.audience, "aud")->option_text("NAME")->group(claims);
  return [flags](const GlobalOptions& globals) { return Token(*flags, globals); };
}

}  // namespace herald::cli
