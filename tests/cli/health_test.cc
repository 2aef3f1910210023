// heraldctl health against a socket that answers by script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "cli/app.h"
#include "cli/exit_code.h"

namespace herald::cli {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

class HealthTest : public testing::Test {
 protected:
  HealthTest() { unsetenv("HERALD_ADMIN_ADDR"); }

  std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }

  int Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"heraldctl", "health"});
    std::vector<const char*> argv;
    for (const std::string& arg : args) argv.push_back(arg.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunHeraldctl(static_cast<int>(argv.size()), argv.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  // Takes one connection, remembers its request line and answers `response`.
  int RunAnswered(const std::string& response, const std::vector<std::string>& args) {
    std::thread server([&] {
      tcp::socket socket = acceptor_.accept();
      std::string request;
      boost::asio::read_until(socket, boost::asio::dynamic_buffer(request), "\r\n\r\n");
      request_line_ = request.substr(0, request.find('\r'));
      boost::asio::write(socket, boost::asio::buffer(response));
    });
    const int code = Run(args);
    server.join();
    return code;
  }

  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  std::string request_line_;
  std::string out_;
  std::string err_;
};

constexpr const char* kOkAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

TEST_F(HealthTest, ZeroWhereItLives) {
  EXPECT_EQ(RunAnswered(kOkAnswer, {"--admin", "127.0.0.1:" + port()}), kOk);
  EXPECT_EQ(out_, "ok\n");
  EXPECT_EQ(request_line_, "GET /healthz HTTP/1.1");
}

TEST_F(HealthTest, OneAndTheReasonWhereItIsNotReady) {
  EXPECT_EQ(RunAnswered("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\ndraining\n",
                        {"--ready", "--admin", "127.0.0.1:" + port()}),
            kRefused);
  EXPECT_EQ(request_line_, "GET /readyz HTTP/1.1");
  EXPECT_EQ(err_, "heraldctl: HTTP 503: draining\n");
}

TEST_F(HealthTest, TheServersOwnSettingNamesThePort) {
  setenv("HERALD_ADMIN_ADDR", (":" + port()).c_str(), 1);
  EXPECT_EQ(RunAnswered(kOkAnswer, {}), kOk) << err_;
  setenv("HERALD_ADMIN_ADDR", ("0.0.0.0:" + port()).c_str(), 1);
  EXPECT_EQ(RunAnswered(kOkAnswer, {}), kOk) << err_;
  unsetenv("HERALD_ADMIN_ADDR");
}

TEST_F(HealthTest, ThreeWhereNobodyIs) {
  const std::string address = "127.0.0.1:" + port();
  acceptor_.close();
  EXPECT_EQ(Run({"--admin", address}), kUnreachable);
  EXPECT_THAT(err_, StartsWith("heraldctl: cannot reach " + address + ": Connection refused"));
}

TEST_F(HealthTest, ThreeWhereNothingIsAnsweredInTime) {
  // Connected by the kernel, never accepted.
  EXPECT_EQ(Run({"--timeout", "100ms", "--admin", "127.0.0.1:" + port()}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("timeout"));
}

TEST_F(HealthTest, TwoForWhatIsNoAddress) {
  EXPECT_EQ(Run({"--admin", "9090"}), kUsage);
  EXPECT_EQ(Run({"--admin", "host:"}), kUsage);
}

}  // namespace
}  // namespace herald::cli
