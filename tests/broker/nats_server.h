// A real nats-server with JetStream, on loopback, with a store of its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "broker/nats_broker.h"
#include "tests/session/node.h"

namespace herald {

// Threads: one. Its destructor ends the server and removes the store.
class NatsServer {
 public:
  struct Options {
    bool jetstream = true;
    // Lines of its configuration file; may be empty.
    std::string config;
  };
  // Fails the test if there is no nats-server ($NATS_SERVER, build/nats, PATH) or it does not start.
  NatsServer() : NatsServer(Options{}) {}
  explicit NatsServer(Options options);
  ~NatsServer();
  NatsServer(const NatsServer&) = delete;

  std::string url() const;
  static int FreePort();
  // The same store and port as before.
  void Start();
  // With SIGKILL.
  void Kill();
  void Pause();   // SIGSTOP
  void Resume();  // SIGCONT

  // Copies the store away, or puts that copy in place of it; while it does not run.
  void SaveStore();
  void RestoreStore();

  // One for all tests of this program.
  static NatsServer& Shared();

 private:
  const Options options_;
  const std::string directory_;
  int port_ = 0;
  pid_t pid_ = -1;
};

// A connection and a NatsBroker on it, as a Broker for Node.
struct NatsUnderTest {
  struct Setup {
    // Calls EverySecond five times a second. Otherwise the test calls it.
    bool ticks = true;
    NatsStreamOptions stream;
  };
  // Whatever Make made last.
  static NatsConnection& LastConnection();
  // For Node::MakeBroker. `prefix`: who shares it shares the messages. Aborts if it cannot be opened.
  static Node::MakeBroker Make(NatsServer& server, std::string prefix) {
    return Make(server, std::move(prefix), Setup{});
  }
  static Node::MakeBroker Make(NatsServer& server, std::string prefix, Setup setup);
  static std::string NewPrefix();
  static NatsConnectionOptions Options(const NatsServer& server);
};

}  // namespace herald
