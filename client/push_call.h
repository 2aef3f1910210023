#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <memory>
#include <string>

#include "herald/v1/push_service.grpc.pb.h"

namespace herald {

// One Push call as gRPC's callback API wants it: nothing is started before the last has completed,
// and nothing after the end. What the requests hold is its listener's business.
//
// Threads:   Write, HalfClose and Cancel from any; the listener is called on gRPC's threads, by one
//            OnResponse at a time, and OnEnded last.
// Ownership: keeps itself until the call has ended; borrows its listener, which must live until this
//            has been destroyed. It holds the channel, so a thread of gRPC's that destroys it must not
//            hold the channel's last reference: gRPC joins its threads when that goes.
class PushCall final : public grpc::ClientBidiReactor<v1::PushRequest, v1::PushResponse>,
                       public std::enable_shared_from_this<PushCall> {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // The next response is read when this returns.
    virtual void OnResponse(PushCall& call, v1::PushResponse& response) = 0;
    // The last Write or HalfClose is done; where that failed, OnEnded follows.
    virtual void OnWritten(PushCall& call) = 0;
    virtual void OnEnded(PushCall& call, const grpc::Status& status) = 0;
  };

  PushCall(v1::PushService::Stub& stub, Listener& listener, const std::string& token);

  // Once, and always: the call begins. What was to be written before goes out then.
  void Start();

  // What Write sends. Not to be touched between Write and OnWritten.
  v1::PushRequest& request() { return request_; }
  // One of these, and no other before OnWritten. Without effect after the end, and then no OnWritten
  // comes.
  void Write();
  void HalfClose();

  void Cancel() { context_.TryCancel(); }

 private:
  // What keeps gRPC's hold on the call: the reads until they end, and a write from outside a
  // reaction. False when the last has gone.
  bool Enter();
  void Leave();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnWritesDoneDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  Listener& listener_;
  std::shared_ptr<PushCall> self_;  // from Start to OnDone
  grpc::ClientContext context_;
  v1::PushRequest request_;
  v1::PushResponse response_;
  std::atomic<int> holders_{1};
};

}  // namespace herald
