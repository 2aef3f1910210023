// Several nodes of a cluster in one process: as the real thing, but that frames go through memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "broker/cluster_node.h"
#include "tests/session/node.h"

namespace herald {

// Carries frames between the nodes that have joined, in order; those of silenced nodes are lost, as
// are frames that `drop` says.
//
// Threads: any. Outlives the nodes.
class LocalNetwork {
 public:
  // Beats fast, so that tests need not wait long for a loss.
  ClusterNodeOptions Options(std::string name) {
    ClusterNodeOptions options;
    options.name = name;
    options.heartbeat = absl::Milliseconds(50);
    options.lost_after = absl::Milliseconds(1000);
    options.name_check = absl::Milliseconds(20);
    options.send = [this, name](std::string_view to, std::string frame) {
      return Send(name, to, std::move(frame));
    };
    options.connected = [this, name] {
      MutexLock lock(mutex_);
      return !cut_.contains(name);
    };
    return options;
  }

  // Not started yet.
  std::unique_ptr<ClusterNode> Join(const std::string& name) { return Join(Options(name)); }
  std::unique_ptr<ClusterNode> Join(ClusterNodeOptions options) {
    auto node = std::make_unique<ClusterNode>(options);
    MutexLock lock(mutex_);
    nodes_.emplace(options.name, node.get());
    return node;
  }
  void Leave(ClusterNode& node) {
    MutexLock lock(mutex_);
    std::erase_if(nodes_, [&](const auto& entry) { return entry.second == &node; });
  }

  // Nothing comes from `node` nor gets there: as if it hung.
  void Silence(const std::string& node) {
    Change([&] { silent_.insert(node); });
  }
  // And it knows: as if its connection to the others were gone.
  void Cut(const std::string& node) {
    Change([&] { silent_.insert(node), cut_.insert(node); });
  }
  void Heal(const std::string& node) {
    Change([&] { silent_.erase(node), cut_.erase(node); });
  }
  // Frames for which it returns true are lost.
  void set_drop(std::function<bool(const ClusterFrame&)> drop) {
    Change([&] { drop_ = std::move(drop); });
  }

 private:
  template <typename F>
  void Change(F change) {
    MutexLock lock(mutex_);
    change();
  }
  bool Send(const std::string& from, std::string_view to, std::string bytes) {
    MutexLock lock(mutex_);
    if (cut_.contains(from)) return false;
    if (silent_.contains(from)) return true;
    if (drop_) {
      const auto frame = ClusterFrame::Decode(bytes);
      if (frame && drop_(*frame)) return true;
    }
    for (auto& [name, node] : nodes_) {
      if ((to.empty() || name == to) && !silent_.contains(name)) node->Receive(bytes);
    }
    return true;
  }

  Mutex mutex_;
  std::multimap<std::string, ClusterNode*> nodes_;
  std::set<std::string> silent_, cut_;
  std::function<bool(const ClusterFrame&)> drop_;
};

// True once `node` knows exactly these peers.
[[nodiscard]] inline bool WaitPeers(const Cluster& node, std::set<std::string> expected) {
  return Eventually([&] {
    const auto peers = node.peers();
    return std::set<std::string>(peers.begin(), peers.end()) == expected;
  });
}

}  // namespace herald
