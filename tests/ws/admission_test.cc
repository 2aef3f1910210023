#include "ws/admission.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace herald {
namespace {

using Verdict = Admission::Verdict;
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TEST(AdmissionTest, AdmitsUpToItsLimit) {
  Admission admission({.max_sessions = 2});
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("b", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("c", kNow), Verdict::kFull);
  EXPECT_EQ(admission.admitted(), 2u);
  admission.Release("a");
  EXPECT_EQ(admission.Admit("c", kNow), Verdict::kAdmitted);
}

TEST(AdmissionTest, CountsByAddress) {
  Admission admission({.max_sessions_per_ip = 2});
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kTooManyFromAddress);
  EXPECT_EQ(admission.Admit("b", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.admitted(), 3u);
  admission.Release("a");
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kTooManyFromAddress);
}

TEST(AdmissionTest, AdmitsSoManyASecond) {
  Admission admission({.handshakes_per_second = 10});
  for (int i = 0; i < 10; ++i) EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kTooFast);
  EXPECT_EQ(admission.admitted(), 10u);
  EXPECT_EQ(admission.Admit("a", kNow + absl::Milliseconds(99)), Verdict::kTooFast);
  EXPECT_EQ(admission.Admit("a", kNow + absl::Milliseconds(201)), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow + absl::Milliseconds(202)), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", kNow + absl::Milliseconds(203)), Verdict::kTooFast);
  // Idle time saves up one second's worth.
  const absl::Time later = kNow + absl::Hours(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(admission.Admit("a", later), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("a", later), Verdict::kTooFast);
}

TEST(AdmissionTest, AClockSetBackCostsNobodyAnything) {
  Admission admission({.handshakes_per_second = 10});
  EXPECT_EQ(admission.Admit("a", kNow), Verdict::kAdmitted);
  const absl::Time earlier = kNow - absl::Hours(1);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(admission.Admit("a", earlier), Verdict::kAdmitted) << i;
  EXPECT_EQ(admission.Admit("a", earlier), Verdict::kTooFast);
  EXPECT_EQ(admission.Admit("a", earlier + absl::Milliseconds(101)), Verdict::kAdmitted);
}

TEST(AdmissionTest, ReleasesAreExactUnderConcurrency) {
  Admission admission({.max_sessions = 3, .max_sessions_per_ip = 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, ip = std::to_string(t % 2)] {
      for (int i = 0; i < 5000; ++i) {
        if (admission.Admit(ip, kNow) == Verdict::kAdmitted) {
          EXPECT_LE(admission.admitted(), 3u + 4);  // others may be about to be refused
          admission.Release(ip);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admission.admitted(), 0u);
  EXPECT_EQ(admission.Admit("0", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("0", kNow), Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit("0", kNow), Verdict::kTooManyFromAddress);
}

}  // namespace
}  // namespace herald
