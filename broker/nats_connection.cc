#include "broker/nats_connection.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "broker/nats_url.h"
#include "fmt/format.h"

namespace herald {
namespace {

// A connection that a blackhole has swallowed is noticed after two of these.
constexpr std::int64_t kPingMs = 2'000;
constexpr std::int64_t kConnectMs = 2'000;
constexpr std::int64_t kReconnectMs = 200;
constexpr auto kTick = std::chrono::milliseconds(50);
constexpr absl::Duration kConfirmTimeout = absl::Seconds(5);

absl::Status Error(std::string_view what, natsStatus status) {
  const char* detail = nats_GetLastError(nullptr);
  const std::string text = WithoutSecrets(fmt::format(
      "{}: {}", what, detail != nullptr && *detail != '\0' ? detail : natsStatus_GetText(status)));
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      return absl::PermissionDeniedError(text);
    case NATS_INVALID_ARG:
    case NATS_SSL_ERROR:
      return absl::InvalidArgumentError(text);
    case NATS_SECURE_CONNECTION_WANTED:
      return absl::InvalidArgumentError(text + ": nats_url says tls://, and it does not speak TLS");
    default:
      return absl::UnavailableError(text);
  }
}

absl::Status NotPermitted(std::string_view subject) {
  return absl::FailedPreconditionError(
      fmt::format("NATS does not permit Herald's user to publish to {}", subject));
}

}  // namespace

NatsConnection::NatsConnection(NatsConnectionOptions options) : options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<NatsConnection>> NatsConnection::Open(
    NatsConnectionOptions options) {
  auto connection = std::unique_ptr<NatsConnection>(new NatsConnection(std::move(options)));
  const absl::Time until = absl::Now() + connection->options_.connect_timeout;
  for (;;) {
    absl::Status status = connection->Connect();
    if (status.ok()) break;
    if (!absl::IsUnavailable(status) || absl::Now() > until) return status;
    absl::SleepFor(absl::Milliseconds(kReconnectMs));
  }
  connection->thread_ = std::thread([raw = connection.get()] { raw->RunOutbox(); });
  connection->Subscribe(connection->inbox_prefix_ + "*", connection->inbox_);
  return connection;
}

absl::Status NatsConnection::Connect() {
  natsOptions* options = nullptr;
  if (natsStatus status = natsOptions_Create(&options); status != NATS_OK)
    return Error("NATS options", status);
  const std::unique_ptr<natsOptions, void (*)(natsOptions*)> owned(options, natsOptions_Destroy);
  const std::string where = fmt::format("NATS at {}", absl::StrJoin(options_.servers, ", "));
  natsStatus status = NATS_OK;
  const auto set = [&](natsStatus next) {
    if (status == NATS_OK) status = next;
  };
  std::vector<const char*> servers;
  for (const std::string& server : options_.servers) servers.push_back(server.c_str());
  set(natsOptions_SetServers(options, servers.data(), static_cast<int>(servers.size())));
  set(natsOptions_SetName(options, options_.name.c_str()));
  set(natsOptions_SetTimeout(options, kConnectMs));
  set(natsOptions_SetPingInterval(options, kPingMs));
  set(natsOptions_SetMaxPingsOut(options, 1));
  set(natsOptions_SetMaxReconnect(options, -1));
  set(natsOptions_SetReconnectWait(options, kReconnectMs));
  set(natsOptions_SetReconnectJitter(options, kReconnectMs, kReconnectMs));
  // What is sent while there is no connection must fail, and not come out later.
  set(natsOptions_SetReconnectBufSize(options, 0));
  set(natsOptions_SetSendAsap(options, true));
  set(natsOptions_SetFailRequestsOnDisconnect(options, true));
  // All messages come on one thread, so that what was sent in order is handled in order.
  set(natsOptions_UseGlobalMessageDelivery(options, true));
  if (!options_.user.empty())
    set(natsOptions_SetUserInfo(options, options_.user.c_str(), options_.password.c_str()));
  if (!options_.credentials_file.empty()) {
    set(natsOptions_SetUserCredentialsFromFiles(options, options_.credentials_file.c_str(),
                                                nullptr));
  }
  // Without authorities of its own the library takes the system's.
  if (std::any_of(options_.servers.begin(), options_.servers.end(),
                  [](const std::string& url) { return url.starts_with("tls://"); })) {
    set(natsOptions_SetSecure(options, true));
  }
  if (!options_.tls_ca_file.empty()) {
    set(natsOptions_LoadCATrustedCertificates(options, options_.tls_ca_file.c_str()));
    set(natsOptions_SetSecure(options, true));
  }
  if (!options_.tls_cert_file.empty()) {
    set(natsOptions_LoadCertificatesChain(options, options_.tls_cert_file.c_str(),
                                          options_.tls_key_file.c_str()));
    set(natsOptions_SetSecure(options, true));
  }
  set(natsOptions_SetDisconnectedCB(
      options,
      [](natsConnection*, void* self) { static_cast<NatsConnection*>(self)->OnState(false); },
      this));
  set(natsOptions_SetReconnectedCB(
      options,
      [](natsConnection*, void* self) { static_cast<NatsConnection*>(self)->OnState(true); },
      this));
  set(natsOptions_SetErrorHandler(
      options,
      [](natsConnection*, natsSubscription*, natsStatus error, void* self) {
        static_cast<NatsConnection*>(self)->OnError(error);
      },
      this));
  set(natsOptions_SetClosedCB(
      options,
      [](natsConnection*, void* self) {
        auto& connection = *static_cast<NatsConnection*>(self);
        const std::lock_guard lock(connection.end_mutex_);
        connection.closed_ = true;
        connection.ended_.notify_all();
      },
      this));
  if (status != NATS_OK) return Error(where, status);
  status = natsConnection_Connect(&connection_, options);
  if (status != NATS_OK) {
    connection_ = nullptr;
    return Error(where, status);
  }
  natsInbox* inbox = nullptr;
  if (status = natsInbox_Create(&inbox); status != NATS_OK) return Error(where, status);
  inbox_prefix_ = std::string(inbox) + ".";
  natsInbox_Destroy(inbox);
  max_payload_.store(static_cast<std::uint64_t>(natsConnection_GetMaxPayload(connection_)));
  connected_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

void NatsConnection::Close() {
  {
    const std::lock_guard lock(outbox_mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  connected_.store(false, std::memory_order_release);
  outbox_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (connection_ != nullptr) {
    natsConnection_Close(connection_);
    std::unique_lock lock(end_mutex_);
    ended_.wait(lock, [this] { return closed_ && open_subscriptions_ == 0; });
    lock.unlock();
    for (const auto& [subject, subscription] : subscriptions_)
      natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection_);
    connection_ = nullptr;
  }
  FailPending(absl::InfiniteFuture(), absl::UnavailableError("the connection to NATS is closed"));
}

void NatsConnection::WatchState(std::function<void(bool)> watcher) {
  state_watchers_.push_back(std::move(watcher));
}

void NatsConnection::WatchDrops(std::function<void()> watcher) {
  drop_watchers_.push_back(std::move(watcher));
}

void NatsConnection::WatchRefusals(std::function<void(const std::string&)> watcher) {
  refusal_watchers_.push_back(std::move(watcher));
}

std::string NatsConnection::server() const {
  char url[1024];
  if (natsConnection_GetConnectedUrl(connection_, url, sizeof(url)) != NATS_OK) return "";
  return HostAndPort(url);
}

void NatsConnection::OnError(natsStatus error) {
  if (error == NATS_SLOW_CONSUMER) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    for (const auto& watcher : drop_watchers_) watcher();
    return;
  }
  const std::string what = LastRefusal();
  if (error != NATS_NOT_PERMITTED || what.empty()) return;
  refusals_total_.fetch_add(1, std::memory_order_relaxed);
  if (std::optional<std::string> subject = NatsDenied::SubjectOf(what)) {
    denied_.Add(*subject);
    FailPendingOn(*subject);
  }
  for (const auto& watcher : refusal_watchers_) watcher(what);
}

void NatsConnection::FailPendingOn(std::string_view subject) {
  std::vector<std::uint64_t> tokens;
  {
    const std::lock_guard lock(pending_mutex_);
    for (const auto& [token, pending] : pending_) {
      if (pending.subject == StringHash{}(subject)) tokens.push_back(token);
    }
  }
  for (const std::uint64_t token : tokens) {
    if (Done done = TakePending(token)) done(NotPermitted(subject));
  }
}

void NatsConnection::OnState(bool connected) {
  {
    const std::lock_guard lock(outbox_mutex_);
    if (stopping_) return;
  }
  if (connected) {
    denied_.Clear();
    max_payload_.store(static_cast<std::uint64_t>(natsConnection_GetMaxPayload(connection_)));
  }
  connected_.store(connected, std::memory_order_release);
  if (connected) {
    reconnects_.fetch_add(1, std::memory_order_relaxed);
  } else {
    // Their answers would have come on the connection that is gone.
    FailPending(absl::InfiniteFuture(),
                absl::UnavailableError("the connection to NATS was lost; this may have been done"));
  }
  for (const auto& watcher : state_watchers_) watcher(connected);
}

absl::Status NatsConnection::Check(std::string_view subject, std::string_view data,
                                   const Headers& headers) const {
  // The client library sends a subject as it is, and its protocol is lines of words.
  if (!std::all_of(subject.begin(), subject.end(), [](char c) { return c > ' ' && c != '\x7f'; }))
    return absl::InvalidArgumentError("a subject of NATS has no spaces or control characters");
  if (!connected()) return absl::UnavailableError("there is no connection to NATS");
  if (denied_.Contains(subject)) return NotPermitted(subject);
  // "NATS/1.0", a line for each header, an empty one.
  std::size_t bytes = data.size() + (headers.empty() ? 0 : 12);
  for (const auto& [name, value] : headers) bytes += name.size() + value.size() + 4;
  if (bytes > max_payload()) {
    return absl::InvalidArgumentError(fmt::format(
        "the message takes {} bytes in NATS, whose max_payload is {}", bytes, max_payload()));
  }
  return absl::OkStatus();
}

absl::Status NatsConnection::Send(std::string_view subject, How how, std::string_view data,
                                  const Headers& headers) {
  if (absl::Status status = Check(subject, data, headers); !status.ok()) return status;
  const std::string reply = how.request == 0 ? "" : inbox_prefix_ + std::to_string(how.request);
  natsMsg* message = nullptr;
  natsStatus status = natsMsg_Create(&message, std::string(subject).c_str(),
                                     reply.empty() ? nullptr : reply.c_str(), data.data(),
                                     static_cast<int>(data.size()));
  for (const auto& [name, value] : headers) {
    if (status == NATS_OK) status = natsMsgHeader_Set(message, name.c_str(), value.c_str());
  }
  if (status != NATS_OK) {
    natsMsg_Destroy(message);
    return Error("message for NATS", status);
  }
  {
    const std::lock_guard lock(outbox_mutex_);
    if (stopping_ || outbox_bytes_ + data.size() > options_.max_outbox_bytes) {
      natsMsg_Destroy(message);
      return absl::UnavailableError("NATS does not take messages as fast as they come");
    }
    outbox_bytes_ += data.size();
    std::string waits_on = how.sent ? std::string(subject) : "";
    outbox_.emplace_back(Outgoing{message, how.request, std::move(how.sent), std::move(waits_on)});
  }
  outbox_changed_.notify_one();
  return absl::OkStatus();
}

std::uint64_t NatsConnection::AddPending(std::string_view subject, absl::Duration timeout,
                                         Done done) {
  const std::lock_guard lock(pending_mutex_);
  const std::uint64_t token = next_token_++;
  const auto deadline = deadlines_.emplace(absl::Now() + timeout, token);
  pending_.emplace(token, Pending{std::move(done), deadline, StringHash{}(subject)});
  return token;
}

void NatsConnection::Request(std::string_view subject, std::string_view data,
                             absl::Duration timeout, Done done, const Headers& headers) {
  const std::uint64_t token = AddPending(subject, timeout, std::move(done));
  if (absl::Status sent = Send(subject, {.request = token}, data, headers); !sent.ok())
    Refuse(token, std::move(sent));
}

void NatsConnection::PublishConfirmed(std::string_view subject, std::string_view data, Sent done) {
  // Send drops what it does not take.
  auto kept = std::make_shared<Sent>(std::move(done));
  absl::Status sent = Send(
      subject, {.sent = [kept](absl::Status status) { (*kept)(std::move(status)); }}, data, {});
  if (sent.ok()) return;
  {
    const std::lock_guard lock(outbox_mutex_);
    refused_.emplace_back([kept](const absl::StatusOr<NatsMessage>& why) { (*kept)(why.status()); },
                          std::move(sent));
  }
  outbox_changed_.notify_one();
}

void NatsConnection::Echo(absl::Duration timeout, absl::AnyInvocable<void(absl::Status)> done) {
  const std::uint64_t token =
      AddPending("", timeout, [done = std::move(done)](absl::StatusOr<NatsMessage> answer) mutable {
        done(answer.status());
      });
  if (absl::Status sent = Send(inbox_prefix_ + std::to_string(token), {}, "", {}); !sent.ok())
    Refuse(token, std::move(sent));
}

NatsConnection::Done NatsConnection::TakePending(std::uint64_t token) {
  const std::lock_guard lock(pending_mutex_);
  const auto it = pending_.find(token);
  if (it == pending_.end()) return nullptr;
  Done done = std::move(it->second.done);
  deadlines_.erase(it->second.deadline);
  pending_.erase(it);
  return done;
}

void NatsConnection::Refuse(std::uint64_t token, absl::Status status) {
  Done done = TakePending(token);
  if (!done) return;
  {
    const std::lock_guard lock(outbox_mutex_);
    refused_.emplace_back(std::move(done), std::move(status));
  }
  outbox_changed_.notify_one();
}

void NatsConnection::FailPending(absl::Time until, const absl::Status& status) {
  for (;;) {
    std::uint64_t token = 0;
    {
      const std::lock_guard lock(pending_mutex_);
      if (deadlines_.empty() || deadlines_.begin()->first > until) return;
      token = deadlines_.begin()->second;
    }
    if (Done done = TakePending(token)) done(status);
  }
}

void NatsConnection::OnReply(NatsMessage message) {
  std::string_view subject = message.subject();
  if (!subject.starts_with(inbox_prefix_)) return;
  subject.remove_prefix(inbox_prefix_.size());
  std::uint64_t token = 0;
  if (!absl::SimpleAtoi(absl::string_view(subject.data(), subject.size()), &token)) return;
  Done done = TakePending(token);
  if (!done) return;  // too late
  if (message.no_responders()) {
    done(
        absl::UnavailableError("nobody in NATS serves this; is JetStream on, and has the stream a "
                               "leader?"));
  } else {
    done(std::move(message));
  }
}

void NatsConnection::Subscribe(std::string subject, Receiver& receiver) {
  {
    const std::lock_guard lock(outbox_mutex_);
    outbox_.emplace_back(Subscription{std::move(subject), &receiver});
  }
  outbox_changed_.notify_one();
}

void NatsConnection::Unsubscribe(std::string subject) {
  {
    const std::lock_guard lock(outbox_mutex_);
    outbox_.emplace_back(Subscription{std::move(subject), nullptr});
  }
  outbox_changed_.notify_one();
}

void NatsConnection::RunOutbox() {
  std::vector<Out> batch;
  std::vector<std::pair<Done, absl::Status>> refused;
  for (;;) {
    {
      std::unique_lock lock(outbox_mutex_);
      outbox_changed_.wait_for(
          lock, kTick, [this] { return stopping_ || !outbox_.empty() || !refused_.empty(); });
      if (stopping_ && outbox_.empty() && refused_.empty()) return;
      batch.swap(outbox_);
      refused.swap(refused_);
      outbox_bytes_ = 0;
    }
    for (Out& out : batch) Carry(out);
    batch.clear();
    Confirm();
    for (auto& [done, status] : refused) done(std::move(status));
    refused.clear();
    FailPending(absl::Now(), absl::DeadlineExceededError("NATS has not answered in time"));
  }
}

void NatsConnection::Carry(Out& out) {
  if (auto* outgoing = std::get_if<Outgoing>(&out)) {
    const natsStatus status = connected()
                                  ? natsConnection_PublishMsg(connection_, outgoing->message)
                                  : NATS_CONNECTION_DISCONNECTED;
    natsMsg_Destroy(outgoing->message);
    if (status == NATS_OK) {
      if (outgoing->sent)
        unconfirmed_.push_back({std::move(outgoing->subject), std::move(outgoing->sent)});
      return;
    }
    absl::Status why =
        status == NATS_MAX_PAYLOAD
            ? absl::InvalidArgumentError(fmt::format(
                  "the message is more than NATS takes, whose max_payload is {}", max_payload()))
            : absl::UnavailableError("the connection to NATS is lost");
    Done done = outgoing->request == 0 ? nullptr : TakePending(outgoing->request);
    if (done) done(why);
    if (outgoing->sent) outgoing->sent(why);
    return;
  }
  Subscription& wanted = std::get<Subscription>(out);
  const auto it = subscriptions_.find(wanted.subject);
  if (wanted.receiver == nullptr) {
    if (it == subscriptions_.end()) return;
    natsSubscription_Unsubscribe(it->second);
    natsSubscription_Destroy(it->second);
    subscriptions_.erase(it);
    return;
  }
  if (it != subscriptions_.end()) return;
  natsSubscription* subscription = nullptr;
  if (natsConnection_Subscribe(&subscription, connection_, wanted.subject.c_str(), MessageCallback,
                               wanted.receiver) != NATS_OK) {
    return;  // only once the connection is closed for good
  }
  {
    const std::lock_guard lock(end_mutex_);
    ++open_subscriptions_;
  }
  natsSubscription_SetOnCompleteCB(subscription, CompleteCallback, this);
  subscriptions_.emplace(std::move(wanted.subject), subscription);
}

void NatsConnection::Confirm() {
  if (unconfirmed_.empty()) return;
  Echo(kConfirmTimeout,
       [this, unconfirmed = std::move(unconfirmed_)](const absl::Status& status) mutable {
         // The server answers in order, but what it refuses is told on another thread.
         const std::string refusal = status.ok() ? LastRefusal() : "";
         const std::string refused = NatsDenied::SubjectOf(refusal).value_or("");
         for (Unconfirmed& one : unconfirmed) {
           if (!status.ok()) {
             one.sent(absl::UnavailableError(status.message()));  // it may have come through
           } else if (one.subject == refused || denied_.Contains(one.subject)) {
             one.sent(NotPermitted(one.subject));
           } else {
             one.sent(absl::OkStatus());
           }
         }
       });
  unconfirmed_.clear();
}

std::string NatsConnection::LastRefusal() const {
  const char* text = nullptr;
  const natsStatus last = natsConnection_GetLastError(connection_, &text);
  return last == NATS_NOT_PERMITTED && text != nullptr ? text : "";
}

void NatsConnection::MessageCallback(natsConnection*, natsSubscription*, natsMsg* message,
                                     void* receiver) {
  static_cast<Receiver*>(receiver)->OnMessage(NatsMessage(message));
}

void NatsConnection::CompleteCallback(void* self) {
  auto& connection = *static_cast<NatsConnection*>(self);
  const std::lock_guard lock(connection.end_mutex_);
  --connection.open_subscriptions_;
  connection.ended_.notify_all();
}

}  // namespace herald
