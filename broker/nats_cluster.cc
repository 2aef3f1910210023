#include "broker/nats_cluster.h"

#include <future>
#include <memory>
#include <utility>

#include "fmt/format.h"

namespace herald {
namespace {

constexpr absl::Duration kGoodbye = absl::Milliseconds(500);

}  // namespace

NatsCluster::NatsCluster(NatsConnection& connection, std::string prefix, ClusterNodeOptions options)
    : connection_(connection), prefix_(std::move(prefix)), node_([&] {
        options.send = [this](std::string_view node, const std::string& frame) {
          return connection_.Publish(SubjectOf(node), frame).ok();
        };
        options.connected = [this] { return connection_.connected(); };
        return std::move(options);
      }()) {}

// Names of nodes are letters, digits and hyphens: a token as they are, and never `_all`.
std::string NatsCluster::SubjectOf(std::string_view node) const {
  return fmt::format("{}.n.{}", prefix_, node.empty() ? "_all" : node);
}

absl::Status NatsCluster::Start() {
  connection_.Subscribe(SubjectOf(node_.self()), *this);
  connection_.Subscribe(SubjectOf(""), *this);
  return node_.Start();
}

void NatsCluster::Stop(bool goodbye) {
  node_.Stop(goodbye);
  if (!goodbye || !connection_.connected()) return;
  // What the connection still holds may be lost when it is closed.
  auto sent = std::make_shared<std::promise<void>>();
  connection_.Echo(kGoodbye, [sent](const absl::Status&) { sent->set_value(); });
  sent->get_future().wait_for(absl::ToChronoMilliseconds(2 * kGoodbye));
}

}  // namespace herald
