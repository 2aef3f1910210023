#include "service/health_service.h"

#include <vector>

namespace herald {
namespace {

// The name of a service.
constexpr std::size_t kMaxRequestBytes = 4096;

}  // namespace

// One Watch call: reads which service it is about, then writes that service's status whenever it is
// another than was written last.
class HealthReactor final : public StreamReactor<HealthService::HealthCall> {
 public:
  HealthReactor(std::unique_ptr<HealthService::HealthCall> call, HealthService& service)
      : StreamReactor(std::move(call)), service_(service) {
    bool full;
    {
      MutexLock lock(service_.mutex_);
      full = service_.reactors_.size() >= HealthService::kMaxWatches;
      service_.reactors_.insert(this);
    }
    if (full) {
      service_.refusals_->Add(CallRefusal::kHealthWatches);
      // To a client's library this means that there is no health checking, and it goes on with its
      // calls (the document in health_service.h). By any other code it would take the server for ill,
      // so that a stranger with many watches could keep producers away.
      End({grpc::UNIMPLEMENTED, kTooManyWatches});
    } else if (this->call().caller.stranger) {
      OnReadDone(true);
    } else {
      request_.max_bytes = kMaxRequestBytes;
      StartFirstRead(&request_);
    }
  }

  // On the executor or the thread of the call.
  void Advance() {
    MutexLock lock(mutex_);
    if (!asked_ || writing_ || ending_) return;
    const auto status = service_.StatusOf(request_.message.service());
    if (status == response_.status()) return;
    response_.set_status(status);
    writing_ = true;
    StartWrite(response_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return End({grpc::INVALID_ARGUMENT, kNoRequest});
    if (request_.too_long())
      return End({grpc::INVALID_ARGUMENT, LongRequest(request_.bytes, request_.max_bytes)});
    {
      MutexLock lock(mutex_);
      asked_ = true;
    }
    Advance();
  }

  void OnNoRequest(const grpc::Status& status) override { End(status); }

  void OnWriteDone(bool) override {
    bool finish;
    grpc::Status status;
    {
      MutexLock lock(mutex_);
      writing_ = false;
      finish = ending_;
      status = status_;
    }
    finish ? Finish(status) : Advance();
  }

  // The usual end of a watch.
  void OnCancel() override { End(grpc::Status::CANCELLED); }

  // The first end counts. Waits for a write that is under way.
  void End(const grpc::Status& status) {
    {
      MutexLock lock(mutex_);
      if (ending_) return;
      ending_ = true;
      status_ = status;
      if (writing_) return;
    }
    Finish(status);
  }

  void OnDone() override {
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.erase(this);
    }
    // An Advance may be under way there.
    service_.executor_.Post([this] { delete this; });
  }

  HealthService& service_;
  SizedRequest<HealthService::Request> request_;  // constant once asked_
  Mutex mutex_;
  HealthService::Response response_ ABSL_GUARDED_BY(mutex_);  // UNKNOWN: nothing written yet
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
};

void HealthService::Serve(CallQueue& queue, const CallGate& gate) {
  refusals_ = &queue.refusals;
  ServeUnary(methods_["Check"], queue, gate, *this, &HealthService::Check);
  ServeStream(methods_["Watch"], queue, gate, *this, &HealthService::Watch);
}

void HealthService::AddServing(std::string_view service) {
  MutexLock lock(mutex_);
  services_[std::string(service)] = Response::SERVING;
}

void HealthService::StopServing() {
  {
    MutexLock lock(mutex_);
    for (auto& [service, status] : services_) status = Response::NOT_SERVING;
  }
  executor_.Post([this] {
    std::vector<HealthReactor*> reactors;
    {
      MutexLock lock(mutex_);
      reactors.assign(reactors_.begin(), reactors_.end());
    }
    // One that ends meanwhile is deleted on this very executor, later.
    for (HealthReactor* reactor : reactors) reactor->Advance();
  });
}

HealthService::Response::ServingStatus HealthService::StatusOf(const std::string& service) const {
  MutexLock lock(mutex_);
  const auto found = services_.find(service);
  return found == services_.end() ? Response::SERVICE_UNKNOWN : found->second;
}

void HealthService::Check(UnaryCall<Request, Response>& call) {
  const auto status = StatusOf(call.request().service());
  if (status == Response::SERVICE_UNKNOWN)
    return call.Finish({grpc::NOT_FOUND, "there is no service " + call.request().service()});
  call.response().set_status(status);
  call.Finish(grpc::Status::OK);
}

void HealthService::Watch(std::unique_ptr<HealthCall> call) {
  new HealthReactor(std::move(call), *this);
}

}  // namespace herald
