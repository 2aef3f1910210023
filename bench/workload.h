#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/fleet.h"
#include "bench/histogram.h"
#include "bench/server.h"

namespace herald::bench {

// How a workload is to run. Zero is the workload's own default.
struct Setup {
  ServerOptions server;
  int sessions = 0;
  int payload_bytes = 128;
  int in_flight = 0;
  absl::Duration duration = absl::Seconds(3);
};

// What came of it: one JSON object (bench/README.md lists the fields). What was not measured is
// absent.
class Report {
 public:
  Report(std::string_view workload, const Setup& setup);

  boost::json::object& json() { return json_; }
  void AddLatency(std::string_view name, const Histogram& latency);
  void AddErrors(const Fleet& fleet);
  void AddError(std::string_view error);
  bool has_errors() const { return errors_ > 0; }
  std::string ToString() const;

 private:
  boost::json::object json_;
  std::uint64_t errors_ = 0;
};

// Says on stderr what is being done.
void Progress(std::string_view what);
// A file of herald's configuration, with these lines in it, that lives as long as this.
class ConfigFile {
 public:
  explicit ConfigFile(std::string_view yaml);
  ~ConfigFile();
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;
  std::string flag() const { return "--config=" + path_; }

 private:
  std::string path_;
};

// Measures `setup`, tells `report`. An error means that nothing could be measured.
using Workload = std::function<absl::Status(const Setup& setup, Report& report)>;
struct NamedWorkload {
  std::string_view name, what;
  Workload run;
};
// P1 to P12 of docs/performance.md.
const std::vector<NamedWorkload>& Workloads();

absl::Status RunBurst(const Setup& setup, Report& report);           // p1
absl::Status RunPaced(const Setup& setup, Report& report);           // p2
absl::Status RunIngest(const Setup& setup, Report& report);          // p3
absl::Status RunUnicast(const Setup& setup, Report& report);         // p4
absl::Status RunIdle(const Setup& setup, Report& report);            // p5
absl::Status RunMillion(const Setup& setup, Report& report);         // p6
absl::Status RunHandshakes(const Setup& setup, Report& report);      // p7
absl::Status RunStorm(const Setup& setup, Report& report);           // p8
absl::Status RunEverythingOn(const Setup& setup, Report& report);    // p9
absl::Status RunGrowth(const Setup& setup, Report& report);          // p10
absl::Status RunStoppedReaders(const Setup& setup, Report& report);  // p11
absl::Status RunAcross(const Setup& setup, Report& report);          // p12

}  // namespace herald::bench
