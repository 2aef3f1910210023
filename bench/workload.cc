#include "bench/workload.h"

#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>

#include "fmt/format.h"

namespace herald::bench {

Report::Report(std::string_view workload, const Setup& setup) {
  json_["workload"] = workload;
  json_["server"] = setup.server.name;
  if (!setup.server.herald_flags.empty()) {
    boost::json::array flags;
    for (const std::string& flag : setup.server.herald_flags) flags.emplace_back(flag);
    json_["herald_flags"] = std::move(flags);
  }
  json_["errors"] = boost::json::array();
}

void Report::AddLatency(std::string_view name, const Histogram& latency) {
  const auto us = [&](double fraction) {
    return static_cast<double>(latency.Percentile(fraction)) / 1000;
  };
  json_[name] =
      boost::json::object{{"count", latency.count()}, {"p50", us(0.5)},    {"p90", us(0.9)},
                          {"p99", us(0.99)},          {"p999", us(0.999)}, {"max", us(1)}};
}

void Report::AddErrors(const Fleet& fleet) {
  for (const std::string& error : fleet.errors()) AddError(error);
  if (fleet.failures() > fleet.errors().size())
    AddError(fmt::format("and {} more", fleet.failures() - fleet.errors().size()));
}

void Report::AddError(std::string_view error) {
  ++errors_;
  json_["errors"].as_array().emplace_back(error);
}

std::string Report::ToString() const { return boost::json::serialize(json_); }

void Progress(std::string_view what) {
  std::fprintf(stderr, "herald-bench: %.*s\n", static_cast<int>(what.size()), what.data());
}

ConfigFile::ConfigFile(std::string_view yaml) {
  const char* folder = std::getenv("TMPDIR");
  path_ = fmt::format("{}/herald-bench-XXXXXX", folder != nullptr ? folder : "/tmp");
  const int fd = ::mkstemp(path_.data());
  (void)!::write(fd, yaml.data(), yaml.size());
  ::close(fd);
}

ConfigFile::~ConfigFile() { ::unlink(path_.c_str()); }

const std::vector<NamedWorkload>& Workloads() {
  static const std::vector<NamedWorkload> workloads = {
      {"p1", "burst fan-out: up to 64 messages in flight to 1,000 sessions", RunBurst},
      {"p2", "paced fan-out: one message in flight", RunPaced},
      {"p3", "ingest: one Push stream, users without a session", RunIngest},
      {"p4", "unicast: 20,000 messages a second to 10,000 users", RunUnicast},
      {"p5", "memory of an idle session", RunIdle},
      {"p6", "a million sessions on 53 replicas over NATS, and one message to all", RunMillion},
      {"p7", "handshakes a second", RunHandshakes},
      {"p8", "reconnect storm with resume", RunStorm},
      {"p9", "p1 with history, acknowledgements and receipts", RunEverythingOn},
      {"p10", "p1 from 100 sessions to 19,000", RunGrowth},
      {"p11", "5 % of the readers stopped, at half of the maximum", RunStoppedReaders},
      {"p12", "from one replica to another over NATS, beside NATS alone", RunAcross},
  };
  return workloads;
}

}  // namespace herald::bench
