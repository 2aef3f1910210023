#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "session/payload_kind.h"
#include "tests/session/node.h"
#include "ws/codec.h"

namespace herald {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::string_literals;
namespace json = boost::json;

v1::ClientFrame Decode(std::string_view text) {
  v1::ClientFrame frame;
  const absl::Status status = JsonCodec().Decode(text, {}, frame);
  EXPECT_TRUE(status.ok()) << text << ": " << status;
  return frame;
}

std::string Error(std::string_view text) {
  v1::ClientFrame frame;
  const absl::Status status = JsonCodec().Decode(text, {}, frame);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text.substr(0, 100);
  return std::string(status.message());
}

TEST(JsonCodecTest, ReadsConnect) {
  const auto frame =
      Decode(R"({"id":1,"connect":{"token":"t.o.k","labels":{"platform":"web","v":"1"},
      "resume":[{"topic":"a","position":"p"},{"topic":"b"}],"previous_session_id":"n-00-1"}})");
  EXPECT_EQ(frame.id(), 1u);
  const v1::Connect& connect = frame.connect();
  EXPECT_EQ(connect.token(), "t.o.k");
  EXPECT_EQ(connect.labels().at("platform"), "web");
  EXPECT_EQ(connect.labels().size(), 2u);
  ASSERT_EQ(connect.resume_size(), 2);
  EXPECT_EQ(connect.resume(0).topic(), "a");
  EXPECT_EQ(connect.resume(0).position(), "p");
  EXPECT_EQ(connect.resume(1).topic(), "b");
  EXPECT_EQ(connect.previous_session_id(), "n-00-1");
  EXPECT_TRUE(Decode(R"({"connect":{}})").has_connect());
}

TEST(JsonCodecTest, ReadsTheOtherKinds) {
  auto frame = Decode(R"({"id":2,"subscribe":{"topic":"news","position":"p"}})");
  EXPECT_EQ(frame.subscribe().topic(), "news");
  EXPECT_EQ(frame.subscribe().position(), "p");
  EXPECT_EQ(Decode(R"({"unsubscribe":{"topic":"news"}})").unsubscribe().topic(), "news");
  frame = Decode(R"({"publish":{"topic":"chat","event":"said","text":"hi"}})");
  EXPECT_EQ(frame.publish().topic(), "chat");
  EXPECT_EQ(frame.publish().event(), "said");
  EXPECT_EQ(frame.publish().text(), "hi");
  frame = Decode(R"({"message":{"event":"e","topic":"t","bytes":"AAH/"}})");
  EXPECT_EQ(frame.message().event(), "e");
  EXPECT_EQ(frame.message().topic(), "t");
  EXPECT_EQ(frame.message().bytes(), "\0\x01\xff"s);
  EXPECT_EQ(Decode(R"({"refresh":{"token":"new"}})").refresh().token(), "new");
  EXPECT_TRUE(Decode(R"({"id":7,"ping":{}})").has_ping());
}

TEST(JsonCodecTest, ReadsAcksAsAMapOfTextOrNumbers) {
  const auto frame =
      Decode(R"({"ack":{"orders/42":"17","b":18446744073709551615,"c":"18446744073709551615"}})");
  EXPECT_EQ(frame.ack().offsets().at("orders/42"), 17u);
  EXPECT_EQ(frame.ack().offsets().at("b"), ~0ull);
  EXPECT_EQ(frame.ack().offsets().at("c"), ~0ull);
  for (const char* value : {"-1", "1.5", "\"x\"", "\"\"", "\"-1\"", "\"1 \"", "null", "{}",
                            "18446744073709551616", "\"18446744073709551616\""}) {
    EXPECT_THAT(Error(fmt::format(R"({{"ack":{{"t":{}}}}})", value)), HasSubstr("`ack`"));
  }
}

TEST(JsonCodecTest, TheIdMayComeLast) {
  const auto frame = Decode(R"({"subscribe":{"topic":"t"},"id":"4294967295"})");
  EXPECT_EQ(frame.id(), 4294967295u);
  EXPECT_EQ(frame.subscribe().topic(), "t");
}

TEST(JsonCodecTest, RefusesBadIds) {
  for (const char* id : {"4294967296", "-1", "1.5", "null", "\"a\"", "{}", "true"}) {
    EXPECT_THAT(Error(fmt::format(R"({{"id":{},"ping":{{}}}})", id)), HasSubstr("`id`")) << id;
  }
}

// A payload is passed on as it stands: numbers keep their digits and strings their escapes.
TEST(JsonCodecTest, DataStandsVerbatim) {
  for (const std::string& data :
       {R"({"a":1.50,"b":[1e400,123456789012345678901234567890],"c":"\u00e9\/"})"s, "[ 1 , 2 ]"s,
        "{ }"s, "\"text \\\" with \\u0041\""s, "1.0"s, "-0"s, "12345678901234567890123"s, "true"s,
        "null"s, "\"\""s, "{\"a\":1,\"a\":2}"s, "{\"deep\":[[[[]]]]}"s}) {
    for (const std::string& around : {""s, " "s, "\n\t"s}) {
      for (const char* rest : {"", ",\"event\":\"e\""}) {
        const auto frame = Decode("{\"publish\":{\"topic\":\"t\",\"data\":" + around + data +
                                  around + rest + "}}");
        EXPECT_EQ(frame.publish().data(), data);
        EXPECT_EQ(frame.publish().event(), *rest ? "e" : "");
      }
    }
  }
}

TEST(JsonCodecTest, ReadsEscapes) {
  const auto frame =
      Decode(R"({"publish":{"topic":"\u00e9\/\n","text":"\ud83d\ude00\"\\\u0000."}})");
  EXPECT_EQ(frame.publish().topic(), "\xc3\xa9/\n");
  EXPECT_EQ(frame.publish().text(), "\xf0\x9f\x98\x80\"\\\0."s);
  // So are keys.
  EXPECT_EQ(Decode(R"({"\u0073ubscribe":{"topi\u0063":"t"}})").subscribe().topic(), "t");
}

TEST(JsonCodecTest, ReadsBothBase64Alphabets) {
  EXPECT_EQ(Decode(R"({"publish":{"bytes":"+/+/"}})").publish().bytes(), "\xfb\xff\xbf");
  EXPECT_EQ(Decode(R"({"publish":{"bytes":"-_-_"}})").publish().bytes(), "\xfb\xff\xbf");
  EXPECT_EQ(Decode(R"({"publish":{"bytes":""}})").publish().bytes(), "");
  EXPECT_TRUE(Decode(R"({"publish":{"bytes":""}})").publish().has_bytes());
  EXPECT_THAT(Error(R"({"publish":{"bytes":"!"}})"), HasSubstr("base64"));
  EXPECT_THAT(Error(R"({"publish":{"bytes":7}})"), HasSubstr("`bytes`"));
}

TEST(JsonCodecTest, IgnoresUnknownFields) {
  const auto frame = Decode(
      R"({"publish":{"x":1,"topic":"t","y":{"topic":"wrong","data":[1]},"text":"hi","z":[[],"]}"]},"id":3})");
  EXPECT_EQ(frame.publish().topic(), "t");
  EXPECT_EQ(frame.publish().text(), "hi");
  EXPECT_EQ(frame.id(), 3u);
  EXPECT_EQ(Decode(R"({"connect":{"new":null,"resume":[{"topic":"a","since":7}]}})")
                .connect()
                .resume_size(),
            1);
  EXPECT_TRUE(Decode(R"({"ping":{"x":[1,2,{}]}})").has_ping());
}

TEST(JsonCodecTest, RefusesAnUnknownKindAndMoreThanOne) {
  EXPECT_EQ(Error(R"({"id":1,"shout":{}})"), "unknown kind of frame `shout`");
  EXPECT_THAT(Error(R"({"ping":{},"subscribe":{"topic":"t"}})"), HasSubstr("one kind"));
  EXPECT_THAT(Error(R"({"ping":{},"ping":{}})"), HasSubstr("one kind"));
}

// It goes into the close frame, which must be UTF-8.
TEST(JsonCodecTest, CutsALongUnknownKindBetweenCharacters) {
  for (std::size_t prefix = 0; prefix < 4; ++prefix) {
    std::string kind(prefix, 'x');
    for (int i = 0; i < 20; ++i) kind += "\xf0\x9f\x98\x80";
    const std::string error = Error("{\"" + kind + "\":{}}");
    EXPECT_LT(error.size(), 100u);
    EXPECT_TRUE(IsUtf8(error)) << prefix;
  }
}

TEST(JsonCodecTest, AFrameWithoutAKindHasNone) {
  EXPECT_EQ(Decode("{}").kind_case(), v1::ClientFrame::KIND_NOT_SET);
  EXPECT_EQ(Decode(R"({"id":1})").kind_case(), v1::ClientFrame::KIND_NOT_SET);
}

TEST(JsonCodecTest, OfAFieldGivenTwiceTheLastOneCounts) {
  EXPECT_EQ(Decode(R"({"subscribe":{"topic":"a","topic":"b"}})").subscribe().topic(), "b");
  EXPECT_EQ(Decode(R"({"id":1,"id":2,"ping":{}})").id(), 2u);
  EXPECT_THAT(Error(R"({"publish":{"data":1,"data":2}})"), HasSubstr("more than one"));
  EXPECT_THAT(Error(R"({"publish":{"data":1,"text":"x"}})"), HasSubstr("more than one"));
  EXPECT_THAT(Error(R"({"publish":{"text":"x","bytes":""}})"), HasSubstr("more than one"));
}

TEST(JsonCodecTest, RefusesWrongTypes) {
  for (const char* text :
       {R"({"connect":[]})", R"({"connect":null})", R"({"connect":"x"})",
        R"({"connect":{"token":1}})", R"({"connect":{"labels":[]}})",
        R"({"connect":{"labels":{"a":1}}})", R"({"connect":{"resume":{}}})",
        R"({"connect":{"resume":["a"]}})", R"({"connect":{"resume":[{"topic":1}]}})",
        R"({"subscribe":{"topic":1}})", R"({"subscribe":{"topic":null}})",
        R"({"unsubscribe":{"topic":[]}})", R"({"publish":{"text":{}}})", R"({"ping":1})",
        R"({"ping":null})", R"({"refresh":{"token":true}})", R"({"ack":[]})"}) {
    EXPECT_THAT(Error(text), HasSubstr("must be")) << text;
  }
}

TEST(JsonCodecTest, RefusesWhatIsNotAnObject) {
  for (const char* text : {"",
                           " ",
                           "[]",
                           "1",
                           "\"x\"",
                           "null",
                           "true",
                           "{",
                           "}",
                           "x",
                           "{\"ping\"",
                           "{\"ping\":",
                           "{\"ping\":{}",
                           "{\"ping\":{}]",
                           "{ping:{}}",
                           "{\"ping\" {}}",
                           "{\"subscribe\":{\"topic\":\"t}",
                           "{\"subscribe\":{\"topic\":\"t\"",
                           "{\"id\":1 \"ping\":{}}",
                           "{\"ping\":{},}",
                           "{\"subscribe\":{\"topic\":\"\\ud800\"}}",
                           "{\"subscribe\":{\"topic\":\"\\x\"}}"}) {
    Error(text);
  }
  Error("{\"ping\":{}}\0"s);
  Error("\0"s);
}

TEST(JsonCodecTest, RefusesWhatFollowsTheFrame) {
  for (const char* rest : {"x", "{}", "1", ",", "]", "}", "\"\"", " {\"ping\":{}}"}) {
    Error(std::string(R"({"ping":{}})") + rest);
  }
  EXPECT_TRUE(Decode(" \t\r\n{\"ping\":{}} \n").has_ping());
}

TEST(JsonCodecTest, SurvivesDeepNesting) {
  const std::string deep = std::string(30'000, '[') + std::string(30'000, ']');
  v1::ClientFrame frame;
  // Passed on or refused: whoever accepts the payload looks at it closer.
  (void)JsonCodec().Decode("{\"publish\":{\"data\":" + deep + "}}", {}, frame);
  (void)JsonCodec().Decode("{\"publish\":{\"x\":" + deep + ",\"topic\":\"t\"}}", {}, frame);
  (void)JsonCodec().Decode(std::string(60'000, '['), {}, frame);
  std::string objects;
  for (int i = 0; i < 10'000; ++i) objects += "{\"connect\":";
  Error(objects);
}

std::string Repeated(int count, std::string_view entry) {
  std::string list;
  for (int i = 0; i < count; ++i) list += (i ? "," : "") + fmt::format(fmt::runtime(entry), i);
  return list;
}

TEST(JsonCodecTest, G8ListsStopAtTheirLimits) {
  const auto resume = [](int count) {
    return R"({"connect":{"resume":[)" + Repeated(count, R"({{"topic":"t{}"}})") + "]}}";
  };
  const auto labels = [](int count) {
    return R"({"connect":{"labels":{)" + Repeated(count, R"("l{}":"v")") + "}}}";
  };
  const auto ack = [](int count) { return R"({"ack":{)" + Repeated(count, R"("t{}":1)") + "}}"; };
  EXPECT_EQ(Decode(resume(130)).connect().resume_size(), 130);
  EXPECT_EQ(Error(resume(131)), "`resume` has more than 130 topics");
  // Not even read further: what follows is no JSON.
  EXPECT_EQ(Error(R"({"connect":{"resume":[)" + Repeated(131, R"({{"topic":"t{}"}})") + ",[[[x"),
            "`resume` has more than 130 topics");
  EXPECT_EQ(Decode(labels(32)).connect().labels().size(), 32u);
  EXPECT_EQ(Error(labels(33)), "`labels` has more than 32 entries");
  EXPECT_EQ(Decode(ack(130)).ack().offsets().size(), 130u);
  EXPECT_EQ(Error(ack(131)), "`ack` has more than 130 topics");
}

// One parser a thread is reused: a frame must not see its predecessor.
TEST(JsonCodecTest, FramesDoNotMixAfterErrors) {
  Error(R"({"subscribe":{"topic":"left over")");
  EXPECT_EQ(Decode(R"({"subscribe":{}})").subscribe().topic(), "");
  EXPECT_EQ(Decode("{\"publish\":{\"text\":\"" + std::string(60'000, 'x') + "\"}}")
                .publish()
                .text()
                .size(),
            60'000u);
  EXPECT_EQ(Decode(R"({"subscribe":{"topic":"t"}})").subscribe().topic(), "t");
}

// --- to the client ---

json::object Parsed(std::string_view bytes) {
  const auto payloads = PayloadsOf(bytes);
  EXPECT_EQ(payloads.size(), 1u);
  boost::system::error_code error;
  const json::value value = json::parse(payloads.at(0), error);
  EXPECT_FALSE(error) << payloads[0];
  return error ? json::object() : value.as_object();
}

json::object Encoded(MessageBody body, const std::string& topic = "t", Position position = {}) {
  body.accepted_unix_ms = body.accepted_unix_ms ? body.accepted_unix_ms : 1;
  const auto accepted = AcceptMessage(std::move(body), 1 << 20);
  EXPECT_TRUE(accepted.ok()) << accepted.status();
  std::string out;
  JsonCodec().Encode(Message(*accepted, topic, position), out);
  EXPECT_EQ(static_cast<unsigned char>(out[0]), 0x81);
  EXPECT_TRUE(IsUtf8(PayloadsOf(out).at(0)));
  return Parsed(out).at("message").as_object();
}

TEST(JsonCodecTest, WritesAMessage) {
  MessageBody body;
  body.id = "id-1";
  body.event = "shipped";
  body.payload = R"({"eta":"12:30"})";
  body.accepted_unix_ms = 1'800'000'000'123;
  body.attributes = {{"traceparent", "00-1"}, {"k", "v"}};
  body.sender = "node-00-1";
  const Position position{1, 17, 2};
  const json::object message = Encoded(body, "orders/42", position);
  EXPECT_EQ(
      json::serialize(message),
      json::serialize(json::parse(
          R"({"topic":"orders/42","offset":"17","position":")" + position.ToToken() +
          R"(","id":"id-1","event":"shipped","time":"2027-01-15T08:00:00.123Z","sender":"node-00-1",
                "attributes":{"traceparent":"00-1","k":"v"},"data":{"eta":"12:30"}})")));
}

TEST(JsonCodecTest, LeavesOutWhatIsEmpty) {
  MessageBody body;
  body.id = "i";
  body.payload = "1";
  const json::object message = Encoded(body, "");
  EXPECT_EQ(message.size(), 3u) << json::serialize(message);  // id, time, data
}

TEST(JsonCodecTest, WritesPayloadsByTheirKind) {
  MessageBody body;
  body.payload = " [1,\n2] ";
  EXPECT_EQ(Encoded(body).at("data"), (json::value{1, 2}));
  body.payload = "say \"hi\"\n\x01";
  body.content_type = "text/plain";
  EXPECT_EQ(Encoded(body).at("text").as_string(), "say \"hi\"\n\x01");
  body.payload = "\xff\xfe";
  body.content_type = "";
  EXPECT_EQ(Encoded(body).at("bytes").as_string(), "//4=");
  body.payload = "";
  EXPECT_EQ(Encoded(body).at("text").as_string(), "");
}

TEST(JsonCodecTest, IsValidJsonWhateverStandsInItsTexts) {
  for (const std::string& nasty :
       {"\""s, "\\"s, "\\\""s, "</script>"s, "\n\r\t\b\f"s, "\x01\x1f\x7f"s, "nul\0byte"s,
        "h\xc3\xa9"s, "\xf0\x9f\x98\x80"s, "\xe2\x80\xa8\xe2\x80\xa9"s, "{\"a\":1}"s, "%s{}"s,
        "\xef\xbf\xbe"s}) {
    MessageBody body;
    body.id = nasty;
    body.event = nasty;
    body.sender = nasty;
    body.payload = nasty;
    body.content_type = "text/plain";
    body.attributes = {{nasty, nasty}, {nasty + "2", ""}};
    const json::object message = Encoded(body, nasty);
    const auto text = [&](const char* key) { return std::string(message.at(key).as_string()); };
    EXPECT_EQ(text("topic"), nasty);
    EXPECT_EQ(text("id"), nasty);
    EXPECT_EQ(text("event"), nasty);
    EXPECT_EQ(text("sender"), nasty);
    EXPECT_EQ(text("text"), nasty);
    const json::object& attributes = message.at("attributes").as_object();
    EXPECT_EQ(attributes.size(), 2u);
    EXPECT_EQ(std::string(attributes.at(nasty).as_string()), nasty);
  }
}

TEST(JsonCodecTest, WritesTheOtherFramesAsCanonicalJson) {
  v1::ServerFrame frame;
  frame.mutable_reply()->set_id(7);
  frame.mutable_reply()->mutable_ok();
  EXPECT_EQ(PayloadsOf(JsonCodec().EncodeFrame(frame)->bytes).at(0),
            R"({"reply":{"id":7,"ok":{}}})");
  EXPECT_EQ(JsonCodec().EncodeFrame(frame)->messages, 0u);

  frame.mutable_reply()->mutable_error()->set_code("PERMISSION_DENIED");
  frame.mutable_reply()->mutable_error()->set_message("no \"way\" \\ <out>\n");
  const auto error = Parsed(JsonCodec().EncodeFrame(frame)->bytes).at("reply").at("error");
  EXPECT_EQ(error.at("message").as_string(), "no \"way\" \\ <out>\n");

  v1::Hello& hello = *frame.mutable_hello();
  hello.set_session_id("s");
  hello.mutable_ping_interval()->set_seconds(25);
  v1::TopicState& state = *hello.add_topics();
  state.set_topic("a");
  state.set_recovered(false);
  state.set_offset(17);
  const auto parsed = Parsed(JsonCodec().EncodeFrame(frame)->bytes).at("hello");
  EXPECT_EQ(parsed.at("session_id").as_string(), "s");
  EXPECT_EQ(parsed.at("ping_interval").as_string(), "25s");
  EXPECT_FALSE(parsed.at("topics").as_array().at(0).at("recovered").as_bool());
  EXPECT_EQ(parsed.at("topics").as_array().at(0).at("offset").as_string(), "17");

  frame.mutable_pong();
  EXPECT_EQ(PayloadsOf(JsonCodec().EncodeFrame(frame)->bytes).at(0), R"({"pong":{}})");
}

// `hello` is not written by protobuf. Fields that come later must not be forgotten there.
TEST(JsonCodecTest, WritesHelloAsProtobufWould) {
  const auto by_protobuf = [](const v1::ServerFrame& frame) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    EXPECT_TRUE(google::protobuf::util::MessageToJsonString(frame, &json, options).ok());
    return boost::json::parse(json);
  };
  v1::ServerFrame frame;
  v1::Hello& hello = *frame.mutable_hello();
  EXPECT_EQ(Parsed(JsonCodec().EncodeFrame(frame)->bytes), by_protobuf(frame));
  // Every field there is, by reflection.
  const auto fill = [](auto&& self, google::protobuf::Message& message) -> void {
    const auto& reflection = *message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const auto* field = message.GetDescriptor()->field(i);
      using Field = google::protobuf::FieldDescriptor;
      if (field->is_repeated()) {
        for (int n = 0; n < 2; ++n) self(self, *reflection.AddMessage(&message, field));
      } else if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
        self(self, *reflection.MutableMessage(&message, field));
      } else if (field->cpp_type() == Field::CPPTYPE_STRING) {
        reflection.SetString(&message, field, "a \"text\"\n of " + field->name());
      } else if (field->cpp_type() == Field::CPPTYPE_BOOL) {
        reflection.SetBool(&message, field, true);
      } else if (field->cpp_type() == Field::CPPTYPE_UINT64) {
        reflection.SetUInt64(&message, field, 18'446'744'073'709'551'615u);
      } else if (field->cpp_type() == Field::CPPTYPE_UINT32) {
        reflection.SetUInt32(&message, field, 4'294'967'295u);
      } else if (field->cpp_type() == Field::CPPTYPE_INT64) {
        reflection.SetInt64(&message, field, 61);
      } else if (field->cpp_type() == Field::CPPTYPE_INT32) {
        reflection.SetInt32(&message, field, 500'000'000);
      } else {
        ADD_FAILURE() << "a field of a new kind: " << field->full_name();
      }
    }
  };
  fill(fill, hello);
  EXPECT_EQ(Parsed(JsonCodec().EncodeFrame(frame)->bytes), by_protobuf(frame));
}

}  // namespace
}  // namespace herald
