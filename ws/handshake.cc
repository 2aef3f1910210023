#include "ws/handshake.h"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "fmt/format.h"
#include "session/topic_name.h"

namespace herald {
namespace {

namespace http = boost::beast::http;
using http::field;
using http::status;

std::string_view Header(const UpgradeRequest& request, field name) {
  const auto value = request[name];
  return {value.data(), value.size()};
}

absl::Status Refuse(Refusal& refusal, status code, std::string reason) {
  refusal = {code, std::move(reason)};
  return absl::InvalidArgumentError(refusal.reason);
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

struct Query {
  std::vector<std::string> topics;
  std::optional<std::string> token, user, labels;
};

// Stops at the first topic past `max_topics`, which the list then holds.
std::optional<Query> ParseQuery(std::string_view target, std::size_t max_topics) {
  const auto url = boost::urls::parse_origin_form(target);
  if (!url) return std::nullopt;
  Query query;
  for (const auto& param : url->params()) {
    const std::string value(param.value.begin(), param.value.end());
    if (param.key == "topics") {
      for (absl::string_view topic : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
        if (query.topics.size() > max_topics) return query;
        query.topics.emplace_back(absl::StripAsciiWhitespace(topic));
      }
    } else if (param.key == "token") {
      query.token = value;
    } else if (param.key == "user") {
      query.user = value;
    } else if (param.key == "labels") {
      query.labels = value;
    }
  }
  return query;
}

// Who the client may be with --dev: whom the URL says.
absl::StatusOr<Claims> DevClaims(const Query& query) {
  Claims claims;
  if (query.user && !query.user->empty()) {
    if (absl::Status bad = ValidateUserId(*query.user); !bad.ok()) return bad;
    claims.subject = *query.user;
  }
  for (const std::string& pair : SplitList(query.labels.value_or(""))) {
    const std::vector<std::string> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (absl::Status bad = claims.labels.Set(parts[0], parts.size() == 2 ? parts[1] : "");
        !bad.ok())
      return bad;
  }
  return claims;
}

}  // namespace

bool OriginAllowed(const std::vector<std::string>& allowed, std::string_view origin,
                   std::string_view host, bool tls) {
  if (origin.empty()) return true;
  if (allowed.empty()) {
    const std::size_t end = origin.find("://");
    if (end == std::string_view::npos || host.empty()) return false;
    const bool https = EqualsIgnoreCase(origin.substr(0, end), "https");
    if (tls && !https) return false;
    // RFC 6454 §6.2: the scheme's own port may be left out.
    const std::string_view port = https ? ":443" : ":80";
    if (host.ends_with(port)) host.remove_suffix(port.size());
    return EqualsIgnoreCase(origin.substr(end + 3), host);
  }
  for (const std::string& one : allowed) {
    if (one == "*" || EqualsIgnoreCase(one, origin)) return true;
  }
  return false;
}

absl::StatusOr<UpgradeDetails> CheckUpgrade(const FrontEnd& front_end,
                                            const UpgradeRequest& request, absl::Time now,
                                            Refusal& refusal) {
  const FrontEndOptions& options = front_end.options.Get();
  const TokenVerifier* const verifier = front_end.verifier;
  if (request.version() < 11)
    return Refuse(refusal, status::bad_request, "the upgrade needs HTTP/1.1");
  if (Header(request, field::host).empty())
    return Refuse(refusal, status::bad_request, "there is no Host header");
  if (!http::token_list{request[field::connection]}.exists("upgrade") ||
      !http::token_list{request[field::upgrade]}.exists("websocket")) {
    return Refuse(refusal, status::upgrade_required,
                  "this is a WebSocket endpoint: connect with a WebSocket client");
  }
  if (Header(request, field::sec_websocket_version) != "13") {
    return Refuse(refusal, status::upgrade_required, "the WebSocket version must be 13");
  }
  if (!GoodKey(Header(request, field::sec_websocket_key))) {
    return Refuse(refusal, status::bad_request, "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  const auto query = ParseQuery(request.target(), options.limits.max_topics_per_session);
  if (!query) return Refuse(refusal, status::bad_request, "the URL's query is malformed");
  if (query->topics.size() > options.limits.max_topics_per_session) {
    return Refuse(
        refusal, status::bad_request,
        fmt::format("`topics` names more than {} topics", options.limits.max_topics_per_session));
  }
  if (!OriginAllowed(options.allowed_origins, Header(request, field::origin),
                     Header(request, field::host), front_end.tls != nullptr)) {
    return Refuse(refusal, status::forbidden, "this origin is not allowed; see --allowed_origins");
  }

  UpgradeDetails details;
  std::optional<std::string> token;
  const std::vector<std::string> offered =
      SplitList(Header(request, field::sec_websocket_protocol));
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
    return Refuse(refusal, status::bad_request,
                  "no offered subprotocol is known: herald.v1.json or herald.v1.proto");
  }
  if (details.protocol == Protocol::kRaw && !options.enable_raw) {
    return Refuse(refusal, status::bad_request,
                  "offer the subprotocol herald.v1.json or herald.v1.proto (raw mode is off; see "
                  "--enable_raw)");
  }

  const std::string_view authorization = Header(request, field::authorization);
  if (authorization.size() > 7 && EqualsIgnoreCase(authorization.substr(0, 7), "bearer ")) {
    token = std::string(authorization.substr(7));
  }
  if (!token && !options.token_cookie.empty())
    token = CookieValue(Header(request, field::cookie), options.token_cookie);
  if (!token && options.allow_query_token) token = query->token;
  if (token && verifier != nullptr) {
    absl::StatusOr<Claims> claims = verifier->Verify(*token, now);
    if (!claims.ok()) {
      return Refuse(refusal, status::unauthorized,
                    fmt::format("bad token: {}", std::string(claims.status().message())));
    }
    details.claims = *std::move(claims);
  } else if (options.dev) {
    absl::StatusOr<Claims> claims = DevClaims(*query);
    if (!claims.ok())
      return Refuse(refusal, status::bad_request, std::string(claims.status().message()));
    details.claims = *std::move(claims);
  } else if (options.allow_anonymous) {
    if (details.protocol == Protocol::kRaw || verifier == nullptr) details.claims = Claims{};
  } else if (details.protocol == Protocol::kRaw) {
    // The others may still bring a token in their connect frame.
    return Refuse(refusal, status::unauthorized, "a token is needed");
  }

  for (const std::string& topic : query->topics) {
    if (absl::Status bad = ValidateClientTopic(topic); !bad.ok()) {
      return Refuse(refusal, status::bad_request,
                    fmt::format("`topics`: {}", std::string(bad.message())));
    }
  }
  if (options.deflate != nullptr)
    details.deflate = AnswerDeflate(Header(request, field::sec_websocket_extensions));
  details.topics = query->topics;
  details.user_agent = std::string(Header(request, field::user_agent).substr(0, 256));
  return details;
}

}  // namespace herald
