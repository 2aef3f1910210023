#include "ws/auth/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace herald {
namespace {

FileStamp ToStamp(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size,
          static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
}

class Descriptor {
 public:
  // Non-blocking, or opening a FIFO would wait for its writer.
  explicit Descriptor(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status SystemError(const std::string& path, int code) {
  const std::string message = fmt::format("{}: {}", path, std::generic_category().message(code));
  return code == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

}  // namespace

FileStamp StampOf(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? ToStamp(info) : FileStamp{};
}

absl::StatusOr<KeyFile> ReadKeyFile(const std::string& path) {
  const Descriptor file(path);
  struct stat info;
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return SystemError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(fmt::format("{}: not a regular file", path));
  }
  KeyFile out{.text = {}, .stamp = ToStamp(info)};
  char buffer[4096];
  while (true) {
    const ssize_t bytes = ::read(file.get(), buffer, sizeof buffer);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return SystemError(path, errno);
    if (bytes == 0) return out;
    out.text.append(buffer, static_cast<std::size_t>(bytes));
    if (out.text.size() > kMaxKeyFileBytes) {
      return absl::InvalidArgumentError(
          fmt::format("{}: more than {} bytes", path, kMaxKeyFileBytes));
    }
  }
}

}  // namespace herald
