#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "herald/v1/push_service.pb.h"

namespace herald {

// A channel that comes back soon after its server did: gRPC's own waits grow to two minutes.
// `address` is host:port, or any other gRPC target. It connects with the first call. Where the name
// has several addresses each stream takes the next.
std::shared_ptr<grpc::Channel> MakeProducerChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    grpc::ChannelArguments arguments = {});

// One for each of several, such as "herald-0:50051,herald-1:50051". For a name that has several
// addresses, as a headless service's has, one channel is enough: it takes them in turn.
std::vector<std::shared_ptr<grpc::ChannelInterface>> MakeProducerChannels(
    const std::string& addresses, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments = {});

// 128 random bits, in hex: a producer id that nobody else has.
std::string MakeProducerId();

class ProducerStream;

// A Push stream that survives its connections: every command is carried out once and in order, and
// gets one result.
//
//   herald::Producer producer(herald::MakeProducerChannel("127.0.0.1:50051", credentials), {});
//   producer.Send(std::move(command), [](absl::StatusOr<v1::CommandResult> result) { … });
//   producer.Close(absl::Now() + absl::Seconds(10));
//
// Replicas:  a stream that breaks, or is told to move (the replica is about to end), is opened again at
//            the next channel. To move nothing is sent twice, and no producer id is needed: the old
//            stream gives all its results first. Its receipts follow, while the new one is at work.
// Broken stream: it reconnects, with backoff, and sends again what has no result, in order and with
//            the same seq; the server knows by (producer_id, seq) what it has done, and answers that
//            with the first result and `duplicate`. All is sent again, also what PushOpened.last_seq
//            says has succeeded: its result is still owed. What was written `resend_within` ago or
//            earlier is not, since the server may have forgotten it: that has no result (kUnknown).
//            Without a producer id nothing is sent again, and the first break is the end.
// End:       UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT or UNIMPLEMENTED of the stream, a
//            request too large for the server, `on_broken` saying false, Close or Cancel. It is
//            final: what has no result is told that status, and Send refuses from then on.
// Refusals:  a result with a code other than 0 is a result. It is handed over and not tried again,
//            also where it is RESOURCE_EXHAUSTED: to try again is to Send again. But UNAVAILABLE (the
//            broker is away) is as a broken stream, for `retry_unavailable_for`: the server carries
//            out nothing that follows, and what has no result is sent again, in order.
// Seq:       a command without one gets the one after the highest so far, from 1. Who sets
//            `producer_id` to a lasting name gives its commands their lasting seqs as well.
// Threads:   all methods from any thread. Callbacks come one at a time, on a thread of gRPC's, or
//            within Cancel, Close and the destructor; never within Send. They may Send and Cancel,
//            but must not block: not call WaitForRoom, Flush, Close or the destructor. It has no
//            thread of its own.
// Ownership: shares the channel. Callbacks go once they have been called for the last time.
// Limits:    max_unanswered commands and max_unanswered_bytes (exceeded by one command at most),
//            and one request. Awaited receipts come on top; the server stops at 65,536 of them.
// Spec:      proto/herald/v1/push_service.proto, docs/producer-guide.md.
class Producer {
 public:
  // Called once. A status that is not OK means that there is no result; unless it was never
  // written, the command may have been carried out or not.
  using OnResult = absl::AnyInvocable<void(absl::StatusOr<v1::CommandResult>)>;
  // Called once, after the result, with the final receipt. Or with the reason why there is none:
  // the code of a result that was not OK; else kUnknown, where the command was answered as a
  // duplicate (its receipt went to an earlier stream) or the stream broke before the receipt. The
  // message has been accepted then, and what became of it cannot be learnt.
  using OnReceipt = absl::AnyInvocable<void(absl::StatusOr<v1::Receipt>)>;

  // A stream that broke, or did not come about.
  struct Outage {
    absl::Status status;
    int attempt = 1;                                // since there was progress; from 1
    absl::Duration lasting = absl::ZeroDuration();  // since the last stream broke
    bool connected_before = false;                  // a server has answered this producer
  };

  struct Options {
    // A bearer token; empty for none.
    std::string token;
    // Empty for none: see "Broken stream". One producer id at one time in one place.
    std::string producer_id = MakeProducerId();
    // For commands that leave `report` unset.
    v1::ReportLevel default_report = v1::REPORT_LEVEL_UNSPECIFIED;

    std::size_t max_unanswered = 16'384;
    std::size_t max_unanswered_bytes = std::size_t{16} << 20;
    // Of one request. The server takes 4,096 commands.
    std::size_t max_batch = 4'096;
    std::size_t max_batch_bytes = std::size_t{512} << 10;
    // A larger command is refused by Send: a request above the server's limit ends the stream.
    std::size_t max_command_bytes = std::size_t{4} << 20;

    absl::Duration initial_backoff = absl::Milliseconds(200);
    absl::Duration max_backoff = absl::Seconds(10);
    // Less than the server's idempotency_window (2 minutes by default), by what a request may take.
    absl::Duration resend_within = absl::Seconds(90);
    // For how long after it was first sent a command that is answered UNAVAILABLE is tried again. Zero:
    // not at all. Needs a producer id; less than resend_within.
    absl::Duration retry_unavailable_for = absl::Minutes(1);

    // These are callbacks as any other, and may be empty. A stream is up: what the server says first
    // (only where a producer id or a default report is set).
    std::function<void(const v1::PushOpened&)> on_opened;
    // Whether to try again. Empty: always.
    std::function<bool(const Outage&)> on_broken;
    // Once, after all other callbacks. OK after Close.
    std::function<void(const absl::Status&)> on_end;
  };

  // Connects at once; what is sent meanwhile waits.
  Producer(const std::shared_ptr<grpc::ChannelInterface>& channel, Options options)
      : Producer(std::vector{channel}, std::move(options)) {}
  // At least one; the first comes first.
  Producer(const std::vector<std::shared_ptr<grpc::ChannelInterface>>& channels, Options options);
  // Cancel(), and waits until the last callback has returned. Close first to lose nothing.
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Whether a command goes out at once, or may wait for the next one, so that they share a request:
  // for a sender that knows that more is coming. A full batch goes, and Kick, Flush and Close send
  // what waits.
  enum class More : bool { kNo, kYes };

  // Queues a command, and never blocks. An error means that it was not taken, `command` is as it
  // was, and no callback comes:
  //   kResourceExhausted   the limits of unanswered commands: WaitForRoom, or drop it
  //   kInvalidArgument     over max_command_bytes, or `on_receipt` where no report is asked for
  //   kFailedPrecondition  after Close
  //   else                 the status with which it has ended
  absl::Status Send(v1::Command&& command, OnResult on_result = nullptr,
                    OnReceipt on_receipt = nullptr, More more = More::kNo);
  // The same; what Send returns as an error is in the future as well.
  std::future<absl::StatusOr<v1::CommandResult>> SendFuture(v1::Command command);
  // Sends what was queued with More::kYes.
  void Kick();

  // Blocks until Send has room: for one thread that sends, the next Send is not
  // kResourceExhausted. kDeadlineExceeded, or the status with which it has ended.
  absl::Status WaitForRoom(absl::Time deadline);
  // Blocks until no command is without a result and all callbacks so far have returned. As above.
  absl::Status Flush(absl::Time deadline);
  // Takes no more, waits for all results and receipts, and half-closes. After `deadline` it is
  // Cancel(), and kDeadlineExceeded. OK does not mean that the results were.
  absl::Status Close(absl::Time deadline);
  // Ends at once: what has no result is told kCancelled.
  void Cancel();

  std::size_t unanswered() const;

  // True if the server owes a receipt for this command, once it has accepted it.
  static bool AsksReport(const v1::Command& command, v1::ReportLevel default_report);

 private:
  const std::shared_ptr<ProducerStream> stream_;
};

}  // namespace herald
