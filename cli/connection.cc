#include "cli/connection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <sstream>

#include "cli/files.h"
#include "cli/output.h"
#include "cli/text.h"

namespace herald::cli {
namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;
// Answers may be long (a page of 1,000 sessions).
constexpr int kMaxAnswerBytes = 256 << 20;

bool IsLoopback(std::string_view addr) {
  return addr.starts_with("127.") || addr.starts_with("localhost:") || addr.starts_with("[::1]:");
}

absl::StatusOr<std::string> FindToken(const ConnectionOptions& options) {
  if (!options.token.empty() && !options.token_file.empty()) {
    return absl::InvalidArgumentError("--token and --token-file: give one of them");
  }
  if (!options.token_file.empty()) return ReadToken(options.token_file);
  std::string token = options.token;
  if (token.empty()) {
    if (const char* env = std::getenv("HERALD_TOKEN")) token = env;
  }
  // gRPC would refuse such metadata with words that help nobody.
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; })) {
    return absl::InvalidArgumentError(
        "the token (--token or HERALD_TOKEN) has blanks or control "
        "characters in it; is it a file? then use --token-file");
  }
  return token;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ConnectionOptions& options, bool tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  for (const auto& [path, pem] : {std::pair{&options.ca_file, &ssl.pem_root_certs},
                                  std::pair{&options.cert_file, &ssl.pem_cert_chain},
                                  std::pair{&options.key_file, &ssl.pem_private_key}}) {
    if (path->empty()) continue;
    auto content = ReadFile(*path, kMaxPemBytes);
    if (!content.ok()) return content.status();
    if (content->find("-----BEGIN ") == std::string::npos) {
      return absl::InvalidArgumentError(*path + " is not a PEM file");
    }
    *pem = *std::move(content);
  }
  return grpc::SslCredentials(ssl);
}

bool Contains(std::string_view text, std::initializer_list<std::string_view> signs) {
  return std::any_of(signs.begin(), signs.end(), [text](std::string_view sign) {
    return text.find(sign) != std::string_view::npos;
  });
}

// gRPC's words for a connection that did not come about …
bool ConnectFailed(std::string_view message) {
  return Contains(message, {"ailed to connect", "resolution failed", "backends failing"});
}

// … and for one that broke. All else in UNAVAILABLE is what a server said (draining, broker away).
bool ConnectionBroke(std::string_view message) {
  return Contains(message, {"Socket closed", "onnection reset", "roken pipe", "recvmsg", "sendmsg",
                            "ndpoint read failed", "GOAWAY", "keepalive", "ransport closed"});
}

// The part of gRPC's long story that says what happened: `… last error: UNKNOWN: ipv4:1.2.3.4:5:
// …`.
std::string LastCause(std::string_view message) {
  for (const std::string_view marker : {"last error: ", "Failed to connect to remote host: "}) {
    const std::size_t at = message.rfind(marker);
    if (at != std::string_view::npos) message.remove_prefix(at + marker.size());
  }
  for (const std::string_view code : {"UNKNOWN: ", "UNAVAILABLE: ", "INTERNAL: "}) {
    if (message.starts_with(code)) message.remove_prefix(code.size());
  }
  if (message.starts_with("ipv4:") || message.starts_with("ipv6:") ||
      message.starts_with("unix:")) {
    const std::size_t at = message.find(": ");
    if (at != std::string_view::npos) message.remove_prefix(at + 2);
  }
  return std::string(message);
}

// What to do about a connection that did not come about.
std::string Advice(std::string_view cause, bool tls) {
  if (Contains(cause, {"certificate verify failed"}))
    return "set --ca to the authority of its certificate";
  if (Contains(cause, {"Peer name"})) return "set --server-name to a name that is in it";
  if (Contains(cause, {"http1.x"})) return "is that the client port? set --addr to the gRPC port";
  if (Contains(cause, {"wrong version number", "WRONG_VERSION_NUMBER"}))
    return "it does not speak TLS; leave out --tls, --ca and --cert";
  if (!tls && Contains(cause, {"Socket closed"})) return "does it want TLS? set --tls or --ca";
  return fmt::format("is herald running there{}? set --addr", tls ? ", with TLS" : "");
}

}  // namespace

std::string NormalizeAddress(std::string_view addr) {
  constexpr std::string_view kPort = ":50051";
  if (addr.find("://") != std::string_view::npos || addr.starts_with("unix:") ||
      addr.starts_with("unix-abstract:") || addr.starts_with("dns:") || addr.starts_with("ipv4:") ||
      addr.starts_with("ipv6:")) {
    return std::string(addr);
  }
  const auto colons = std::count(addr.begin(), addr.end(), ':');
  if (addr.starts_with('[')) {
    return addr.ends_with(']') ? fmt::format("{}{}", addr, kPort) : std::string(addr);
  }
  if (colons > 1) return fmt::format("[{}]{}", addr, kPort);
  if (addr.starts_with(':')) return fmt::format("127.0.0.1{}", addr);
  return colons == 1 ? std::string(addr) : fmt::format("{}{}", addr, kPort);
}

absl::StatusOr<Connection> Connection::Open(const ConnectionOptions& options) {
  if (options.addr.starts_with("http://") || options.addr.starts_with("https://") ||
      options.addr.starts_with("ws://")) {
    return absl::InvalidArgumentError("--addr: write host:port, without http://");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError(
        "--cert and --key (the TLS certificate and its private key) go together");
  }
  const bool tls = options.tls || !options.ca_file.empty() || !options.cert_file.empty();
  if (!tls && !options.server_name.empty()) {
    return absl::InvalidArgumentError("--server-name means nothing without --tls");
  }
  auto token = FindToken(options);
  if (!token.ok()) return token.status();
  auto credentials = MakeCredentials(options, tls);
  if (!credentials.ok()) return credentials.status();

  Connection connection;
  std::vector<std::string> addrs;
  std::istringstream list(options.addr);
  for (std::string addr; std::getline(list, addr, ',');) addrs.push_back(NormalizeAddress(addr));
  if (addrs.empty()) return absl::InvalidArgumentError("--addr is empty");
  connection.addr_ = fmt::format("{}", fmt::join(addrs, ","));
  connection.token_ = *std::move(token);
  connection.tls_ = tls;
  connection.timeout_ = options.timeout;

  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  // A proxy from the environment cannot reach our own loopback.
  if (std::all_of(addrs.begin(), addrs.end(), IsLoopback))
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!options.server_name.empty()) args.SetSslTargetNameOverride(options.server_name);
  // Notice a server that vanished under `watch` or `stream`; no oftener than servers allow by
  // default.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 300'000);
  // `stream` comes back soon after its server did.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // Of a name with several addresses each stream takes the next one that answers.
  args.SetLoadBalancingPolicyName("round_robin");
  for (const std::string& addr : addrs)
    connection.channels_.push_back(grpc::CreateCustomChannel(addr, *credentials, args));
  return connection;
}

std::unique_ptr<grpc::ClientContext> Connection::StreamContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
  return context;
}

std::unique_ptr<grpc::ClientContext> Connection::CallContext(absl::Duration extra) const {
  auto context = StreamContext();
  context->set_deadline(std::chrono::system_clock::now() +
                        absl::ToChronoMilliseconds(timeout_ + extra));
  return context;
}

ExitCode Connection::Report(const grpc::Status& status) const {
  if (status.ok()) return kOk;
  const std::string& message = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (ConnectFailed(message)) {
        PrintError(fmt::format("cannot reach {}: {}; {}", addr_, LastCause(message),
                               Advice(message, tls_)));
        return kUnreachable;
      }
      if (ConnectionBroke(message)) {
        PrintError(fmt::format("lost the connection to {}: {}", addr_, LastCause(message)));
        return kUnreachable;
      }
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      PrintError(fmt::format("no answer from {} within {}; set --timeout to wait longer", addr_,
                             HumanDuration(timeout_)));
      return kUnreachable;
    case grpc::StatusCode::UNAUTHENTICATED:
      PrintError(fmt::format("UNAUTHENTICATED: {}; set --token, --token-file or HERALD_TOKEN{}",
                             message, tls_ ? "" : ", or --cert and --key"));
      return kRefused;
    case grpc::StatusCode::UNIMPLEMENTED:
      PrintError(
          fmt::format("UNIMPLEMENTED: the server at {} does not know this call ({}); is it "
                      "herald, and as new as this heraldctl?",
                      addr_, message));
      return kRefused;
    case grpc::StatusCode::NOT_FOUND:
      PrintError("NOT_FOUND: " + message);
      return kNotFound;
    default:
      break;
  }
  PrintError(fmt::format("{}: {}", CodeName(status.error_code()),
                         message.empty() ? "the server gave no detail" : message));
  return kRefused;
}

std::string CodeName(int code) {
  static constexpr std::array kNames = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
  if (code < 0 || code >= static_cast<int>(kNames.size())) return fmt::format("CODE_{}", code);
  return kNames[static_cast<std::size_t>(code)];
}

}  // namespace herald::cli
