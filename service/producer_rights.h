// What one producer may do: an entry of producers_file.
//
// Threads: immutable values, any thread.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "herald/v1/push_service.pb.h"
#include "session/reach.h"

namespace herald {

// Everything that a producer can lack. The first kVerbs are the words of `may`; the others are the
// keys of the entry that say where the verbs apply.
enum class Right : std::uint8_t {
  kDeliver,
  kJoin,  // also leave
  kDisconnect,
  kLabels,
  kQuery,
  kWatch,
  kHandle,
  kOperate,
  kTopics,
  kUsers,
  kAll,
  kSelectors,
};
inline constexpr std::size_t kVerbs = 8;
inline constexpr std::size_t kRights = 12;
inline constexpr std::array<std::string_view, kRights> kRightNames = {
    "deliver", "join",    "disconnect", "labels", "query", "watch",
    "handle",  "operate", "topics",     "users",  "all",   "selectors"};
inline std::string_view Name(Right right) { return kRightNames[static_cast<std::size_t>(right)]; }

// 0 is no limit.
struct ProducerLimits {
  std::uint64_t commands_per_second = 0;
  std::uint64_t bytes_per_second = 0;
  std::uint64_t push_streams = 0;

  friend bool operator==(const ProducerLimits&, const ProducerLimits&) = default;
};

// Why a command or a call is refused.
struct Denial {
  Right missing;
  std::string why;  // names the producer and the missing right
};

struct ProducerRights {
  std::string name;
  std::bitset<kVerbs> may;
  Reach reach;  // `topics` and `users`
  bool all = false;
  bool selectors = false;
  ProducerLimits limits;

  bool May(Right verb) const { return may[static_cast<std::size_t>(verb)]; }
  // True if queries and events show this producer everything.
  bool SeesEverything() const { return reach.users.everything() && reach.topics.everything(); }
  // True if commands may touch every session: no check of a session's user is needed.
  bool TouchesEverySession() const { return all || selectors || reach.users.everything(); }

  std::optional<Denial> CheckVerb(Right verb) const;
  // Of a Push stream: one of the verbs of commands.
  std::optional<Denial> CheckStream() const;
  // Of a query: `$user/…` needs the user, `$all` every user.
  std::optional<Denial> CheckTopic(std::string_view action, std::string_view topic) const;
  std::optional<Denial> CheckUser(std::string_view action, std::string_view user) const;
  // Everything that can be decided without looking at sessions. Whether the user of a session that
  // is named by its id is covered is checked where the session is (WithinReach). A command that
  // makes no sense passes: whoever runs it says what is wrong.
  std::optional<Denial> Check(const v1::Command& command) const;

  friend bool operator==(const ProducerRights&, const ProducerRights&) = default;

 private:
  std::optional<Denial> CheckTarget(std::string_view action, const v1::Target& target) const;
  std::optional<Denial> CheckSession(std::string_view action) const;
  Denial Deny(Right missing, std::string_view action, std::string_view allowed) const;
};

}  // namespace herald
