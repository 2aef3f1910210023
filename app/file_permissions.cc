#include "app/file_permissions.h"

#include <sys/stat.h>

#include <string>
#include <utility>

#include "app/logging.h"
#include "fmt/format.h"
#include "ws/auth/key_file.h"

namespace herald {
namespace {

// A key set holds secrets only where it has symmetric keys (RFC 7518 §6.4).
bool HoldsSecrets(const std::string& jwks_file) {
  const auto file = ReadKeyFile(jwks_file);
  return file.ok() && file->text.find("\"oct\"") != std::string::npos;
}

bool EveryoneMayRead(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0;
}

}  // namespace

void WarnOfReadableSecrets(const Config& config) {
  const std::pair<const char*, const std::string*> files[] = {
      {"jwt_secret_file", &config.jwt_secret_file},
      {"jwks_file", &config.jwks_file},
      {"client_tls_key_file", &config.client_tls_key_file},
      {"grpc_tls_key_file", &config.grpc_tls_key_file},
      {"nats_credentials_file", &config.nats_credentials_file},
      {"nats_password_file", &config.nats_password_file},
      {"nats_tls_key_file", &config.nats_tls_key_file},
  };
  for (const auto& [setting, path] : files) {
    if (path->empty() || !EveryoneMayRead(*path)) continue;
    if (path == &config.jwks_file && !HoldsSecrets(*path)) continue;
    LogWarn("every user of this machine can read a file with secrets",
            {{"setting", setting}, {"file", *path}, {"fix", fmt::format("chmod o-r {}", *path)}});
  }
}

}  // namespace herald
