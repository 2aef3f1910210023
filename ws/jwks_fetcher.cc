#include "ws/jwks_fetcher.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace herald {
namespace {

constexpr absl::Duration kLongestRetry = absl::Seconds(30);

}  // namespace

JwksFetcher::JwksFetcher(JwksFetcherOptions options)
    : options_(std::move(options)), thread_([this] { Run(); }) {}

JwksFetcher::~JwksFetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (io_) io_->stop();
  }
  changed_.notify_one();
  thread_.join();
}

void JwksFetcher::FetchSoon() {
  if (wanted_soon_.exchange(true, std::memory_order_relaxed)) return;
  // With the lock, or the thread could miss it between its look and its wait.
  {
    const std::lock_guard lock(mutex_);
  }
  changed_.notify_one();
}

void JwksFetcher::Run() {
  while (true) {
    const absl::Time begun = absl::Now();
    wanted_soon_.store(false, std::memory_order_relaxed);
    const absl::Duration wait = Fetch();
    if (!Wait(begun, wait)) return;
  }
}

bool JwksFetcher::Wait(absl::Time begun, absl::Duration wait) {
  const auto until = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(wait);
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until,
                      [this] { return stop_ || wanted_soon_.load(std::memory_order_relaxed); });
  // Asked for early. A clock that was set back must not make it wait longer than that.
  const absl::Duration left = std::min(begun + kSoonest - absl::Now(), std::min(kSoonest, wait));
  if (!stop_ && wanted_soon_ && left > absl::ZeroDuration())
    changed_.wait_for(lock, absl::ToChronoMilliseconds(left), [this] { return stop_; });
  return !stop_;
}

absl::Duration JwksFetcher::Fetch() {
  absl::Duration wait = options_.refresh;
  const absl::Status status = TryFetch(wait);
  if (status.ok()) {
    fetches_.fetch_add(1, std::memory_order_relaxed);
    const bool tell = !fetched_.exchange(true, std::memory_order_acq_rel) || failed_in_a_row_ > 0;
    failed_in_a_row_ = 0;
    last_failure_.clear();
    if (tell && options_.recovered) options_.recovered();
    return wait;
  }
  if (absl::IsCancelled(status)) return absl::ZeroDuration();
  failures_.fetch_add(1, std::memory_order_relaxed);
  const std::string what(status.message());
  if (what != last_failure_ && options_.failed) options_.failed(status);
  last_failure_ = what;
  const absl::Duration backoff = absl::Seconds(1 << std::min(failed_in_a_row_++, 5));
  return std::min({backoff, kLongestRetry, options_.refresh});
}

absl::Status JwksFetcher::TryFetch(absl::Duration& wait) {
  boost::asio::io_context* io = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return absl::CancelledError("stopped");
    io_ = std::make_unique<boost::asio::io_context>(1);
    io = io_.get();
  }
  const absl::StatusOr<HttpsAnswer> answer = HttpsGet(options_.request, *io);
  std::unique_ptr<boost::asio::io_context> done;
  {
    const std::lock_guard lock(mutex_);
    done = std::move(io_);
  }
  // What is left of it ends here, and not under the lock.
  done.reset();
  if (!answer.ok()) return answer.status();
  if (absl::Status status = options_.take(answer->body); !status.ok()) return status;
  const absl::Duration longest = std::max(options_.refresh, kLongestRefresh);
  wait = std::clamp(answer->max_age.value_or(options_.refresh), options_.refresh, longest);
  return absl::OkStatus();
}

}  // namespace herald
