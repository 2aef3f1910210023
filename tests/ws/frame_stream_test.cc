// When a session's socket may be written to past the stream (FrameStream::Socket), on a TCP connection
// of its own. The shard is not started: its loop is run here.
#include "ws/frame_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "tests/session/node.h"

namespace herald {
namespace {

using boost::asio::ip::tcp;

class FrameStreamTest : public ::testing::Test,
                        public FrameStream::Observer,
                        public OutboundQueue::Observer {
 protected:
  FrameStreamTest() : shard_(ShardOptions{}) {
    tcp::acceptor acceptor(shard_.io(), {boost::asio::ip::address_v4::loopback(), 0});
    peer_.connect(acceptor.local_endpoint());
    TcpSocket socket(shard_.io());
    acceptor.accept(socket);
    stream_ = std::make_unique<FrameStream>(ClientSocket(std::move(socket)), queue_, shard_, "");
    stream_->set_observer(*this);
  }

  void OnBeastCloses(std::uint16_t) override {}
  // As a session does: what it knows of the socket holds until it is told.
  void OnSocketChanges() override { ++changes_; }
  void BeforeWrite() override {}
  void OnReceived(std::uint32_t, std::size_t) override {}
  std::shared_ptr<void> Owner() override { return owner_; }
  void OnFilled() override {}
  void OnWritten(const Outbound&) override {}
  void OnDropped(const Outbound&, DropReason) override {}

  void Queue(std::string payload) {
    FramePtr frame = MakeFrame(Opcode::kText, payload);
    shard_.CountQueued(static_cast<std::int64_t>(frame->bytes.size()), 0);
    queue_.Push(std::move(frame));
  }
  // Until the kernel takes no more, and the stream waits.
  void FillSocket() {
    const std::string large(1 << 20, 'x');
    while (queue_.empty()) {
      Queue(large);
      stream_->Flush();
    }
  }
  std::string Received() {
    std::string bytes(4096, '\0');
    const ssize_t n = ::recv(peer_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return bytes;
  }

  Shard shard_;
  boost::asio::io_context peer_io_;
  tcp::socket peer_{peer_io_};
  OutboundQueue queue_{16 << 20, *this};
  std::shared_ptr<void> owner_ = std::make_shared<int>(0);
  int changes_ = 0;
  std::unique_ptr<FrameStream> stream_;
};

TEST_F(FrameStreamTest, ItsSocketIsForUseAtRest) {
  ASSERT_GE(stream_->Socket(), 0);
  ASSERT_EQ(::send(stream_->Socket(), "now", 3, MSG_NOSIGNAL), 3);
  EXPECT_TRUE(Eventually([&] { return Received() == "now"; }));
  EXPECT_EQ(changes_, 0);
}

TEST_F(FrameStreamTest, NothingIsWrittenWhileItIsCorked) {
  stream_->set_corked(true);
  EXPECT_EQ(changes_, 1) << "whoever knows the socket has to forget it";
  EXPECT_EQ(stream_->Socket(), -1);
  Queue("held");
  stream_->Flush();
  EXPECT_FALSE(queue_.empty());
  stream_->set_corked(false);
  EXPECT_GE(stream_->Socket(), 0);
  stream_->Flush();
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(Eventually([&] { return Received() == MakeFrame(Opcode::kText, "held")->bytes; }));
}

TEST_F(FrameStreamTest, WhatTheKernelDidNotTakeKeepsTheSocket) {
  FillSocket();
  EXPECT_EQ(stream_->Socket(), -1) << "the rest of a frame goes first";
  while (!queue_.empty()) {
    (void)Received();
    shard_.io().restart();
    shard_.io().poll();
  }
  EXPECT_GE(stream_->Socket(), 0);
}

// Beast closes the descriptor without asking, and the number is somebody else's soon after.
TEST_F(FrameStreamTest, ASocketThatBeastEndsIsNoMoreForUse) {
  bool ended = false;
  async_teardown(boost::beast::role_type::server, *stream_,
                 [&](boost::beast::error_code) { ended = true; });
  EXPECT_EQ(changes_, 1) << "whoever knows the socket has to forget it";
  EXPECT_EQ(stream_->Socket(), -1);
  peer_.close();
  shard_.io().restart();
  EXPECT_TRUE(Eventually([&] { return shard_.io().poll() > 0 && ended; }));
}

TEST_F(FrameStreamTest, ASocketThatBeastClosesIsNoMoreForUse) {
  beast_close_socket(*stream_);
  EXPECT_EQ(changes_, 1) << "whoever knows the socket has to forget it";
  EXPECT_EQ(stream_->Socket(), -1);
}

TEST_F(FrameStreamTest, AFailedWriteEndsTheUseOfTheSocket) {
  peer_.set_option(boost::asio::socket_base::linger(true, 0));
  peer_.close();  // with a reset
  EXPECT_TRUE(Eventually([&] {
    Queue("to nobody");
    stream_->Flush();
    return changes_ > 0;
  }));
  EXPECT_EQ(stream_->Socket(), -1);
}

}  // namespace
}  // namespace herald
