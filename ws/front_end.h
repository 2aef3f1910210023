#pragma once

#include <atomic>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <cassert>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "session/address_table.h"
#include "session/current.h"
#include "session/limits.h"
#include "session/session_table.h"
#include "session/topic_rules.h"
#include "ws/admission.h"
#include "ws/auth/token_verifier.h"
#include "ws/deflate_offer.h"
#include "ws/tls_context.h"
#include "ws/user_rates.h"

namespace herald {

class SharedDeflate;

struct FrontEndOptions {
  Limits limits;
  std::shared_ptr<const TopicRules> rules;
  bool allow_anonymous = false;
  bool enable_raw = false;
  bool enable_demo = false;  // the demo page is served
  bool dev = false;          // ?user= and ?labels= are believed
  bool allow_query_token = false;
  std::string token_cookie;                  // empty: tokens are not read from cookies
  std::vector<std::string> allowed_origins;  // empty: same host; `*`: any
  std::uint64_t max_sessions = 19'000;
  // A user's client names a session of another node as the one it resumes: to be ended there. Any
  // thread. Empty where there are no other nodes.
  std::function<void(const std::string& session_id, const std::string& user)> fence;
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
  ~FrontEnd() { assert(admission.admitted() == 0); }  // no connection is left
  FrontEnd(const FrontEnd&) = delete;
  FrontEnd& operator=(const FrontEnd&) = delete;

  // Others hold from now on, for what begins from now on; connections stay.
  void Reconfigure(FrontEndOptions next, const TokenVerifier* next_verifier) {
    admission.SetLimits(AdmissionLimitsOf(next));
    options.Set(std::make_shared<const FrontEndOptions>(std::move(next)));
    verifier = next_verifier;
  }

  static AdmissionLimits AdmissionLimitsOf(const FrontEndOptions& options) {
    return {options.max_sessions, options.limits.max_sessions_per_ip,
            options.limits.handshakes_per_second};
  }

  Current<FrontEndOptions> options;
  SessionTable& table;
  // Null: no keys, so no tokens. One that has been replaced lives on.
  std::atomic<const TokenVerifier*> verifier;
  const TlsContext* const tls;  // null: plain connections
  Admission admission;
  std::atomic<bool> draining{false};
  // Set by the process's memory watch: new handshakes are refused.
  std::atomic<bool> memory_full{false};

  std::atomic<std::uint64_t> handshakes_accepted{0};
  std::atomic<std::uint64_t> handshakes_refused{0};
  std::atomic<std::uint64_t> tls_handshakes[kTlsResults]{};

  void CountRateLimited(RateReason reason) {
    rate_limited[static_cast<int>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
  AddressTable addresses;
  UserRates user_rates;
  // Sessions closed (4429), handshakes refused (429) and subscribes refused, by reason.
  std::atomic<std::uint64_t> rate_limited[kRateReasons]{};
};

using UpgradeRequest = boost::beast::http::request<boost::beast::http::empty_body>;

// What the upgrade request said.
struct UpgradeDetails {
  std::unique_ptr<const UpgradeRequest> request;  // null once it is answered
  Protocol protocol = Protocol::kRaw;
  std::string subprotocol;  // to be answered; empty for raw
  DeflateAnswer deflate = DeflateAnswer::kDeclined;
  std::optional<Claims> claims;
  std::vector<std::string> topics;  // asked for in the URL
  std::string remote_address;       // with the port
  AddressTable::Ref address;        // its state; null: it is not limited
  std::string user_agent;
};

}  // namespace herald
