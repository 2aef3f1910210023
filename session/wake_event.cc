#include "session/wake_event.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <utility>

namespace herald {
namespace {

int OpenEvent() {
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) {
    throw boost::system::system_error(errno, boost::system::system_category(),
                                      "eventfd, to wake a shard");
  }
  return event;
}

}  // namespace

WakeEvent::WakeEvent(boost::asio::io_context& io) : event_(io, OpenEvent()) {}

void WakeEvent::Listen(absl::AnyInvocable<void()> on_signal) {
  on_signal_ = std::move(on_signal);
  Await();
}

void WakeEvent::Signal() {
  const std::uint64_t one = 1;
  // It fails only if nobody has taken some 2^64 signals, and is then awake anyway.
  [[maybe_unused]] const ssize_t written = ::write(event_.native_handle(), &one, sizeof one);
}

void WakeEvent::Await() {
  event_.async_read_some(boost::asio::buffer(&signals_, sizeof signals_),
                         [this](boost::system::error_code failed, std::size_t) {
                           if (failed) return;
                           on_signal_();
                           Await();
                         });
}

}  // namespace herald
