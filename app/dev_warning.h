#pragma once

#include "app/config.h"

namespace herald {

// One warning if `dev` is on and a port that it opens to everyone is reachable from other machines.
void WarnOfDev(const Config& config);

}  // namespace herald
