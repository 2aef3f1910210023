#include "service/grpc_library.h"

#include <grpcpp/grpcpp.h>

namespace herald {

std::string GrpcLibraryVersion() { return grpc::Version(); }

}  // namespace herald
