// P3: how many commands one core takes from one Push stream. The floor is a gRPC echo that parses
// nothing, with requests and answers of the same size.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr int kCommandsARequest = 64;
constexpr int kUsers = 1000;  // as many targets, round and round

v1::PushRequest MakeRequest(int payload_bytes, int& user) {
  v1::PushRequest request;
  for (int i = 0; i < kCommandsARequest; ++i) {
    v1::Deliver& deliver = *request.add_commands()->mutable_deliver();
    deliver.mutable_target()->set_user_id(fmt::format("user-{:06}", user));
    deliver.mutable_message()->set_payload(
        MakePayload({}, static_cast<std::size_t>(payload_bytes)));
    user = (user + 1) % kUsers;
  }
  return request;
}

}  // namespace

absl::Status RunIngest(const Setup& setup, Report& report) {
  const bool echo = IsEcho(setup.server.name);
  if (!echo && setup.server.name != "herald")
    return absl::UnimplementedError("p3 is for herald and the echoes of gRPC");
  // $user/** without history: what P3 asks for is the way in.
  const ConfigFile config("topic_rules:\n  - {pattern: \"$user/**\"}\n");
  auto server = Server::Start(setup.server, {config.flag()});
  if (!server.ok()) return server.status();
  PushPublisher::Options options;
  options.echo = echo;
  auto publisher = PushPublisher::Open((*server)->grpc_address(), options);
  if (!publisher.ok()) return publisher.status();
  std::vector<v1::PushRequest> requests;
  for (int user = 0; requests.size() < 64;)
    requests.push_back(MakeRequest(setup.payload_bytes, user));
  const auto run = [&](absl::Duration duration) -> absl::StatusOr<std::uint64_t> {
    std::uint64_t commands = 0;
    const std::uint64_t end =
        NowNs() + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(duration));
    for (std::size_t i = 0; NowNs() < end; ++i) {
      if (absl::Status bad = (*publisher)->Write(requests[i % requests.size()]); !bad.ok())
        return bad;
      commands += kCommandsARequest;
    }
    if (absl::Status bad = (*publisher)->AwaitAll(absl::Seconds(10)); !bad.ok()) return bad;
    return commands;
  };
  if (auto warm = run(absl::Milliseconds(300)); !warm.ok()) return warm.status();
  const absl::Duration server_cpu = (*server)->process().CpuTime();
  const std::uint64_t begin = NowNs();
  const absl::StatusOr<std::uint64_t> commands = run(setup.duration);
  if (!commands.ok()) return commands.status();
  const double seconds = static_cast<double>(NowNs() - begin) / 1e9;
  const absl::Duration cpu = (*server)->process().CpuTime() - server_cpu;
  boost::json::object& json = report.json();
  json["payload_bytes"] = setup.payload_bytes;
  json["commands"] = *commands;
  json["seconds"] = seconds;
  json["commands_per_second"] = static_cast<double>(*commands) / seconds;
  json["commands_per_core_second"] = static_cast<double>(*commands) / absl::ToDoubleSeconds(cpu);
  json["server_cpu_us_per_command"] =
      absl::ToDoubleMicroseconds(cpu) / static_cast<double>(*commands);
  return absl::OkStatus();
}

}  // namespace herald::bench
