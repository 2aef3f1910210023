#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/histogram.h"
#include "bench/stamp.h"

namespace herald::bench {

// How a subscriber of a server comes to its messages.
struct Entrance {
  int port = 0;
  std::string path = "/";             // every `%d` becomes the number of the subscriber
  std::string subprotocol;            // empty: none is asked for
  std::vector<std::string> greeting;  // text frames sent after the upgrade; `%d` as above
  int greeted = 0;                    // data frames without a message until it is subscribed
  bool joined = false;                // one frame may carry several messages
};

// Many WebSocket clients (RFC 6455) in one thread, as cheap as they can be made, which check what
// they receive: each subscriber has to see its messages once and in order.
//
// Threads:   one: nothing happens outside Connect, Poll and the like.
// Ownership: owns its sockets.
// Limits:    one descriptor a subscriber; 20,000 of them share a source address of 127.0.0.0/8.
// Errors:    what a subscriber finds wrong is counted in `failures()`, and told for the first few.
class Fleet {
 public:
  explicit Fleet(Entrance entrance);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Adds `count` subscribers, `at_once` at a time, and returns when all are subscribed.
  absl::Status Connect(int count, int at_once = 128, absl::Duration timeout = absl::Seconds(60));
  // Handles what has come, or waits for it.
  void Poll(absl::Duration wait);
  // Polls until `done()`; false if it takes longer than `timeout`.
  template <typename Done>
  bool PollUntil(Done done, absl::Duration timeout = absl::Seconds(30)) {
    const std::uint64_t deadline =
        NowNs() + static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(timeout));
    while (!done()) {
      Poll(absl::Milliseconds(20));
      if (NowNs() > deadline) return done();
    }
    return true;
  }

  // Does not sleep while it polls, but lets others run. Waking a receiver up is the sender's work where both
  // are on one machine, and how often it has to be done depends on which of them is faster just now.
  void set_awake(bool awake) { awake_ = awake; }

  // From now on these do not read, and are neither counted nor checked.
  void StopReading(int first, int count);
  // Cuts all connections with a reset, as a network that is gone does.
  void Cut();

  // Acknowledges what arrives on `topic` (herald.v1.json only), as the browser SDK does: at most
  // one frame in 40 ms. Poll sends them.
  void AcknowledgeOn(std::string topic) { ack_topic_ = std::move(topic); }
  // Is given each data frame, with the number of the subscriber.
  void set_on_frame(std::function<void(int, std::string_view)> on_frame) {
    on_frame_ = std::move(on_frame);
  }
  // The greeting of each subscriber, instead of the entrance's.
  void set_greeting(std::function<std::string(int)> greeting) { greeting_ = std::move(greeting); }
  // What the subscribers of later calls of Connect are to receive first; 0 if not said.
  void set_first_seq(std::uint64_t seq) { first_seq_ = seq; }

  // Messages received by all.
  std::uint64_t received() const { return received_; }
  std::uint64_t bytes() const { return bytes_; }
  int size() const { return static_cast<int>(clients_.size()); }
  int open() const { return open_; }
  Histogram& latency() { return latency_; }
  std::uint64_t failures() const { return failures_; }
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  enum class Phase : std::uint8_t { kConnecting, kUpgrading, kGreeting, kOpen, kStopped, kClosed };
  struct Client {
    int fd = -1;
    Phase phase = Phase::kConnecting;
    bool ack_due = false;
    std::int16_t greeted = 0;
    std::uint64_t next = 0;  // the seq it is to receive
    std::uint64_t ack_offset = 0;
    std::string partial;  // of a frame, or of the answer to the upgrade
  };

  std::string ForClient(std::string_view text, int index) const;
  absl::Status StartConnect(int index);
  void OnWritable(int index);
  void OnReadable(int index);
  // Returns how many bytes of `data` are done with.
  std::size_t OnBytes(int index, std::string_view data);
  std::size_t OnUpgradeAnswer(int index, std::string_view data);
  void OnDataFrame(int index, std::string_view payload);
  void OnMessage(Client& client, int index, std::string_view at);
  void SendFrame(Client& client, std::uint8_t opcode, std::string_view payload);
  void SendAcks();
  void Close(int index, std::string_view why);
  void Fail(std::string what);

  const Entrance entrance_;
  int epoll_ = -1;
  bool awake_ = false;
  std::vector<Client> clients_;
  std::string buffer_;
  std::function<void(int, std::string_view)> on_frame_;
  std::function<std::string(int)> greeting_;
  std::uint64_t first_seq_ = 0;
  std::string ack_topic_;
  std::vector<int> ack_due_;
  std::uint64_t acked_at_ns_ = 0;
  std::uint64_t now_ns_ = 0;  // when the bytes at hand were read
  std::size_t mark_at_ = 0;   // where in a frame the last stamp was
  int connecting_ = 0;
  int subscribed_ = 0;
  int open_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t failures_ = 0;
  std::vector<std::string> errors_;
  Histogram latency_;
};

}  // namespace herald::bench
