#include "service/producer_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ProducerEntry Entry(const std::string& name, const std::string& token,
                    const std::string& certificate = "") {
  ProducerEntry entry;
  entry.rights.name = name;
  if (!token.empty()) entry.token_hashes = {HashToken(token)};
  entry.certificate = certificate;
  return entry;
}

std::shared_ptr<const ProducerTable> Table(std::vector<ProducerEntry> entries) {
  return std::make_shared<const ProducerTable>(std::move(entries));
}

TEST(ProducerAuthTest, WithoutAFileAnybodyMayDoEverything) {
  const ProducerAuth auth;
  const auto nobody = auth.Check({});
  ASSERT_TRUE(nobody.ok());
  EXPECT_EQ(nobody->name, "");
  EXPECT_EQ(nobody->rights, nullptr);
}

TEST(ProducerAuthTest, G6WithoutAFileACertificateStillNamesTheProducer) {
  const ProducerAuth auth;
  EXPECT_EQ(auth.Check({"", {"spiffe://shop/a", "CN=a"}})->name, "spiffe://shop/a");
}

TEST(ProducerAuthTest, TellsTheProducerByItsToken) {
  const ProducerAuth auth(
      Table({Entry("orders", "0123456789abcdef"), Entry("chat", "fedcba9876543210#x")}));
  EXPECT_EQ(auth.Check({"Bearer 0123456789abcdef", {}})->name, "orders");
  EXPECT_EQ(auth.Check({"bearer   fedcba9876543210#x", {}})->name, "chat");
  for (const char* bad : {"", "Bearer ", "Bearer  ", "Bearer 0123456789abcde",
                          "Basic 0123456789abcdef", "0123456789abcdef"}) {
    EXPECT_EQ(auth.Check({bad, {}}).status().code(), absl::StatusCode::kUnauthenticated) << bad;
  }
  EXPECT_EQ(auth.unauthenticated(), 6u);
}

TEST(ProducerAuthTest, G6TellsTheProducerByItsCertificate) {
  const ProducerAuth auth(Table({Entry("orders", "", "spiffe://shop/orders"),
                                 Entry("billing", "0123456789abcdef", "CN=billing,O=shop")}));
  EXPECT_EQ(auth.Check({"", {"spiffe://shop/orders", "CN=x"}})->name, "orders");
  EXPECT_EQ(auth.Check({"", {"shop.test", "CN=billing,O=shop"}})->name, "billing");
  EXPECT_EQ(auth.Check({"Bearer 0123456789abcdef", {"shop.test"}})->name, "billing");
  const ProducerCredential refused[] = {
      {"", {"spiffe://shop/orders/x"}},
      {"", {"spiffe://shop/orders", "CN=billing,O=shop"}},       // two producers
      {"Bearer 0123456789abcdef", {"spiffe://shop/orders"}},     // also two
      {"Bearer an-unknown-token-1", {"spiffe://shop/orders"}}};  // no second try
  for (const ProducerCredential& credential : refused)
    EXPECT_EQ(auth.Check(credential).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST(ProducerAuthTest, ReplaceSaysWhatChangedAndKeepsTheAccounts) {
  ProducerAuth auth(Table({Entry("a", "token-of-a-0000000"), Entry("b", "token-of-b-0000000")}));
  const Producer before = *auth.Check({"Bearer token-of-a-0000000", {}});
  ProducerEntry changed = Entry("a", "token-of-a-0000000");
  changed.rights.all = true;
  const ProducerAuth::Changes changes =
      auth.Replace(Table({changed, Entry("c", "token-of-c-0000000")}));
  EXPECT_THAT(changes.added, ElementsAre("c"));
  EXPECT_THAT(changes.changed, ElementsAre("a"));
  EXPECT_THAT(changes.removed, ElementsAre("b"));
  const Producer after = *auth.Check({"Bearer token-of-a-0000000", {}});
  EXPECT_EQ(after.account, before.account);
  EXPECT_TRUE(after.rights->all);
  EXPECT_FALSE(before.rights->all);
  EXPECT_GT(auth.generation(), before.generation);
  EXPECT_FALSE(auth.Check({"Bearer token-of-b-0000000", {}}).ok());
  // The same once more is no change.
  EXPECT_TRUE(auth.Replace(Table({changed, Entry("c", "token-of-c-0000000")})).none());
  EXPECT_EQ(auth.generation(), after.generation);
}

}  // namespace
}  // namespace herald
