#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "app/admin_server.h"
#include "ws/http_answer.h"
#include "ws/http_request.h"

namespace herald {

// The answer of the admin port to a whole request.
HttpAnswer AnswerAdmin(const HttpRequest& request, const AdminServer::Handlers& handlers);

// One connection to the admin port: one request, one answer.
//
// Threads:   those of the socket's executor, one.
// Ownership: lives until its answer is out, or until Close.
// Limits:    8 KiB of header (431), 10 s until it is complete (408), 5 s to take the answer. A body
//            is not looked at.
class AdminConnection {
 public:
  virtual ~AdminConnection() = default;
  static std::weak_ptr<AdminConnection> Start(
      boost::asio::ip::tcp::socket socket, std::shared_ptr<const AdminServer::Handlers> handlers);
  // Ends it without an answer; fine when it has ended.
  virtual void Close() = 0;
};

}  // namespace herald
