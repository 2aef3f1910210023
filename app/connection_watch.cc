#include "app/connection_watch.h"

#include <prometheus/client_metric.h>

#include <string>
#include <utility>

#include "app/logging.h"
#include "fmt/format.h"

namespace herald {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// What `seen` grew by, and `seen` up to date.
std::uint64_t Growth(std::uint64_t now, std::uint64_t& seen) {
  return now - std::exchange(seen, now);
}

MetricFamily Family(MetricType type, const char* name, const char* help) {
  MetricFamily family;
  family.type = type;
  family.name = name;
  family.help = help;
  return family;
}

void Put(MetricFamily& family, std::uint64_t value, const char* label = nullptr,
         const char* label_value = nullptr) {
  ClientMetric metric;
  if (label != nullptr) metric.label.push_back({label, label_value});
  if (family.type == MetricType::Counter) {
    metric.counter.value = static_cast<double>(value);
  } else {
    metric.gauge.value = static_cast<double>(value);
  }
  family.metric.push_back(std::move(metric));
}

}  // namespace

void ConnectionWatch::Log() {
  std::string reasons;
  std::uint64_t refused = 0;
  for (std::size_t i = 1; i < Admission::kVerdicts; ++i) {
    const std::uint64_t more =
        Growth(front_end_.admission.refused(static_cast<Admission::Verdict>(i)), refused_[i]);
    if (more == 0) continue;
    refused += more;
    reasons +=
        fmt::format("{}{}={}", reasons.empty() ? "" : " ", Admission::kVerdictNames[i], more);
  }
  const std::uint64_t evicted = Growth(front_end_.admission.evicted(), evicted_);
  if (refused + evicted > 0) {
    LogWarn("client connections refused or closed for want of room",
            {{"refused", refused},
             {"reasons", reasons},
             {"closed_without_session", evicted},
             {"connections", front_end_.admission.connections()},
             {"sessions", front_end_.admission.sessions()}});
  }
  const std::uint64_t bad =
      Growth(front_end_.bad_proxy_headers.load(std::memory_order_relaxed), bad_proxy_headers_);
  if (bad > 0) {
    LogWarn("connections of trusted proxies closed: the PROXY header is malformed or missing",
            {{"connections", bad}});
  }
  for (std::size_t i = 0; i < AcceptErrors::kKinds; ++i) {
    const std::uint64_t more = Growth(front_end_.accept_errors.count(i), accept_errors_[i]);
    if (more == 0) continue;
    LogError("accepting connections failed; the acceptor pauses and tries again",
             {{"error", AcceptErrors::kNames[i]}, {"times", more}});
  }
}

std::vector<MetricFamily> ConnectionWatch::Metrics(const FrontEnd& front_end) {
  const Admission& admission = front_end.admission;
  const AdmissionLimits limits = admission.limits();
  std::vector<MetricFamily> families;
  MetricFamily connections = Family(MetricType::Gauge, "herald_connections",
                                    "Client connections, with a session and without one.");
  Put(connections, admission.sessions(), "state", "session");
  Put(connections, admission.unauthenticated(), "state", "unauthenticated");
  families.push_back(std::move(connections));
  MetricFamily bounds = Family(MetricType::Gauge, "herald_connections_limit",
                               "What herald_connections may reach, and both states together.");
  Put(bounds, limits.max_sessions, "state", "session");
  Put(bounds, limits.max_unauthenticated, "state", "unauthenticated");
  Put(bounds, limits.max_connections, "state", "all");
  families.push_back(std::move(bounds));
  MetricFamily refused = Family(MetricType::Counter, "herald_connections_refused_total",
                                "Client connections refused, by the limit that was reached.");
  for (std::size_t i = 1; i < Admission::kVerdicts; ++i) {
    Put(refused, admission.refused(static_cast<Admission::Verdict>(i)), "reason",
        Admission::kVerdictNames[i]);
  }
  families.push_back(std::move(refused));
  MetricFamily evicted =
      Family(MetricType::Counter, "herald_connections_evicted_total",
             "Connections without a session that were closed to make room for others.");
  Put(evicted, admission.evicted());
  families.push_back(std::move(evicted));
  MetricFamily proxy =
      Family(MetricType::Counter, "herald_bad_proxy_headers_total",
             "Connections of trusted proxies closed because their PROXY header was "
             "malformed or missing.");
  Put(proxy, front_end.bad_proxy_headers.load(std::memory_order_relaxed));
  families.push_back(std::move(proxy));
  MetricFamily errors = Family(MetricType::Counter, "herald_accept_errors_total",
                               "Failed accepts on the client and admin ports, by error.");
  for (std::size_t i = 0; i < AcceptErrors::kKinds; ++i)
    Put(errors, front_end.accept_errors.count(i), "error", AcceptErrors::kNames[i]);
  families.push_back(std::move(errors));
  return families;
}

}  // namespace herald
