// Reading of key files, and the cheap question whether one has changed.
//
// Limits: regular files of up to 1 MiB. Symbolic links are followed, so that a
//         mounted Kubernetes secret, which is swapped by a link, is noticed.
// Errors: kNotFound, kInvalidArgument, kUnavailable; the message names the file.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace herald {

inline constexpr std::size_t kMaxKeyFileBytes = 1 << 20;
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // in UTF-8

// What tells two versions of a file apart. All zero: there is no file.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t bytes = 0;
  std::int64_t modified_ns = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

struct KeyFile {
  std::string text;
  FileStamp stamp;  // taken before reading: a later change is seen as one
};

FileStamp StampOf(const std::string& path);
absl::StatusOr<KeyFile> ReadKeyFile(const std::string& path);

}  // namespace herald
