#include "ws/ws_session.h"

#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <optional>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/random.h"
#include "session/utf8.h"
#include "ws/client_access.h"
#include "ws/codec.h"

namespace herald {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using beast::error_code;

// How long a peer may take to answer our close frame.
constexpr absl::Duration kCloseTimeout = absl::Seconds(5);
// Besides the payload, a frame of the JSON subprotocol has room for this much; base64 takes a third
// more.
constexpr std::size_t kEnvelopeBytes = 4096;

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

void SetDuration(absl::Duration duration, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(duration));
  to->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
}

v1::TopicState StateOf(const std::string& topic, const FeedStart& start, bool asked) {
  v1::TopicState state;
  state.set_topic(topic);
  if (asked) {
    state.set_recovered(start.recovered);
    state.set_reason(kNotRecoveredNames[static_cast<int>(start.reason)]);
  }
  if (!start.position.empty()) {
    state.set_position(start.position.ToToken());
    state.set_offset(start.position.offset);
  }
  return state;
}

// One WebSocket connection, from the answer to its upgrade to its end.
//
//   kUpgrading → kConnecting (json, proto: waits for `connect`) → kOpen (in the table) → kClosing →
//   kEnded
//
// Threads:   its shard.
// Ownership: kept alive by the table while open, and by its pending read, write and close.
class WsSession final : public Session, private Timer, private FrameStream::Observer {
 public:
  WsSession(FrontEnd& front_end, Shard& shard, TcpSocket socket, UpgradeDetails details,
            std::string prefix)
      : Session(shard, details.protocol, front_end.options.limits.max_outbound_bytes_per_session),
        front_end_(front_end),
        details_(std::move(details)),
        ws_(std::move(socket), queue_, shard, std::move(prefix)) {}

  ~WsSession() override { front_end_.admission.Release(details_.remote_ip); }

  void Start(const UpgradeRequest& request) {
    ws_.next_layer().set_owner(weak_from_this(), *this);
    ws_.read_message_max(MaxFrameBytes());
    ws_.auto_fragment(false);
    ws_.set_option(websocket::stream_base::decorator([this](websocket::response_type& response) {
      if (!details_.subprotocol.empty()) {
        response.set(beast::http::field::sec_websocket_protocol, details_.subprotocol);
      }
      response.set(beast::http::field::server, "herald");
    }));
    ws_.control_callback([this](websocket::frame_type type, beast::string_view) {
      if (type == websocket::frame_type::pong) Heard();
      if (type == websocket::frame_type::close) peer_closes_ = true;
    });
    shard().timers().Schedule(*this, Limit().connect_timeout);
    ws_.async_accept(request, [self = Self()](error_code error) { self->OnAccept(error); });
  }

  std::string remote_address() const override { return details_.remote_address; }
  std::string user_agent() const override { return details_.user_agent; }

  void Flush() override { ws_.next_layer().Flush(); }

 protected:
  void DoClose(CloseRequest request) override;

 private:
  enum class Phase { kUpgrading, kConnecting, kOpen, kClosing, kEnded };

  std::shared_ptr<WsSession> Self() {
    return std::static_pointer_cast<WsSession>(shared_from_this());
  }
  const Limits& Limit() const { return front_end_.options.limits; }
  const Codec* codec() const {
    if (protocol() == Protocol::kRaw) return nullptr;
    return protocol() == Protocol::kJson ? &JsonCodec() : &ProtoCodec();
  }
  std::size_t MaxFrameBytes() const {
    const std::size_t payload = Limit().max_message_bytes;
    return protocol() == Protocol::kRaw ? payload : payload + payload / 3 + kEnvelopeBytes;
  }

  // Reading.
  void OnAccept(error_code error);
  void DoRead();
  void OnRead(error_code error, std::size_t n);
  void OnFrame(std::string_view data, bool text);
  void Heard();

  // Client frames.
  void OnClientFrame(const v1::ClientFrame& frame);
  void OnConnect(const v1::Connect& connect);
  void OnSubscribe(std::uint32_t id, const v1::Subscribe& subscribe);
  void OnUnsubscribe(std::uint32_t id, const v1::Unsubscribe& unsubscribe);
  void OnPublish(std::uint32_t id, const v1::Publish& publish);
  void OnUpstream(std::uint32_t id, const v1::Upstream& upstream);
  void OnRefresh(std::uint32_t id, const v1::Refresh& refresh);
  template <typename T>
  absl::StatusOr<MessageBodyPtr> BodyOf(const T& content);
  void Reply(std::uint32_t id, v1::Ok ok = {});
  void ReplyError(std::uint32_t id, const absl::Status& status);
  void Send(const v1::ServerFrame& frame) { Enqueue(codec()->EncodeFrame(frame)); }

  // Opening.
  struct Wanted {
    std::string topic;
    std::optional<Position> since;
    bool has_token = false;  // the client named a position
    std::uint64_t max_subscribers = 0;
  };
  struct Opening {
    std::vector<v1::TopicState> states;
    std::vector<std::vector<MessagePtr>> missed;
    std::size_t pending = 0;
    bool refused = false;
  };
  void Open(Claims claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume,
            const std::string& previous_session_id);
  absl::StatusOr<std::vector<Wanted>> WantedTopics(
      const Claims& claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume);
  void OnAllSubscribed(Opening& opening);
  void TakeOver(const std::string& previous_session_id, const std::string& user);
  // Messages of the log to this session, without those it published itself.
  void SendMissed(const std::vector<MessagePtr>& missed);

  // Ending.
  void OnBeastCloses(std::uint16_t code) override;
  void OnTimer() override;
  void ScheduleNext();
  void End(CloseCode code, std::string reason);

  FrontEnd& front_end_;
  UpgradeDetails details_;
  websocket::stream<FrameStream, /*deflateSupported=*/false> ws_;
  ClientAccess access_;
  absl::Time expires_at_ = absl::InfiniteFuture();
  absl::Time next_ping_ = absl::InfiniteFuture();  // or, with awaiting_pong_, when to give up
  std::uint64_t ping_end_ = 0;       // of the bytes to this peer, where the last ping ends
  std::uint64_t acked_at_ping_ = 0;  // how many its kernel had acknowledged when we last looked
  std::string inbound_;              // of the message being read; empty at rest
  std::array<char, 128> chunk_;      // the first bytes of a message land here
  RateLimit rate_;
  Phase phase_ = Phase::kUpgrading;
  bool awaiting_pong_ = false;
  bool peer_closes_ = false;   // its close frame has come
  bool beast_closes_ = false;  // Beast sends the close frame, not we
  CloseCode close_code_ = CloseCode::kAbnormal;
  std::string close_reason_;
};

// --- reading ---

void WsSession::OnAccept(error_code error) {
  if (phase_ != Phase::kUpgrading) return;
  if (error) return End(CloseCode::kAbnormal, error.message());
  phase_ = Phase::kConnecting;
  if (protocol() == Protocol::kRaw) Open(*std::move(details_.claims), {}, "");
  if (phase_ != Phase::kEnded) DoRead();
}

void WsSession::DoRead() {
  const auto done = [self = Self()](error_code error, std::size_t n) { self->OnRead(error, n); };
  if (inbound_.empty()) {
    ws_.async_read_some(asio::buffer(chunk_), done);
  } else {
    const std::size_t have = inbound_.size();
    inbound_.resize(have + 4096);
    ws_.async_read_some(asio::buffer(inbound_.data() + have, 4096),
                        [self = Self(), have](error_code error, std::size_t n) {
                          self->inbound_.resize(have + n);
                          self->OnRead(error, n);
                        });
  }
}

void WsSession::OnRead(error_code error, std::size_t n) {
  if (phase_ == Phase::kEnded) return;
  if (error) {
    if (phase_ == Phase::kClosing) {
      if (beast_closes_ && !peer_closes_) close_reason_ = error.message();
      return End(close_code_, close_reason_);
    }
    return End(CloseCode::kAbnormal, error.message());
  }
  const bool first = inbound_.empty();
  if (!ws_.is_message_done() || !first) {
    if (first) inbound_.assign(chunk_.data(), n);
    if (!ws_.is_message_done()) return DoRead();
  }
  Heard();
  if (phase_ != Phase::kClosing) {
    OnFrame(first ? std::string_view(chunk_.data(), n) : std::string_view(inbound_),
            ws_.got_text());
  }
  inbound_.clear();
  if (inbound_.capacity() > 64) inbound_.shrink_to_fit();
  if (phase_ != Phase::kEnded) DoRead();
}

void WsSession::Heard() {
  if (!awaiting_pong_) return;
  awaiting_pong_ = false;
  next_ping_ = absl::Now() + Limit().ping_interval;
  if (phase_ == Phase::kOpen) ScheduleNext();
}

void WsSession::OnFrame(std::string_view data, bool text) {
  CountIn(data.size());
  shard().stats().client_frames.fetch_add(1, std::memory_order_relaxed);
  if (!rate_.Take(Limit().inbound_messages_per_second, absl::GetCurrentTimeNanos() / 1'000'000)) {
    return Close({CloseCode::kTooMany,
                  fmt::format("more than {} frames a second", Limit().inbound_messages_per_second),
                  {}});
  }
  if (protocol() == Protocol::kRaw) {
    Event event;
    event.kind = EventKind::kClientMessage;
    event.payload.assign(data);
    event.content_type = text ? "text/plain" : "application/octet-stream";
    return shard().Emit(*this, std::move(event));
  }
  if (text != (codec()->opcode() == Opcode::kText)) {
    return Close({CloseCode::kWrongDataType,
                  text ? "herald.v1.proto takes binary frames" : "herald.v1.json takes text frames",
                  {}});
  }
  v1::ClientFrame frame;
  if (absl::Status bad = codec()->Decode(data, frame); !bad.ok()) {
    return Close({CloseCode::kBadFrame, std::string(bad.message()), {}});
  }
  OnClientFrame(frame);
}

// --- client frames ---

void WsSession::OnClientFrame(const v1::ClientFrame& frame) {
  if (frame.kind_case() == v1::ClientFrame::KIND_NOT_SET) {
    return Close({CloseCode::kBadFrame, "a frame must have one kind", {}});
  }
  if ((phase_ == Phase::kConnecting) != frame.has_connect()) {
    return Close(
        {CloseCode::kBadFrame,
         frame.has_connect() ? "`connect` may come once only" : "`connect` must come first",
         {}});
  }
  switch (frame.kind_case()) {
    case v1::ClientFrame::kConnect:
      return OnConnect(frame.connect());
    case v1::ClientFrame::kSubscribe:
      return OnSubscribe(frame.id(), frame.subscribe());
    case v1::ClientFrame::kUnsubscribe:
      return OnUnsubscribe(frame.id(), frame.unsubscribe());
    case v1::ClientFrame::kPublish:
      return OnPublish(frame.id(), frame.publish());
    case v1::ClientFrame::kMessage:
      return OnUpstream(frame.id(), frame.message());
    case v1::ClientFrame::kAck:
      return ReplyError(frame.id(), absl::UnimplementedError(
                                        "acknowledgements come with receipts, in a later version"));
    case v1::ClientFrame::kRefresh:
      return OnRefresh(frame.id(), frame.refresh());
    case v1::ClientFrame::kPing: {
      v1::ServerFrame pong;
      pong.mutable_pong();
      Send(pong);
      return Reply(frame.id());
    }
    case v1::ClientFrame::KIND_NOT_SET:
      break;
  }
}

void WsSession::OnConnect(const v1::Connect& connect) {
  Claims claims = std::move(details_.claims).value_or(Claims{});
  if (!connect.token().empty() && front_end_.verifier != nullptr) {
    absl::StatusOr<Claims> verified = front_end_.verifier->Verify(connect.token(), absl::Now());
    if (!verified.ok()) {
      return Close({IsTokenExpired(verified.status()) ? CloseCode::kTokenExpired
                                                      : CloseCode::kUnauthenticated,
                    std::string(verified.status().message()),
                    {}});
    }
    claims = *std::move(verified);
  } else if (claims.subject.empty() && !front_end_.options.allow_anonymous &&
             !front_end_.options.dev) {
    return Close({CloseCode::kUnauthenticated, "a token is needed", {}});
  }
  for (const auto& [key, value] : connect.labels()) {
    if (absl::Status bad = claims.labels.Set(std::string(kClientLabelPrefix) + key, value);
        !bad.ok()) {
      return Close({CloseCode::kBadFrame, std::string(bad.message()), {}});
    }
  }
  Open(std::move(claims), connect.resume(), connect.previous_session_id());
}

void WsSession::OnSubscribe(std::uint32_t id, const v1::Subscribe& subscribe) {
  const std::string& topic = subscribe.topic();
  if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return ReplyError(id, bad);
  const TopicRule& rule = front_end_.options.rules->Find(topic);
  if (absl::Status denied = access_.MaySubscribe(rule, topic); !denied.ok())
    return ReplyError(id, denied);
  if (IsOn(topic)) return Reply(id);
  if (topic_count() >= Limit().max_topics_per_session) {
    return ReplyError(id, absl::ResourceExhaustedError(fmt::format(
                              "a session may be on {} topics", Limit().max_topics_per_session)));
  }
  std::optional<Position> since;
  if (!subscribe.position().empty()) {
    absl::StatusOr<Position> position = Position::FromToken(subscribe.position());
    if (!position.ok()) return ReplyError(id, position.status());
    since = *position;
  }
  shard().Subscribe(*this, topic, since, rule.max_subscribers,
                    [this, id, topic, asked = since.has_value()](absl::StatusOr<FeedStart> start) {
                      if (absl::IsAlreadyExists(start.status()))
                        return Reply(id);  // asked for twice at once
                      if (!start.ok()) return ReplyError(id, start.status());
                      v1::Ok ok;
                      *ok.mutable_topic() = StateOf(topic, *start, asked);
                      Reply(id, std::move(ok));
                      SendMissed(start->missed);
                      Event event;
                      event.kind = EventKind::kSubscribed;
                      event.topic = topic;
                      shard().Emit(*this, std::move(event));
                    });
}

void WsSession::OnUnsubscribe(std::uint32_t id, const v1::Unsubscribe& unsubscribe) {
  if (absl::Status bad = ValidateClientTopic(unsubscribe.topic()); !bad.ok())
    return ReplyError(id, bad);
  if (!Leave(unsubscribe.topic()))
    return ReplyError(id, absl::NotFoundError("not subscribed to this topic"));
  Reply(id);
}

template <typename T>
absl::StatusOr<MessageBodyPtr> WsSession::BodyOf(const T& content) {
  MessageBody body;
  body.event = content.event();
  body.sender = id_text();
  switch (content.content_case()) {
    case T::kData:
      body.payload = content.data();
      body.content_type = "application/json";
      break;
    case T::kText:
      body.payload = content.text();
      body.content_type = "text/plain";
      break;
    case T::kBytes:
      body.payload = content.bytes();
      body.content_type = "application/octet-stream";
      break;
    case T::CONTENT_NOT_SET:
      body.content_type = "text/plain";
      break;
  }
  return AcceptMessage(std::move(body), Limit().max_message_bytes);
}

void WsSession::OnPublish(std::uint32_t id, const v1::Publish& publish) {
  const std::string& topic = publish.topic();
  if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return ReplyError(id, bad);
  if (absl::Status denied = access_.MayPublish(front_end_.options.rules->Find(topic), topic);
      !denied.ok()) {
    return ReplyError(id, denied);
  }
  absl::StatusOr<MessageBodyPtr> body = BodyOf(publish);
  if (!body.ok()) return ReplyError(id, body.status());
  auto except = std::make_shared<Exceptions>();
  except->sessions.insert(this->id());
  std::string message_id = (*body)->id;
  shard().feed().Publish({*std::move(body), topic, std::move(except), nullptr, true},
                         [self = Self(), id, message_id = std::move(message_id)](
                             absl::StatusOr<Published> published) mutable {
                           // A broker may answer from a thread of its own.
                           auto answer = [self, id, message_id = std::move(message_id),
                                          status = published.status()]() mutable {
                             if (!status.ok()) return self->ReplyError(id, status);
                             v1::Ok ok;
                             ok.set_message_id(std::move(message_id));
                             self->Reply(id, std::move(ok));
                           };
                           if (self->shard().IsCurrent()) {
                             answer();
                           } else {
                             self->shard().Post(std::move(answer));
                           }
                         });
}

void WsSession::OnUpstream(std::uint32_t id, const v1::Upstream& upstream) {
  if (!upstream.topic().empty()) {
    if (absl::Status bad = ValidateClientTopic(upstream.topic()); !bad.ok())
      return ReplyError(id, bad);
  }
  absl::StatusOr<MessageBodyPtr> body = BodyOf(upstream);
  if (!body.ok()) return ReplyError(id, body.status());
  Event event;
  event.kind = EventKind::kClientMessage;
  event.topic = upstream.topic();
  event.event = (*body)->event;
  event.payload = (*body)->payload;
  event.content_type = (*body)->content_type;
  shard().Emit(*this, std::move(event));
  Reply(id);
}

void WsSession::OnRefresh(std::uint32_t id, const v1::Refresh& refresh) {
  if (front_end_.verifier == nullptr) {
    return ReplyError(id, absl::FailedPreconditionError("this server takes no tokens"));
  }
  absl::StatusOr<Claims> claims = front_end_.verifier->Verify(refresh.token(), absl::Now());
  if (!claims.ok()) {
    return Close(
        {IsTokenExpired(claims.status()) ? CloseCode::kTokenExpired : CloseCode::kUnauthenticated,
         std::string(claims.status().message()),
         {}});
  }
  if (claims->subject != user()) {
    return Close({CloseCode::kUnauthenticated, "the new token is for another user", {}});
  }
  access_ = ClientAccess(*claims);
  expires_at_ = claims->expires_at;
  ScheduleNext();
  Reply(id);
}

void WsSession::Reply(std::uint32_t id, v1::Ok ok) {
  if (id == 0) return;
  v1::ServerFrame frame;
  frame.mutable_reply()->set_id(id);
  *frame.mutable_reply()->mutable_ok() = std::move(ok);
  Send(frame);
}

void WsSession::ReplyError(std::uint32_t id, const absl::Status& status) {
  if (id == 0) return;
  v1::ServerFrame frame;
  frame.mutable_reply()->set_id(id);
  frame.mutable_reply()->mutable_error()->set_code(CodeName(status.code()));
  frame.mutable_reply()->mutable_error()->set_message(std::string(status.message()));
  Send(frame);
}

// --- opening ---

absl::StatusOr<std::vector<WsSession::Wanted>> WsSession::WantedTopics(
    const Claims& claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume) {
  std::vector<Wanted> wanted;
  const auto want = [&](std::string topic) -> Wanted& {
    for (Wanted& one : wanted) {
      if (one.topic == topic) return one;
    }
    wanted.push_back({std::move(topic), {}, false, 0});
    return wanted.back();
  };
  want(std::string(kBroadcastTopic));
  if (!claims.subject.empty()) {
    want(PersonalTopic(claims.subject)).max_subscribers = Limit().max_sessions_per_user;
  }
  for (const std::string& topic : claims.topics) {
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) {
      return absl::PermissionDeniedError(
          fmt::format("the token's `topics`: {}", std::string(bad.message())));
    }
    want(topic).max_subscribers = front_end_.options.rules->Find(topic).max_subscribers;
  }
  const auto want_by_rule = [&](const std::string& topic) -> absl::StatusOr<Wanted*> {
    for (Wanted& one : wanted) {
      if (one.topic == topic) return &one;
    }
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return bad;
    const TopicRule& rule = front_end_.options.rules->Find(topic);
    if (absl::Status denied = access_.MaySubscribe(rule, topic); !denied.ok()) {
      return absl::PermissionDeniedError(
          fmt::format("{}: {}", topic, std::string(denied.message())));
    }
    Wanted& one = want(topic);
    one.max_subscribers = rule.max_subscribers;
    return &one;
  };
  for (const std::string& topic : details_.topics) {
    if (auto one = want_by_rule(topic); !one.ok()) return one.status();
  }
  for (const v1::TopicPosition& from : resume) {
    auto one = want_by_rule(from.topic());
    if (!one.ok()) return one.status();
    if (from.position().empty()) continue;
    absl::StatusOr<Position> position = Position::FromToken(from.position());
    if (!position.ok()) return position.status();
    (*one)->since = *position;
    (*one)->has_token = true;
  }
  const auto own = std::count_if(wanted.begin(), wanted.end(),
                                 [](const Wanted& one) { return !IsReserved(one.topic); });
  if (static_cast<std::size_t>(own) > Limit().max_topics_per_session) {
    return absl::InvalidArgumentError(
        fmt::format("a session may be on {} topics", Limit().max_topics_per_session));
  }
  return wanted;
}

void WsSession::Open(Claims claims,
                     const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume,
                     const std::string& previous_session_id) {
  access_ = ClientAccess(claims);
  absl::StatusOr<std::vector<Wanted>> wanted = WantedTopics(claims, resume);
  if (!wanted.ok()) {
    const bool denied = wanted.status().code() == absl::StatusCode::kPermissionDenied;
    return Close({denied ? CloseCode::kForbidden : CloseCode::kBadFrame,
                  std::string(wanted.status().message()),
                  {}});
  }
  if (!previous_session_id.empty()) TakeOver(previous_session_id, claims.subject);
  details_.topics = {};
  expires_at_ = claims.expires_at;
  mutable_labels() = std::move(claims.labels);
  shard().Add(shared_from_this(), std::move(claims.subject));
  phase_ = Phase::kOpen;

  auto opening = std::make_shared<Opening>();
  opening->states.resize(wanted->size());
  opening->missed.resize(wanted->size());
  opening->pending = wanted->size();
  for (std::size_t i = 0; i < wanted->size(); ++i) {
    Wanted& want = (*wanted)[i];
    shard().Subscribe(
        *this, want.topic, want.since, want.max_subscribers,
        [this, opening, i, topic = want.topic,
         asked = want.has_token](absl::StatusOr<FeedStart> start) {
          if (!start.ok()) {
            if (opening->refused) return;
            opening->refused = true;
            const bool many = start.status().code() == absl::StatusCode::kResourceExhausted;
            const std::string reason = many && IsReserved(topic)
                                           ? "this user has as many sessions as it may"
                                           : std::string(start.status().message());
            return Close({many ? CloseCode::kTooMany : CloseCode::kTryLater, reason, {}});
          }
          opening->states[i] = StateOf(topic, *start, asked);
          opening->missed[i] = std::move(start->missed);
          if (--opening->pending == 0) OnAllSubscribed(*opening);
        });
    if (opening->refused) return;
  }
}

void WsSession::OnAllSubscribed(Opening& opening) {
  if (closing()) return;
  // Pings are spread, so that sessions that came together do not stay together.
  next_ping_ = absl::Now() + Limit().ping_interval *
                                 (0.5 + 0.5 * static_cast<double>(RandomUint64() >> 11) * 0x1p-53);
  awaiting_pong_ = false;
  ScheduleNext();
  if (codec() != nullptr) {
    v1::ServerFrame frame;
    v1::Hello& hello = *frame.mutable_hello();
    hello.set_session_id(id_text());
    hello.set_user_id(user());
    hello.set_node(shard().node());
    hello.set_version(HERALD_VERSION);
    SetDuration(Limit().ping_interval, hello.mutable_ping_interval());
    hello.mutable_limits()->set_max_message_bytes(Limit().max_message_bytes);
    hello.mutable_limits()->set_max_topics(Limit().max_topics_per_session);
    hello.mutable_limits()->set_messages_per_second(Limit().inbound_messages_per_second);
    for (v1::TopicState& state : opening.states) *hello.add_topics() = std::move(state);
    Send(frame);
  }
  for (const auto& missed : opening.missed) SendMissed(missed);
  Event event;
  event.kind = EventKind::kSessionOpened;
  event.labels = labels();
  event.remote_address = details_.remote_address;
  event.user_agent = details_.user_agent;
  shard().Emit(*this, std::move(event));
  for (const std::string& topic : topics()) {
    if (IsReserved(topic)) continue;
    Event subscribed;
    subscribed.kind = EventKind::kSubscribed;
    subscribed.topic = topic;
    shard().Emit(*this, std::move(subscribed));
  }
}

void WsSession::TakeOver(const std::string& previous_session_id, const std::string& user) {
  absl::StatusOr<ParsedSessionId> previous = ParseSessionId(previous_session_id);
  if (!previous.ok() || previous->node != shard().node()) return;  // it is gone, or another node's
  // The id alone proves nothing: other clients see it as the sender of what was published.
  if (user.empty()) return;
  const auto end = [user](Session& session) {
    if (session.user() != user) return;
    session.Close(
        {CloseCode::kResumedElsewhere, "this session was resumed on another connection", {}});
  };
  if (previous->id.shard == shard().index()) {
    // At once, so that it does not count for the limit of sessions a user.
    if (Session* session = shard().Find(previous->id)) end(*session);
    return;
  }
  Target target;
  target.to = previous->id;
  front_end_.table.ForEach(target, end, [](std::uint64_t) {});
}

void WsSession::SendMissed(const std::vector<MessagePtr>& missed) {
  const std::string self = id_text();
  for (const MessagePtr& message : missed) {
    if (message->body().sender != self) Enqueue(*message);
  }
}

// --- ending ---

void WsSession::ScheduleNext() {
  const absl::Time next = std::min(next_ping_, expires_at_);
  shard().timers().Schedule(*this, std::min(next - absl::Now(), absl::Hours(24)));
}

void WsSession::OnTimer() {
  auto self = Self();
  const absl::Time now = absl::Now();
  switch (phase_) {
    case Phase::kUpgrading:
      return End(CloseCode::kAbnormal, "the upgrade was not finished in time");
    case Phase::kConnecting:
      return Close({CloseCode::kTimeout, "no `connect` frame in time", {}});
    case Phase::kOpen:
      if (now >= expires_at_) return Close({CloseCode::kTokenExpired, "the token has expired", {}});
      if (now >= next_ping_) {
        if (awaiting_pong_) {
          // A slow reader is not a dead one: while the peer's kernel works through what lies before
          // the ping, it may wait.
          const std::uint64_t acked = ws_.next_layer().AckedBytes();
          if (acked >= ping_end_ || acked == acked_at_ping_) {
            return Close({CloseCode::kTimeout, "no pong in time", {}});
          }
          acked_at_ping_ = acked;
          next_ping_ = now + Limit().pong_timeout;
          return ScheduleNext();
        }
        static const FramePtr ping = [] {
          auto frame = std::make_shared<Frame>(*MakeFrame(Opcode::kPing, ""));
          frame->messages = 0;
          return frame;
        }();
        awaiting_pong_ = true;
        next_ping_ = now + Limit().pong_timeout;
        Enqueue(ping);
        ping_end_ = queue_.bytes_written() + queue_.bytes();
        acked_at_ping_ = ws_.next_layer().AckedBytes();
      }
      if (phase_ == Phase::kOpen) ScheduleNext();
      return;
    case Phase::kClosing:
      return End(close_code_, close_reason_);
    case Phase::kEnded:
      return;
  }
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
  if (phase_ == Phase::kUpgrading) return End(request.code, request.reason);
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
  phase_ = Phase::kClosing;
  close_code_ = request.code;
  close_reason_ = request.reason;
  shard().timers().Schedule(*this, kCloseTimeout);
  if (beast_closes_) return;
  Flush();
  if (phase_ != Phase::kClosing) return;
  websocket::close_reason reason(static_cast<websocket::close_code>(request.code));
  // RFC 6455 §5.5: 125 bytes with the code.
  const std::string_view text = CutUtf8(request.reason, 123);
  reason.reason.assign(text.data(), text.size());
  ws_.async_close(
      reason, [self = Self()](error_code) { self->End(self->close_code_, self->close_reason_); });
}

void WsSession::End(CloseCode code, std::string reason) {
  if (phase_ == Phase::kEnded) return;
  auto self = Self();
  const bool was_open = shard().FindAny(id()) == this;
  phase_ = Phase::kEnded;
  shard().timers().Cancel(*this);
  ws_.next_layer().Abort();
  if (!was_open) return DropQueued(/*ended=*/true);
  const std::uint64_t dropped_before = dropped();
  shard().Remove(*this);
  Event event;
  event.kind = EventKind::kSessionClosed;
  event.close_code = static_cast<std::uint16_t>(code);
  event.close_reason = std::move(reason);
  event.duration = absl::Now() - opened_at();
  event.bytes_out = queue_.bytes_written();
  event.messages_out = queue_.messages_written();
  event.bytes_in = bytes_in();
  event.messages_in = messages_in();
  if (dropped_before > 0) event.dropped["slow_consumer"] = dropped_before;
  if (dropped() > dropped_before) event.dropped["disconnected"] = dropped() - dropped_before;
  shard().Emit(*this, std::move(event));
}

}  // namespace

void StartWsSession(FrontEnd& front_end, Shard& shard, TcpSocket socket,
                    const UpgradeRequest& request, UpgradeDetails details, std::string prefix) {
  std::make_shared<WsSession>(front_end, shard, std::move(socket), std::move(details),
                              std::move(prefix))
      ->Start(request);
}

}  // namespace herald
