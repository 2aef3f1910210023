#include "app/nats_watch.h"

#include "absl/time/clock.h"
#include "app/logging.h"
#include "broker/nats_server_info.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(2);

}  // namespace

NatsWatch::NatsWatch(NatsConnection& connection, std::uint64_t max_message_bytes,
                     std::uint32_t replicas)
    : connection_(connection), max_message_bytes_(max_message_bytes), replicated_(replicas > 1) {}

NatsWatch::~NatsWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::Status NatsWatch::Start() {
  if (absl::Status status = CheckMaxPayload(); !status.ok()) return status;
  connection_.WatchState([this](bool connected) { OnState(connected); });
  connection_.WatchRefusals([this](const std::string& what) { OnRefusal(what); });
  CheckVersion();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

absl::Status NatsWatch::CheckMaxPayload() const {
  const std::uint64_t needed = max_message_bytes_ + kOverheadBytes;
  if (connection_.max_payload() >= needed) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "NATS takes messages of at most {} bytes (max_payload), and max_message_bytes is {}: set "
      "max_payload of nats-server to {} or more, or lower max_message_bytes",
      connection_.max_payload(), max_message_bytes_, needed));
}

void NatsWatch::OnState(bool connected) {
  if (!connected)
    return LogError("the connection to NATS is lost: sessions stay, publishing is refused", {});
  LogInfo("NATS is back", {});
  if (absl::Status status = CheckMaxPayload(); !status.ok()) {
    LogWarn("messages that NATS does not take are refused",
            {{"reason", std::string(status.message())}});
  }
  {
    const std::lock_guard lock(mutex_);
    check_ = true;
  }
  changed_.notify_all();
}

void NatsWatch::OnRefusal(const std::string& what) {
  // One line a second; herald_nats_not_permitted_total counts all.
  const std::int64_t now = absl::ToUnixSeconds(absl::Now());
  if (refusal_logged_.exchange(now) == now) return;
  LogError("NATS refuses what Herald does: see the permissions of its user", {{"reason", what}});
}

void NatsWatch::LogFull(const std::string& why) {
  // herald_nats_full_total counts all.
  const std::int64_t now = absl::ToUnixSeconds(absl::Now());
  if (full_logged_.exchange(now) == now) return;
  LogError("NATS is full: messages to topics with history are refused", {{"reason", why}});
}

void NatsWatch::LogNewLog(const std::string& stream) {
  LogError(
      "a stream in NATS has lost messages or was made anew: its subscribers receive a gap, and "
      "positions from before are not recovered",
      {{"stream", stream}});
}

void NatsWatch::Run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return check_ || stopping_; });
      if (stopping_) return;
      check_ = false;
    }
    CheckVersion();
  }
}

void NatsWatch::CheckVersion() {
  const std::string server = connection_.server();
  if (server.empty()) return;
  const absl::StatusOr<NatsServerInfo> info = AskNatsServer(server, kAskTimeout);
  if (!info.ok() || !OlderThan(info->version, kLeastMajor, kLeastMinor)) return;
  if (!replicated_ && !info->clustered) return;
  if (info->version == warned_) return;
  warned_ = info->version;
  LogWarn(fmt::format("this nats-server is too old for more than one NATS node: its copies of a "
                      "stream can differ, and messages that it has acknowledged can be lost; use "
                      "{}.{} or newer",
                      kLeastMajor, kLeastMinor),
          {{"server", server}, {"version", info->version}});
}

}  // namespace herald
