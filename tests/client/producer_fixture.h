// What the tests of Producer share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "client/producer.h"
#include "tests/client/fake_herald.h"

namespace herald {

inline absl::Time Deadline() { return absl::Now() + absl::Seconds(20); }

inline std::vector<std::uint64_t> UpTo(std::uint64_t last) {
  std::vector<std::uint64_t> seqs(last);
  std::iota(seqs.begin(), seqs.end(), 1);
  return seqs;
}

inline v1::Command Deliver(const std::string& payload = "x",
                           v1::ReportLevel report = v1::REPORT_LEVEL_UNSPECIFIED) {
  v1::Command command;
  command.mutable_deliver()->mutable_target()->set_all(true);
  command.mutable_deliver()->mutable_message()->set_payload(payload);
  command.mutable_deliver()->set_report(report);
  return command;
}

inline Producer::Options Quick() {
  Producer::Options options;
  options.initial_backoff = absl::Milliseconds(1);
  options.max_backoff = absl::Milliseconds(20);
  return options;
}

// A stream that lasts as long as the longest wait begins the backoff again; here none does.
inline Producer::Options WithoutReset() {
  Producer::Options options = Quick();
  options.max_backoff = absl::Minutes(1);
  return options;
}

// The first streams as planned, those after them whole.
inline FakeHerald::Planner First(std::vector<FakeHerald::Plan> plans) {
  return [plans = std::move(plans)](std::size_t stream) {
    return stream < plans.size() ? plans[stream] : FakeHerald::Plan{};
  };
}

inline FakeHerald::Plan Refused(grpc::StatusCode code, const std::string& message = "no") {
  return {.refused = grpc::Status(code, message)};
}

// What callbacks were told, in order. Callbacks come one at a time; a test reads after they ended.
struct Told {
  std::vector<v1::CommandResult> results;
  std::vector<absl::Status> errors;  // of commands without a result
  std::vector<absl::StatusOr<v1::Receipt>> receipts;
  std::vector<std::string> order;  // "result 1", "receipt 1"

  Producer::OnResult Result(int number = 0) {
    return [this, number](absl::StatusOr<v1::CommandResult> result) {
      order.push_back("result " + std::to_string(number));
      if (result.ok()) {
        results.push_back(*std::move(result));
      } else {
        errors.push_back(result.status());
      }
    };
  }
  Producer::OnReceipt Receipt(int number = 0) {
    return [this, number](absl::StatusOr<v1::Receipt> receipt) {
      order.push_back("receipt " + std::to_string(number));
      receipts.push_back(std::move(receipt));
    };
  }
  std::vector<std::uint64_t> seqs() const {
    std::vector<std::uint64_t> seqs;
    for (const v1::CommandResult& result : results) seqs.push_back(result.seq());
    return seqs;
  }
};

inline void SendMany(Producer& producer, Told& told, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(producer.WaitForRoom(Deadline()).ok());
    ASSERT_TRUE(producer.Send(Deliver(), told.Result()).ok());
  }
}

}  // namespace herald
