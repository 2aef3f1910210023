#include "service/ban_exchange.h"

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "herald/internal/v1/cluster.pb.h"

namespace herald {
namespace {

constexpr std::string_view kMethod = "bans";

}  // namespace

BanExchange::BanExchange(Cluster& cluster, BanList& bans) : cluster_(cluster), bans_(bans) {
  cluster.Handle(std::string(kMethod),
                 [this](std::string_view, const std::string& message, Cluster::Answer answer) {
                   // Told, or asked with nothing: then the answer to a teller is of no consequence.
                   Merge(message);
                   answer(Serialize());
                 });
  cluster.Watch([this](const Cluster::PeerChange& change) {
    if (change.here && bans_.size() > 0) cluster_.Tell(change.node, kMethod, Serialize());
  });
}

void BanExchange::Learn() {
  const auto done = std::make_shared<std::promise<void>>();
  std::future<void> answered = done->get_future();
  cluster_.AskAll(kMethod, "", kDeadline, [this, done](const Cluster::Answers& answers) {
    for (const auto& [node, bytes] : answers.by_node) Merge(bytes);
    done->set_value();
  });
  answered.wait_for(absl::ToChronoMilliseconds(2 * kDeadline));
}

std::string BanExchange::Serialize() const {
  internal::v1::Bans message;
  for (const BanList::Ban& ban : bans_.List(absl::Now())) {
    internal::v1::Bans::Ban& to = *message.add_bans();
    to.set_user_id(ban.user);
    to.set_token_id(ban.token_id);
    to.set_until_unix_millis(absl::ToUnixMillis(ban.until));
    to.set_owner(ban.owner);
  }
  return message.SerializeAsString();
}

void BanExchange::Merge(const std::string& bytes) {
  internal::v1::Bans message;
  if (bytes.empty() || !message.ParseFromString(bytes)) return;
  std::vector<BanList::Ban> bans;
  bans.reserve(static_cast<std::size_t>(message.bans_size()));
  for (const internal::v1::Bans::Ban& ban : message.bans())
    bans.push_back({ban.user_id(), ban.token_id(), absl::FromUnixMillis(ban.until_unix_millis()),
                    ban.owner()});
  bans_.Merge(bans, absl::Now());
}

}  // namespace herald
