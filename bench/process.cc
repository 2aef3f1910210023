#include "bench/process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/time/clock.h"
#include "bench/loopback.h"
#include "fmt/format.h"

namespace herald::bench {
namespace {

pid_t ParentOf(pid_t pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(stat, line);
  // The name, in brackets, may hold anything.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return -1;
  char state = 0;
  int parent = -1;
  std::sscanf(line.c_str() + name_end + 1, " %c %d", &state, &parent);
  return parent;
}

}  // namespace

void PinTo(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

absl::Duration StolenTime() {
  std::ifstream stat("/proc/stat");
  std::string cpu;
  std::int64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0,
               steal = 0;
  stat >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  return absl::Seconds(1) * steal / ::sysconf(_SC_CLK_TCK);
}

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  int port = 0;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  ::close(fd);
  return port;
}

absl::StatusOr<Process> Process::Start(const std::vector<std::string>& command, int cpu) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return absl::UnavailableError("cannot fork");
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    PinTo(cpu);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);  // our own output is JSON
    ::execvp(arguments[0], arguments.data());
    std::fprintf(stderr, "cannot start %s\n", arguments[0]);
    ::_exit(127);
  }
  ::setpgid(pid, pid);
  Process process;
  process.pid_ = pid;
  return process;
}

std::string Process::HowItEnded() {
  if (pid_ <= 0) return "it was not started";
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return "";
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return "not installed";
  return WIFEXITED(status) ? fmt::format("it ended with code {}", WEXITSTATUS(status))
                           : fmt::format("it ended by signal {}", WTERMSIG(status));
}

void Process::End() {
  if (pid_ <= 0) return;
  const pid_t pid = std::exchange(pid_, -1);
  ::kill(pid, SIGTERM);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (::waitpid(pid, nullptr, WNOHANG) == 0) {
    if (absl::Now() > deadline) {
      ::kill(-pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      return;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  ::kill(-pid, SIGKILL);  // what it left behind in its group, if anything
}

std::vector<pid_t> Process::Tree() const {
  std::vector<pid_t> tree = {pid_};
  std::vector<std::pair<pid_t, pid_t>> processes;  // (process, its parent)
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = static_cast<pid_t>(std::stol(name));
    processes.emplace_back(pid, ParentOf(pid));
  }
  for (std::size_t i = 0; i < tree.size(); ++i) {
    for (const auto& [pid, parent] : processes) {
      if (parent == tree[i]) tree.push_back(pid);
    }
  }
  return tree;
}

absl::Duration Process::CpuTime() const {
  absl::Duration sum;
  for (const pid_t pid : Tree()) {
    clockid_t clock;
    timespec time;
    if (::clock_getcpuclockid(pid, &clock) == 0 && ::clock_gettime(clock, &time) == 0)
      sum += absl::DurationFromTimespec(time);
  }
  return sum;
}

std::uint64_t Process::AnonymousBytes() const {
  std::uint64_t sum = 0;
  for (const pid_t pid : Tree()) {
    std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", pid));
    for (std::string line; std::getline(rollup, line);) {
      unsigned long long kilobytes = 0;
      if (std::sscanf(line.c_str(), "Anonymous: %llu kB", &kilobytes) == 1) sum += kilobytes * 1024;
    }
  }
  return sum;
}

}  // namespace herald::bench
