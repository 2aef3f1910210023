#include "service/health_service.h"

#include <vector>

namespace herald {

// One Watch call: writes the status of its service whenever it is another than was written last.
class HealthReactor final : public StreamReactor<HealthService::HealthCall> {
 public:
  HealthReactor(std::unique_ptr<HealthService::HealthCall> call, HealthService& service)
      : StreamReactor(std::move(call)), service_(service) {
    {
      MutexLock lock(service_.mutex_);
      service_.reactors_.insert(this);
    }
    Advance();
  }

  // On the executor or the thread of the call.
  void Advance() {
    MutexLock lock(mutex_);
    if (writing_ || ended_) return;
    const auto status = service_.StatusOf(call().request.service());
    if (status == response_.status()) return;
    response_.set_status(status);
    writing_ = true;
    StartWrite(response_);
  }

 private:
  void OnWriteDone(bool) override {
    bool ended;
    {
      MutexLock lock(mutex_);
      writing_ = false;
      ended = ended_;
    }
    ended ? Finish(grpc::Status::CANCELLED) : Advance();
  }

  // The only end that a watch has.
  void OnCancel() override {
    bool writing;
    {
      MutexLock lock(mutex_);
      ended_ = true;
      writing = writing_;
    }
    if (!writing) Finish(grpc::Status::CANCELLED);
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
  Mutex mutex_;
  HealthService::Response response_ ABSL_GUARDED_BY(mutex_);  // UNKNOWN: nothing written yet
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

void HealthService::Serve(grpc::ServerCompletionQueue& queue) {
  using Async = grpc::health::v1::Health::AsyncService;
  ServeUnary(async_, *this, queue, &Async::RequestCheck, &HealthService::Check);
  ServeStream(async_, *this, queue, &Async::RequestWatch, &HealthService::Watch);
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
