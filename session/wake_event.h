#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>

#include "absl/functional/any_invocable.h"

namespace herald {

// Has the thread of an io_context called from other threads. `asio::post` from a foreign thread holds
// the lock of the loop while it wakes it: on a busy core the loop then runs at once, and finds the
// lock taken; that costs two switches of threads for every wake. This takes no lock and allocates
// nothing.
//
// Threads:   Signal from any; the rest from the context's own, or while it does not run.
// Source:    eventfd(2)
class WakeEvent {
 public:
  // The context must outlive it. Throws boost::system::system_error, as the context's own constructor
  // does, where the process may open no more files.
  explicit WakeEvent(boost::asio::io_context& io);

  // Calls `on_signal` once or more often after each Signal, until the context stops.
  void Listen(absl::AnyInvocable<void()> on_signal);
  void Signal();

 private:
  void Await();

  boost::asio::posix::stream_descriptor event_;
  std::uint64_t signals_ = 0;
  absl::AnyInvocable<void()> on_signal_;
};

}  // namespace herald
