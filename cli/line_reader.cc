#include "cli/line_reader.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace herald::cli {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

std::string_view WithoutCarriageReturn(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

LineReader::LineReader(int fd, std::size_t max_line_bytes)
    : fd_(fd), stop_fd_(eventfd(0, EFD_CLOEXEC)), max_line_bytes_(max_line_bytes) {}

LineReader::~LineReader() { close(stop_fd_); }

void LineReader::Stop() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(stop_fd_, &one, sizeof(one));
}

void LineReader::Wait() { Readable(-1); }

void LineReader::Sleep(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  const timespec timeout{seconds.count(), (duration - seconds).count()};
  pollfd stop = {stop_fd_, POLLIN, 0};
  ppoll(&stop, 1, &timeout, nullptr);
}

bool LineReader::Readable(int timeout_ms) const {
  pollfd fds[2] = {{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
  }
  return fds[0].revents != 0 || fds[1].revents != 0;
}

bool LineReader::Stopped() const {
  pollfd stop = {stop_fd_, POLLIN, 0};
  return poll(&stop, 1, 0) > 0;
}

bool LineReader::Fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t size = buffer_.size();
  buffer_.resize(size + kReadBytes);
  ssize_t n = 0;
  do {
    n = read(fd_, buffer_.data() + size, kReadBytes);
  } while (n < 0 && errno == EINTR);
  buffer_.resize(size + (n > 0 ? static_cast<std::size_t>(n) : 0));
  return n > 0 || (n < 0 && errno == EAGAIN);
}

LineReader::Result LineReader::Next(std::string_view* line) {
  for (;;) {
    const std::size_t newline = buffer_.find('\n', scanned_);
    if (newline != std::string::npos) {
      *line = WithoutCarriageReturn(std::string_view(buffer_).substr(begin_, newline - begin_));
      const bool too_long = skipping_ || newline - begin_ > max_line_bytes_;
      begin_ = scanned_ = newline + 1;
      skipping_ = false;
      return too_long ? kTooLong : kLine;
    }
    scanned_ = buffer_.size();
    if (ended_) {
      if (begin_ == buffer_.size() && !skipping_) return kEnd;
      *line = WithoutCarriageReturn(std::string_view(buffer_).substr(begin_));
      begin_ = buffer_.size();
      const bool too_long = skipping_ || line->size() > max_line_bytes_;
      skipping_ = false;
      return too_long ? kTooLong : kLine;
    }
    if (buffer_.size() - begin_ > max_line_bytes_) {
      skipping_ = true;
      begin_ = scanned_ = buffer_.size();
    }
    if (!Readable(0)) return kNotYet;
    if (Stopped()) return kEnd;
    ended_ = !Fill();
  }
}

}  // namespace herald::cli
