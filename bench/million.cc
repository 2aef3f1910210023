// P6: as many sessions as one machine holds, on as many replicas as that takes, over NATS; then one
// broadcast to all of them.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/time/clock.h"
#include "bench/nats.h"
#include "bench/push_publisher.h"
#include "bench/workload.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

constexpr int kSessionsAReplica = 19'000;  // a process may open 20,000 files
constexpr int kConnectingAtOnce = 2;       // load generators
constexpr absl::Duration kBroadcast = absl::Seconds(60);

// What a load generator tells: after connecting, and at its end.
struct Told {
  int subscribed = 0;
  std::uint64_t received = 0;
  std::uint64_t failures = 0;
  std::uint64_t last_ns = 0;  // when its last message came
};

// The subscribers of one replica, in a process of their own for its descriptors.
class Generator {
 public:
  // Forks: no thread may run yet.
  Generator() {
    if (::pipe(orders_) != 0 || ::pipe(answers_) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ != 0) return;
    Run();
    ::_exit(0);
  }
  ~Generator() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (int fd : {orders_[0], orders_[1], answers_[0], answers_[1]}) ::close(fd);
  }
  Generator(const Generator&) = delete;

  void Connect(int port, int sessions) { Write(orders_[1], std::pair(port, sessions)); }
  void AwaitBroadcast() { Write(orders_[1], std::pair(0, 0)); }
  Told Await() {
    Told told;
    if (::read(answers_[0], &told, sizeof told) != sizeof told) told.failures = 1;
    return told;
  }

 private:
  template <typename T>
  static void Write(int fd, const T& value) {
    if (::write(fd, &value, sizeof value) != static_cast<ssize_t>(sizeof value)) std::abort();
  }

  void Run() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::pair<int, int> order;
    if (::read(orders_[0], &order, sizeof order) != sizeof order) return;
    Entrance entrance;
    entrance.port = order.first;
    entrance.path = "/ws";
    entrance.subprotocol = "herald.v1.json";
    entrance.greeting = {R"({"id":1,"connect":{}})"};
    entrance.greeted = 1;
    Fleet fleet(entrance);
    Told told;
    const absl::Status connected = fleet.Connect(order.second, 256, absl::Seconds(300));
    if (!connected.ok())
      std::fprintf(stderr, "load generator: %s\n", std::string(connected.message()).c_str());
    told.subscribed = connected.ok() ? fleet.open() : 0;
    Write(answers_[1], told);
    // What comes is left in the sockets until all have connected: pings are off.
    if (::read(orders_[0], &order, sizeof order) != sizeof order) return;
    const auto wanted = static_cast<std::uint64_t>(fleet.size());
    (void)fleet.PollUntil([&] { return fleet.received() >= wanted; }, kBroadcast);
    told.last_ns = NowNs();
    // One too many would come now.
    (void)fleet.PollUntil([] { return false; }, absl::Seconds(2));
    told.received = fleet.received();
    told.failures = fleet.failures();
    for (const std::string& error : fleet.errors())
      std::fprintf(stderr, "load generator: %s\n", error.c_str());
    Write(answers_[1], told);
    // Stays, with its connections, until it is ended: replicas need not notice that it goes.
    ::pause();
  }

  int orders_[2], answers_[2];
  pid_t pid_ = -1;
};

std::uint64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kib = 0;
  while (file >> name >> kib && name != "MemAvailable:") file.ignore(64, '\n');
  return kib * 1024;
}

}  // namespace

absl::Status RunMillion(const Setup& setup, Report& report) {
  if (setup.server.name != "herald") return absl::UnimplementedError("p6 is Herald's");
  const int wanted = setup.sessions != 0 ? setup.sessions : 1'000'000;
  const int replicas = (wanted + kSessionsAReplica - 1) / kSessionsAReplica;
  std::vector<std::unique_ptr<Generator>> generators;
  for (int i = 0; i < replicas; ++i) generators.push_back(std::make_unique<Generator>());

  auto nats = Nats::Start();
  if (!nats.ok()) return nats.status();
  const std::uint64_t available = AvailableBytes();
  std::vector<std::unique_ptr<Server>> servers;
  Progress(fmt::format("starting {} replicas", replicas));
  for (int i = 0; i < replicas; ++i) {
    auto server = Server::Start(
        setup.server, {"--broker=nats", "--nats_url=" + (*nats)->url(),
                       fmt::format("--node_name=r{}", i), "--ping_interval=1h", "--pong_timeout=1m",
                       "--max_sessions_per_ip=0", "--nats_partitions=1"});
    if (!server.ok()) return server.status();
    servers.push_back(*std::move(server));
  }
  std::uint64_t before = 0;
  for (const auto& server : servers) before += server->process().AnonymousBytes();

  const std::uint64_t begin = NowNs();
  int told = 0, subscribed = 0, asked = 0;
  const auto ask = [&](int i) {
    const int sessions = std::min(kSessionsAReplica, wanted - asked);
    generators[static_cast<std::size_t>(i)]->Connect(
        servers[static_cast<std::size_t>(i)]->entrance().port, sessions);
    asked += sessions;
  };
  for (int i = 0; i < std::min(replicas, kConnectingAtOnce); ++i) ask(i);
  for (; told < replicas; ++told) {
    subscribed += generators[static_cast<std::size_t>(told)]->Await().subscribed;
    if (told + kConnectingAtOnce < replicas) ask(told + kConnectingAtOnce);
    Progress(fmt::format("{} sessions on {} replicas, {:.1f} GiB of memory left", subscribed,
                         told + 1, static_cast<double>(AvailableBytes()) / (1 << 30)));
  }
  const double connect_seconds = static_cast<double>(NowNs() - begin) / 1e9;
  if (subscribed != wanted)
    return absl::UnavailableError(fmt::format("{} of {} connected", subscribed, wanted));
  std::uint64_t after = 0, most = 0;
  for (const auto& server : servers) {
    const std::uint64_t bytes = server->process().AnonymousBytes();
    after += bytes;
    most = std::max(most, bytes);
  }
  const std::uint64_t taken = available - std::min(available, AvailableBytes());

  // Only now: gRPC has threads, and the generators were forked.
  auto publisher = PushPublisher::Open(servers.front()->grpc_address(), {});
  if (!publisher.ok()) return publisher.status();
  Progress("one message to all");
  for (auto& generator : generators) generator->AwaitBroadcast();
  v1::PushRequest request;
  v1::Deliver& deliver = *request.add_commands()->mutable_deliver();
  deliver.mutable_target()->set_all(true);
  deliver.set_report(v1::REPORT_LEVEL_WRITTEN);
  deliver.mutable_report_timeout()->set_seconds(absl::ToInt64Seconds(kBroadcast));
  const std::uint64_t sent = NowNs();
  deliver.mutable_message()->set_payload(
      MakePayload({0, sent}, static_cast<std::size_t>(setup.payload_bytes)));
  if (absl::Status bad = (*publisher)->Write(request); !bad.ok()) return bad;
  const absl::Status awaited = (*publisher)->AwaitAll(kBroadcast + absl::Seconds(10));
  const std::uint64_t receipt = NowNs();
  if (!awaited.ok()) report.AddError(std::string(awaited.message()));
  std::uint64_t received = 0, last = sent;
  for (auto& generator : generators) {
    const Told end = generator->Await();
    received += end.received;
    last = std::max(last, end.last_ns);
    if (end.failures != 0)
      report.AddError(fmt::format("{} subscribers found something wrong", end.failures));
  }
  if (received != static_cast<std::uint64_t>(wanted))
    report.AddError(fmt::format("{} of {} messages came", received, wanted));
  if ((*publisher)->written() != static_cast<std::uint64_t>(wanted)) {
    report.AddError(fmt::format("the receipt tells of {} written of {} matched, {} dropped",
                                (*publisher)->written(), (*publisher)->matched(),
                                (*publisher)->dropped()));
  }
  generators.clear();  // or the replicas would wait for them to answer their close frames
  boost::json::object& json = report.json();
  json["sessions"] = subscribed;
  json["replicas"] = replicas;
  json["connect_seconds"] = connect_seconds;
  json["seconds"] = static_cast<double>(last - sent) / 1e9;
  json["receipt_seconds"] = static_cast<double>(receipt - sent) / 1e9;
  json["receipt_written"] = (*publisher)->written();
  json["bytes_per_session"] = boost::json::object{
      {"user", static_cast<double>(after - before) / subscribed},
      {"machine", static_cast<double>(taken) / subscribed}};  // kernel, replicas, NATS, generators
  json["bytes_per_replica"] =
      boost::json::object{{"idle", before / static_cast<std::uint64_t>(replicas)}, {"most", most}};
  return absl::OkStatus();
}

}  // namespace herald::bench
