#pragma once

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <optional>
#include <string>
#include <string_view>

#include "service/producer_gate.h"
#include "service/rpc/unary_call.h"
#include "service/status.h"

namespace herald {

// A metadata value of the call, empty if it is not there. gRPC keys are lower case.
inline std::string Metadata(const grpc::ServerContextBase& context, std::string_view key) {
  auto it = context.client_metadata().find(grpc::string_ref(key.data(), key.size()));
  return it == context.client_metadata().end() ? std::string()
                                               : std::string(it->second.data(), it->second.size());
}

// What the caller shows: its bearer token, and the names of its verified mTLS certificate.
inline ProducerCredential CredentialOf(const grpc::ServerContextBase& context) {
  ProducerCredential credential;
  credential.authorization = Metadata(context, "authorization");
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (!peer || !peer->IsPeerAuthenticated()) return credential;
  for (const char* property : {GRPC_PEER_URI_PROPERTY_NAME, GRPC_PEER_DNS_PROPERTY_NAME,
                               GRPC_PEER_EMAIL_PROPERTY_NAME, GRPC_X509_SUBJECT_PROPERTY_NAME}) {
    for (const grpc::string_ref& value : peer->FindPropertyValues(property)) {
      if (!value.empty()) credential.certificate.emplace_back(value.data(), value.size());
    }
  }
  return credential;
}

// The producer that calls, if it is below its rates. Otherwise the call has been answered.
template <typename Request, typename Response>
std::optional<ProducerGate> Admit(UnaryCall<Request, Response>& call) {
  ProducerGate gate = call.TakeCaller().gate;
  gate.Count(1);
  const absl::Status refused = gate.TakeRate(call.request_bytes());
  if (refused.ok()) return gate;
  call.Finish(ToGrpc(refused));
  return std::nullopt;
}

// The same for a producer that needs `verb`.
template <typename Request, typename Response>
std::optional<ProducerGate> Admit(UnaryCall<Request, Response>& call, Right verb) {
  std::optional<ProducerGate> gate = Admit(call);
  if (!gate) return std::nullopt;
  const absl::Status refused = gate->CheckVerb(verb);
  if (refused.ok()) return gate;
  call.Finish(ToGrpc(refused));
  return std::nullopt;
}

}  // namespace herald
