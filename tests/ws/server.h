// The client port as the application opens it, without gRPC: two shards, the memory broker, a
// listener on a free port.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tests/session/node.h"
#include "tests/ws/ws_client.h"
#include "ws/codec.h"
#include "ws/front_end.h"
#include "ws/listener.h"
#include "ws/shared_deflate.h"

namespace herald {

// As with --dev: everything is open, and the URL says who one is.
inline FrontEndOptions DevOptions() {
  FrontEndOptions options;
  options.rules = std::make_shared<const TopicRules>(TopicRules::DevDefaults());
  options.allow_anonymous = true;
  options.dev = true;
  options.enable_raw = true;
  return options;
}

class Server {
 public:
  explicit Server(FrontEndOptions options = DevOptions(), const TokenVerifier* verifier = nullptr,
                  const TlsContext* tls = nullptr,
                  std::function<std::unique_ptr<BatchSender>()> make_batch_sender = nullptr,
                  const Node::MakeBroker& make_broker = Node::MakeMemoryBroker) {
    ShardOptions shard_options;
    shard_options.encoders = AllEncoders(options.deflate);
    shard_options.events = &events_;
    shard_options.make_batch_sender = std::move(make_batch_sender);
    shard_options.max_topics_per_session = options.limits.max_topics_per_session;
    node_ = std::make_unique<Node>(2, shard_options, make_broker, options.rules);
    watcher_ = *events_.AddWatcher({}, [] {});
    front_end_ = std::make_unique<FrontEnd>(std::move(options), node_->table(), verifier, tls);
    auto listener =
        Listener::Open(*front_end_, node_->shards(), {boost::asio::ip::address_v4::loopback(), 0});
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  ~Server() {
    listener_.reset();
    node_.reset();  // stops the shards; connections refer to the front-end
  }

  std::uint16_t port() const { return listener_->endpoint().port(); }
  Node& node() { return *node_; }
  FrontEnd& front_end() { return *front_end_; }
  EventHub& events() { return events_; }
  Listener& listener() { return *listener_; }

  std::uint64_t sessions() {
    std::uint64_t sessions = 0;
    for (auto& shard : node_->shards()) sessions += shard->stats().sessions;
    return sessions;
  }
  // All connections have ended, and gave back what they held.
  [[nodiscard]] bool WaitEmpty() {
    return Eventually([&] { return front_end_->admission.connections() == 0 && sessions() == 0; });
  }

  // The next event of this kind since the start or the last one found; null if it does not come.
  EventPtr NextEvent(EventKind kind) {
    EventPtr found;
    (void)Eventually([&] {
      while (!found) {
        auto batch = events_.Pull(watcher_, 1);
        if (batch.events.empty()) return false;
        if (batch.events[0].event->kind == kind) found = batch.events[0].event;
      }
      return true;
    });
    return found;
  }

 private:
  EventHub events_{100'000, std::size_t{1} << 30};
  std::uint64_t watcher_ = 0;
  std::unique_ptr<FrontEnd> front_end_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Listener> listener_;
};

// A client of the JSON subprotocol.
class JsonClient {
 public:
  explicit JsonClient(Server& server, WsClient::Options options = {})
      : ws_(WsClient::Connect(server.port(), options)) {}

  // Connects, says `connect` and reads the hello.
  static JsonClient Open(Server& server, const std::string& target = "/ws",
                         const std::string& connect = "{}") {
    JsonClient client(server, {.target = target});
    client.Send(R"({"connect":)" + connect + "}");
    const auto frame = client.Read();
    if (const auto* hello = frame.if_contains("hello")) client.hello = hello->as_object();
    EXPECT_FALSE(client.hello.empty()) << boost::json::serialize(frame);
    return client;
  }

  explicit operator bool() const { return ws_ != nullptr; }
  WsClient& ws() { return *ws_; }
  void Send(std::string_view text) {
    ASSERT_NE(ws_, nullptr);
    EXPECT_TRUE(ws_->Send(text));
  }
  // The next frame; empty if the connection has ended.
  boost::json::object Read() {
    if (!ws_) return {};
    const auto text = ws_->Read();
    if (!text) return {};
    EXPECT_TRUE(ws_->got_text());
    boost::system::error_code error;
    auto value = boost::json::parse(*text, error);
    EXPECT_FALSE(error) << *text;
    return error ? boost::json::object() : value.as_object();
  }
  // What stands in the next frame under `kind`, which it must have; frames before it are kept in
  // `others`.
  boost::json::object ReadKind(std::string_view kind) {
    for (;;) {
      auto frame = Read();
      if (frame.empty()) {
        ADD_FAILURE() << "ended, and no " << kind << " came";
        return {};
      }
      if (auto* found = frame.if_contains({kind.data(), kind.size()})) return found->as_object();
      others.push_back(std::move(frame));
    }
  }
  // Sends a frame with an id and reads its reply.
  boost::json::object Ask(const std::string& kind, const std::string& content) {
    const int id = ++last_id_;
    Send(fmt::format(R"({{"id":{},"{}":{}}})", id, kind, content));
    auto reply = ReadKind("reply");
    if (!reply.empty()) {
      EXPECT_EQ(reply.at("id").as_int64(), id);
    }
    return reply;
  }
  bool Subscribe(const std::string& topic) {
    return Ask("subscribe", R"({"topic":")" + topic + "\"}").contains("ok");
  }
  std::string session_id() const { return std::string(hello.at("session_id").as_string()); }

  boost::json::object hello;
  std::vector<boost::json::object> others;

 private:
  std::unique_ptr<WsClient> ws_;
  int last_id_ = 0;
};

}  // namespace herald
