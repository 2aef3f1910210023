#pragma once

#include "service/call_context.h"
#include "service/producer_auth.h"
#include "service/rpc/caller.h"

namespace herald {

// Admits producers by the bearer token in the headers of their calls. The one place where calls are
// authenticated.
//
// Threads: any, as ProducerAuth.
class ProducerGate final : public CallGate {
 public:
  explicit ProducerGate(const ProducerAuth& auth) : auth_(auth) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context) const override {
    absl::StatusOr<std::string> producer = auth_.Check(Metadata(context, "authorization"));
    if (!producer.ok()) return producer.status();
    return Caller{.producer = *std::move(producer)};
  }

 private:
  const ProducerAuth& auth_;
};

// Admits everybody: producers by their token, all others as strangers. For health checks, whose
// clients often know no token.
class OpenGate final : public CallGate {
 public:
  explicit OpenGate(const CallGate& producers) : producers_(producers) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context) const override {
    absl::StatusOr<Caller> producer = producers_.Admit(context);
    return producer.ok() ? *std::move(producer) : Caller{.producer = "", .stranger = true};
  }

 private:
  const CallGate& producers_;
};

}  // namespace herald
