// Every limit of one replica, in one place, with what happens when it is hit.
//
// Threads: a plain value. A reload hands out a new one.
// The settings of the same names (app/settings.inc) fill it; docs/configuration.md lists them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace herald {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

struct Limits {
  // Payload of one message. A producer's is answered INVALID_ARGUMENT, a client's closes 1009.
  std::uint64_t max_message_bytes = 64 * kKiB;
  // Request line and headers of a handshake. More is answered 431.
  std::uint64_t max_header_bytes = 8 * kKiB;

  // Live sessions. The next handshake is answered 503 with Retry-After. 0 = as many as the
  // open-files limit of the process allows, less a reserve.
  std::uint32_t max_sessions = 0;
  // Sessions of one user. The newest is refused with 4429, none is evicted. 0 = unlimited.
  std::uint32_t max_sessions_per_user = 32;
  // Sessions of one client address. The next handshake is answered 429. 0 = unlimited.
  std::uint32_t max_sessions_per_ip = 0;
  // Connections that have not authenticated. Past it the oldest of the address that has the most is
  // closed, or the new one answered 503. 0 = half of the open files that clients may use, or what a
  // small share of memory holds.
  std::uint32_t max_unauthenticated_connections = 0;
  // Of one address. Past it the oldest of the address is closed, or the new one answered 429. 0 =
  // half of all.
  std::uint32_t max_unauthenticated_per_ip = 0;
  // Handshakes accepted a second. More are answered 503 with Retry-After. 0 = unlimited.
  std::uint32_t handshakes_per_second = 0;
  // Of one address. More are answered 429 with Retry-After. 0 = unlimited.
  std::uint32_t handshakes_per_second_per_ip = 0;
  // TLS handshakes of one address that fail, in bursts of twice as many. More close its connections
  // before TLS begins. 0 = unlimited.
  std::uint32_t tls_failures_per_second_per_ip = 100;
  // Tokens of one address that are refused, in bursts of twice as many. More are not checked: 429, or
  // close 4429. 0 = unlimited.
  std::uint32_t token_failures_per_second_per_ip = 100;

  // From accept to the end of the request header. Later is answered 408.
  absl::Duration handshake_timeout = absl::Seconds(10);
  // From the upgrade to the `connect` frame, where one is needed. Later closes 4408.
  absl::Duration connect_timeout = absl::Seconds(10);
  // A ping goes to each session this often.
  absl::Duration ping_interval = absl::Seconds(25);
  // From a ping to its pong. Later closes 4408.
  absl::Duration pong_timeout = absl::Seconds(10);

  // Frames a session may send, with bursts of twice as many: each fragment, ping and pong counts.
  // More closes 4429. 0 = unlimited.
  std::uint32_t inbound_messages_per_second = 100;
  // Bytes a session may send, in frames and inflated, with bursts of twice as many, and at least of
  // two messages of the largest size. More closes 4429. 0 = unlimited.
  std::uint64_t inbound_bytes_per_second = kMiB;
  // History that a session may have replayed, with bursts of two full outbound queues. Past it a
  // `subscribe` with a position is answered RESOURCE_EXHAUSTED and a resume closes 4429.
  // 0 = unlimited.
  std::uint64_t replay_bytes_per_second = 256 * kKiB;
  // What all sessions of one user may do together, in multiples of what one session may: frames,
  // bytes and replayed history. The buckets outlive the sessions. More closes 4429. 0 = unlimited.
  std::uint32_t user_rate_multiple = 4;
  // The same for all sessions of one client address. A handshake is answered 429. 0 = unlimited.
  std::uint32_t address_rate_multiple = 200;
  // `join` and `leave` frames of one topic. More wait, and cancel each other out. 0 = unlimited.
  std::uint32_t presence_frames_per_second = 20'000;
  // Topics of one session. One more is refused; the session stays.
  std::uint32_t max_topics_per_session = 128;

  // Bytes queued for one session. More is `overflow` of the topic's rule: close 4413 or a drop.
  std::uint64_t max_outbound_bytes_per_session = kMiB;
  // Bytes queued for all sessions, shared frames counted once for each session. More closes the
  // slowest sessions with 4413. 0 = a share of max_memory_bytes.
  std::uint64_t max_outbound_bytes_total = 0;

  // Open Push streams. One more is answered RESOURCE_EXHAUSTED.
  std::uint32_t max_push_streams = 1024;
  // Commands of one Push stream without a result. Herald stops reading the stream.
  std::uint32_t max_commands_in_flight = 4096;
  // How long after a command succeeded its repeat is recognised.
  absl::Duration idempotency_window = absl::Minutes(2);
  // Commands whose repeats are recognised. Past it the oldest are forgotten early. 0 = a share of
  // max_memory_bytes.
  std::uint32_t max_idempotency_keys = 0;
  // What waits in one shard's mailbox. Past either, Push streams are not read until the mailbox is
  // down to half. Bytes: 0 = a share of max_memory_bytes.
  std::uint32_t mailbox_high_watermark_messages = 65536;
  std::uint64_t mailbox_high_watermark_bytes = 0;

  // Bytes of a client's frame before it has said `connect`. More closes 1009.
  std::uint64_t max_connect_bytes = 32 * kKiB;
  // From the first bytes of a client's message to its last. Later closes 4408.
  absl::Duration message_timeout = absl::Seconds(10);

  // The memory budget, kernel socket buffers included: session/memory_shares.h divides it. Close to
  // it new sessions are answered 503 and new messages RESOURCE_EXHAUSTED, at it the slowest sessions
  // are closed. 0 = a share of the container's limit.
  std::uint64_t max_memory_bytes = 0;

  // A session that reaches `high` counts as slow until it is down to `low`.
  std::uint64_t outbound_high_watermark_bytes() const { return max_outbound_bytes_per_session / 2; }
  std::uint64_t outbound_low_watermark_bytes() const { return max_outbound_bytes_per_session / 4; }
  std::uint32_t mailbox_low_watermark_messages() const {
    return mailbox_high_watermark_messages / 2;
  }
  std::uint64_t mailbox_low_watermark_bytes() const { return mailbox_high_watermark_bytes / 2; }
  std::uint32_t inbound_burst_messages() const { return 2 * inbound_messages_per_second; }
  std::uint64_t inbound_burst_bytes() const {
    return 2 * std::max(inbound_bytes_per_second, 2 * max_message_bytes + 4 * kKiB);
  }
  std::uint64_t replay_burst_bytes() const {
    return 2 * std::max(replay_bytes_per_second, max_outbound_bytes_per_session);
  }

  friend bool operator==(const Limits&, const Limits&) = default;
};

}  // namespace herald
