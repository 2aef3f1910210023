#include "service/session_fence.h"

#include "herald/internal/v1/cluster.pb.h"

namespace herald {
namespace {

constexpr std::string_view kMethod = "fence";

}  // namespace

SessionFence::SessionFence(Cluster& cluster, SessionTable& table)
    : cluster_(cluster), table_(table) {
  cluster.Handle(std::string(kMethod), [this](std::string_view, const std::string& message,
                                              const Cluster::Answer&) { OnFence(message); });
}

void SessionFence::Fence(const std::string& session_id, const std::string& user) {
  const absl::StatusOr<ParsedSessionId> id = ParseSessionId(session_id);
  if (!id.ok() || user.empty()) return;
  internal::v1::Fence fence;
  fence.set_session_id(session_id);
  fence.set_user_id(user);
  cluster_.Tell(id->node, kMethod, fence.SerializeAsString());
}

void SessionFence::OnFence(const std::string& message) {
  internal::v1::Fence fence;
  if (!fence.ParseFromString(message)) return;
  const absl::StatusOr<ParsedSessionId> parsed = ParseSessionId(fence.session_id());
  auto& shards = table_.shards();
  if (!parsed.ok() || parsed->node != cluster_.self() || parsed->id.shard >= shards.size()) return;
  Shard& shard = *shards[parsed->id.shard];
  shard.Post([&shard, id = parsed->id, user = fence.user_id()] {
    for (const Owed& owed : shard.TakeOver(id, user)) owed.GiveUp();
  });
}

}  // namespace herald
