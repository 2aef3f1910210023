// Client frames of both subprotocols. Whatever the bytes are, they are decoded or refused with a
// reason that fits a close frame; lists and maps stay within their limits; a payload that is
// accepted comes out of the JSON encoder as valid JSON, verbatim.
#include <boost/json/parse.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "session/message.h"
#include "session/payload_kind.h"
#include "tests/fuzz/check.h"
#include "ws/client_content.h"
#include "ws/codec.h"

namespace {

using herald::MessageBody;
using herald::v1::ClientFrame;

void CheckMessage(MessageBody body, const std::string& topic) {
  const auto accepted = herald::AcceptMessage(std::move(body), 64 * 1024);
  if (!accepted.ok()) return;
  std::string frame;
  herald::JsonCodec().Encode(herald::Message(*accepted, topic, {1, 2, 3}), frame);
  const std::size_t brace = frame.find("{\"message\":");
  FUZZ_CHECK(brace <= 10 && brace >= 2);
  const std::string json = frame.substr(brace);
  FUZZ_CHECK(herald::IsUtf8(json));
  if ((*accepted)->kind == herald::PayloadKind::kJson) {
    FUZZ_CHECK(json.ends_with("\"data\":" + (*accepted)->payload + "}}"));
  } else {
    FUZZ_CHECK(herald::IsJson(json));
  }
}

}  // namespace

namespace {

// Small, so that inputs of a few hundred bytes reach them.
constexpr herald::ClientFrameLimits kLimits{.max_topics = 4, .max_labels = 3};

bool Decoded(const herald::Codec& codec, std::string_view bytes, ClientFrame& frame) {
  const absl::Status status = codec.Decode(bytes, kLimits, frame);
  if (status.ok()) {
    FUZZ_CHECK(static_cast<std::size_t>(frame.connect().resume_size()) <= kLimits.max_topics);
    FUZZ_CHECK(frame.connect().labels().size() <= kLimits.max_labels);
    FUZZ_CHECK(frame.ack().offsets().size() <= kLimits.max_topics);
    return true;
  }
  FUZZ_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  FUZZ_CHECK(!status.message().empty() && status.message().size() < 200);
  FUZZ_CHECK(herald::IsUtf8({status.message().data(), status.message().size()}));
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ClientFrame frame, again;
  Decoded(herald::ProtoCodec(), text, again);
  // Beast has checked it before.
  if (!herald::IsUtf8(text) || !Decoded(herald::JsonCodec(), text, frame)) return 0;
  // It is one that the other subprotocol can say as well.
  again.Clear();
  FUZZ_CHECK(Decoded(herald::ProtoCodec(), frame.SerializeAsString(), again));
  FUZZ_CHECK(again.kind_case() == frame.kind_case());
  if (frame.has_publish())
    CheckMessage(herald::ContentOf(frame.publish()), frame.publish().topic());
  if (frame.has_message())
    CheckMessage(herald::ContentOf(frame.message()), frame.message().topic());
  return 0;
}
