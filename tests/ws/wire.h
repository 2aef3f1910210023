// What the tests of the front-end share: frames on raw sockets, and JSON replies.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/ws/server.h"

namespace herald {

inline std::string Text(const boost::json::object& object, const char* key) {
  const boost::json::value* value = object.if_contains(key);
  return value == nullptr || !value->is_string() ? "" : std::string(value->as_string());
}

inline std::string ErrorCode(const boost::json::object& reply) {
  return reply.contains("error") ? Text(reply.at("error").as_object(), "code") : "";
}

// The frames of a server on a raw socket, one by one: opcode and payload.
struct ServerFrameBytes {
  int opcode = -1;  // -1: the connection ended
  std::string payload;
  int close_code() const {
    return opcode == 8 && payload.size() >= 2 ? static_cast<unsigned char>(payload[0]) << 8 |
                                                    static_cast<unsigned char>(payload[1])
                                              : 0;
  }
};

inline ServerFrameBytes ReadFrame(RawSocket& socket) {
  const std::string head = socket.ReadExactly(2);
  if (head.size() < 2) return {};
  EXPECT_EQ(head[0] & 0x70, 0);     // no extension
  EXPECT_EQ(head[0] & 0x80, 0x80);  // not fragmented
  EXPECT_EQ(head[1] & 0x80, 0);     // not masked
  std::size_t size = static_cast<unsigned char>(head[1]);
  if (size >= 126) {
    const std::string length = socket.ReadExactly(size == 126 ? 2 : 8);
    size = 0;
    for (char c : length) size = size << 8 | static_cast<unsigned char>(c);
  }
  return {head[0] & 0x0f, socket.ReadExactly(size)};
}

inline ServerFrameBytes ReadCloseFrame(RawSocket& socket) {
  ServerFrameBytes frame;
  do frame = ReadFrame(socket);
  while (frame.opcode != 8 && frame.opcode != -1);
  return frame;
}

// A raw socket past its upgrade.
inline RawSocket Upgraded(Server& server, const std::string& target = "/ws",
                          int receive_buffer = 0) {
  RawSocket socket(server.port(), receive_buffer);
  EXPECT_TRUE(socket.Send(UpgradeText("herald.v1.json", target)));
  EXPECT_THAT(socket.ReadUntil("\r\n\r\n"), ::testing::HasSubstr(" 101 "));
  return socket;
}

// Publishes to busy topics until it goes.
class BusyPublisher {
 public:
  BusyPublisher(Server& server, std::vector<std::string> topics, std::size_t bytes)
      : thread_([&server, topics = std::move(topics), bytes](std::stop_token stop) {
          while (!stop.stop_requested()) {
            for (const std::string& topic : topics) {
              (void)server.node().Publish(topic, std::string(bytes, 'x'));
            }
          }
        }) {}

 private:
  std::jthread thread_;  // told to stop, and joined
};

inline std::string ClosePayload(int code, std::string_view reason = "") {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason);
}

}  // namespace herald
