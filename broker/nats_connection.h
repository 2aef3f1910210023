#pragma once

#include <nats/nats.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "broker/nats_denied.h"
#include "broker/nats_message.h"
#include "session/string_map.h"

namespace herald {

struct NatsConnectionOptions {
  std::vector<std::string> servers;  // nats://host:port; tls:// in one of them: TLS to all
  std::string name;                  // how the server's monitoring calls this client
  std::string user, password;        // or
  std::string credentials_file;      // a .creds file (JWT and NKey seed)
  std::string tls_ca_file, tls_cert_file, tls_key_file;
  // How long to go on trying at the start.
  absl::Duration connect_timeout = absl::Seconds(30);
  // What may wait to be written; past it publications are refused.
  std::size_t max_outbox_bytes = 64u << 20;
};

// One connection to NATS that never blocks its callers: what they want is queued for a thread of its
// own, in order, and answers come as callbacks. It reconnects for ever, and subscriptions come back
// with it.
//
// Threads:   everything from any thread. Receivers, answers and watchers run one at a time, on the
//            library's delivery thread or (answers that failed, watchers) on one of the connection's:
//            they must not block for long, and may call back in.
// Order:     what one thread sends is sent in that order, subscriptions included: so an answer to a
//            request proves that the server knows of the subscriptions made before.
// Ownership: receivers and watchers must be there until Close has returned.
// Limits:    max_outbox_bytes; past it, and while there is no connection, Publish and Request fail
//            with kUnavailable at once. Nothing is kept for a later connection.
// Errors:    kUnavailable and kDeadlineExceeded may pass. Permanent are kInvalidArgument, more than the
//            server's max_payload, and kFailedPrecondition, the server does not permit the subject.
// TLS:       certificates must be of nats_tls_ca_file, else of the system's authorities, and name the
//            host of the URL. Nothing secret is sent to a server that does not speak TLS.
// Source:    docs.nats.io/reference/reference-protocols/nats-protocol.
class NatsConnection {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void OnMessage(NatsMessage message) = 0;
  };
  using Headers = std::vector<std::pair<std::string, std::string>>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<NatsMessage>)>;
  using Sent = absl::AnyInvocable<void(absl::Status)>;

  // Tries for connect_timeout. kUnavailable, kPermissionDenied or kInvalidArgument, in one line for
  // the operator, without secrets.
  static absl::StatusOr<std::unique_ptr<NatsConnection>> Open(NatsConnectionOptions options);
  ~NatsConnection() { Close(); }
  // Ends it: when this returns no callback runs any more, and none will.
  void Close();
  NatsConnection(const NatsConnection&) = delete;

  bool connected() const { return connected_.load(std::memory_order_acquire); }
  // Called at each end and each return of the connection. To be set before anything else is done.
  void WatchState(std::function<void(bool connected)> watcher);
  // Called where messages were dropped because they were not taken in time.
  void WatchDrops(std::function<void()> watcher);

  // Called with what the server refused, such as "Permissions Violation for Publish to …".
  void WatchRefusals(std::function<void(const std::string& what)> watcher);

  // OK: it is queued, and may be lost with the connection.
  absl::Status Publish(std::string_view subject, std::string_view data,
                       const Headers& headers = {}) {
    return Send(subject, {}, data, headers);
  }
  // `done` runs once, never before this returns: OK once the server has the message.
  void PublishConfirmed(std::string_view subject, std::string_view data, Sent done);
  // `done` runs once, never before this returns: with the answer, with kUnavailable (nobody serves the subject, or the connection
  // is or gets lost) or with kDeadlineExceeded. With the last two it may have been carried out.
  void Request(std::string_view subject, std::string_view data, absl::Duration timeout, Done done,
               const Headers& headers = {});
  // Answered once the server has seen all that was sent before.
  void Echo(absl::Duration timeout, absl::AnyInvocable<void(absl::Status)> done);

  // One subscription a subject. While there is no connection they are remembered.
  void Subscribe(std::string subject, Receiver& receiver);
  void Unsubscribe(std::string subject);

  // The largest message that the server takes, headers included, in bytes.
  std::uint64_t max_payload() const { return max_payload_.load(std::memory_order_relaxed); }
  // `host:port` of the server; empty while there is no connection.
  std::string server() const;
  std::uint64_t refusals() const { return refusals_total_.load(std::memory_order_relaxed); }
  std::uint64_t reconnects() const { return reconnects_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Subscription {
    std::string subject;
    Receiver* receiver;  // null: unsubscribe
  };
  // On its way to the client library. What is to be told if it cannot go is `request` or `sent`.
  struct Outgoing {
    natsMsg* message;
    std::uint64_t request = 0;  // 0: none
    Sent sent;
    std::string subject;  // with `sent`
  };
  struct Unconfirmed {
    std::string subject;
    Sent sent;
  };
  using Out = std::variant<Outgoing, Subscription>;
  struct Pending {
    Done done;
    std::multimap<absl::Time, std::uint64_t>::iterator deadline;
    std::size_t subject;  // its hash
  };
  class Inbox final : public Receiver {
   public:
    explicit Inbox(NatsConnection& connection) : connection_(connection) {}
    void OnMessage(NatsMessage message) override { connection_.OnReply(std::move(message)); }

   private:
    NatsConnection& connection_;
  };

  explicit NatsConnection(NatsConnectionOptions options);
  absl::Status Connect();
  // How it goes out: `request` asks for an answer, `sent` to know that it is there.
  struct How {
    std::uint64_t request = 0;
    Sent sent = nullptr;
  };
  absl::Status Send(std::string_view subject, How how, std::string_view data,
                    const Headers& headers);
  absl::Status Check(std::string_view subject, std::string_view data, const Headers& headers) const;
  std::uint64_t AddPending(std::string_view subject, absl::Duration timeout, Done done);
  Done TakePending(std::uint64_t token);
  void Refuse(std::uint64_t token, absl::Status status);
  void OnError(natsStatus error);
  void FailPendingOn(std::string_view subject);
  // What the server did not permit last; empty for nothing.
  std::string LastRefusal() const;
  void Confirm();
  void OnReply(NatsMessage message);
  void OnState(bool connected);
  void FailPending(absl::Time until, const absl::Status& status);
  void RunOutbox();
  void Carry(Out& out);

  static void MessageCallback(natsConnection*, natsSubscription*, natsMsg* message, void* receiver);
  static void CompleteCallback(void* self);

  const NatsConnectionOptions options_;
  natsConnection* connection_ = nullptr;
  std::atomic<bool> connected_{false};
  std::atomic<std::uint64_t> reconnects_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::vector<std::function<void(bool)>> state_watchers_;
  std::vector<std::function<void()>> drop_watchers_;
  std::vector<std::function<void(const std::string&)>> refusal_watchers_;
  std::atomic<std::uint64_t> max_payload_{0};
  std::atomic<std::uint64_t> refusals_total_{0};
  NatsDenied denied_;
  Inbox inbox_{*this};
  std::string inbox_prefix_;  // with the dot

  std::mutex pending_mutex_;
  std::uint64_t next_token_ = 1;
  absl::flat_hash_map<std::uint64_t, Pending> pending_;
  std::multimap<absl::Time, std::uint64_t> deadlines_;

  std::mutex outbox_mutex_;
  std::condition_variable outbox_changed_;
  std::vector<Out> outbox_;
  std::size_t outbox_bytes_ = 0;
  std::vector<std::pair<Done, absl::Status>> refused_;  // to be told
  std::vector<Unconfirmed> unconfirmed_;                // the outbox thread's: the library has them
  bool stopping_ = false;

  StringMap<natsSubscription*> subscriptions_;  // the outbox thread's
  std::mutex end_mutex_;
  std::condition_variable ended_;
  std::size_t open_subscriptions_ = 0;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace herald
