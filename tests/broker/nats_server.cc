#include "tests/broker/nats_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "session/random.h"

namespace herald {
namespace {

namespace fs = std::filesystem;

std::string Binary() {
  if (const char* set = std::getenv("NATS_SERVER")) return set;
  const std::string unpacked = HERALD_SOURCE_DIR "/build/nats/usr/sbin/nats-server";
  return fs::exists(unpacked) ? unpacked : "nats-server";
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

bool Answers(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(port);
  const bool open = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return open;
}

std::string NewDirectory() {
  std::string name = (fs::temp_directory_path() / "herald-nats-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

NatsConnection* last_connection = nullptr;

// Owns both, for whoever wants only a Broker.
struct OwnsConnection {
  std::unique_ptr<NatsConnection> connection;
};
class OwningNatsBroker final : private OwnsConnection, public NatsBroker {
 public:
  OwningNatsBroker(std::unique_ptr<NatsConnection> owned,
                   std::vector<std::unique_ptr<Shard>>& shards, TopicIndex& index,
                   std::shared_ptr<const TopicRules> rules, NatsBrokerOptions options, bool ticks)
      : OwnsConnection{std::move(owned)},
        NatsBroker(*connection, shards, index, std::move(rules), std::move(options)) {
    if (!ticks) return;
    second_ = std::jthread([this](std::stop_token stop) {
      while (!stop.stop_requested()) {
        EverySecond(absl::Now());
        for (int i = 0; i < 20 && !stop.stop_requested(); ++i)
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    });
  }
  ~OwningNatsBroker() override {
    second_ = {};
    connection->Close();
  }

 private:
  std::jthread second_;  // five times as fast
};

}  // namespace

int NatsServer::FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

NatsServer::NatsServer(Options options)
    : options_(std::move(options)), directory_(NewDirectory()), port_(FreePort()) {
  std::ofstream(directory_ + "/conf") << options_.config;
  Start();
}

NatsServer::~NatsServer() {
  Kill();
  fs::remove_all(directory_);
}

std::string NatsServer::url() const { return fmt::format("nats://127.0.0.1:{}", port_); }

void NatsServer::Start() {
  const std::string binary = Binary(), port = std::to_string(port_), store = directory_ + "/store",
                    log = directory_ + "/log", config = directory_ + "/conf";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // ends with whoever started it
    // And holds nothing of theirs open.
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
    std::vector<const char*> words = {binary.c_str(), "-a", "127.0.0.1", "-p",
                                      port.c_str(),   "-l", log.c_str()};
    if (!options_.config.empty()) words.insert(words.end(), {"-c", config.c_str()});
    if (options_.jetstream) {
      words.insert(words.end(), {"-js", "-sd", store.c_str()});
    }
    words.push_back(nullptr);
    execvp(words[0], const_cast<char* const*>(words.data()));
    _exit(127);
  }
  const bool up =
      Eventually([&] { return Answers(port_) || waitpid(pid_, nullptr, WNOHANG) == pid_; });
  if (!up || !Answers(port_)) {
    ADD_FAILURE() << "cannot start " << binary << ": run scripts/install-deps nats";
    std::abort();
  }
}

void NatsServer::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void NatsServer::Pause() { kill(pid_, SIGSTOP); }
void NatsServer::Resume() { kill(pid_, SIGCONT); }

void NatsServer::SaveStore() {
  fs::remove_all(directory_ + "/saved");
  fs::copy(directory_ + "/store", directory_ + "/saved", fs::copy_options::recursive);
}

void NatsServer::RestoreStore() {
  fs::remove_all(directory_ + "/store");
  fs::copy(directory_ + "/saved", directory_ + "/store", fs::copy_options::recursive);
}

NatsServer& NatsServer::Shared() {
  static NatsServer server;
  return server;
}

NatsConnection& NatsUnderTest::LastConnection() { return *last_connection; }

std::string NatsUnderTest::NewPrefix() { return fmt::format("t{:08x}", RandomUint64() >> 32); }

NatsConnectionOptions NatsUnderTest::Options(const NatsServer& server) {
  NatsConnectionOptions options;
  options.servers = {server.url()};
  options.name = "test";
  return options;
}

Node::MakeBroker NatsUnderTest::Make(NatsServer& server, std::string prefix, Setup setup) {
  return
      [&server, prefix, setup](std::vector<std::unique_ptr<Shard>>& shards, TopicIndex& index,
                               std::shared_ptr<const TopicRules> rules) -> std::unique_ptr<Broker> {
        auto connection = NatsConnection::Open(Options(server));
        if (!connection.ok()) {
          ADD_FAILURE() << connection.status();
          std::abort();
        }
        last_connection = connection->get();
        NatsBrokerOptions options;
        options.prefix = prefix;
        options.partitions = 2;
        options.stream = setup.stream;
        auto broker = std::make_unique<OwningNatsBroker>(*std::move(connection), shards, index,
                                                         std::move(rules), options, setup.ticks);
        if (const absl::Status status = broker->Open(absl::Seconds(20)); !status.ok()) {
          ADD_FAILURE() << status;
          std::abort();
        }
        return broker;
      };
}

}  // namespace herald
