#pragma once

#include <sys/stat.h>

#include <string>
#include <tuple>

namespace herald {

// Notices that a file has been replaced or written to, a symbolic link's target included (Kubernetes
// swaps links).
//
// Threads: one.
class FileWatch {
 public:
  // True if `path` is another file than at the last call, or another path, or has other content by
  // its size or times, or another owner or mode: it may be readable now. The first call remembers it and returns false. A missing file counts as a state.
  bool Changed(const std::string& path) {
    State now;
    struct stat file{};
    if (!path.empty() && ::stat(path.c_str(), &file) == 0) {
      now = {path,
             file.st_ino,
             file.st_size,
             file.st_mtim.tv_sec,
             file.st_mtim.tv_nsec,
             file.st_ctim.tv_sec,
             file.st_ctim.tv_nsec};
    } else {
      now = {path, 0, 0, 0, 0, 0, 0};
    }
    const bool changed = known_ && now != state_;
    state_ = now;
    known_ = true;
    return changed;
  }

 private:
  using State = std::tuple<std::string, ino_t, off_t, time_t, long, time_t, long>;
  State state_;
  bool known_ = false;
};

}  // namespace herald
