#include "service/reflection_gate.h"

#include <string_view>

#include "service/call_context.h"

namespace herald {
namespace {

using grpc::experimental::InterceptionHookPoints;

class Check final : public grpc::experimental::Interceptor {
 public:
  Check(const ProducerAuth& auth, grpc::ServerContextBase& context)
      : auth_(auth), context_(context) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA) &&
        !auth_.Check(CredentialOf(context_)).ok()) {
      context_.TryCancel();
    }
    methods->Proceed();
  }

 private:
  const ProducerAuth& auth_;
  grpc::ServerContextBase& context_;
};

}  // namespace

grpc::experimental::Interceptor* ReflectionGate::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  if (!std::string_view(info->method()).starts_with("/grpc.reflection.")) return nullptr;
  return new Check(auth_, *info->server_context());
}

}  // namespace herald
