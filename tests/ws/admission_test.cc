#include "ws/admission.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/session/node.h"

namespace herald {
namespace {

using Verdict = Admission::Verdict;
using Ticket = Admission::Ticket;

constexpr std::int64_t kNow = 1'000'000'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;

AddressKey Key(int number) {
  return ClientAddress::FromV4(
             {10, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)})
      .key();
}

class AdmissionTest : public ::testing::Test {
 protected:
  // One connection with an owner that is told when it has to go.
  struct Connection {
    Ticket ticket;
    std::shared_ptr<std::atomic<bool>> evicted = std::make_shared<std::atomic<bool>>(false);
  };
  Connection Accept(Admission& admission, const AddressKey& key, std::int64_t now = kNow) {
    Admission::Accepted accepted = admission.Accept(key, false, *node_.shards()[0], now);
    verdict_ = accepted.verdict;
    Connection connection{std::move(accepted.ticket)};
    if (connection.ticket) {
      EXPECT_TRUE(connection.ticket.SetOwner(connection.evicted, [](void* evicted) {
        static_cast<std::atomic<bool>*>(evicted)->store(true);
      }));
    }
    return connection;
  }
  [[nodiscard]] bool IsEvicted(const Connection& connection) {
    node_.Settle();
    return *connection.evicted;
  }

  Node node_{1};
  Verdict verdict_ = Verdict::kAdmitted;
};

TEST_F(AdmissionTest, SessionsAreAdmittedUpToTheirLimit) {
  Admission admission({.max_sessions = 2});
  Connection a = Accept(admission, Key(1)), b = Accept(admission, Key(2)),
             c = Accept(admission, Key(3));
  EXPECT_EQ(a.ticket.BecomeSession(), Verdict::kAdmitted);
  EXPECT_EQ(b.ticket.BecomeSession(), Verdict::kAdmitted);
  EXPECT_EQ(c.ticket.BecomeSession(), Verdict::kSessionsFull);
  EXPECT_EQ(c.ticket.MayBecomeSession(), Verdict::kSessionsFull);
  EXPECT_EQ(admission.sessions(), 2u);
  EXPECT_EQ(admission.connections(), 3u);
  a = {};
  EXPECT_EQ(c.ticket.BecomeSession(), Verdict::kAdmitted);
  EXPECT_EQ(admission.refused(Verdict::kSessionsFull), 2u);
}

TEST_F(AdmissionTest, SessionsCountByAddress) {
  Admission admission({.max_sessions_per_ip = 1});
  Connection a = Accept(admission, Key(1)), b = Accept(admission, Key(1)),
             c = Accept(admission, Key(2));
  EXPECT_EQ(a.ticket.BecomeSession(), Verdict::kAdmitted);
  EXPECT_EQ(b.ticket.BecomeSession(), Verdict::kSessionsPerAddress);
  EXPECT_EQ(c.ticket.BecomeSession(), Verdict::kAdmitted);
  a = {};
  EXPECT_EQ(b.ticket.BecomeSession(), Verdict::kAdmitted);
}

// Strangers fill the pool of those without a session, and never a session's place.
TEST_F(AdmissionTest, G9StrangersHoldNoSession) {
  Admission admission({.max_connections = 10, .max_sessions = 8, .max_unauthenticated = 4});
  std::vector<Connection> strangers;
  for (int i = 0; i < 4; ++i) strangers.push_back(Accept(admission, Key(1)));
  std::vector<Connection> honest;
  for (int i = 0; i < 8; ++i) {
    honest.push_back(Accept(admission, Key(100 + i)));
    ASSERT_EQ(verdict_, Verdict::kAdmitted) << i;
    EXPECT_EQ(honest.back().ticket.BecomeSession(), Verdict::kAdmitted) << i;
  }
  EXPECT_EQ(admission.sessions(), 8u);
  // Each of them pushed out the stranger that had waited longest, as long as there were two.
  EXPECT_GE(admission.evicted(), 1u);
  EXPECT_TRUE(IsEvicted(strangers[0]));
}

TEST_F(AdmissionTest, G4AFullPoolEvictsTheOldestOfTheHeaviestAddress) {
  Admission admission({.max_unauthenticated = 3});
  Connection honest = Accept(admission, Key(1), kNow);
  Connection first = Accept(admission, Key(2), kNow + 1),
             second = Accept(admission, Key(2), kNow + 2);
  Connection newcomer = Accept(admission, Key(3), kNow + 3);
  EXPECT_EQ(verdict_, Verdict::kAdmitted);
  EXPECT_TRUE(IsEvicted(first));
  EXPECT_FALSE(IsEvicted(honest));
  EXPECT_FALSE(IsEvicted(second));
  EXPECT_EQ(first.ticket.BecomeSession(), Verdict::kFull);
  EXPECT_FALSE(first.ticket.SetOwner({}, nullptr));
  EXPECT_EQ(admission.connections(), 4u);  // the evicted one has not been closed yet
  first = {};
  EXPECT_EQ(admission.connections(), 3u);
}

// Many honest clients at once must not end each other's handshakes.
TEST_F(AdmissionTest, G4YoungConnectionsOfLightAddressesStay) {
  Admission admission({.max_unauthenticated = 2});
  Connection a = Accept(admission, Key(1), kNow), b = Accept(admission, Key(2), kNow);
  Connection c = Accept(admission, Key(3), kNow + Admission::kGraceNs - 1);
  EXPECT_EQ(verdict_, Verdict::kFull);
  EXPECT_FALSE(IsEvicted(a));
  Connection d = Accept(admission, Key(3), kNow + Admission::kGraceNs);
  EXPECT_EQ(verdict_, Verdict::kAdmitted);
  EXPECT_TRUE(IsEvicted(a));
  EXPECT_FALSE(IsEvicted(b));
}

TEST_F(AdmissionTest, G9AnAddressPushesOutItsOwnConnections) {
  Admission admission({.max_unauthenticated = 100, .max_unauthenticated_per_ip = 2});
  Connection other = Accept(admission, Key(2), kNow - kSecond);
  Connection a = Accept(admission, Key(1), kNow), b = Accept(admission, Key(1), kNow + 1);
  Connection c = Accept(admission, Key(1), kNow + 2);
  EXPECT_EQ(verdict_, Verdict::kUnauthenticatedPerAddress);
  Connection d = Accept(admission, Key(1), kNow + kSecond);
  EXPECT_EQ(verdict_, Verdict::kAdmitted);
  EXPECT_TRUE(IsEvicted(a));
  EXPECT_FALSE(IsEvicted(other));
  EXPECT_EQ(b.ticket.BecomeSession(), Verdict::kAdmitted);
  // A session no longer counts for the pool.
  Connection e = Accept(admission, Key(1), kNow + kSecond);
  EXPECT_EQ(verdict_, Verdict::kAdmitted);
}

TEST_F(AdmissionTest, D1ConnectionsNeverExceedTheirDescriptors) {
  Admission admission({.max_connections = 100, .max_sessions = 90, .max_unauthenticated = 50});
  std::vector<Connection> held;
  for (int i = 0; i < 90; ++i) {
    held.push_back(Accept(admission, Key(i)));
    ASSERT_EQ(held.back().ticket.BecomeSession(), Verdict::kAdmitted);
  }
  // Evicted ones are not closed here, as by shards that are too busy.
  for (int i = 0; i < 1000; ++i)
    held.push_back(Accept(admission, Key(i), kNow + i * Admission::kGraceNs));
  EXPECT_LE(admission.connections(), 100 + 1 + Admission::kMinEvicted);
  EXPECT_GT(admission.refused(Verdict::kFull), 0u);
  held.clear();
  EXPECT_EQ(admission.connections(), 0u);
  EXPECT_EQ(admission.sessions(), 0u);
}

TEST_F(AdmissionTest, HandshakesAreLimitedForAll) {
  Admission admission({.handshakes_per_second = 10});
  Connection a = Accept(admission, Key(1));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(a.ticket.ChargeHandshake(kNow), Verdict::kAdmitted);
  EXPECT_EQ(a.ticket.ChargeHandshake(kNow), Verdict::kTooFast);
  EXPECT_EQ(a.ticket.ChargeHandshake(kNow + 99'000'000), Verdict::kTooFast);
  EXPECT_EQ(a.ticket.ChargeHandshake(kNow + 201'000'000), Verdict::kAdmitted);
}

TEST_F(AdmissionTest, G9OneAddressUsesUpItsOwnHandshakes) {
  Admission admission({.handshakes_per_second = 100, .handshakes_per_second_per_ip = 3});
  Connection a = Accept(admission, Key(1)), b = Accept(admission, Key(2));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(a.ticket.ChargeHandshake(kNow), Verdict::kAdmitted);
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(a.ticket.ChargeHandshake(kNow), Verdict::kTooFastFromAddress);
  EXPECT_EQ(b.ticket.ChargeHandshake(kNow), Verdict::kAdmitted);
  // The bucket is the address's: a new connection finds it empty.
  a = {};
  a = Accept(admission, Key(1));
  EXPECT_EQ(a.ticket.ChargeHandshake(kNow), Verdict::kTooFastFromAddress);
}

TEST_F(AdmissionTest, G13FailedTlsHandshakesCloseTheDoorForAWhile) {
  Admission admission({.tls_failures_per_second_per_ip = 5});
  Connection a = Accept(admission, Key(1)), b = Accept(admission, Key(2));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(a.ticket.BeginTls(kNow), Verdict::kAdmitted);
    a.ticket.ChargeTlsFailure(kNow);
  }
  EXPECT_EQ(a.ticket.BeginTls(kNow), Verdict::kTlsFailures);
  EXPECT_EQ(b.ticket.BeginTls(kNow), Verdict::kAdmitted);
  EXPECT_EQ(a.ticket.BeginTls(kNow + kSecond), Verdict::kAdmitted);
}

TEST_F(AdmissionTest, AConnectionBehindAProxyCountsForItsClient) {
  Admission admission({.max_unauthenticated_per_ip = 1});
  std::vector<Ticket> tickets;
  // The limit by address is not the proxy's.
  for (int i = 0; i < 3; ++i) {
    Admission::Accepted accepted = admission.Accept(Key(9), true, *node_.shards()[0], kNow);
    ASSERT_EQ(accepted.verdict, Verdict::kAdmitted);
    tickets.push_back(std::move(accepted.ticket));
  }
  EXPECT_EQ(tickets[0].SetAddress(Key(1), kNow), Verdict::kAdmitted);
  EXPECT_EQ(tickets[1].SetAddress(Key(2), kNow), Verdict::kAdmitted);
  EXPECT_EQ(tickets[2].SetAddress(Key(1), kNow), Verdict::kUnauthenticatedPerAddress);
  EXPECT_EQ(tickets[0].address().unauthenticated, 1u);
  EXPECT_EQ(admission.connections(), 3u);
  tickets.clear();
  EXPECT_EQ(admission.connections(), 0u);
}

TEST_F(AdmissionTest, CountsAreExactUnderConcurrency) {
  Admission admission({.max_connections = 30,
                       .max_sessions = 20,
                       .max_unauthenticated = 8,
                       .max_unauthenticated_per_ip = 5,
                       .max_sessions_per_ip = 7});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, key = Key(t % 2)] {
      std::vector<Ticket> held;
      for (int i = 0; i < 5000; ++i) {
        Admission::Accepted accepted =
            admission.Accept(key, false, *node_.shards()[0], MonotonicNanos());
        if (!accepted.ticket) {
          held.clear();
          continue;
        }
        if (i % 3 != 0) (void)accepted.ticket.BecomeSession();
        if (i % 5 != 0) held.push_back(std::move(accepted.ticket));
        EXPECT_LE(admission.sessions(), 20u);
        EXPECT_LE(admission.connections(), 30 + 1 + Admission::kMinEvicted + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admission.connections(), 0u);
  EXPECT_EQ(admission.sessions(), 0u);
  const AddressTable::Ref address = admission.addresses().Find(Key(0), MonotonicNanos());
  EXPECT_EQ(address->connections, 0u);
  EXPECT_EQ(address->unauthenticated, 0u);
}

}  // namespace
}  // namespace herald
