#include "app/nats_options.h"

#include <fstream>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "fmt/format.h"

namespace herald {

absl::StatusOr<NatsConnectionOptions> NatsOptionsOf(const Config& config) {
  NatsConnectionOptions options;
  options.servers = absl::StrSplit(config.nats_url, ',', absl::SkipWhitespace());
  options.name = "herald " + config.node_name;
  options.user = config.nats_user;
  options.credentials_file = config.nats_credentials_file;
  options.tls_ca_file = config.nats_tls_ca_file;
  options.tls_cert_file = config.nats_tls_cert_file;
  options.tls_key_file = config.nats_tls_key_file;
  options.connect_timeout = config.nats_connect_timeout;
  if (config.nats_password_file.empty()) return options;
  std::ifstream file(config.nats_password_file);
  if (!std::getline(file, options.password) || options.password.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "nats_password_file {}: no password can be read from it", config.nats_password_file));
  }
  return options;
}

}  // namespace herald
