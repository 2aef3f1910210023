// P4: one Push stream, one message to one of 10,000 users at a time, at a steady rate: latency from
// the moment at which each was meant to be sent, so that a stall counts for all that it delays.
#include <thread>

#include "bench/pace.h"
#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr int kSessions = 10'000;
constexpr int kMessagesASecond = 20'000;
constexpr int kMessagesATick = 5;

}  // namespace

absl::Status RunUnicast(const Setup& setup, Report& report) {
  if (setup.server.name != "herald") return absl::UnimplementedError("p4 is Herald's");
  auto server = Server::Start(setup.server);
  if (!server.ok()) return server.status();
  Entrance entrance = (*server)->entrance();
  entrance.path = "/ws?user=u%d";
  Fleet fleet(entrance);
  const int sessions = setup.sessions != 0 ? setup.sessions : kSessions;
  Progress(fmt::format("connecting {} users", sessions));
  if (absl::Status bad = fleet.Connect(sessions); !bad.ok()) return bad;
  auto publisher = PushPublisher::Open((*server)->grpc_address(), {});
  if (!publisher.ok()) return publisher.status();

  std::atomic<bool> done{false};
  absl::Status sent = absl::OkStatus();
  std::uint64_t messages = 0;
  std::atomic<bool> measuring{false};
  // On a thread of its own, since the rate must not wait for the readers.
  std::thread sender([&] {
    std::vector<std::uint64_t> next(static_cast<std::size_t>(sessions));
    v1::PushRequest request;
    Pace pace(absl::Seconds(1) * kMessagesATick / kMessagesASecond);
    const absl::Duration warm_up = absl::Seconds(1);
    const std::uint64_t begin = NowNs();
    const std::uint64_t measure =
        begin + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(warm_up));
    const std::uint64_t end =
        measure + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(setup.duration));
    std::size_t user = 0;
    for (;;) {
      const std::uint64_t now = pace.Next();
      if (now >= end) break;
      if (now >= measure) measuring.store(true, std::memory_order_relaxed);
      request.mutable_commands()->Clear();
      for (int i = 0; i < kMessagesATick; ++i) {
        v1::Deliver& deliver = *request.add_commands()->mutable_deliver();
        deliver.mutable_target()->set_user_id(fmt::format("u{}", user));
        deliver.mutable_message()->set_payload(
            MakePayload({next[user]++, now}, static_cast<std::size_t>(setup.payload_bytes)));
        // A step that shares no factor with the number of users visits them all.
        user = (user + 7919) % next.size();
      }
      sent = (*publisher)->Write(request);
      if (!sent.ok()) break;
      messages += kMessagesATick;
    }
    done.store(true, std::memory_order_release);
  });
  bool reset = false;
  absl::Duration server_cpu;
  std::uint64_t before = 0;
  while (!done.load(std::memory_order_acquire)) {
    fleet.Poll(absl::Milliseconds(1));
    if (!reset && measuring.load(std::memory_order_relaxed)) {
      fleet.latency() = Histogram();
      server_cpu = (*server)->process().CpuTime();
      before = fleet.received();
      reset = true;
    }
  }
  sender.join();
  if (!sent.ok()) return sent;
  if (!fleet.PollUntil([&] { return fleet.received() >= messages; }))
    report.AddError(fmt::format("{} of {} messages arrived", fleet.received(), messages));
  const absl::Duration cpu = (*server)->process().CpuTime() - server_cpu;
  boost::json::object& json = report.json();
  json["sessions"] = sessions;
  json["payload_bytes"] = setup.payload_bytes;
  json["messages"] = fleet.latency().count();
  json["messages_per_second"] = kMessagesASecond;
  json["server_cpu_us_per_delivery"] =
      absl::ToDoubleMicroseconds(cpu) / static_cast<double>(fleet.received() - before);
  report.AddLatency("latency_us", fleet.latency());
  report.AddErrors(fleet);
  return absl::OkStatus();
}

}  // namespace herald::bench
