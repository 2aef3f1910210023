#include "ws/handshake.h"

#include <algorithm>
#include <boost/beast/http/field.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "fmt/format.h"
#include "session/topic_name.h"
#include "ws/http_request.h"
#include "ws/origin.h"
#include "ws/query.h"

namespace herald {
namespace {

using boost::beast::http::field;

absl::Status Refuse(Refusal& refusal, RefusalReason reason, std::string text,
                    std::string detail = "") {
  refusal.reason = reason;
  refusal.text = std::move(text);
  refusal.detail = std::move(detail);
  return absl::InvalidArgumentError(refusal.text);
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(absl::string_view(a.data(), a.size()),
                                absl::string_view(b.data(), b.size()));
}

std::vector<std::string> SplitList(std::string_view list) {
  std::vector<std::string> parts;
  for (absl::string_view part :
       absl::StrSplit(absl::string_view(list.data(), list.size()), ',', absl::SkipWhitespace())) {
    parts.emplace_back(absl::StripAsciiWhitespace(part));
  }
  return parts;
}

// Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 §4.1).
bool GoodKey(std::string_view key) {
  std::string bytes;
  return key.size() == 24 &&
         absl::Base64Unescape(absl::string_view(key.data(), key.size()), &bytes) &&
         bytes.size() == 16;
}

std::optional<std::string> CookieValue(std::string_view header, std::string_view name) {
  // RFC 6265 §4.2.1: pairs parted by "; ".
  for (absl::string_view pair :
       absl::StrSplit(absl::string_view(header.data(), header.size()), ';')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (parts.size() != 2) continue;
    const absl::string_view key = absl::StripAsciiWhitespace(parts[0]);
    if (std::string_view(key.data(), key.size()) == name)
      return std::string(absl::StripAsciiWhitespace(parts[1]));
  }
  return std::nullopt;
}

// Who a client without a token is with --dev: whom the URL says.
absl::StatusOr<Claims> DevClaims(const Query& query) {
  Claims claims;
  if (query.user && !query.user->empty()) {
    if (absl::Status bad = ValidateUserId(*query.user); !bad.ok()) return bad;
    claims.subject = *query.user;
  }
  for (const std::string& pair : query.labels) {
    const std::vector<std::string> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (absl::Status bad = claims.labels.Set(parts[0], parts.size() == 2 ? parts[1] : "");
        !bad.ok())
      return bad;
  }
  return claims;
}

// The token of `Bearer` and one or more spaces (RFC 9110 §11.4); nothing for another scheme.
std::optional<std::string> BearerToken(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer ";
  if (!EqualsIgnoreCase(authorization.substr(0, kBearer.size()), kBearer)) return std::nullopt;
  authorization.remove_prefix(kBearer.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return std::string(authorization);
}

// For the log; fields of strangers may be long.
std::string Cut(std::string_view text) { return std::string(text.substr(0, 128)); }

}  // namespace

absl::StatusOr<UpgradeDetails> CheckUpgrade(const FrontEnd& front_end,
                                            const UpgradeRequest& request, absl::Time now,
                                            Refusal& refusal) {
  const FrontEndOptions& options = front_end.options.Get();
  const TokenVerifier* const verifier = front_end.verifier;
  if (request.version() < 11)
    return Refuse(refusal, RefusalReason::kMalformed, "the upgrade needs HTTP/1.1");
  // Its bytes would be taken for frames.
  if (HasBody(request))
    return Refuse(refusal, RefusalReason::kBody, "a request for /ws has no body");
  if (!HasToken(request, field::connection, "upgrade") ||
      !HasToken(request, field::upgrade, "websocket")) {
    return Refuse(refusal, RefusalReason::kNotUpgrade,
                  "this is a WebSocket endpoint: connect with a WebSocket client");
  }
  if (FieldOf(request, field::sec_websocket_version) != "13")
    return Refuse(refusal, RefusalReason::kNotUpgrade, "the WebSocket version must be 13");
  if (!GoodKey(FieldOf(request, field::sec_websocket_key))) {
    return Refuse(refusal, RefusalReason::kMalformed,
                  "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  std::optional<Query> query = ParseQuery(QueryOf(request));
  if (!query) return Refuse(refusal, RefusalReason::kQuery, "the URL's query is malformed");
  if (query->topics.size() > options.limits.max_topics_per_session) {
    return Refuse(
        refusal, RefusalReason::kQuery,
        fmt::format("`topics` names more than {} topics", options.limits.max_topics_per_session));
  }
  const std::string_view origin = FieldOf(request, field::origin);
  const std::string_view host = FieldOf(request, field::host);
  if (!OriginAllowed(options.allowed_origins, origin, host, front_end.tls != nullptr)) {
    return Refuse(refusal, RefusalReason::kOrigin,
                  "this origin is not allowed; see --allowed_origins",
                  fmt::format("origin {}, host {}", Cut(origin), Cut(host)));
  }

  UpgradeDetails details;
  std::optional<std::string> token;
  const std::vector<std::string> offered =
      SplitList(FieldOf(request, field::sec_websocket_protocol));
  for (const std::string& protocol : offered) {
    if (absl::StartsWith(protocol, "bearer.")) {
      token = protocol.substr(7);
    } else if (details.subprotocol.empty() && protocol == "herald.v1.json") {
      details.protocol = Protocol::kJson;
      details.subprotocol = protocol;
    } else if (details.subprotocol.empty() && protocol == "herald.v1.proto") {
      details.protocol = Protocol::kProto;
      details.subprotocol = protocol;
    }
  }
  if (details.subprotocol.empty() && !offered.empty() && !(offered.size() == 1 && token)) {
    return Refuse(refusal, RefusalReason::kSubprotocol,
                  "no offered subprotocol is known: herald.v1.json or herald.v1.proto");
  }
  if (details.protocol == Protocol::kRaw && !options.enable_raw) {
    return Refuse(refusal, RefusalReason::kSubprotocol,
                  "offer the subprotocol herald.v1.json or herald.v1.proto (raw mode is off; see "
                  "--enable_raw)");
  }

  if (auto bearer = BearerToken(FieldOf(request, field::authorization))) token = std::move(bearer);
  if (!token && !options.token_cookie.empty())
    token = CookieValue(FieldOf(request, field::cookie), options.token_cookie);
  if (!token && options.allow_query_token) token = query->token;
  if (token && verifier != nullptr) {
    absl::StatusOr<Claims> claims = verifier->Verify(*token, now);
    if (!claims.ok()) {
      refusal.token = claims.status();
      return Refuse(refusal, RefusalReason::kToken,
                    fmt::format("bad token: {}", std::string(claims.status().message())));
    }
    details.claims = *std::move(claims);
    details.authenticated = true;
  } else if (options.allow_anonymous && options.dev) {
    absl::StatusOr<Claims> claims = DevClaims(*query);
    if (!claims.ok())
      return Refuse(refusal, RefusalReason::kQuery, std::string(claims.status().message()));
    details.claims = *std::move(claims);
  } else if (options.allow_anonymous) {
    if (details.protocol == Protocol::kRaw || verifier == nullptr) details.claims = Claims{};
  } else if (details.protocol == Protocol::kRaw) {
    // The others may still bring a token in their connect frame.
    refusal.token = RefuseToken(TokenFault::kMissing, "is missing");
    return Refuse(refusal, RefusalReason::kToken, "a token is needed");
  }

  for (const std::string& topic : query->topics) {
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) {
      return Refuse(refusal, RefusalReason::kQuery,
                    fmt::format("`topics`: {}", std::string(bad.message())));
    }
  }
  if (options.deflate != nullptr)
    details.deflate = AnswerDeflate(FieldOf(request, field::sec_websocket_extensions));
  details.topics = std::move(query->topics);
  details.user_agent = std::string(FieldOf(request, field::user_agent).substr(0, 256));
  return details;
}

}  // namespace herald
