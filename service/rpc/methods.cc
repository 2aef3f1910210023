#include "service/rpc/methods.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/impl/rpc_service_method.h>

#include <cstdio>
#include <cstdlib>

namespace herald {
namespace {

[[noreturn]] void Missing(std::string_view name) {
  std::fprintf(stderr, "herald: there is no service or method %.*s in the linked .proto files\n",
               static_cast<int>(name.size()), name.data());
  std::abort();
}

}  // namespace

Methods::Methods(std::string_view service) {
  const auto* found =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(std::string(service));
  if (found == nullptr) Missing(service);
  for (int i = 0; i < found->method_count(); ++i) {
    paths_.push_back("/" + std::string(service) + "/" + std::string(found->method(i)->name()));
  }
  for (int i = 0; i < found->method_count(); ++i) {
    AddMethod(new grpc::internal::RpcServiceMethod(paths_[static_cast<std::size_t>(i)].c_str(),
                                                   grpc::internal::RpcMethod::BIDI_STREAMING,
                                                   nullptr));
    MarkMethodAsync(i);
  }
}

Method Methods::operator[](std::string_view name) {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (std::string_view(paths_[i]).substr(paths_[i].rfind('/') + 1) == name)
      return {this, static_cast<int>(i)};
  }
  Missing(name);
}

}  // namespace herald
