#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace herald::cli {

// Lines of a file descriptor (a pipe, a file, a terminal), and whether there is one now.
//
// Threads: one; Stop() from any.
// Limits:  holds max_line_bytes and one read (64 KiB) at most; a longer line is skipped and
// reported.
class LineReader {
 public:
  enum Result {
    kLine,     // `line` is the next one, without "\n" or "\r\n"
    kTooLong,  // the next one was longer than max_line_bytes
    kNotYet,   // no whole line has arrived: do something else, then Wait()
    kEnd,      // end of file, a read error, or Stop()
  };

  // Borrows `fd`.
  LineReader(int fd, std::size_t max_line_bytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // Never blocks, but for a file on a slow disk. `line` is valid until the next call. A last line
  // without a newline counts.
  Result Next(std::string_view* line);
  // Blocks until Next() may have something to say.
  void Wait();
  // Blocks for so long, or until Stop().
  void Sleep(std::chrono::nanoseconds duration);
  // Makes Wait() and Sleep() return now and forever, and Next() answer kEnd.
  void Stop();

 private:
  bool Readable(int timeout_ms) const;
  bool Stopped() const;
  // Appends what is there. False at the end.
  bool Fill();

  const int fd_;
  const int stop_fd_;  // eventfd
  const std::size_t max_line_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the next line in buffer_
  std::size_t scanned_ = 0;  // no newline before here
  bool skipping_ = false;    // inside a line that is too long
  bool ended_ = false;
};

}  // namespace herald::cli
