#pragma once

#include <algorithm>
#include <atomic>
#include <climits>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "session/ban_list.h"
#include "session/client_address.h"
#include "session/close.h"
#include "session/current.h"
#include "session/limits.h"
#include "session/memory_budget.h"
#include "session/session_table.h"
#include "session/topic_rules.h"
#include "session/trusted_proxies.h"
#include "ws/accept_errors.h"
#include "ws/admission.h"
#include "ws/auth/token_verifier.h"
#include "ws/deflate_offer.h"
#include "ws/http_request.h"
#include "ws/refusals.h"
#include "ws/tls_context.h"
#include "ws/token_refusals.h"
#include "ws/user_rates.h"

namespace herald {

class SharedDeflate;

struct FrontEndOptions {
  Limits limits;
  std::shared_ptr<const TopicRules> rules;
  bool allow_anonymous = false;
  bool enable_raw = false;
  bool enable_demo = false;  // the demo page is served
  // With allow_anonymous, ?user= and ?labels= say who a client without a token is.
  bool dev = false;
  bool allow_query_token = false;
  std::string token_cookie;                  // empty: tokens are not read from cookies
  std::vector<std::string> allowed_origins;  // by ParseAllowedOrigin; empty: same host; `*`: any
  std::vector<std::string> allowed_hosts;    // by ParseAllowedHost; empty: any
  // Shares of the open-files limit: client connections of all kinds, those with a session, and those
  // without.
  std::uint64_t max_connections = 19'500;
  std::uint64_t max_sessions = 19'000;
  std::uint64_t max_unauthenticated = 9'750;
  // An accepted client whose descriptor has this number or a higher one is refused: the kernel gives
  // the lowest free number, so nearly all are in use, and the rest is for producers and operators.
  int first_reserved_descriptor = INT_MAX;
  TrustedProxies trusted_proxies;
  ProxyProtocol proxy_protocol =
      ProxyProtocol::kOptional;  // of trusted proxies; ignored from others
  // Kernel buffers of each client socket; 0: the kernel's own choice.
  std::uint32_t send_buffer_bytes = 0;
  std::uint32_t receive_buffer_bytes = 0;
  // A user's client names a session of another node as the one it resumes: to be ended there. Any
  // thread. Empty where there are no other nodes.
  std::function<void(const std::string& session_id, const std::string& user)> fence;
  TokenRefusals::Tell tell_token_refusal;  // may be empty
  // A client named a key that is not configured: keys that come from a URL should be fetched again.
  // Any thread, maybe often. Empty where none do.
  std::function<void()> on_unknown_key;
  const BanList* bans = nullptr;           // null: nobody is banned
  const SharedDeflate* deflate = nullptr;  // also the shards' compressor; null: compression is off
};

// How TLS handshakes end. The names are those of a metric.
enum class TlsResult { kDone, kFailed, kTimeout, kClosed };
inline constexpr std::size_t kTlsResults = 4;
inline constexpr const char* kTlsResultNames[kTlsResults] = {"done", "failed", "timeout", "closed"};

// What all client connections share: settings, admission, keys, counters.
//
// Threads: any; immutable but for atomics and what locks itself. Reconfigure by one thread at a
//          time. Outlives all connections.
struct FrontEnd {
  FrontEnd(FrontEndOptions options, SessionTable& table, const TokenVerifier* verifier,
           const TlsContext* tls = nullptr)
      : options(std::make_shared<const FrontEndOptions>(std::move(options))),
        table(table),
        verifier(verifier),
        tls(tls),
        admission(AdmissionLimitsOf(this->options.Get())) {}
  FrontEnd(const FrontEnd&) = delete;
  FrontEnd& operator=(const FrontEnd&) = delete;

  // Others hold from now on, for what begins from now on; connections stay.
  void Reconfigure(FrontEndOptions next, const TokenVerifier* next_verifier) {
    admission.SetLimits(AdmissionLimitsOf(next));
    options.Set(std::make_shared<const FrontEndOptions>(std::move(next)));
    verifier = next_verifier;
  }

  static AdmissionLimits AdmissionLimitsOf(const FrontEndOptions& options) {
    AdmissionLimits limits;
    limits.max_connections = options.max_connections;
    limits.max_sessions = options.max_sessions;
    limits.max_unauthenticated = options.max_unauthenticated;
    // Half of the pool: one address cannot take all of it, and a crowd behind one NAT gets in.
    limits.max_unauthenticated_per_ip =
        options.limits.max_unauthenticated_per_ip != 0
            ? options.limits.max_unauthenticated_per_ip
            : std::max<std::uint64_t>(options.max_unauthenticated / 2, 1);
    limits.max_sessions_per_ip = options.limits.max_sessions_per_ip;
    limits.handshakes_per_second = options.limits.handshakes_per_second;
    limits.handshakes_per_second_per_ip = options.limits.handshakes_per_second_per_ip;
    limits.tls_failures_per_second_per_ip = options.limits.tls_failures_per_second_per_ip;
    limits.token_failures_per_second_per_ip = options.limits.token_failures_per_second_per_ip;
    return limits;
  }

  // Counts and logs a token that was refused, and charges it to the client's address. `why`: a status
  // of RefuseToken. `address`: the client's, without its port.
  void OnTokenRefused(const absl::Status& why, Admission::Ticket& ticket,
                      std::string_view address) {
    if (TokenFaultOf(why) != TokenFault::kMissing) ticket.ChargeTokenFailure(MonotonicNanos());
    const FrontEndOptions& now = options.Get();
    token_refusals.Add(why, address, absl::Now(), now.tell_token_refusal);
    if (TokenFaultOf(why) == TokenFault::kUnknownKey && now.on_unknown_key) now.on_unknown_key();
  }
  void CountClose(CloseCode code) {
    closes[CloseIndex(code)].fetch_add(1, std::memory_order_relaxed);
  }

  Current<FrontEndOptions> options;
  SessionTable& table;
  // Null: no keys, so no tokens. One that has been replaced lives on.
  std::atomic<const TokenVerifier*> verifier;
  const TlsContext* const tls;  // null: plain connections
  Admission admission;          // outlives all connections
  AcceptErrors accept_errors;
  std::atomic<bool> draining{false};
  // Set by the process's memory watch: new handshakes are refused unless it is kNormal, and messages
  // by TakesMessage.
  std::atomic<MemoryLevel> memory{MemoryLevel::kNormal};

  std::atomic<std::uint64_t> handshakes_accepted{0};
  Refusals refusals;
  // Connections of trusted proxies closed because their PROXY header was malformed or missing.
  std::atomic<std::uint64_t> bad_proxy_headers{0};
  std::atomic<std::uint64_t> tls_handshakes[kTlsResults]{};

  void CountRateLimited(RateReason reason) {
    rate_limited[static_cast<int>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
  UserRates user_rates;
  // Sessions closed (4429), handshakes refused (429) and subscribes refused, by reason.
  std::atomic<std::uint64_t> rate_limited[kRateReasons]{};
  std::atomic<std::uint64_t> closes[kCountedCloses]{};
  TokenRefusals token_refusals;
};

using UpgradeRequest = HttpRequest;

// What the upgrade request said.
struct UpgradeDetails {
  std::unique_ptr<const UpgradeRequest> request;  // null once it is answered
  Protocol protocol = Protocol::kRaw;
  std::string subprotocol;  // to be answered; empty for raw
  DeflateAnswer deflate = DeflateAnswer::kDeclined;
  std::optional<Claims> claims;
  bool authenticated = false;       // the claims are those of a token that was verified
  std::vector<std::string> topics;  // asked for in the URL
  ClientEndpoint peer;
  std::string user_agent;
};

}  // namespace herald
