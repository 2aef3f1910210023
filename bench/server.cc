#include "bench/server.h"

#include <boost/json/parse.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "bench/loopback.h"
#include "bench/push_publisher.h"
#include "fmt/format.h"

namespace herald::bench {
std::string BesideThis(std::string_view program) {
  return std::filesystem::read_symlink("/proc/self/exe").replace_filename(program);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      std::vector<std::string> workload_flags) {
  auto server = std::make_unique<Server>();
  server->name_ = options.name;
  absl::Status started;
  if (options.name == "herald") {
    started = server->StartHerald(options, std::move(workload_flags));
  } else if (options.name == "bare" || options.name == "bare_io_uring" || IsEcho(options.name)) {
    const int port = FreePort();
    server->entrance_.port = server->publishing_.port = port;
    server->entrance_.path = "/sub";
    server->publishing_.path = "/pub";
    absl::StatusOr<Process> process = Process::Start(
        {BesideThis("herald-bench"), "serve-" + options.name, std::to_string(port)}, options.cpu);
    if (!process.ok()) return process.status();
    server->process_ = *std::move(process);
    started = server->AwaitPort(port);
    if (IsEcho(options.name)) server->grpc_port_ = port;
  } else {
    started = server->StartPeer(options);
  }
  if (!started.ok()) return started;
  return server;
}

absl::Status Server::StartHerald(const ServerOptions& options, std::vector<std::string> flags) {
  const int port = FreePort();
  grpc_port_ = FreePort();
  admin_port_ = FreePort();
  std::vector<std::string> command = {
      options.herald.empty() ? BesideThis("herald") : options.herald,
      "--dev",
      "--threads=1",
      "--log_level=warn",
      "--drain_seconds=0",
      "--max_sessions_per_user=0",
      fmt::format("--client_addr=127.0.0.1:{}", port),
      fmt::format("--grpc_addr=127.0.0.1:{}", grpc_port_),
      fmt::format("--admin_addr=127.0.0.1:{}", admin_port_),
  };
  command.insert(command.end(), flags.begin(), flags.end());
  command.insert(command.end(), options.herald_flags.begin(), options.herald_flags.end());
  absl::StatusOr<Process> process = Process::Start(command, options.cpu);
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  entrance_.port = port;
  entrance_.path = fmt::format("/ws?topics={}", kTopic);
  entrance_.subprotocol = "herald.v1.json";
  entrance_.greeting = {R"({"id":1,"connect":{}})"};
  entrance_.greeted = 1;  // hello
  if (absl::Status bad = AwaitPort(port); !bad.ok()) return bad;
  return AwaitPort(grpc_port_);
}

absl::Status Server::StartPeer(const ServerOptions& options) {
  const std::filesystem::path folder = options.name;
  std::ifstream file(folder / "peer.json");
  if (!file) return absl::InvalidArgumentError(fmt::format("{} has no peer.json", options.name));
  std::stringstream text;
  text << file.rdbuf();
  boost::system::error_code error;
  const boost::json::value parsed = boost::json::parse(text.str(), error);
  if (error || !parsed.is_object())
    return absl::InvalidArgumentError(
        fmt::format("{}/peer.json is not a JSON object", options.name));
  const boost::json::object& peer = parsed.get_object();
  const auto string_of = [&](std::string_view key, std::string otherwise) {
    const auto* value = peer.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : otherwise;
  };
  const int port = FreePort();
  entrance_.port = publishing_.port = port;
  entrance_.path = string_of("subscribe", "/");
  entrance_.subprotocol = string_of("subprotocol", "");
  if (const auto* greeting = peer.if_contains("greeting")) {
    for (const auto& frame : greeting->as_array())
      entrance_.greeting.emplace_back(frame.as_string());
  }
  if (const auto* greeted = peer.if_contains("greeted"))
    entrance_.greeted = static_cast<int>(greeted->as_int64());
  if (const auto* joined = peer.if_contains("joined")) entrance_.joined = joined->as_bool();
  publishing_.http = string_of("publish", "websocket") == "http";
  publishing_.path = string_of("publish_path", "/");
  publishing_.body = string_of("publish_body", "%PAYLOAD%");
  if (const auto* headers = peer.if_contains("publish_headers")) {
    for (const auto& header : headers->as_object())
      publishing_.headers[header.key()] = header.value().as_string();
  }
  absl::StatusOr<Process> process =
      Process::Start({(folder / "start").string(), std::to_string(port)}, options.cpu);
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  return AwaitPort(port);
}

absl::Status Server::AwaitPort(int port) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!Accepts(port)) {
    if (std::string end = process_.HowItEnded(); !end.empty()) {
      return end == "not installed" ? absl::NotFoundError(fmt::format("{} is not installed", name_))
                                    : absl::UnavailableError(fmt::format("{}: {}", name_, end));
    }
    if (absl::Now() > deadline)
      return absl::UnavailableError(fmt::format("{} does not listen after 20 s", name_));
    absl::SleepFor(absl::Milliseconds(10));
  }
  return absl::OkStatus();
}

std::string Server::grpc_address() const { return fmt::format("127.0.0.1:{}", grpc_port_); }
std::string Server::admin_address() const { return fmt::format("127.0.0.1:{}", admin_port_); }

absl::StatusOr<std::unique_ptr<Publisher>> Server::MakePublisher() const {
  if (!is_herald()) return MakePeerPublisher(publishing_);
  PushPublisher::Options options;
  options.topic = kTopic;
  return PushPublisher::Open(grpc_address(), options);
}

absl::Status Server::Check() {
  if (std::string end = process_.HowItEnded(); !end.empty())
    return absl::UnavailableError(fmt::format("{}: {}", name_, end));
  return absl::OkStatus();
}

}  // namespace herald::bench
