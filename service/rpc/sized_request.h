#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <string>
#include <vector>

namespace herald {

// A request that is parsed only if it is short enough: parsed it may take 27 times its bytes.
template <typename Message>
struct SizedRequest {
  std::size_t max_bytes = 0;  // to be set before it is read
  std::size_t bytes = 0;      // as it came; above `max_bytes` the message is left empty
  Message message;

  bool too_long() const { return bytes > max_bytes; }
};

// The bytes of `buffer`, which is empty after it.
inline std::string TakeBytes(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (buffer.Valid() && buffer.Dump(&slices).ok()) {
    bytes.reserve(buffer.Length());
    for (const grpc::Slice& slice : slices)
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  buffer.Clear();
  return bytes;
}

}  // namespace herald

namespace grpc {

template <typename Message>
class SerializationTraits<herald::SizedRequest<Message>> {
 public:
  static Status Deserialize(ByteBuffer* buffer, herald::SizedRequest<Message>* request) {
    request->bytes = buffer->Length();
    if (!request->too_long())
      return SerializationTraits<Message>::Deserialize(buffer, &request->message);
    buffer->Clear();
    return Status::OK;
  }
};

}  // namespace grpc
