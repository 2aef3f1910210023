#include "service/producers_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/escaping.h"
#include "fmt/format.h"

namespace herald {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kHash(64, 'a');

std::string Error(const std::string& text) {
  return std::string(ParseProducers(text, "f").status().message());
}

std::string With(const std::string& line) {
  return fmt::format("producers:\n  - name: a\n    token_sha256: [{}]\n    {}\n", kHash, line);
}

TEST(ProducersFileTest, G6ReadsEveryKey) {
  const auto entries = ParseProducers(R"(
producers:
  - name: orders
    token_sha256: ["AA00000000000000000000000000000000000000000000000000000000000000"]
    certificate: "spiffe://shop/orders"
    may: [deliver, join, disconnect, labels, query, watch, handle, operate]
    topics: ["orders/**", "x"]
    users: ["**"]
    all: true
    selectors: true
    commands_per_second: 5000
    bytes_per_second: 1000000
    push_streams: 7
  - name: least
    certificate: CN=least
)",
                                      "f");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  const ProducerEntry& orders = entries->front();
  EXPECT_EQ(orders.token_hashes.front(), absl::HexStringToBytes("aa" + std::string(62, '0')));
  EXPECT_EQ(orders.certificate, "spiffe://shop/orders");
  EXPECT_TRUE(orders.rights.may.all());
  EXPECT_THAT(orders.rights.reach.topics.texts(), ElementsAre("orders/**", "x"));
  EXPECT_TRUE(orders.rights.reach.users.everything());
  EXPECT_TRUE(orders.rights.all && orders.rights.selectors);
  EXPECT_EQ(orders.rights.limits, (ProducerLimits{5000, 1'000'000, 7}));
  const ProducerRights& least = entries->back().rights;
  EXPECT_TRUE(least.may.none() && !least.all && !least.selectors);
  EXPECT_TRUE(least.reach.topics.empty() && least.reach.users.empty());
  EXPECT_EQ(least.limits, ProducerLimits{});
}

TEST(ProducersFileTest, G6ErrorsNameFileLineAndKey) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "holds no producers"},
      {"producers: []\n", "f:1"},
      {"producers: 3\n", "f:1"},
      {"producer:\n  - name: a\n", "f:1: unknown key producer"},
      {"producers:\n  - a\n", "f:2"},
      {"producers:\n  - may: [deliver]\n", "no name"},
      {"producers:\n  - name: a b\n", "f:2: name"},
      {"producers:\n  - name: a\n", "neither token_sha256 nor certificate"},
      {With("tokens: [x]"), "f:4: unknown key tokens"},
      {With("name: b"), "f:4: name is there twice"},
      {With("may: [deliver, sing]"), "f:4: may \"sing\" is not one of"},
      {With("may: [deliver, deliver]"), "deliver is there twice"},
      {With("may: deliver"), "f:4: may is not a list"},
      {With("topics: [\"a*\"]"), "f:4: topics pattern"},
      {With("topics: [\"$user/**\"]"), "reserved topics"},
      {With("topics: [\"$all\"]"), "reserved topics"},
      {With("topics: [a, a]"), "there twice"},
      {With("users: [\"\"]"), "f:4: users"},
      {With("all: maybe"), "f:4: all is not true or false"},
      {With("commands_per_second: 0"), "f:4: commands_per_second"},
      {With("bytes_per_second: 1MB"), "f:4: bytes_per_second"},
      {With("push_streams: -1"), "f:4: push_streams"},
      {With("certificate: \"*.shop\""), "wildcard"},
      {"producers:\n  - name: a\n    token_sha256: [abc]\n", "f:3: token_sha256"},
      {"producers:\n  - name: a\n    token_sha256: []\n", "f:3: token_sha256"},
      {"producers:\n  - {name: a, certificate: x}\n  - {name: a, certificate: y}\n", "f:3"},
      {"producers:\n  - {name: a, certificate: x}\n  - {name: b, certificate: x}\n", "f:3"},
      {fmt::format("producers:\n  - {{name: a, token_sha256: [{0}]}}\n  - {{name: b, "
                   "token_sha256: [{0}]}}\n",
                   kHash),
       "f:3: a hash of producer b is there twice"},
      {"producers:\n  - name: [\n", "f"},
  };
  for (const auto& [text, error] : cases) EXPECT_THAT(Error(text), HasSubstr(error)) << text;
}

TEST(ProducersFileTest, G17ATokenInPlaceOfItsHashIsNotRepeated) {
  const std::string text = "producers:\n  - name: a\n    token_sha256: [my-secret-token-of-a]\n";
  EXPECT_THAT(Error(text), HasSubstr("SHA-256"));
  EXPECT_THAT(Error(text), ::testing::Not(HasSubstr("my-secret-token-of-a")));
}

TEST(ProducersFileTest, G17AFileThatOthersMayReadWarns) {
  const std::string path = testing::TempDir() + "/producers.yaml";
  std::ofstream(path) << With("all: true");
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_THAT(ReadProducersFile(path)->warnings, ElementsAre(HasSubstr("may read it")));
  ASSERT_EQ(::chmod(path.c_str(), 0440), 0);
  EXPECT_THAT(ReadProducersFile(path)->warnings, IsEmpty());
  EXPECT_FALSE(ReadProducersFile("/nonexistent").ok());
  EXPECT_FALSE(ReadProducersFile(testing::TempDir()).ok());
}

// Opening a FIFO waits for a writer.
TEST(ProducersFileTest, G19OnlyARegularFileIsRead) {
  const std::string path = ::testing::TempDir() + "/producers.fifo";
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto read = ReadProducersFile(path);
  EXPECT_THAT(std::string(read.status().message()), HasSubstr("is not a regular file"));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace herald
