#include "cli/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace herald::cli {

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  const std::unique_ptr<std::FILE, Close> file(path == "-" ? stdin
                                                           : std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  std::string content;
  char buffer[16384];
  while (const std::size_t n = std::fread(buffer, 1, sizeof(buffer), file.get())) {
    if (content.size() + n > max_bytes) {
      return absl::InvalidArgumentError(fmt::format("{} is longer than {} bytes", path, max_bytes));
    }
    content.append(buffer, n);
  }
  if (std::ferror(file.get()) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  return content;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  auto content = ReadFile(path, 64 * 1024);
  if (!content.ok()) return content;
  constexpr const char* kBlank = " \t\r\n";
  const std::size_t first = content->find_first_not_of(kBlank);
  if (first == std::string::npos) return absl::InvalidArgumentError(path + " holds no token");
  const std::size_t last = content->find_last_not_of(kBlank);
  std::string token = content->substr(first, last - first + 1);
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; })) {
    return absl::InvalidArgumentError(path + " does not hold one token on one line");
  }
  return token;
}

}  // namespace herald::cli
