// What the tests of Idempotency share.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "service/idempotency.h"

namespace herald {

inline constexpr int kAlreadyExists = 6, kNotFound = 5, kOutOfRange = 11;

inline Fingerprint Payload(std::string_view text) { return FingerprintOf({text}); }

inline v1::CommandResult Success(std::uint64_t seq, const std::string& message_id = "m") {
  v1::CommandResult result;
  result.set_seq(seq);
  result.set_message_id(message_id);
  result.set_matched(3);
  v1::Position& position = *result.add_positions();
  position.set_topic("news");
  position.set_offset(seq);
  return result;
}

inline v1::CommandResult Failure(std::uint64_t seq) {
  v1::CommandResult result;
  result.set_seq(seq);
  result.set_code(kNotFound);
  result.set_detail("nobody");
  return result;
}

class IdempotencyTest : public ::testing::Test {
 protected:
  static constexpr absl::Duration kWindow = absl::Minutes(2);
  using Begun = Idempotency::Begun;
  using Ticket = Idempotency::Ticket;

  Begun Begin(const Idempotency::Stream& stream, std::uint64_t seq,
              std::string_view payload = "x") {
    return memory_.Begin(stream, seq, Payload(payload), [&] { return Collect(); });
  }
  Begun BeginKey(std::string_view key, std::string_view payload = "x", std::uint64_t seq = 1,
                 std::string_view name = "shop") {
    return memory_.Begin(name, key, seq, Payload(payload), [&] { return Collect(); });
  }
  Idempotency::Done Collect() {
    return [this](v1::CommandResult result) { waited_.push_back(std::move(result)); };
  }

  static bool Runs(const Begun& begun) { return std::holds_alternative<Ticket>(begun); }
  static bool Waits(const Begun& begun) { return std::holds_alternative<Idempotency::Wait>(begun); }
  static v1::CommandResult AnswerOf(const Begun& begun) {
    const auto* answer = std::get_if<v1::CommandResult>(&begun);
    EXPECT_NE(answer, nullptr) << "it is not answered";
    return answer ? *answer : v1::CommandResult();
  }
  void Finish(const Begun& begun, v1::CommandResult result) {
    ASSERT_TRUE(Runs(begun));
    memory_.Finish(std::get<Ticket>(begun), result);
  }
  // Carries out these, in order.
  void Succeed(const Idempotency::Stream& stream, std::initializer_list<std::uint64_t> seqs) {
    for (const std::uint64_t seq : seqs) Finish(Begin(stream, seq), Success(seq));
  }
  void Pass(absl::Duration time) { now_ += absl::ToChronoNanoseconds(time); }

  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  std::vector<v1::CommandResult> waited_;
  Idempotency memory_{kWindow, 1000, [this] { return now_; }};
};

}  // namespace herald
