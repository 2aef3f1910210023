#pragma once

#include "service/call_context.h"
#include "service/producer_auth.h"
#include "service/rpc/caller.h"

namespace herald {

// Admits producers by what the headers of their calls and their certificate prove. The one place
// where calls are authenticated.
//
// Threads: any, as ProducerAuth.
class ProducersOnly final : public CallGate {
 public:
  explicit ProducersOnly(const ProducerAuth& auth) : auth_(auth) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context) const override {
    ProducerCredential credential = CredentialOf(context);
    absl::StatusOr<Producer> producer = auth_.Check(credential);
    if (!producer.ok()) return producer.status();
    return Caller{.gate = ProducerGate(auth_, std::move(credential), *std::move(producer))};
  }

 private:
  const ProducerAuth& auth_;
};

// Admits everybody: producers by their token, all others as strangers. For health checks, whose
// clients often know no token.
class Anyone final : public CallGate {
 public:
  explicit Anyone(const CallGate& producers) : producers_(producers) {}

  absl::StatusOr<Caller> Admit(const grpc::ServerContext& context) const override {
    absl::StatusOr<Caller> producer = producers_.Admit(context);
    return producer.ok() ? *std::move(producer) : Caller{.gate = {}, .stranger = true};
  }

 private:
  const CallGate& producers_;
};

}  // namespace herald
