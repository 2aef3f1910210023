#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ws/https_get.h"

namespace herald {

struct JwksFetcherOptions {
  HttpsRequest request;
  absl::Duration refresh = absl::Minutes(5);
  // Takes a key set; not OK if it is unusable, and then the keys before it stay. On the fetcher's
  // thread.
  std::function<absl::Status(std::string_view jwks)> take;
  // A fetch has failed in another way than the one before it. On the fetcher's thread.
  std::function<void(const absl::Status&)> failed;
  // The first fetch, or the first after a failure, has succeeded. On the fetcher's thread.
  std::function<void()> recovered;
};

// Keeps a key set that lies behind a URL up to date.
//
//   when it is fetched              | next time
//   --------------------------------+---------------------------------------------------------------
//   at the start                    |
//   after a success                 | after `refresh`, or the answer's max-age if that is longer, but
//                                   | an hour at most
//   after a failure                 | after 1 s, 2 s, 4 s … up to 30 s or `refresh`, whichever is less
//   FetchSoon                       | at once, but not within kSoonest of the fetch before
//
// Threads:   one of its own, from the constructor to the destructor; FetchSoon and the counters from
//            any.
// Limits:    those of HttpsRequest; one fetch at a time. The destructor ends one that is under way.
class JwksFetcher {
 public:
  static constexpr absl::Duration kSoonest = absl::Seconds(10);
  static constexpr absl::Duration kLongestRefresh = absl::Hours(1);

  explicit JwksFetcher(JwksFetcherOptions options);
  ~JwksFetcher();
  JwksFetcher(const JwksFetcher&) = delete;
  JwksFetcher& operator=(const JwksFetcher&) = delete;

  // A token named a key that is not there. Cheap: to be called for each.
  void FetchSoon();

  // A usable key set has come.
  bool fetched() const { return fetched_.load(std::memory_order_acquire); }
  std::uint64_t fetches() const { return fetches_.load(std::memory_order_relaxed); }
  std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  void Run();
  // How long to wait for the next.
  absl::Duration Fetch();
  absl::Status TryFetch(absl::Duration& wait);
  // False: it is over.
  bool Wait(absl::Time begun, absl::Duration wait);

  const JwksFetcherOptions options_;
  std::atomic<bool> fetched_{false};
  std::atomic<bool> wanted_soon_{false};
  std::atomic<std::uint64_t> fetches_{0};  // that succeeded
  std::atomic<std::uint64_t> failures_{0};
  int failed_in_a_row_ = 0;
  std::string last_failure_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;                            // under mutex_
  std::unique_ptr<boost::asio::io_context> io_;  // of the fetch under way; under mutex_
  std::thread thread_;
};

}  // namespace herald
