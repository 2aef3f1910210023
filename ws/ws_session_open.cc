// How a session opens: who it is, its topics, what it missed, and `hello`.
#include <algorithm>

#include "absl/time/clock.h"
#include "fmt/format.h"
#include "session/random.h"
#include "ws/ws_session_internal.h"

namespace herald {

void WsSession::SetDuration(absl::Duration duration, google::protobuf::Duration* to) {
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

absl::StatusOr<std::vector<WantedTopics::Wanted>> WsSession::ChooseTopics(
    const Claims& claims, const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume) {
  WantedTopics wanted(Limit().max_topics_per_session);
  const auto add = [&](const std::string& topic, std::uint64_t max_subscribers) {
    absl::StatusOr<WantedTopics::Wanted*> one = wanted.Add(topic);
    if (one.ok()) (*one)->max_subscribers = max_subscribers;
    return one;
  };
  // Reserved topics have no limit.
  (void)add(std::string(kBroadcastTopic), 0);
  if (!claims.subject.empty())
    (void)add(PersonalTopic(claims.subject), Limit().max_sessions_per_user);
  for (const std::string& topic : claims.topics) {
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) {
      return absl::PermissionDeniedError(
          fmt::format("the token's `topics`: {}", std::string(bad.message())));
    }
    const auto one = add(topic, front_end_.options->rules->Find(topic).max_subscribers);
    if (!one.ok()) return one.status();
  }
  const auto add_by_rule = [&](const std::string& topic) -> absl::StatusOr<WantedTopics::Wanted*> {
    if (WantedTopics::Wanted* known = wanted.Find(topic)) return known;
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) return bad;
    const TopicRule& rule = front_end_.options->rules->Find(topic);
    if (absl::Status denied = access_.MaySubscribe(rule, topic, claims.subject); !denied.ok()) {
      return absl::PermissionDeniedError(
          fmt::format("{}: {}", topic, std::string(denied.message())));
    }
    return add(topic, rule.max_subscribers);
  };
  for (const std::string& topic : details_->topics) {
    if (auto one = add_by_rule(topic); !one.ok()) return one.status();
  }
  for (const v1::TopicPosition& from : resume) {
    auto one = add_by_rule(from.topic());
    if (!one.ok()) return one.status();
    if (from.position().empty()) continue;
    absl::StatusOr<Position> position = Position::FromToken(from.position());
    if (!position.ok()) return position.status();
    (*one)->since = *position;
  }
  return std::move(wanted).Take();
}

void WsSession::Open(Claims claims,
                     const google::protobuf::RepeatedPtrField<v1::TopicPosition>& resume,
                     const std::string& previous_session_id) {
  const TokenVerifier* const verifier = front_end_.verifier;
  if (claims.key != 0 && (verifier == nullptr || !verifier->Accepts(claims.key))) {
    // Since the upgrade, when it was verified.
    return CloseForToken(
        RefuseToken(TokenFault::kUnknownKey, "is signed with a key that is not configured"));
  }
  if (auto ban = BanOn(claims.subject, claims.token_id)) return Close(*std::move(ban));
  access_ = ClientAccess(claims);
  absl::StatusOr<std::vector<WantedTopics::Wanted>> wanted = ChooseTopics(claims, resume);
  if (!wanted.ok()) {
    const bool denied = wanted.status().code() == absl::StatusCode::kPermissionDenied;
    return Close({denied ? CloseCode::kForbidden : CloseCode::kBadFrame,
                  std::string(wanted.status().message()),
                  {}});
  }
  if (const auto over = SessionMeter::MayOpen(Payers(claims.subject), MonotonicNanos()))
    return CloseTooFast(*over);
  const bool replays = std::any_of(wanted->begin(), wanted->end(),
                                   [](const auto& want) { return want.since.has_value(); });
  if (replays) {
    if (absl::Status over = MayReplay(claims.subject); !over.ok())
      return Close({CloseCode::kTooMany, std::string(over.message()), {}});
  }
  if (codec() != nullptr) details_ = nullptr;
  set_labels(std::move(claims.labels));
  shard().Add(shared_from_this(), std::move(claims.subject));
  if (codec() != nullptr) {
    phase_ = Phase::kOpen;
    LimitMessages();
  }
  auto opening = std::make_shared<Opening>();
  opening->wanted = *std::move(wanted);
  opening->previous_session_id = previous_session_id;
  opening->token_id = std::move(claims.token_id);
  // First, so that the session before does not count for the limit of sessions a user.
  TakeOver(previous_session_id, [this, opening](std::vector<Owed> owed) {
    TakeOwed(std::move(owed));
    SubscribeAll(opening);
  });
}

void WsSession::TakeOver(const std::string& previous_session_id,
                         absl::AnyInvocable<void(std::vector<Owed>)> then) {
  if (previous_session_id.empty()) return then({});
  absl::StatusOr<ParsedSessionId> previous = ParseSessionId(previous_session_id);
  const auto& shards = front_end_.table.shards();
  if (previous.ok() && previous->node != shard().node() && front_end_.options->fence)
    front_end_.options->fence(previous_session_id, user());
  if (!previous.ok() || previous->node != shard().node() || previous->id.shard >= shards.size())
    return then({});  // it is gone, or another node's
  // The id alone proves nothing: other clients see it as the sender of what was published. So the
  // user is asked for too.
  Shard& theirs = *shards[previous->id.shard];
  if (&theirs == &shard()) return then(shard().TakeOver(previous->id, user()));
  // Held weakly: a session must not end on another shard's thread.
  theirs.Post([&theirs, &mine = shard(), id = previous->id, user = user(), me = weak_from_this(),
               then = std::move(then)]() mutable {
    mine.Post(
        [me = std::move(me), owed = theirs.TakeOver(id, user), then = std::move(then)]() mutable {
          if (const auto alive = me.lock(); alive && !alive->closing())
            return then(std::move(owed));
          for (const Owed& one : owed) one.GiveUp();
        });
  });
}

void WsSession::SubscribeAll(std::shared_ptr<Opening> opening) {
  // A topic's messages come from its answer on, and the last answer may be long after the first: until
  // then they wait, for `hello` and what was missed go before them.
  ws_.next_layer().set_corked(true);
  opening->states.resize(opening->wanted.size());
  opening->missed.resize(opening->wanted.size());
  opening->pending = opening->wanted.size();
  for (std::size_t i = 0; i < opening->wanted.size(); ++i) {
    const WantedTopics::Wanted& want = opening->wanted[i];
    shard().Subscribe(
        *this, want.topic, want.since, want.max_subscribers,
        [this, opening, i](absl::StatusOr<FeedStart> start) {
          const WantedTopics::Wanted& want = opening->wanted[i];
          if (opening->refused) return;
          // A producer's join may have been faster.
          if (absl::IsAlreadyExists(start.status())) {
            start = FeedStart{};
            if (want.since) start->reason = NotRecovered::kExpired;
          }
          if (!start.ok()) {
            opening->refused = true;
            const bool many = start.status().code() == absl::StatusCode::kResourceExhausted;
            const std::string reason = many && IsReserved(want.topic)
                                           ? "this user has as many sessions as it may"
                                           : std::string(start.status().message());
            return Close({many ? CloseCode::kTooMany : CloseCode::kTryLater, reason, {}});
          }
          LimitMissed(*start, opening->missed_bytes);
          if (want.since) SettleOwed(want.topic, want.since->offset, start->recovered);
          opening->states[i] = StateOf(want.topic, *start, want.since.has_value());
          opening->missed[i] = std::move(start->missed);
          if (--opening->pending == 0) OnAllSubscribed(*opening);
        });
    if (opening->refused) return GiveUpOwed();
  }
}

void WsSession::LimitMissed(FeedStart& start, std::size_t& bytes) {
  std::size_t more = 0;
  for (const MessagePtr& message : start.missed) {
    more += message->EncodedFor(encoding(), shard().encoders())->bytes.size();
    if (bytes + more <= Limit().max_outbound_bytes_per_session) continue;
    start.recovered = false;
    start.reason = NotRecovered::kLimit;
    start.missed.clear();
    break;
  }
  // Also what is dropped: it has been read and encoded.
  meter_.Replayed(more, Payers(user()), MonotonicNanos());
  if (!start.missed.empty()) bytes += more;
}

void WsSession::OnAllSubscribed(Opening& opening) {
  if (closing()) return;
  // A ban looks for the user's sessions only once it is on the list: one that came in between is
  // found here.
  if (auto ban = BanOn(user(), opening.token_id)) {
    GiveUpOwed();
    return Close(*std::move(ban));
  }
  std::vector<Outbound> came_meanwhile = queue_.TakeAside();
  // Pings are spread, so that sessions that came together do not stay together.
  next_ping_ = absl::Now() + Limit().ping_interval *
                                 (0.5 + 0.5 * static_cast<double>(RandomUint64() >> 11) * 0x1p-53);
  awaited_pong_ = nullptr;
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
  } else {
    Answer();
  }
  for (std::size_t i = 0; i < opening.missed.size(); ++i)
    SendMissed(opening.wanted[i].topic, opening.missed[i], opening.previous_session_id);
  queue_.PutBack(std::move(came_meanwhile));
  GiveUpOwed();
  if (closing()) {
    // What was missed was too much for it, and so nothing else is sent either.
    DropQueued(DropReason::kSlowConsumer, /*ended=*/false);
    return;
  }
  ws_.next_layer().set_corked(false);
  shard().Touch(*this);
  announced_ = true;
  shard().Emit(*this, EventKind::kSessionOpened, [&](Event& event) {
    event.labels = labels();
    event.remote_address = remote_address();
    event.user_agent = user_agent();
  });
  for (const WantedTopics::Wanted& want : opening.wanted) {
    if (IsReserved(want.topic) || !IsOn(want.topic)) continue;
    shard().Emit(*this, EventKind::kSubscribed, [&](Event& event) { event.topic = want.topic; });
  }
  if (rights_changed_) LeaveForbidden();
}

void WsSession::SendMissed(const std::string& topic, const std::vector<MessagePtr>& missed,
                           std::string_view previous) {
  if (missed.empty()) return;
  const std::string self = id_text();
  const TopicSubscribers* subscribers = shard().FindTopic(topic);
  const Overflow overflow = subscribers ? subscribers->overflow : Overflow::kDisconnect;
  for (const MessagePtr& message : missed) {
    const std::string& sender = message->body().sender;
    if (sender.empty() || (sender != self && sender != previous)) DeliverMissed(message, overflow);
  }
}

FramePtr WsSession::MakeGap(const std::string& topic, std::string_view reason,
                            const Position& position) const {
  if (codec() == nullptr) return nullptr;
  v1::ServerFrame frame;
  v1::Gap& gap = *frame.mutable_gap();
  gap.set_topic(topic);
  gap.set_reason(std::string(reason));
  gap.set_position(position.ToToken());
  return codec()->EncodeFrame(frame);
}

FramePtr WsSession::MakePresence(const PresenceChange& change) const {
  if (codec() == nullptr) return nullptr;
  v1::ServerFrame frame;
  v1::PresenceNews& news =
      change.kind == PresenceChange::Kind::kJoin ? *frame.mutable_join() : *frame.mutable_leave();
  news.set_topic(change.topic);
  news.set_session_id(change.session_id);
  news.set_user_id(change.user);
  return codec()->EncodeFrame(frame);
}

}  // namespace herald
