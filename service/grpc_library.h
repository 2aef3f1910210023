#pragma once

#include <string>

namespace herald {

// The version of the gRPC that this program is linked with, such as "1.51.1".
std::string GrpcLibraryVersion();

}  // namespace herald
