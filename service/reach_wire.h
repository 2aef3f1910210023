#pragma once

#include "herald/internal/v1/cluster.pb.h"
#include "session/reach.h"

namespace herald {

// A Reach between replicas. Pure functions, any thread.
internal::v1::Reach ToWire(const Reach& reach);
// Where a pattern cannot be read, nothing is covered.
ReachPtr FromWire(const internal::v1::Reach& wire);

}  // namespace herald
