#pragma once

#include <cstdint>
#include <vector>

#include "app/config.h"
#include "app/listener_watch.h"
#include "ws/front_end.h"

namespace herald {

// The client port and the gRPC port of this process, as ListenerWatch calls them.
//
// `front_end` must outlive the watch.
std::vector<ListenerWatch::Port> WatchedPorts(const Config& config, const FrontEnd& front_end,
                                              std::uint16_t client_port, std::uint16_t grpc_port);

}  // namespace herald
