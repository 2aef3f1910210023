// What a client's frames do.
#include "absl/time/clock.h"
#include "fmt/format.h"
#include "ws/client_content.h"
#include "ws/refuse.h"
#include "ws/ws_session_internal.h"

namespace herald {

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
      return OnAck(frame.id(), frame.ack());
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
  if (front_end_.draining) return Close(RestartClose(kComeBackWithin));
  Claims claims = std::move(details_->claims).value_or(Claims{});
  const TokenVerifier* const verifier = front_end_.verifier;
  if (!connect.token().empty() && verifier != nullptr) {
    if (!MayShowToken()) return;
    absl::StatusOr<Claims> verified = verifier->Verify(connect.token(), absl::Now());
    if (!verified.ok()) return CloseForToken(verified.status());
    claims = *std::move(verified);
  } else if (claims.subject.empty() && !front_end_.options->allow_anonymous) {
    front_end_.OnTokenRefused(RefuseToken(TokenFault::kMissing, "is missing"), ticket_,
                              remote_ip());
    return Close({CloseCode::kUnauthenticated, "a token is needed", {}});
  }
  if (const auto verdict = ticket_.BecomeSession(); verdict != Admission::Verdict::kAdmitted)
    return Close({CloseCodeOf(verdict), RefusalOf(verdict).text, {}});
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
  const TopicRule& rule = front_end_.options->rules->Find(topic);
  if (absl::Status denied = access_.MaySubscribe(rule, topic, user()); !denied.ok())
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
    if (absl::Status over = MayReplay(user()); !over.ok()) return ReplyError(id, over);
  }
  shard().Subscribe(*this, topic, since, rule.max_subscribers,
                    [this, id, topic, asked = since.has_value()](absl::StatusOr<FeedStart> start) {
                      if (absl::IsAlreadyExists(start.status()))
                        return Reply(id);  // asked for twice at once
                      if (!start.ok()) return ReplyError(id, start.status());
                      // A refresh or a reload may have come meanwhile.
                      if (!MayStayOn(topic)) {
                        shard().Unsubscribe(*this, topic);
                        return ReplyError(id, absl::PermissionDeniedError("not allowed any more"));
                      }
                      std::size_t bytes = queue_.bytes();
                      LimitMissed(*start, bytes);
                      v1::Ok ok;
                      *ok.mutable_topic() = StateOf(topic, *start, asked);
                      Reply(id, std::move(ok));
                      SendMissed(topic, start->missed);
                      shard().Emit(*this, EventKind::kSubscribed,
                                   [&](Event& event) { event.topic = topic; });
                    });
}

void WsSession::OnUnsubscribe(std::uint32_t id, const v1::Unsubscribe& unsubscribe) {
  if (absl::Status bad = ValidateClientTopic(unsubscribe.topic()); !bad.ok())
    return ReplyError(id, bad);
  if (!Leave(unsubscribe.topic()))
    return ReplyError(id, absl::NotFoundError("not subscribed to this topic"));
  Reply(id);
}

absl::StatusOr<MessageBodyPtr> WsSession::Accept(MessageBody body) const {
  if (!TakesMessage(front_end_.memory, body.payload.size()))
    return absl::ResourceExhaustedError("the server is at its memory limit, try again later");
  body.sender = id_text();
  return AcceptMessage(std::move(body), Limit().max_message_bytes);
}

void WsSession::OnPublish(std::uint32_t id, const v1::Publish& publish) {
  const std::string& topic = publish.topic();
  if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return ReplyError(id, bad);
  if (absl::Status denied =
          access_.MayPublish(front_end_.options->rules->Find(topic), topic, user());
      !denied.ok()) {
    return ReplyError(id, denied);
  }
  absl::StatusOr<MessageBodyPtr> body = Accept(ContentOf(publish));
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
  absl::StatusOr<MessageBodyPtr> body = Accept(ContentOf(upstream));
  if (!body.ok()) return ReplyError(id, body.status());
  shard().Emit(*this, EventKind::kClientMessage, [&](Event& event) {
    event.topic = upstream.topic();
    event.event = (*body)->event;
    event.payload = (*body)->payload;
    event.content_type = (*body)->content_type;
  });
  Reply(id);
}

void WsSession::OnAck(std::uint32_t id, const v1::Ack& ack) {
  for (const auto& [topic, offset] : ack.offsets()) {
    if (topic.empty()) return ReplyError(id, absl::InvalidArgumentError("ack: a topic is empty"));
  }
  Acknowledge([&offsets = ack.offsets()](std::string_view topic) -> std::uint64_t {
    const auto it = offsets.find(std::string(topic));
    return it == offsets.end() ? 0 : it->second;
  });
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
  frame.mutable_reply()->mutable_error()->set_code(absl::StatusCodeToString(status.code()));
  frame.mutable_reply()->mutable_error()->set_message(std::string(status.message()));
  Send(frame);
}

}  // namespace herald
