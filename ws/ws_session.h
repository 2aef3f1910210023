#pragma once

#include <memory>
#include <string>

#include "session/shard.h"
#include "ws/frame_stream.h"
#include "ws/front_end.h"

namespace herald {

// Answers the upgrade and runs the session on its shard until it ends; keeps itself alive.
// The connection's `ticket` goes over to the session, which gives it back when it ends.
//
// `details`: with the request, from a CheckUpgrade that succeeded.
// `prefix`: bytes read behind the request's header.
// Threads: the shard's.
void StartWsSession(FrontEnd& front_end, Shard& shard, ClientSocket socket, UpgradeDetails details,
                    Admission::Ticket ticket, std::string prefix);

}  // namespace herald
