#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "session/close.h"

namespace herald {

// What became of one message that asked for a report, counted where it happens.
//
// Each matched session is open until it gets as far as the level asks, or the message is dropped
// for it: so at the end `matched` is what got there and what was dropped, and nothing is counted
// twice. `done` is called once, when no session is open and nobody holds the receipt, or when it
// expires.
//
// Threads:   any, no lock. `done` runs on the thread that ends it: it must not block.
// Errors:    none; an expiry is dropped{timeout} for the sessions still open.
class Receipt {
 public:
  enum class Level : std::uint8_t { kWritten, kAcked };
  struct Counts {
    std::uint64_t matched = 0;
    std::uint64_t written = 0;
    std::uint64_t acked = 0;
    std::array<std::uint64_t, kDropReasons> dropped{};
    std::uint32_t unanswered_nodes = 0;  // what their sessions got is not counted
  };
  using Done = absl::AnyInvocable<void(const Counts&)>;

  // Held once by its maker. `deadline`: when it is to be expired, for who has to tell others.
  Receipt(Level level, Done done, absl::Time deadline = absl::InfiniteFuture())
      : level_(level), deadline_(deadline), done_(std::move(done)) {}
  Receipt(const Receipt&) = delete;
  Receipt& operator=(const Receipt&) = delete;

  Level level() const { return level_; }
  absl::Time deadline() const { return deadline_; }
  // Nothing counts any more.
  bool final() const { return final_.load(std::memory_order_acquire); }

  // More sessions may follow while somebody holds it. Only a holder may add a hold.
  void Hold() { open_.fetch_add(1, std::memory_order_relaxed); }
  void Release() { Close(); }

  // By a holder: so many more sessions are meant, and open.
  void Matched(std::uint64_t sessions = 1);
  // Their sockets took it. Ends the sessions' part at level kWritten.
  void Written(std::uint32_t sessions = 1);
  // By their clients, after Written. Ends their part at level kAcked.
  void Acked(std::uint32_t sessions = 1);
  // Ends the session's part.
  void Dropped(DropReason reason);
  // By a holder: a user or topic of the target had no session.
  void NoSession() { Count(DropReason::kNoSession); }

  // By a holder: what so many other nodes count is awaited. Those that have not answered at the end
  // are told of, and without them nobody can say that there was no session.
  void Await(std::uint32_t nodes) { awaited_.fetch_add(nodes, std::memory_order_relaxed); }
  // By a holder: one of them has answered; these parts have ended there.
  void Add(const Counts& counts);

  // The session has ended and may come back for the message: until then its part stays open, and
  // an expiry counts it as `reason` and not as a timeout.
  void Away(DropReason reason);
  void Back(DropReason reason);

  // `report_timeout` has passed.
  void Expire();
  // There is nothing to report: `done` will not be called.
  void Cancel();

 private:
  void Count(DropReason reason) {
    dropped_[static_cast<std::size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
  void Close(std::uint32_t sessions = 1);
  void Finish();

  const Level level_;
  const absl::Time deadline_;
  std::atomic<bool> final_{false};
  std::atomic<std::uint32_t> open_{1};  // sessions and holders
  std::atomic<std::uint32_t> awaited_{0};
  std::atomic<std::uint64_t> matched_{0};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> acked_{0};
  std::array<std::atomic<std::uint64_t>, kDropReasons> dropped_{};
  std::array<std::atomic<std::int64_t>, kDropReasons> away_{};
  Done done_;
};
using ReceiptPtr = std::shared_ptr<Receipt>;

}  // namespace herald
