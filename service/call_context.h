#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <string_view>

namespace herald {

// A metadata value of the call, empty if it is not there. gRPC keys are lower case.
inline std::string Metadata(const grpc::ServerContext& context, std::string_view key) {
  auto it = context.client_metadata().find(grpc::string_ref(key.data(), key.size()));
  return it == context.client_metadata().end() ? std::string()
                                               : std::string(it->second.data(), it->second.size());
}

}  // namespace herald
