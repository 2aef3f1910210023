#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "app/config.h"
#include "app/logging.h"
#include "app/server.h"
#include "service/grpc_library.h"

// Read by jemalloc, where it is linked (jemalloc(3), TUNING). Messages are allocated on gRPC's threads and freed on the
// shards': with an arena for each of many threads, each would keep a burst's worth of pages.
extern "C" const char* malloc_conf;
const char* malloc_conf = "narenas:2,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

namespace {

constexpr char kDevBanner[] =
    "herald --dev: for one developer on this machine only. Unless set otherwise, no tokens are "
    "needed, raw mode and reflection are on, and all topics are open.\n";

int Fail(const absl::Status& status) {
  std::cerr << "herald: " << std::string(status.message()) << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
#ifdef NDEBUG
  // The distribution's abseil is built to look for deadlocks at each lock of gRPC's, and to abort.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  absl::StatusOr<herald::Config> config =
      herald::LoadConfig(argc, argv, herald::CurrentEnvironment());
  if (!config.ok()) return Fail(config.status());
  switch (config->action) {
    case herald::Config::Action::kHelp:
      std::cout << herald::HelpText();
      return 0;
    case herald::Config::Action::kVersion:
      std::cout << herald::VersionText() << " (gRPC " << herald::GrpcLibraryVersion() << ")\n";
      return 0;
    case herald::Config::Action::kPrintConfig:
      std::cout << herald::PrintConfig(*config);
      return 0;
    case herald::Config::Action::kRun:
      break;
  }
  herald::InitLogging(config->log_level, config->log_format);
  if (config->dev) std::cerr << kDevBanner;
  // gRPC prints lines of its own about what we report; GRPC_VERBOSITY in the environment still
  // counts.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // A socket that the peer has closed is an error of that one write.
  std::signal(SIGPIPE, SIG_IGN);

  boost::asio::io_context io(1);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT, SIGHUP);
  herald::Server server(*std::move(config), io, [argc, argv] {
    return herald::LoadConfig(argc, argv, herald::CurrentEnvironment());
  });
  if (absl::Status status = server.Start(); !status.ok()) return Fail(status);
  std::function<void()> await_signal = [&] {
    signals.async_wait([&](boost::system::error_code error, int number) {
      if (error) return;
      if (number == SIGHUP) {
        (void)server.Reload();  // it has logged what became of it
      } else {
        server.StartDrain({});  // the second one hurries
      }
      await_signal();
    });
  };
  await_signal();
  io.run();
  return 0;
}
