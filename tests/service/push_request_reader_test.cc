#include "service/push_request_reader.h"

#include <gmock/gmock.h>

namespace herald {
namespace {

using ::testing::HasSubstr;

v1::PushRequest Commands(int count, std::size_t payload_bytes = 10) {
  v1::PushRequest request;
  for (int seq = 1; seq <= count; ++seq) {
    v1::Command& command = *request.add_commands();
    command.set_seq(static_cast<std::uint64_t>(seq));
    command.mutable_deliver()->mutable_target()->set_topic("t");
    command.mutable_deliver()->mutable_message()->set_payload(std::string(payload_bytes, 'x'));
  }
  return request;
}

// The numbers of all commands, and how many each part had.
struct Read {
  std::vector<std::uint64_t> seqs;
  std::vector<int> parts;
};
Read ReadAll(PushRequestReader& reader) {
  Read read;
  google::protobuf::Arena arena;
  while (reader.HasMore()) {
    const v1::PushRequest* part = reader.NextPart(arena);
    if (part == nullptr) break;
    read.parts.push_back(part->commands_size());
    for (const v1::Command& command : part->commands()) read.seqs.push_back(command.seq());
  }
  return read;
}

TEST(PushRequestReaderTest, ReadsEachCommandOnceAndInOrder) {
  PushRequestReader reader(100'000);
  for (const int count : {0, 1, 255, 256, 257, 4096}) {
    v1::PushRequest request = Commands(count);
    request.mutable_open()->set_producer_id("p");
    ASSERT_TRUE(reader.Start(request.SerializeAsString()).ok());
    EXPECT_EQ(reader.commands(), count);
    ASSERT_NE(reader.open(), nullptr);
    EXPECT_EQ(reader.open()->producer_id(), "p");
    const Read read = ReadAll(reader);
    ASSERT_EQ(read.seqs.size(), static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < read.seqs.size(); ++i) EXPECT_EQ(read.seqs[i], i + 1);
    EXPECT_EQ(read.parts.size(), static_cast<std::size_t>((count + 255) / 256));
  }
}

TEST(PushRequestReaderTest, APartHoldsLittleOrOneLargeCommand) {
  PushRequestReader reader(200'000);
  ASSERT_TRUE(reader.Start(Commands(10, 30'000).SerializeAsString()).ok());
  EXPECT_EQ(ReadAll(reader).parts, (std::vector<int>{2, 2, 2, 2, 2}));
  ASSERT_TRUE(reader.Start(Commands(3, 150'000).SerializeAsString()).ok());
  EXPECT_EQ(ReadAll(reader).parts, (std::vector<int>{1, 1, 1}));
}

TEST(PushRequestReaderTest, OpenMayStandBehindTheCommands) {
  v1::PushRequest open;
  open.mutable_open()->set_producer_id("late");
  PushRequestReader reader(100'000);
  ASSERT_TRUE(reader
                  .Start(Commands(2).SerializeAsString() + open.SerializeAsString() +
                         Commands(1).SerializeAsString())
                  .ok());
  ASSERT_NE(reader.open(), nullptr);
  EXPECT_EQ(reader.open()->producer_id(), "late");
  EXPECT_EQ(ReadAll(reader).seqs, (std::vector<std::uint64_t>{1, 2, 1}));
}

TEST(PushRequestReaderTest, RefusesWhatIsTooMuch) {
  PushRequestReader reader(1000);
  absl::Status status = reader.Start(Commands(4097).SerializeAsString());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("4097 entries, over the limit of 4096"));
  v1::PushRequest request = Commands(2);
  request.mutable_commands(1)->mutable_deliver()->mutable_message()->set_payload(
      std::string(1000, 'x'));
  status = reader.Start(request.SerializeAsString());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("commands[1]"));
  EXPECT_FALSE(reader.HasMore());
  EXPECT_EQ(reader.bytes(), 0u);
}

TEST(PushRequestReaderTest, RefusesWhatIsNoRequest) {
  const std::string good = Commands(1).SerializeAsString();
  PushRequestReader reader(100'000);
  for (const std::string& bad :
       {good.substr(0, good.size() - 1), good + std::string("\0", 1), good + "\x12\xff",
        std::string("\x12\xff\xff\xff\xff\x0f"), std::string("\x0b"), std::string("\x0c"),
        std::string("\x0a\x02\x0a\x05"), std::string("\x0f\x01")}) {
    EXPECT_EQ(reader.Start(bad).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(reader.HasMore());
  }
}

TEST(PushRequestReaderTest, ACommandThatCannotBeReadIsToldAtItsPart) {
  PushRequestReader reader(100'000);
  // Two bytes that say they are a `deliver` of 127.
  ASSERT_TRUE(reader.Start(std::string("\x12\x02\x12\x7f", 4)).ok());
  google::protobuf::Arena arena;
  ASSERT_TRUE(reader.HasMore());
  EXPECT_EQ(reader.NextPart(arena), nullptr);
}

}  // namespace
}  // namespace herald
