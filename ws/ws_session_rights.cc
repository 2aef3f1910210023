// How a session keeps to what its client may do, while tokens, topic rules, keys and bans change.
#include <algorithm>

#include "absl/time/clock.h"
#include "session/random.h"
#include "ws/refuse.h"
#include "ws/ws_session_internal.h"

namespace herald {
namespace {

// Sessions of a removed key are closed at random moments within this time, so that they do not all
// come back at once.
constexpr absl::Duration kRevokeSpread = absl::Seconds(10);
// A client that waits longer is told again when it comes back.
constexpr absl::Duration kLongestAdvice = absl::Hours(24);

}  // namespace

void WsSession::CloseForToken(const absl::Status& why) {
  front_end_.OnTokenRefused(why, ticket_, remote_ip());
  Close({IsTokenExpired(why) ? CloseCode::kTokenExpired : CloseCode::kUnauthenticated,
         std::string(why.message()),
         {}});
}

bool WsSession::MayShowToken() {
  const auto verdict = ticket_.MayShowToken(MonotonicNanos());
  if (verdict == Admission::Verdict::kAdmitted) return true;
  Close({CloseCodeOf(verdict), RefusalOf(verdict).text, {}});
  return false;
}

std::optional<CloseRequest> WsSession::BanOn(std::string_view user, std::string_view token_id) {
  const BanList* bans = front_end_.options->bans;
  if (bans == nullptr || bans->size() == 0) return std::nullopt;
  const absl::Time now = absl::Now();
  if (const auto until = bans->Find(user, "", now)) {
    front_end_.OnTokenRefused(RefuseToken(TokenFault::kBanned, "is of a banned user"), ticket_,
                              remote_ip());
    const absl::Duration wait = std::min(*until - now, kLongestAdvice);
    return CloseRequest{CloseCode::kForbidden, "this user is banned",
                        ReconnectAdvice{false, absl::Ceil(wait, absl::Milliseconds(1))}};
  }
  if (!bans->Find(user, token_id, now)) return std::nullopt;
  const absl::Status why = RefuseToken(TokenFault::kBanned, "is banned");
  front_end_.OnTokenRefused(why, ticket_, remote_ip());
  // The user may come back with another token.
  return CloseRequest{CloseCode::kUnauthenticated, std::string(why.message()), {}};
}

void WsSession::OnRefresh(std::uint32_t id, const v1::Refresh& refresh) {
  const TokenVerifier* const verifier = front_end_.verifier;
  if (verifier == nullptr) {
    return ReplyError(id, absl::FailedPreconditionError("this server takes no tokens"));
  }
  if (!MayShowToken()) return;
  absl::StatusOr<Claims> claims = verifier->Verify(refresh.token(), absl::Now());
  if (!claims.ok()) return CloseForToken(claims.status());
  if (claims->subject != user()) {
    return CloseForToken(RefuseToken(TokenFault::kOtherUser, "of the refresh is for another user"));
  }
  if (auto ban = BanOn(claims->subject, claims->token_id)) return Close(*std::move(ban));
  access_ = ClientAccess(*claims);
  key_removed_ = false;
  ScheduleNext();
  LeaveForbidden();
  Reply(id);
}

void WsSession::CheckRights() {
  if (closing()) return;
  const TokenVerifier* const verifier = front_end_.verifier;
  const bool accepted =
      access_.key() == 0 || (verifier != nullptr && verifier->Accepts(access_.key()));
  if (!accepted && !key_removed_) {
    key_removed_ = true;
    const double share = static_cast<double>(RandomUint64() >> 11) * 0x1p-53;
    access_.ExpireAt(absl::Now() + kRevokeSpread * share);
    if (announced_) ScheduleNext();
  }
  LeaveForbidden();
}

bool WsSession::MayStayOn(const std::string& topic) const {
  return access_.SubscribedByToken(topic) ||
         access_.MaySubscribe(front_end_.options->rules->Find(topic), topic, user()).ok();
}

void WsSession::LeaveForbidden() {
  // While it opens, its subscriptions are not there yet.
  rights_changed_ = !announced_;
  if (!announced_) return;
  for (const std::string& topic : ChosenTopics()) {
    if (MayStayOn(topic) || !Leave(topic) || codec() == nullptr) continue;
    v1::ServerFrame frame;
    frame.mutable_unsubscribed()->set_topic(topic);
    frame.mutable_unsubscribed()->set_reason("not_allowed");
    Send(frame);
  }
}

}  // namespace herald
