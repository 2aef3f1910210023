#pragma once

#include <string_view>

namespace herald {

// True if gRPC `version`, such as "1.51.1", is before 1.60 or cannot be read. Those versions have
// no limits against floods of HTTP/2 frames: rapid reset (CVE-2023-44487), CONTINUATION, SETTINGS,
// PING, PRIORITY and WINDOW_UPDATE. One connection can take gigabytes and all of gRPC's CPU time.
bool LacksFloodLimits(std::string_view version);

}  // namespace herald
