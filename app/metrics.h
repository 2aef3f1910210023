#pragma once

#include <prometheus/collectable.h>

#include <string>

#include "app/memory_watch.h"
#include "service/event_service.h"
#include "service/idempotency.h"
#include "service/node_stats.h"
#include "service/producer_auth.h"
#include "service/rpc/call_refusals.h"
#include "session/presence_news.h"
#include "ws/front_end.h"
#include "ws/jwks_fetcher.h"

namespace herald {

// Herald's figures as Prometheus metrics, read from the counters when asked: nothing is counted
// twice. Names `herald_…`; labels have few values: never a topic, a user or a session.
//
// Threads:   any.
class Metrics final : public prometheus::Collectable {
 public:
  Metrics(const NodeStats& stats, const FrontEnd& front_end, SessionTable& table, Broker& broker,
          EventHub& events, const PresenceNews& presence, const Idempotency& idempotency,
          const MemoryWatch& memory, const ProducerAuth& producers,
          std::function<std::size_t()> push_streams,
          std::function<CallRefusals::Totals()> grpc_refusals, std::string broker_name,
          const BanList& bans, const JwksFetcher* jwks)
      : stats_(stats),
        front_end_(front_end),
        table_(table),
        broker_(broker),
        events_(events),
        presence_(presence),
        idempotency_(idempotency),
        memory_(memory),
        producers_(producers),
        push_streams_(std::move(push_streams)),
        grpc_refusals_(std::move(grpc_refusals)),
        broker_name_(std::move(broker_name)),
        bans_(bans),
        jwks_(jwks) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  // Of clients: tokens and origins refused, closes by code, bans, keys from a URL.
  void CollectAccess(std::vector<prometheus::MetricFamily>& families) const;
  // Of each producer of producers_file; `-` is everyone else.
  void CollectProducers(std::vector<prometheus::MetricFamily>& families) const;

  const NodeStats& stats_;
  const FrontEnd& front_end_;
  SessionTable& table_;
  Broker& broker_;
  EventHub& events_;
  const PresenceNews& presence_;
  const Idempotency& idempotency_;
  const MemoryWatch& memory_;
  const ProducerAuth& producers_;
  const std::function<std::size_t()> push_streams_;
  const std::function<CallRefusals::Totals()> grpc_refusals_;
  const std::string broker_name_;
  const BanList& bans_;
  const JwksFetcher* const jwks_;  // null: keys do not come from a URL
};

}  // namespace herald
