#pragma once

#include <prometheus/collectable.h>

#include <string>

#include "service/event_service.h"
#include "service/idempotency.h"
#include "service/node_stats.h"
#include "session/presence_news.h"
#include "ws/front_end.h"

namespace herald {

// Herald's figures as Prometheus metrics, read from the counters when asked: nothing is counted
// twice. Names `herald_…`; labels have few values: never a topic, a user or a session.
//
// Threads:   any.
class Metrics final : public prometheus::Collectable {
 public:
  Metrics(const NodeStats& stats, const FrontEnd& front_end, SessionTable& table, Broker& broker,
          EventHub& events, const PresenceNews& presence, const Idempotency& idempotency,
          std::function<std::size_t()> push_streams, std::string broker_name)
      : stats_(stats),
        front_end_(front_end),
        table_(table),
        broker_(broker),
        events_(events),
        presence_(presence),
        idempotency_(idempotency),
        push_streams_(std::move(push_streams)),
        broker_name_(std::move(broker_name)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const NodeStats& stats_;
  const FrontEnd& front_end_;
  SessionTable& table_;
  Broker& broker_;
  EventHub& events_;
  const PresenceNews& presence_;
  const Idempotency& idempotency_;
  const std::function<std::size_t()> push_streams_;
  const std::string broker_name_;
};

}  // namespace herald
