#pragma once

#include <array>
#include <boost/beast/websocket/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "session/shard.h"
#include "ws/client_access.h"
#include "ws/codec.h"
#include "ws/frame_stream.h"
#include "ws/front_end.h"
#include "ws/handler_memory.h"
#include "ws/handshake.h"
#include "ws/inbound_message.h"
#include "ws/session_meter.h"
#include "ws/wanted_topics.h"

namespace herald {

// The class behind ws_session.h, seen by its four sources only: ws_session.cc reads and ends,
// ws_session_open.cc opens, ws_session_frames.cc answers client frames, ws_session_rights.cc checks
// rights again. Beast is instantiated in the first alone.
//
// One WebSocket connection, from the answer to its upgrade to its end.
//
//   json, proto:  kUpgrading → kConnecting (waits for `connect`) → kOpen → kClosing → kEnded
//   raw:          kUpgrading → kOpen → kClosing → kEnded
//
// In the table from when its topics are asked for. A raw client has no `hello` to wait for: it is
// upgraded once it is on its topics, so that nothing sent from then on is lost to it.
//
// Threads:   its shard.
// Ownership: kept alive by the table while open, and by its pending read, write and close.
// Memory:    fills its block: see tests/ws/allocation_test.cc before you add a member. What it has
//            only for a time hangs on pointers.
class WsSession final : public Session, private Timer, private FrameStream::Observer {
 public:
  WsSession(FrontEnd& front_end, Shard& shard, ClientSocket socket, UpgradeDetails details,
            Admission::Ticket ticket, std::string prefix);

  void Start();
  // It has not said `connect` yet, and another connection needs the place.
  void Evict();

  std::string remote_address() const override { return peer_.ToString(); }
  std::string user_agent() const override { return user_agent_ ? *user_agent_ : std::string(); }

  FramePtr MakePresence(const PresenceChange& change) const override;
  void Flush() override { ws_.next_layer().Flush(); }
  int PrepareSend(std::span<iovec> out, std::size_t& n) override {
    return ws_.next_layer().PrepareSend(out, n);
  }
  bool OnSent(ssize_t result) override { return ws_.next_layer().OnSent(result); }
  void Abandon() override;
  std::size_t KernelBytes() const override { return ws_.next_layer().KernelBytes(); }
  void PrefetchSocket() const override {
    if (!queue_.empty()) queue_.Prefetch();
    ws_.next_layer().Prefetch();
  }

 protected:
  int Socket() const override { return ws_.next_layer().Socket(); }
  void DoClose(CloseRequest request) override;
  void CheckRights() override;
  bool HasToken(std::string_view token_id) const override { return access_.HasTokenId(token_id); }

 private:
  enum class Phase : std::uint8_t { kUpgrading, kConnecting, kOpen, kClosing, kEnded };

  std::shared_ptr<WsSession> Self() {
    return std::static_pointer_cast<WsSession>(shared_from_this());
  }
  const Limits& Limit() const { return front_end_.options->limits; }
  const Codec* codec() const {
    if (protocol() == Protocol::kRaw) return nullptr;
    return protocol() == Protocol::kJson ? &JsonCodec() : &ProtoCodec();
  }
  // Besides the payload, a frame of the other subprotocols has room for this much; base64 takes a
  // third more.
  static constexpr std::size_t kEnvelopeBytes = 4096;
  std::size_t MaxFrameBytes() const {
    const std::size_t payload = Limit().max_message_bytes;
    if (protocol() == Protocol::kRaw) return payload;
    const std::size_t whole = payload + payload / 3 + kEnvelopeBytes;
    return connected() ? whole : std::min<std::size_t>(whole, Limit().max_connect_bytes);
  }
  // It has said `connect`, or need not.
  bool connected() const { return phase_ != Phase::kUpgrading && phase_ != Phase::kConnecting; }
  // Tells Beast; to be called again when `connected` changes.
  void LimitMessages();

  // Reading.
  using ReadMemory = HandlerMemory<272>;
  struct ReadDone {
    std::shared_ptr<WsSession> self;
    using allocator_type = ReadMemory::Allocator<void>;
    allocator_type get_allocator() const noexcept { return allocator_type(self->read_memory_); }
    void operator()(boost::beast::error_code error, std::size_t n) { self->OnRead(error, n); }
  };
  // Answers the upgrade, before all that is queued.
  void Answer();
  void OnAccept(boost::beast::error_code error);
  void DoRead();
  void OnRead(boost::beast::error_code error, std::size_t n);
  // A part of a message has come. False if there is no room for it: the session is closing.
  bool TakePart(std::size_t n);
  void OnMessageRefused(InboundMessage::Refusal why);
  // A whole message as it came; OnFrame gets it inflated.
  void OnMessage(std::string_view data);
  void OnFrame(std::string_view data, bool text);
  void Heard();

  // Rates.
  void OnReceived(std::uint32_t frames, std::size_t bytes) override;
  SessionMeter::Payers Payers(std::string_view user) const {
    return {Limit(), front_end_.user_rates, user, &ticket_.address()};
  }
  void CloseTooFast(RateReason reason);
  // OK, or kResourceExhausted with the reason, which is counted.
  absl::Status MayReplay(std::string_view user);

  // Client frames.
  void OnClientFrame(const v1::ClientFrame& frame);
  void OnConnect(const v1::Connect& connect);
  void OnSubscribe(std::uint32_t id, const v1::Subscribe& subscribe);
  void OnUnsubscribe(std::uint32_t id, const v1::Unsubscribe& unsubscribe);
  void OnPublish(std::uint32_t id, const v1::Publish& publish);
  void OnUpstream(std::uint32_t id, const v1::Upstream& upstream);
  void OnAck(std::uint32_t id, const v1::Ack& ack);
  void OnRefresh(std::uint32_t id, const v1::Refresh& refresh);
  static void SetDuration(absl::Duration duration, google::protobuf::Duration* to);
  // kResourceExhausted where memory is short.
  absl::StatusOr<MessageBodyPtr> Accept(MessageBody body) const;
  void Reply(std::uint32_t id, v1::Ok ok = {});
  void ReplyError(std::uint32_t id, const absl::Status& status);
  void Send(const v1::ServerFrame& frame) { Enqueue(codec()->EncodeFrame(frame)); }

  // Opening.
  struct Opening {
    std::vector<WantedTopics::Wanted> wanted;
    std::vector<v1::TopicState> states;
    std::vector<std::vector<MessagePtr>> missed;
    std::size_t pending = 0;
    std::size_t missed_bytes = 0;
    std::string previous_session_id;
    std::string token_id;
    bool refused = false;
  };
  void Open(Claims claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume,
            const std::string& previous_session_id);
  absl::StatusOr<std::vector<WantedTopics::Wanted>> ChooseTopics(
      const Claims& claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume);
  // Ends the session before this one, and goes on with what it was owed.
  void TakeOver(const std::string& previous_session_id,
                absl::AnyInvocable<void(std::vector<Owed>)> then);
  void SubscribeAll(std::shared_ptr<Opening> opening);
  void OnAllSubscribed(Opening& opening);
  // Drops a recovery that would not fit into the outbound queue behind `bytes`. Otherwise adds its
  // size to `bytes` and charges it as replayed.
  void LimitMissed(FeedStart& start, std::size_t& bytes);
  // Messages of the log to this session, without those it published itself, now or as `previous`.
  void SendMissed(const std::string& topic, const std::vector<MessagePtr>& missed,
                  std::string_view previous = "");
  FramePtr MakeGap(const std::string& topic, std::string_view reason,
                   const Position& position) const override;

  // Rights.
  // Counts and logs it, and closes.
  void CloseForToken(const absl::Status& why);
  // False if the address has shown too many bad ones: then the session closes.
  bool MayShowToken();
  // How to close a session of this user and token, if either is banned; then it counts as refused.
  std::optional<CloseRequest> BanOn(std::string_view user, std::string_view token_id);
  // By its token or by the topic's rule.
  bool MayStayOn(const std::string& topic) const;
  // Leaves the chosen topics that the client may not be on any more, and tells it.
  void LeaveForbidden();
  std::string remote_ip() const { return peer_.address.ToString(); }

  // Ending.
  void OnBeastCloses(std::uint16_t code) override;
  void OnSocketChanges() override { CloseDirect(); }
  void BeforeWrite() override { DropExpired(); }
  std::shared_ptr<void> Owner() override { return weak_from_this().lock(); }
  void OnTimer() override;
  void ScheduleNext();
  void End(CloseCode code, std::string reason);
  // As DoClose was told to.
  void EndAsTold();
  // A replica that restarts gives a slow reader time as long as it reads.
  bool StillFlushing();
  // Who was still on the way in when the drain began.
  static constexpr absl::Duration kComeBackWithin = absl::Seconds(2);

  FrontEnd& front_end_;
  Admission::Ticket ticket_;
  boost::beast::websocket::stream<FrameStream, /*deflateSupported=*/false> ws_;
  std::unique_ptr<UpgradeDetails> details_;  // null once it is open
  std::unique_ptr<std::string> user_agent_;  // null: it has not said
  ClientAccess access_;
  struct AwaitedPong {
    std::uint64_t ping_end = 0;       // of the bytes to this peer, where the ping ends
    std::uint64_t acked_at_ping = 0;  // what its kernel had acknowledged when we last looked
  };
  std::unique_ptr<AwaitedPong> awaited_pong_;       // null: there is no ping to answer
  CompactTime next_ping_ = absl::InfiniteFuture();  // or, with awaited_pong_, when to give up
  // Of a message that is read in parts; null at rest.
  std::unique_ptr<InboundMessage> inbound_;
  // What follows these two stands where their alignment leaves room.
  [[no_unique_address]] SessionMeter meter_;
  ClientEndpoint peer_;
  std::array<char, 40> chunk_;  // the first bytes of a message land here
  [[no_unique_address]] ReadMemory read_memory_;
  Phase phase_ = Phase::kUpgrading;
  bool announced_ = false;       // watchers know of it: they are told its end too
  bool rights_changed_ = false;  // while it opened: they are checked once it is open
  bool key_removed_ = false;     // the token's, which expires soon for that
  bool peer_closes_ = false;     // its close frame has come
  bool beast_closes_ = false;    // Beast sends the close frame, not we
  struct Ending {
    CloseCode code = CloseCode::kAbnormal;
    std::string reason;
    std::uint64_t bytes_written = 0;  // when we last looked
  };
  std::unique_ptr<Ending> ending_;  // null unless it closes
};

// `asked`: the client named a position.
v1::TopicState StateOf(const std::string& topic, const FeedStart& start, bool asked);

}  // namespace herald
