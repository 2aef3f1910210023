#include "app/metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

#include "app/connection_watch.h"
#include "fmt/format.h"
#include "ws/shared_deflate.h"

namespace herald {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric Value(MetricType type, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return metric;
}

MetricFamily Family(MetricType type, std::string name, std::string help,
                    std::vector<ClientMetric> metrics) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  family.metric = std::move(metrics);
  return family;
}

MetricFamily Refused(const Refusals& refusals) {
  std::vector<ClientMetric> refused;
  for (std::size_t i = 0; i < kRefusalReasons; ++i) {
    const auto reason = static_cast<RefusalReason>(i);
    const RefusalKind& kind = KindOf(reason);
    refused.push_back(Value(MetricType::Counter, static_cast<double>(refusals.count(reason)),
                            {{"status", fmt::format("{}", kind.status)}, {"reason", kind.name}}));
  }
  return Family(MetricType::Counter, "herald_http_refused_total",
                "HTTP requests on the client port answered 4xx or 5xx, by status and reason.",
                std::move(refused));
}

void CollectMemory(const MemoryWatch& memory, const EventHub& events,
                   std::vector<MetricFamily>& families) {
  const MemoryBudget& budget = memory.budget();
  const auto gauge = [&](const char* name, const char* help, double value) {
    families.push_back(Family(MetricType::Gauge, name, help, {Value(MetricType::Gauge, value)}));
  };
  gauge("herald_memory_budget_bytes", "The memory budget (max_memory_bytes).",
        static_cast<double>(budget.max_bytes()));
  gauge("herald_memory_used_bytes", "Resident set and client sockets, against the budget.",
        static_cast<double>(budget.used()));
  gauge("herald_memory_level", "0: normal; 1: tight; 2: full.",
        static_cast<double>(budget.level()));
  std::vector<ClientMetric> accounts;
  for (std::size_t i = 0; i < kMemoryAccounts; ++i) {
    const auto held = budget.held(static_cast<MemoryAccount>(i));
    accounts.push_back(
        Value(MetricType::Gauge, static_cast<double>(held), {{"account", kMemoryAccountNames[i]}}));
  }
  families.push_back(Family(MetricType::Gauge, "herald_memory_bytes",
                            "Memory held, by account of the budget.", std::move(accounts)));
  std::vector<ClientMetric> shed;
  const auto count = [&](const char* account, const char* reason, std::uint64_t value) {
    shed.push_back(Value(MetricType::Counter, static_cast<double>(value),
                         {{"account", account}, {"reason", reason}}));
  };
  for (std::size_t i = 0; i < SlowSessions::kReasons; ++i) {
    count("sessions", SlowSessions::kReasonNames[i],
          memory.sessions_closed(static_cast<SlowSessions::Reason>(i)));
  }
  for (const bool authenticated : {true, false}) {
    const char* const account = authenticated ? "inbound" : "unauthenticated";
    count(account, "full",
          memory.messages_refused(authenticated, UnfinishedMessage::Refusal::kPoolFull));
    count(account, "timeout",
          memory.messages_refused(authenticated, UnfinishedMessage::Refusal::kTooSlow));
  }
  count("histories", "memory", memory.history_cuts());
  const EventHub::Counts counts = events.counts();
  count("events", "oldest", counts.dropped_oldest);
  count("events", "owner_share", counts.dropped_own);
  families.push_back(Family(MetricType::Counter, "herald_memory_shed_total",
                            "Sessions, messages and events let go of for memory, by account and "
                            "reason.",
                            std::move(shed)));
}

}  // namespace

void Metrics::CollectAccess(std::vector<MetricFamily>& families) const {
  std::vector<ClientMetric> tokens;
  for (std::size_t i = 0; i < kTokenFaults; ++i) {
    const auto count = front_end_.token_refusals.count(static_cast<TokenFault>(i));
    tokens.push_back(
        Value(MetricType::Counter, static_cast<double>(count), {{"reason", kTokenFaultNames[i]}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_tokens_refused_total",
                            "Clients refused for their token, at the upgrade, in `connect` or in "
                            "`refresh`, by reason.",
                            std::move(tokens)));
  std::vector<ClientMetric> closes;
  for (std::size_t i = 0; i < kCountedCloses; ++i) {
    const std::string code =
        i < std::size(kCloseCodes) ? fmt::format("{}", static_cast<int>(kCloseCodes[i])) : "other";
    closes.push_back(
        Value(MetricType::Counter,
              static_cast<double>(front_end_.closes[i].load(std::memory_order_relaxed)),
              {{"code", code}}));
  }
  families.push_back(
      Family(MetricType::Counter, "herald_closes_total",
             "WebSocket connections that ended, by close code; 1006 broke without one.",
             std::move(closes)));
  const auto one = [&](MetricType type, const char* name, const char* help, auto value) {
    families.push_back(Family(type, name, help, {Value(type, static_cast<double>(value))}));
  };
  one(MetricType::Gauge, "herald_bans", "Users and tokens that are banned.", bans_.size());
  one(MetricType::Counter, "herald_bans_refused_total",
      "Bans that were not taken because the list was full.", bans_.refused());
  if (jwks_ == nullptr) return;
  one(MetricType::Counter, "herald_jwks_fetches_total", "Key sets fetched from jwks_url.",
      jwks_->fetches());
  one(MetricType::Counter, "herald_jwks_fetch_failures_total",
      "Fetches of jwks_url that failed; the keys before stay.", jwks_->failures());
}

std::vector<MetricFamily> Metrics::Collect() const {
  std::vector<MetricFamily> families;
  CollectAccess(families);
  const auto gauge = [&](const char* name, const char* help, auto value) {
    families.push_back(Family(MetricType::Gauge, name, help,
                              {Value(MetricType::Gauge, static_cast<double>(value))}));
  };
  const auto counter = [&](const std::string& name, const char* help, auto value) {
    families.push_back(Family(MetricType::Counter, name, help,
                              {Value(MetricType::Counter, static_cast<double>(value))}));
  };
  const NodeStats::Totals totals = stats_.Count();
  families.push_back(Family(
      MetricType::Gauge, "herald_info", "Always 1; what runs here.",
      {Value(MetricType::Gauge, 1, {{"version", HERALD_VERSION}, {"broker", broker_name_}})}));
  gauge("herald_sessions", "Live sessions.", totals.sessions);
  gauge("herald_draining", "1 while this replica ends its sessions, to stop.",
        stats_.draining ? 1 : 0);
  counter("herald_sessions_opened_total", "Sessions opened.", totals.sessions_opened);
  counter("herald_handshakes_accepted_total", "Upgrade requests answered 101.",
          front_end_.handshakes_accepted.load(std::memory_order_relaxed));
  families.push_back(Refused(front_end_.refusals));
  for (MetricFamily& family : ConnectionWatch::Metrics(front_end_))
    families.push_back(std::move(family));
  std::vector<ClientMetric> tls_handshakes;
  for (std::size_t i = 0; i < kTlsResults; ++i) {
    const auto count = front_end_.tls_handshakes[i].load(std::memory_order_relaxed);
    tls_handshakes.push_back(
        Value(MetricType::Counter, static_cast<double>(count), {{"result", kTlsResultNames[i]}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_tls_handshakes_total",
                            "TLS handshakes on the client port, by how they ended.",
                            std::move(tls_handshakes)));
  counter("herald_commands_total", "Producer commands taken.", totals.commands);
  counter("herald_deliveries_total", "Messages queued to sessions.", totals.deliveries);
  counter("herald_client_frames_total", "Data frames received from clients.", totals.client_frames);
  counter("herald_sent_bytes_total", "Bytes given to client sockets.", totals.bytes_out);
  counter("herald_shard_drains_total", "Times a shard drained its mailbox.", totals.drains);
  gauge("herald_queued_bytes", "Bytes that wait for client sockets.", totals.queued_bytes);
  gauge("herald_mailbox_depth", "Mails that wait for shards.", totals.mailbox_depth);
  const TopicIndex::Size size = table_.index().Count();
  gauge("herald_topics", "Topics with subscribers, personal ones included.", size.topics);
  gauge("herald_users", "Users with sessions.", size.users);
  gauge("herald_history_bytes", "Bytes held by topic histories.", broker_.history_bytes());
  counter("herald_history_evicted_total",
          "Messages that left the histories early, since all together were full.",
          broker_.evicted_messages());
  counter("herald_topics_forgotten_total", "Histories of quiet topics let go of.",
          broker_.forgotten_topics());
  for (const auto& [name, count] : broker_.counters())
    counter(fmt::format("herald_{}_total", name), "See docs/cluster.md.", count);
  gauge("herald_push_streams", "Open Push streams.", push_streams_());
  std::vector<ClientMetric> refused;
  const CallRefusals::Totals refusals = grpc_refusals_();
  for (std::size_t i = 0; i < kCallRefusals; ++i) {
    refused.push_back(Value(MetricType::Counter, static_cast<double>(refusals[i]),
                            {{"reason", std::string(Name(static_cast<CallRefusal>(i)))}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_grpc_refused_total",
                            "gRPC calls refused before a service saw them.", std::move(refused)));
  counter(
      "herald_call_memory_limited_total",
      "Calls refused, and times that streams and watches began to wait, since calls held all the "
      "memory that they may.",
      memory_.calls_limited());
  gauge("herald_watchers", "Open Watch streams.", events_.watchers());
  gauge("herald_idempotency_keys", "Finished commands whose repeats are recognised.",
        idempotency_.keys());
  counter("herald_idempotency_evicted_total",
          "Commands forgotten before idempotency_window, because of max_idempotency_keys.",
          idempotency_.evicted());
  counter("herald_duplicates_total", "Repeated commands answered with their first result.",
          idempotency_.duplicates());
  if (const SharedDeflate* deflate = front_end_.options->deflate) {
    const SharedDeflate::Counts counts = deflate->counts();
    counter("herald_compressed_frames_total",
            "Messages compressed, once a subprotocol, whatever the number of sessions.",
            counts.frames);
    counter("herald_unshrunk_frames_total",
            "Messages that were no shorter compressed, and were sent as they are.",
            counts.unshrunk);
    counter("herald_compression_in_bytes_total", "Payloads of the compressed frames, before.",
            counts.bytes_in);
    counter("herald_compression_out_bytes_total", "Payloads of the compressed frames, after.",
            counts.bytes_out);
  }
  std::vector<ClientMetric> rate_limited;
  for (int i = 0; i < kRateReasons; ++i) {
    const auto count = front_end_.rate_limited[i].load(std::memory_order_relaxed);
    rate_limited.push_back(
        Value(MetricType::Counter, static_cast<double>(count), {{"reason", kRateReasonNames[i]}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_rate_limited_total",
                            "Sessions closed, handshakes and subscribes refused because a client "
                            "was over a rate, by reason.",
                            std::move(rate_limited)));
  const PresenceNews::Counts news = presence_.counts();
  counter("herald_presence_news_total", "Joins and leaves sent to the subscribers of a topic.",
          news.sent);
  counter("herald_presence_unsent_total", "Joins and leaves that cancelled each other out.",
          news.unsent);
  counter("herald_presence_delayed_total",
          "Joins and leaves that waited because of presence_frames_per_second.", news.delayed);
  gauge("herald_resident_bytes", "Resident set of the process.", ResidentBytes());
  CollectMemory(memory_, events_, families);
  std::vector<ClientMetric> dropped;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    dropped.push_back(Value(MetricType::Counter, static_cast<double>(totals.dropped[i]),
                            {{"reason", kDropReasonNames[i]}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_dropped_total",
                            "Messages that did not reach a session, by reason.",
                            std::move(dropped)));
  counter(
      "herald_producer_unauthenticated_total",
      "Calls and streams of producers refused, because their token or certificate is not known.",
      producers_.unauthenticated());
  CollectProducers(families);
  return families;
}

void Metrics::CollectProducers(std::vector<MetricFamily>& families) const {
  std::vector<ClientMetric> commands, denied, limited;
  // By reason only where something was refused, so that many producers do not make many series.
  const auto add = [](std::vector<ClientMetric>& metrics, const std::string& producer,
                      const char* by, const auto& names, const auto& counts) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::uint64_t count = counts[i].load(std::memory_order_relaxed);
      if (count == 0) continue;
      metrics.push_back(Value(MetricType::Counter, static_cast<double>(count),
                              {{"producer", producer}, {by, std::string(names[i])}}));
    }
  };
  for (const auto& [name, account] : producers_.accounts()) {
    const std::uint64_t taken = account->taken.load(std::memory_order_relaxed);
    commands.push_back(
        Value(MetricType::Counter, static_cast<double>(taken), {{"producer", name}}));
    add(denied, name, "right", kRightNames, account->denied);
    add(limited, name, "limit", kProducerLimitNames, account->limited);
  }
  families.push_back(Family(MetricType::Counter, "herald_producer_commands_total",
                            "Commands and calls by producer, refused ones included.",
                            std::move(commands)));
  families.push_back(
      Family(MetricType::Counter, "herald_producer_denied_total",
             "Commands and calls refused by the rights of producers_file, by the right "
             "that was missing.",
             std::move(denied)));
  families.push_back(Family(MetricType::Counter, "herald_producer_limited_total",
                            "Commands, calls and streams refused by the limits of producers_file.",
                            std::move(limited)));
}

}  // namespace herald
