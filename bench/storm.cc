// P8: all sessions lose their connection, miss messages, and come back at once to resume.
#include <algorithm>
#include <fstream>
#include <vector>

#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr int kMissed = 10;

std::string_view Between(std::string_view text, std::string_view before) {
  const std::size_t at = text.find(before);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + before.size());
  return text.substr(0, text.find('"'));
}

absl::Status SendToAll(PushPublisher& publisher, int sessions, std::uint64_t seq, int bytes) {
  v1::PushRequest request;
  for (int user = 0; user < sessions;) {
    request.mutable_commands()->Clear();
    for (int i = 0; i < 64 && user < sessions; ++i, ++user) {
      v1::Deliver& deliver = *request.add_commands()->mutable_deliver();
      deliver.mutable_target()->set_user_id(fmt::format("u{}", user));
      deliver.mutable_message()->set_payload(
          MakePayload({seq, NowNs()}, static_cast<std::size_t>(bytes)));
    }
    if (absl::Status bad = publisher.Write(request); !bad.ok()) return bad;
  }
  return publisher.AwaitAll(absl::Seconds(30));
}

}  // namespace

absl::Status RunStorm(const Setup& setup, Report& report) {
  if (setup.server.name != "herald") return absl::UnimplementedError("p8 is Herald's");
  auto server = Server::Start(setup.server);
  if (!server.ok()) return server.status();
  Entrance entrance = (*server)->entrance();
  entrance.path = "/ws?user=u%d";
  const int sessions = setup.sessions != 0 ? setup.sessions : 19'000;
  auto publisher = PushPublisher::Open((*server)->grpc_address(), {});
  if (!publisher.ok()) return publisher.status();

  std::vector<std::string> positions(static_cast<std::size_t>(sessions));
  {
    Fleet fleet(entrance);
    fleet.set_on_frame([&](int index, std::string_view frame) {
      if (frame.find(kStampMark) != std::string_view::npos)
        positions[static_cast<std::size_t>(index)] = Between(frame, R"("position":")");
    });
    Progress(fmt::format("connecting {} users", sessions));
    if (absl::Status bad = fleet.Connect(sessions, 128, absl::Seconds(120)); !bad.ok()) return bad;
    if (absl::Status bad = SendToAll(**publisher, sessions, 0, setup.payload_bytes); !bad.ok())
      return bad;
    if (!fleet.PollUntil([&] { return fleet.received() >= static_cast<std::uint64_t>(sessions); }))
      return absl::DeadlineExceededError("the first message did not reach all");
    report.AddErrors(fleet);
    fleet.Cut();
  }
  Progress(fmt::format("{} messages for each while they are away", kMissed));
  for (int i = 1; i <= kMissed; ++i) {
    if (absl::Status bad =
            SendToAll(**publisher, sessions, static_cast<std::uint64_t>(i), setup.payload_bytes);
        !bad.ok())
      return bad;
  }

  Progress("they come back");
  std::uint64_t recovered = 0;
  entrance.greeting = {};  // each its own
  Fleet fleet(entrance);
  fleet.set_greeting([&](int index) {
    return fmt::format(
        R"({{"id":1,"connect":{{"resume":[{{"topic":"$user/u{}","position":"{}"}}]}}}})", index,
        positions[static_cast<std::size_t>(index)]);
  });
  fleet.set_on_frame([&](int, std::string_view frame) {
    if (frame.starts_with(R"({"hello")") &&
        frame.find(R"("recovered":true)") != std::string_view::npos)
      ++recovered;
  });
  fleet.set_first_seq(1);
  const absl::Duration server_cpu = (*server)->process().CpuTime();
  const std::uint64_t begin = NowNs();
  // As many at once as the kernel lets wait for an accept: it would drop the others' first packets,
  // and the seconds until they are sent again would be measured.
  int waiting = 0;
  std::ifstream("/proc/sys/net/core/somaxconn") >> waiting;
  if (absl::Status bad =
          fleet.Connect(sessions, std::clamp(waiting, 128, sessions), absl::Seconds(120));
      !bad.ok())
    return bad;
  const auto wanted = static_cast<std::uint64_t>(sessions) * kMissed;
  if (!fleet.PollUntil([&] { return fleet.received() >= wanted; }))
    report.AddError(fmt::format("{} of {} messages came", fleet.received(), wanted));
  boost::json::object& json = report.json();
  json["sessions"] = sessions;
  json["missed_each"] = kMissed;
  json["recovered"] = recovered;
  json["seconds"] = static_cast<double>(NowNs() - begin) / 1e9;
  json["server_cpu_seconds"] = absl::ToDoubleSeconds((*server)->process().CpuTime() - server_cpu);
  if (recovered != static_cast<std::uint64_t>(sessions))
    report.AddError(fmt::format("{} of {} sessions were recovered", recovered, sessions));
  report.AddErrors(fleet);
  return absl::OkStatus();
}

}  // namespace herald::bench
