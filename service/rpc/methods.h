#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>

#include <string>
#include <string_view>
#include <vector>

namespace herald {

class Methods;

// One method of a service: where its calls are asked for.
struct Method {
  Methods* methods;
  int index;
};

// All methods of one service of a .proto file, registered so that a call arrives with its headers
// only.
//
// The AsyncService that protoc generates makes gRPC read the request of a unary method before it
// reports the call; a caller without rights could then fill the memory. On the wire a unary call is
// a stream with one message in each direction, so every method is registered as a bidirectional
// stream, and Herald reads the request once the headers are admitted.
//
// Threads:   as grpc::Service. Outlives the server.
// Source:    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
class Methods final : public grpc::Service {
 public:
  // `service`: the full name, such as "herald.v1.PushService". It must be linked in: aborts if not.
  explicit Methods(std::string_view service);

  // `name`: the last part, such as "Send". Aborts if the service has no such method.
  Method operator[](std::string_view name);

  // Asks for one call of the method at `index`; `tag` comes when its headers are there.
  void Await(int index, grpc::ServerContext& context,
             grpc::internal::ServerAsyncStreamingInterface& stream,
             grpc::ServerCompletionQueue& queue, void* tag) {
    RequestAsyncBidiStreaming(index, &context, &stream, &queue, &queue, tag);
  }

 private:
  std::vector<std::string> paths_;  // "/herald.v1.PushService/Send"; gRPC keeps pointers to them
};

}  // namespace herald
