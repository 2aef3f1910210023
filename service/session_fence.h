#pragma once

#include <string>

#include "broker/cluster.h"
#include "session/session_table.h"

namespace herald {

// Ends a session whose client has come back on another node (4409), as Shard::TakeOver does where
// both are on one.
//
// What the ended session was owed for receipts is given up there (`disconnected`): the client's
// acknowledgements go to its new node, which cannot tell to whom they are due. So a receipt may say
// less than happened, never more.
//
// Threads: any.
class SessionFence {
 public:
  // Registers with `cluster`, before it starts.
  SessionFence(Cluster& cluster, SessionTable& table);

  // `user` says that it is the previous owner of `session_id`, which is of another node. Told, and
  // not awaited: if it is lost the old session ends with its connection.
  void Fence(const std::string& session_id, const std::string& user);

 private:
  void OnFence(const std::string& message);

  Cluster& cluster_;
  SessionTable& table_;
};

}  // namespace herald
