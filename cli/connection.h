#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/exit_code.h"

namespace herald::cli {

// Where the server is and how to prove who we are: the global flags.
struct ConnectionOptions {
  std::string addr = "127.0.0.1:50051";  // several are parted by commas
  std::string token;
  std::string token_file;
  bool tls = false;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name;
  absl::Duration timeout = absl::Seconds(10);
};

// A gRPC target from what people write: the port 50051 is added where it is missing, names with a
// scheme
// (`unix:/run/herald.sock`, `dns:///herald:50051`) stay as they are.
std::string NormalizeAddress(std::string_view addr);

// A channel to one Herald, its credentials and its deadline.
class Connection {
 public:
  // Reads the files; connects with the first call. kInvalidArgument says which flag is wrong.
  static absl::StatusOr<Connection> Open(const ConnectionOptions& options);

  // To the first of the addresses.
  const std::shared_ptr<grpc::Channel>& channel() const { return channels_.front(); }
  // To each of them, for who can do with any.
  std::vector<std::shared_ptr<grpc::ChannelInterface>> channels() const {
    return {channels_.begin(), channels_.end()};
  }
  const std::string& token() const { return token_; }

  // For one answer: `--timeout`, and `extra` for what the server was asked to wait.
  std::unique_ptr<grpc::ClientContext> CallContext(
      absl::Duration extra = absl::ZeroDuration()) const;
  // For a stream without an end.
  std::unique_ptr<grpc::ClientContext> StreamContext() const;

  // kOk, or says on stderr what went wrong and what to do about it, and which exit code that is.
  ExitCode Report(const grpc::Status& status) const;

 private:
  Connection() = default;

  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::string addr_;
  std::string token_;
  bool tls_ = false;
  absl::Duration timeout_;
};

// "INVALID_ARGUMENT" for 3; "CODE_99" for a number that is none.
std::string CodeName(int code);

}  // namespace herald::cli
