#include "ws/ws_session.h"

#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket/error.hpp>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/payload_kind.h"
#include "session/utf8.h"
#include "ws/inflate.h"
#include "ws/ws_session_internal.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using beast::error_code;

// `$all` and the user's own: a session is on these besides the topics it asked for.
constexpr std::size_t kReservedTopics = 2;
// How long a peer may take to answer our close frame.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);

}  // namespace

WsSession::WsSession(FrontEnd& front_end, Shard& shard, ClientSocket socket, UpgradeDetails details,
                     Admission::Ticket ticket, std::string prefix)
    : Session(shard, {details.protocol, details.deflate != DeflateAnswer::kDeclined},
              front_end.options->limits.max_outbound_bytes_per_session),
      front_end_(front_end),
      ticket_(std::move(ticket)),
      ws_(std::move(socket), queue_, shard, std::move(prefix)),
      details_(std::make_unique<UpgradeDetails>(std::move(details))),
      user_agent_(details_->user_agent.empty()
                      ? nullptr
                      : std::make_unique<std::string>(std::move(details_->user_agent))),
      peer_(details_->peer) {}

void WsSession::Start() {
  ws_.next_layer().set_observer(*this);
  if (encoding().compressed) ws_.next_layer().AllowCompressed();
  LimitMessages();
  ws_.auto_fragment(false);
  ws_.set_option(websocket::stream_base::decorator([this](websocket::response_type& response) {
    if (!details_->subprotocol.empty()) {
      response.set(beast::http::field::sec_websocket_protocol, details_->subprotocol);
    }
    if (encoding().compressed) {
      const std::string_view answer = DeflateHeader(details_->deflate);
      response.set(beast::http::field::sec_websocket_extensions, {answer.data(), answer.size()});
    }
    response.set(beast::http::field::server, "herald");
  }));
  ws_.control_callback([this](websocket::frame_type type, beast::string_view) {
    if (type == websocket::frame_type::pong) Heard();
    if (type == websocket::frame_type::close) peer_closes_ = true;
  });
  const bool stays = ticket_.SetOwner(weak_from_this(), [](void* self) {
    static_cast<WsSession*>(static_cast<Session*>(self))->Evict();
  });
  if (!stays) return;
  shard().timers().Schedule(*this, Limit().connect_timeout);
  if (protocol() != Protocol::kRaw) return Answer();
  Open(*std::move(details_->claims), {}, "");
}

void WsSession::LimitMessages() {
  const std::size_t bytes = MaxFrameBytes();
  // What does not shrink by compression may grow a little.
  ws_.read_message_max(encoding().compressed ? bytes + bytes / 8 + 64 : bytes);
}

void WsSession::Answer() {
  const auto request = std::move(details_->request);
  std::vector<Outbound> came_meanwhile = queue_.TakeAside();
  ws_.async_accept(*request, [self = Self()](error_code error) { self->OnAccept(error); });
  queue_.PutBack(std::move(came_meanwhile));
}

// --- reading ---

void WsSession::OnAccept(error_code error) {
  if (phase_ != Phase::kUpgrading) return;
  if (error) return End(CloseCode::kAbnormal, error.message());
  if (protocol() == Protocol::kRaw) {
    phase_ = Phase::kOpen;
    details_ = nullptr;
    if (ending_) DoClose({ending_->code, std::move(ending_->reason), {}});
  } else {
    phase_ = Phase::kConnecting;
  }
  if (phase_ != Phase::kEnded) DoRead();
}

void WsSession::DoRead() {
  ws_.async_read_some(inbound_ ? inbound_->Room() : asio::buffer(chunk_), ReadDone{Self()});
}

void WsSession::OnRead(error_code error, std::size_t n) {
  if (phase_ == Phase::kEnded) return;
  if (error) {
    if (phase_ == Phase::kClosing) {
      if (beast_closes_ && !peer_closes_) ending_->reason = error.message();
      return EndAsTold();
    }
    return End(CloseCode::kAbnormal, error.message());
  }
  const bool done = ws_.is_message_done();
  if (done) Heard();
  // What comes while the session closes is read and thrown away.
  if (phase_ != Phase::kClosing && (inbound_ || !done)) TakePart(n);
  if (phase_ == Phase::kEnded) return;
  if (done && phase_ != Phase::kClosing)
    OnMessage(inbound_ ? inbound_->bytes() : std::string_view(chunk_.data(), n));
  if (done || phase_ == Phase::kClosing) inbound_ = nullptr;
  if (phase_ != Phase::kEnded) DoRead();
}

bool WsSession::TakePart(std::size_t n) {
  if (inbound_) return inbound_->TakeRoom(n);
  inbound_ = std::make_unique<InboundMessage>(
      connected() ? shard().unfinished() : shard().unauthenticated(),
      [this](InboundMessage::Refusal why) { OnMessageRefused(why); });
  return inbound_->Append({chunk_.data(), n});
}

void WsSession::OnMessageRefused(InboundMessage::Refusal why) {
  const bool slow = why == InboundMessage::Refusal::kTooSlow;
  Close({slow ? CloseCode::kTimeout : CloseCode::kTryLater,
         slow ? "a message was not complete in time (message_timeout)"
              : "no memory for unfinished messages, and this one is the largest",
         {}});
}

void WsSession::Heard() {
  if (!awaited_pong_) return;
  awaited_pong_ = nullptr;
  next_ping_ = absl::Now() + Limit().ping_interval;
  if (phase_ == Phase::kOpen) ScheduleNext();
}

void WsSession::OnMessage(std::string_view data) {
  using Mark = CompressedMarks::Mark;
  CompressedMarks* const marks = ws_.next_layer().marks();
  if (marks == nullptr) return OnFrame(data, ws_.got_text());
  const Mark mark = marks->Take();
  if (mark == Mark::kPlain) {
    if (data.size() > MaxFrameBytes()) return Close({CloseCode::kTooBig, "too big", {}});
    return OnFrame(data, ws_.got_text());
  }
  std::string inflated;
  if (absl::Status bad = Inflate(data, MaxFrameBytes(), inflated); !bad.ok()) {
    return Close({absl::IsResourceExhausted(bad) ? CloseCode::kTooBig : CloseCode::kBadUtf8,
                  std::string(bad.message()),
                  {}});
  }
  // What it inflates to was not counted on its way in.
  if (inflated.size() > data.size()) {
    OnReceived(0, inflated.size() - data.size());
    if (closing()) return;
  }
  const bool text = mark == Mark::kCompressedText;
  if (text && !IsUtf8(inflated)) return Close({CloseCode::kBadUtf8, "not UTF-8", {}});
  OnFrame(inflated, text);
}

void WsSession::OnFrame(std::string_view data, bool text) {
  CountIn(data.size());
  shard().stats().client_frames.fetch_add(1, std::memory_order_relaxed);
  if (protocol() == Protocol::kRaw) {
    return shard().Emit(*this, EventKind::kClientMessage, [&](Event& event) {
      event.payload.assign(data);
      event.content_type = text ? "text/plain" : "application/octet-stream";
    });
  }
  if (text != (codec()->opcode() == Opcode::kText)) {
    return Close({CloseCode::kWrongDataType,
                  text ? "herald.v1.proto takes binary frames" : "herald.v1.json takes text frames",
                  {}});
  }
  v1::ClientFrame frame;
  const ClientFrameLimits limits{Limit().max_topics_per_session + kReservedTopics};
  if (absl::Status bad = codec()->Decode(data, limits, frame); !bad.ok()) {
    return Close({CloseCode::kBadFrame, std::string(bad.message()), {}});
  }
  OnClientFrame(frame);
}

// --- rates ---

void WsSession::OnReceived(std::uint32_t frames, std::size_t bytes) {
  const auto over = meter_.Sent(frames, bytes, Payers(user()), MonotonicNanos());
  if (over) CloseTooFast(*over);
}

void WsSession::CloseTooFast(RateReason reason) {
  ws_.next_layer().SlowReads();
  if (closing() || phase_ == Phase::kEnded) return;
  front_end_.CountRateLimited(reason);
  Close({CloseCode::kTooMany, Describe(reason, Limit()), {}});
}

absl::Status WsSession::MayReplay(std::string_view user) {
  const auto over = meter_.MayReplay(Payers(user), MonotonicNanos());
  if (!over) return absl::OkStatus();
  front_end_.CountRateLimited(*over);
  return absl::ResourceExhaustedError(Describe(*over, Limit()));
}

// --- ending ---

void WsSession::ScheduleNext() {
  const absl::Time next = std::min<absl::Time>(next_ping_, access_.expires_at());
  shard().timers().Schedule(*this, std::min(next - absl::Now(), absl::Hours(24)));
}

void WsSession::OnTimer() {
  auto self = Self();
  const absl::Time now = absl::Now();
  switch (phase_) {
    case Phase::kUpgrading:
      if (details_->request)
        return Close({CloseCode::kTryLater, "its topics have not answered in time", {}});
      return End(CloseCode::kAbnormal, "the upgrade was not finished in time");
    case Phase::kConnecting:
      return Close({CloseCode::kTimeout, "no `connect` frame in time", {}});
    case Phase::kOpen:
      if (now >= access_.expires_at()) {
        return Close(key_removed_
                         ? CloseRequest{CloseCode::kUnauthenticated,
                                        "the key of the token is not accepted any more",
                                        {}}
                         : CloseRequest{CloseCode::kTokenExpired, "the token has expired", {}});
      }
      if (now >= next_ping_) {
        if (awaited_pong_) {
          // A slow reader is not a dead one: while the peer's kernel works through what lies before
          // the ping, it may wait.
          const FrameStream::Acked acked = ws_.next_layer().AckedBytes(bytes_out());
          if (acked.bytes >= awaited_pong_->ping_end ||
              acked.wire == awaited_pong_->acked_at_ping) {
            return Close({CloseCode::kTimeout, "no pong in time", {}});
          }
          awaited_pong_->acked_at_ping = acked.wire;
          next_ping_ = now + Limit().pong_timeout;
          return ScheduleNext();
        }
        static const FramePtr ping = [] {
          auto frame = std::make_shared<Frame>(*MakeFrame(Opcode::kPing, ""));
          frame->messages = 0;
          return frame;
        }();
        next_ping_ = now + Limit().pong_timeout;
        Enqueue(ping);
        awaited_pong_ = std::make_unique<AwaitedPong>(AwaitedPong{
            bytes_out() + queue_.bytes(), ws_.next_layer().AckedBytes(bytes_out()).wire});
      }
      if (phase_ == Phase::kOpen) ScheduleNext();
      return;
    case Phase::kClosing:
      if (StillFlushing()) return shard().timers().Schedule(*this, kCloseTimeout);
      return EndAsTold();
    case Phase::kEnded:
      return;
  }
}

bool WsSession::StillFlushing() {
  if (ending_->code != CloseCode::kRestart || queue_.empty()) return false;
  return bytes_out() > std::exchange(ending_->bytes_written, bytes_out());
}

void WsSession::OnBeastCloses(std::uint16_t code) {
  if (closing()) return;  // it is our own
  beast_closes_ = true;
  CloseRequest request{static_cast<CloseCode>(code), "", {}};
  if (peer_closes_) {
    const websocket::close_reason& reason = ws_.reason();
    if (reason.code == websocket::close_code::none) request.code = CloseCode::kNoStatus;
    request.reason = reason.reason.c_str();
  }
  Close(std::move(request));
}

void WsSession::DoClose(CloseRequest request) {
  if (phase_ == Phase::kEnded) return;
  if (phase_ == Phase::kUpgrading) {
    // There is no close frame before the upgrade: it follows the answer.
    ending_ = std::make_unique<Ending>(Ending{request.code, std::move(request.reason)});
    if (details_->request) Answer();
    ws_.next_layer().set_corked(false);
    shard().timers().Schedule(*this, kCloseTimeout);
    return Flush();
  }
  if (request.advice && codec() != nullptr) {
    v1::ServerFrame frame;
    v1::ReconnectAdvice& advice = *frame.mutable_reconnect();
    advice.set_never(request.advice->never);
    SetDuration(request.advice->delay, advice.mutable_delay());
    advice.set_reason(request.reason);
    FramePtr encoded = codec()->EncodeFrame(frame);
    shard().CountQueued(static_cast<std::int64_t>(encoded->bytes.size()), 0);
    queue_.Push(std::move(encoded));
  }
  ws_.next_layer().set_corked(false);
  phase_ = Phase::kClosing;
  ending_ = std::make_unique<Ending>(Ending{request.code, request.reason, bytes_out()});
  shard().timers().Schedule(*this, kCloseTimeout);
  if (beast_closes_) return;
  Flush();
  if (phase_ != Phase::kClosing) return;
  if (request.at_once && ws_.next_layer().blocked()) {
    ws_.next_layer().set_reset();
    return EndAsTold();
  }
  websocket::close_reason reason(static_cast<websocket::close_code>(request.code));
  // RFC 6455 §5.5: 125 bytes with the code.
  const std::string_view text = CutUtf8(request.reason, 123);
  reason.reason.assign(text.data(), text.size());
  ws_.async_close(reason, [self = Self()](error_code) { self->EndAsTold(); });
}

void WsSession::Evict() {
  if (ticket_.is_session()) return;
  auto self = Self();
  Close({CloseCode::kTryLater, "no room for connections without `connect`", {}});
  // The descriptor is needed now: the client's answer to the close frame is not waited for.
  if (ending_) EndAsTold();
}

void WsSession::Abandon() {
  if (phase_ != Phase::kClosing || !ws_.next_layer().blocked()) return;
  ws_.next_layer().set_reset();
  EndAsTold();
}

void WsSession::EndAsTold() { End(ending_->code, ending_->reason); }

void WsSession::End(CloseCode code, std::string reason) {
  if (phase_ == Phase::kEnded) return;
  auto self = Self();
  const bool was_open = shard().FindAny(id()) == this;
  if (phase_ != Phase::kUpgrading) front_end_.CountClose(code);
  phase_ = Phase::kEnded;
  // What it sent last counts for the sessions that follow.
  (void)meter_.Settle(Payers(user()), MonotonicNanos());
  shard().timers().Cancel(*this);
  ws_.next_layer().Abort();
  if (!was_open) return DropQueued(DropReason::kDisconnected, /*ended=*/true);
  shard().Remove(*this);
  if (!announced_) return;
  shard().Emit(*this, EventKind::kSessionClosed, [&](Event& event) {
    event.close_code = static_cast<std::uint16_t>(code);
    event.close_reason = std::move(reason);
    event.duration = event.time - opened_at();
    event.bytes_out = bytes_out();
    event.messages_out = messages_out();
    event.bytes_in = bytes_in();
    event.messages_in = messages_in();
    const auto lost = dropped();
    for (std::size_t i = 0; i < lost.size(); ++i) {
      if (lost[i] > 0) event.dropped[kDropReasonNames[i]] = lost[i];
    }
  });
}

void StartWsSession(FrontEnd& front_end, Shard& shard, ClientSocket socket, UpgradeDetails details,
                    Admission::Ticket ticket, std::string prefix) {
  std::make_shared<WsSession>(front_end, shard, std::move(socket), std::move(details),
                              std::move(ticket), std::move(prefix))
      ->Start();
}

}  // namespace herald
