#include "app/metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>

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

}  // namespace

std::vector<MetricFamily> Metrics::Collect() const {
  std::vector<MetricFamily> families;
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
  counter("herald_http_refused_total", "HTTP requests on the client port answered 4xx or 5xx.",
          front_end_.handshakes_refused.load(std::memory_order_relaxed));
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
  std::vector<ClientMetric> dropped;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    dropped.push_back(Value(MetricType::Counter, static_cast<double>(totals.dropped[i]),
                            {{"reason", kDropReasonNames[i]}}));
  }
  families.push_back(Family(MetricType::Counter, "herald_dropped_total",
                            "Messages that did not reach a session, by reason.",
                            std::move(dropped)));
  return families;
}

}  // namespace herald
