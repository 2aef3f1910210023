#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "session/reach.h"
#include "session/session_table.h"

namespace herald {

// Limits one command to the sessions that its producer may touch.
//
// Threads: any; Cover runs on several shards at once.
class WithinReach {
 public:
  // `refused` counts commands to a session outside; may be null.
  WithinReach(ReachPtr reach, std::shared_ptr<std::atomic<std::uint64_t>> refused)
      : reach_(std::move(reach)), refused_(std::move(refused)) {}

  // As SessionTable::ForEach; sessions outside are neither met nor counted. `within` may be null.
  static void ForEach(SessionTable& table, const Target& target,
                      std::shared_ptr<WithinReach> within, std::function<void(Session&)> action,
                      SessionTable::Done done, std::size_t bytes = 0) {
    if (!within) return table.ForEach(target, std::move(action), std::move(done), bytes);
    table.ForEach(
        target,
        [within, action = std::move(action)](Session& session) {
          if (within->Cover(session.user())) action(session);
        },
        [within, done = std::move(done)](std::uint64_t) mutable {
          done(within->covered_.load(std::memory_order_relaxed));
        },
        bytes);
  }

  // True if a session was meant that is outside; then this counts the command as refused.
  bool TellRefused() const {
    if (!left_out_) return false;
    if (refused_) refused_->fetch_add(1, std::memory_order_relaxed);
    return true;
  }

 private:
  bool Cover(std::string_view user) {
    if (reach_->CoversUser(user)) {
      covered_.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
    left_out_ = true;
    return false;
  }

  const ReachPtr reach_;
  const std::shared_ptr<std::atomic<std::uint64_t>> refused_;
  std::atomic<std::uint64_t> covered_{0};
  std::atomic<bool> left_out_{false};  // a session was meant, and is outside
};

}  // namespace herald
