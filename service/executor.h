#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <thread>
#include <utility>

#include "absl/time/time.h"

namespace herald {

// One thread on which the service does what must neither run on a shard (starting gRPC operations
// takes tens of microseconds) nor meet itself: wake-ups of streams, ends of reactors, answers
// gathered from shards. What one thread posts runs in order.
class Executor {
 public:
  Executor() : work_(boost::asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}
  // Runs what has been posted, then ends.
  ~Executor() {
    work_.reset();
    thread_.join();
  }

  template <typename F>
  void Post(F task) {
    boost::asio::post(io_, std::move(task));
  }

  // Runs it about `delay` later. The destructor waits for it, so `delay` should be short.
  template <typename F>
  void PostAfter(absl::Duration delay, F task) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, absl::ToChronoNanoseconds(delay));
    timer->async_wait(
        [timer, task = std::move(task)](boost::system::error_code) mutable { task(); });
  }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace herald
