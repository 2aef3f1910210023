// P5: user-space memory of a session that does nothing.
#include <boost/json/object.hpp>

#include "absl/time/clock.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {

absl::Status RunIdle(const Setup& setup, Report& report) {
  auto server = Server::Start(setup.server);
  if (!server.ok()) return server.status();
  Entrance entrance = (*server)->entrance();
  if ((*server)->is_herald()) entrance.path = "/ws?user=u%d";  // and so two topics each
  Fleet fleet(entrance);
  // Some first: what a server allocates once is not theirs.
  constexpr int kFirst = 500;
  if (absl::Status bad = fleet.Connect(kFirst); !bad.ok()) return bad;
  (void)fleet.PollUntil([] { return false; }, absl::Milliseconds(500));
  const auto before = (*server)->process().AnonymousBytes();
  const int sessions = setup.sessions != 0 ? setup.sessions : 10'000;
  if (absl::Status bad = fleet.Connect(sessions, 128, absl::Seconds(120)); !bad.ok()) return bad;
  // Allocators give back what handshakes took, some of them after a while.
  (void)fleet.PollUntil([] { return false; }, setup.duration);
  const auto after = (*server)->process().AnonymousBytes();
  boost::json::object& json = report.json();
  json["sessions"] = sessions;
  json["bytes_per_session"] = boost::json::object{
      {"user", (static_cast<double>(after) - static_cast<double>(before)) / sessions}};
  report.AddErrors(fleet);
  return absl::OkStatus();
}

}  // namespace herald::bench
