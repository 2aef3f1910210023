#include "client/push_call.h"

#include <utility>

namespace herald {

PushCall::PushCall(v1::PushService::Stub& stub, Listener& listener, const std::string& token)
    : listener_(listener) {
  if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
  stub.async()->Push(&context_, this);
  AddHold();
}

void PushCall::Start() {
  self_ = shared_from_this();
  StartRead(&response_);
  StartCall();
}

bool PushCall::Enter() {
  int holders = holders_.load();
  while (holders > 0) {
    if (holders_.compare_exchange_weak(holders, holders + 1)) return true;
  }
  return false;
}

void PushCall::Leave() {
  if (holders_.fetch_sub(1) == 1) RemoveHold();
}

void PushCall::Write() {
  if (Enter()) StartWrite(&request_);
}

void PushCall::HalfClose() {
  if (Enter()) StartWritesDone();
}

void PushCall::OnReadDone(bool ok) {
  if (!ok) return Leave();
  listener_.OnResponse(*this, response_);
  StartRead(&response_);
}

void PushCall::OnWriteDone(bool) {
  listener_.OnWritten(*this);
  Leave();
}

void PushCall::OnWritesDoneDone(bool) {
  listener_.OnWritten(*this);
  Leave();
}

void PushCall::OnDone(const grpc::Status& status) {
  const std::shared_ptr<PushCall> self = std::move(self_);
  listener_.OnEnded(*this, status);
}

}  // namespace herald
