#pragma once

#include "ws/refusals.h"

namespace herald {

// Logs one of the reasons for which requests were refused since the last call, with how many and an
// example: at most one line. Called once a second; reasons take turns.
//
// Threads: one.
void LogRefusals(Refusals& refusals);

}  // namespace herald
