#include "service/push_request_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <limits>
#include <utility>

#include "fmt/format.h"

namespace herald {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr std::uint32_t kCommandTag = WireFormatLite::MakeTag(
    v1::PushRequest::kCommandsFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

// A message whose parts are in `arena` too.
template <typename Message>
Message* NewMessage(google::protobuf::Arena& arena) {
#ifdef __SANITIZE_THREAD__
  // Messages in an arena crash with the distribution's protobuf, which is not instrumented.
  auto* message = new Message;
  arena.Own(message);
  return message;
#elif GOOGLE_PROTOBUF_VERSION < 4000000
  return google::protobuf::Arena::CreateMessage<Message>(&arena);
#else
  return google::protobuf::Arena::Create<Message>(&arena);
#endif
}

absl::Status NoRequest() {
  return absl::InvalidArgumentError("the request is not a herald.v1.PushRequest");
}

}  // namespace

absl::Status PushRequestReader::Start(std::string wire) {
  Clear();
  if (wire.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) return NoRequest();
  wire_ = std::move(wire);
  std::string rest;
  CodedInputStream input(reinterpret_cast<const std::uint8_t*>(wire_.data()),
                         static_cast<int>(wire_.size()));
  while (true) {
    const auto begin = static_cast<std::size_t>(input.CurrentPosition());
    const std::uint32_t tag = input.ReadTag();
    if (tag == 0) {
      if (begin != wire_.size()) return Clear(), NoRequest();
      break;
    }
    std::uint32_t length = 0;
    const bool read = tag == kCommandTag
                          ? input.ReadVarint32(&length) && input.Skip(static_cast<int>(length))
                          : WireFormatLite::SkipField(&input, tag);
    if (!read) return Clear(), NoRequest();
    const auto end = static_cast<std::size_t>(input.CurrentPosition());
    if (tag != kCommandTag) {
      rest.append(wire_, begin, end - begin);
      continue;
    }
    if (length > max_command_bytes_) {
      const int number = commands_;
      return Clear(), absl::InvalidArgumentError(
                          fmt::format("commands[{}] has {} bytes, over the limit of {} a command",
                                      number, length, max_command_bytes_));
    }
    AddCommand(begin, end);
  }
  if (commands_ > kMaxCommands) {
    const int commands = commands_;
    return Clear(),
           absl::InvalidArgumentError(fmt::format(
               "commands has {} entries, over the limit of {} a request", commands, kMaxCommands));
  }
  if (!rest_.ParseFromString(rest)) return Clear(), NoRequest();
  return absl::OkStatus();
}

void PushRequestReader::AddCommand(std::size_t begin, std::size_t end) {
  ++commands_;
  if (!parts_.empty() && parts_.back().end == begin && commands_in_part_ < kCommandsAPart &&
      end - parts_.back().begin <= kPartBytes) {
    parts_.back().end = end;
    ++commands_in_part_;
    return;
  }
  // What is refused for its number needs no parts.
  if (commands_ > kMaxCommands) return;
  parts_.push_back({begin, end});
  commands_in_part_ = 1;
}

v1::PushRequest* PushRequestReader::NextPart(google::protobuf::Arena& arena) {
  arena.Reset();
  auto* request = NewMessage<v1::PushRequest>(arena);
  const Part part = parts_[next_part_++];
  if (!request->ParseFromArray(wire_.data() + part.begin, static_cast<int>(part.end - part.begin)))
    return nullptr;
  return request;
}

void PushRequestReader::Clear() {
  std::string().swap(wire_);
  rest_.Clear();
  commands_ = commands_in_part_ = 0;
  parts_.clear();
  next_part_ = 0;
}

}  // namespace herald
