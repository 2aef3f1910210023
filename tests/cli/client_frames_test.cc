#include "cli/client_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/websocket_client.h"

namespace herald::cli {
namespace {

TEST(ClientFramesTest, WritesWhatTheProtocolSays) {
  EXPECT_EQ(ConnectFrame(1, ""), R"({"id":1,"connect":{}})");
  EXPECT_EQ(ConnectFrame(1, "t"), R"({"id":1,"connect":{"token":"t"}})");
  EXPECT_EQ(SubscribeFrame(2, "news", ""), R"({"id":2,"subscribe":{"topic":"news"}})");
  EXPECT_EQ(SubscribeFrame(2, "n", "p"), R"({"id":2,"subscribe":{"topic":"n","position":"p"}})");
  EXPECT_EQ(AckFrame("orders/42", 17), R"({"ack":{"orders/42":"17"}})");
}

TEST(ClientFramesTest, JsonStandsVerbatimAndTextAsText) {
  EXPECT_EQ(UpstreamFrame(3, "", R"({"a":[1,2]})"), R"({"id":3,"message":{"data":{"a":[1,2]}}})");
  EXPECT_EQ(UpstreamFrame(3, "hi", "hello you"),
            R"({"id":3,"message":{"event":"hi","text":"hello you"}})");
  EXPECT_EQ(PublishFrame(4, "chat", "", "\"q"),
            R"({"id":4,"publish":{"topic":"chat","text":"\"q"}})");
}

TEST(ClientFramesTest, ReadsMessages) {
  const auto frame = ParseServerFrame(
      R"({"message":{"topic":"orders/42","offset":"17","event":"shipped","data":{"eta":"12:30"}}})");
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->kind, ServerFrame::kMessage);
  EXPECT_EQ(frame->topic, "orders/42");
  EXPECT_EQ(frame->offset, 17U);
  EXPECT_EQ(frame->event, "shipped");
  EXPECT_EQ(frame->payload, R"({"eta":"12:30"})");
  EXPECT_EQ(ParseServerFrame(R"({"message":{"text":"hi"}})")->payload, "hi");
  EXPECT_EQ(ParseServerFrame(R"({"message":{"data":"hi"}})")->payload, R"("hi")");
  EXPECT_EQ(ParseServerFrame(R"({"message":{"bytes":"AAE="}})")->payload, "AAE=");
}

TEST(ClientFramesTest, A10JsonIsPrintedAsItCame) {
  for (const std::string data :
       {R"({"big":12345678901234567890123,"price":19.990,"e":1E2,"dup":1,"dup":2})", "19.990",
        R"("half \ud83d")", R"([1.0, {"data":null}])", "null", "true", "\"null}}\"", "-0.0"}) {
    const auto frame =
        ParseServerFrame(R"({"message":{"topic":"t","data":)" + data + R"( ,"offset":"3"}})");
    ASSERT_TRUE(frame.ok()) << data;
    EXPECT_EQ(frame->payload, data);
    EXPECT_EQ(frame->offset, 3U);
  }
  EXPECT_EQ(ParseServerFrame("{\"message\":{\"data\":{\"a\":\n1.50}}}")->payload, R"({"a": 1.50})");
}

TEST(ClientFramesTest, A10JsonIsSentAsItWasTyped) {
  const std::string data = R"({"big":12345678901234567890123,"price":19.990,"dup":1,"dup":2})";
  EXPECT_EQ(UpstreamFrame(3, "e", data), R"({"id":3,"message":{"event":"e","data":)" + data + "}}");
  EXPECT_EQ(PublishFrame(4, "t", "", data),
            R"({"id":4,"publish":{"topic":"t","data":)" + data + "}}");
  EXPECT_EQ(PublishFrame(4, "t", "", "null"), R"({"id":4,"publish":{"topic":"t","data":null}})");
}

TEST(ClientFramesTest, ReadsReplies) {
  EXPECT_EQ(ParseServerFrame(R"({"reply":{"id":2,"ok":{}}})")->error, "");
  const auto frame =
      ParseServerFrame(R"({"reply":{"id":2,"error":{"code":"PERMISSION_DENIED","message":"no"}}})");
  EXPECT_EQ(frame->kind, ServerFrame::kReply);
  EXPECT_EQ(frame->id, 2U);
  EXPECT_EQ(frame->error, "PERMISSION_DENIED: no");
}

TEST(ClientFramesTest, SaysWhenASubscriptionWasNotResumed) {
  EXPECT_EQ(ParseServerFrame(R"({"reply":{"id":2,"ok":{"topic":{"topic":"t"}}}})")->note, "");
  EXPECT_THAT(
      ParseServerFrame(R"({"reply":{"id":2,"ok":{"topic":{"topic":"t","reason":"expired"}}}})")
          ->note,
      testing::HasSubstr("(expired)"));
}

TEST(ClientFramesTest, OtherKindsHaveANoteOrNothing) {
  EXPECT_EQ(ParseServerFrame(R"({"hello":{"session_id":"s","user_id":"alice"}})")->note,
            "connected as alice, session s");
  EXPECT_EQ(ParseServerFrame(R"({"gap":{"topic":"t","reason":"epoch"}})")->note,
            "gap in t: messages were lost (epoch)");
  EXPECT_EQ(ParseServerFrame(R"({"reconnect":{"delay":"1.5s","reason":"drain"}})")->note,
            "the server asks to reconnect after 1.5s: drain");
  EXPECT_EQ(ParseServerFrame(R"({"newer":{}})")->note, "");
}

TEST(ClientFramesTest, WhatIsNoFrameIsRefused) {
  for (const char* text : {"", "x", "[]", "{}", R"({"message":1})", "{\"message\":"}) {
    EXPECT_FALSE(ParseServerFrame(text).ok()) << text;
  }
}

TEST(WebSocketUrlTest, SplitsUrls) {
  const auto url = ParseWebSocketUrl("ws://example.org:8080/ws?topics=a,b");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host, "example.org");
  EXPECT_EQ(url->port, "8080");
  EXPECT_EQ(url->target, "/ws?topics=a,b");
  EXPECT_EQ(ParseWebSocketUrl("ws://h")->port, "80");
  EXPECT_EQ(ParseWebSocketUrl("ws://h")->target, "/");
  EXPECT_EQ(ParseWebSocketUrl("ws://h?x=1")->target, "/?x=1");
  EXPECT_EQ(ParseWebSocketUrl("ws://[::1]:9/ws")->host, "::1");
  EXPECT_EQ(ParseWebSocketUrl("ws://[::1]:9/ws")->port, "9");
  EXPECT_EQ(ParseWebSocketUrl("ws://[::1]/ws")->port, "80");
  EXPECT_FALSE(ParseWebSocketUrl("ws://h")->secure);
  EXPECT_TRUE(ParseWebSocketUrl("wss://h")->secure);
  EXPECT_EQ(ParseWebSocketUrl("wss://h")->port, "443");
  EXPECT_EQ(ParseWebSocketUrl("wss://h:8080")->port, "8080");
}

TEST(WebSocketUrlTest, RefusesWhatItCannotReach) {
  for (const char* url :
       {"", "http://h/ws", "wss://", "ws://", "ws://:80/", "ws://h:/", "ws://h:x/", "ws://[::1/",
        "ws://h/#f", "ws://u:p@h/", "ws://h/a b", "ws://h/\r\nX: y"}) {
    EXPECT_FALSE(ParseWebSocketUrl(url).ok()) << url;
  }
}

}  // namespace
}  // namespace herald::cli
