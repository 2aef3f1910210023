#include "app/cgroup_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

namespace herald {
namespace {

// v1 writes this much, rounded to pages, where there is no limit.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

std::optional<std::uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // v2 writes "max"
}

// `/a/b` → `mount/a/b`, `mount/a`, `mount`. Inside a container the path may be the host's, of which
// only the container's own group is mounted, at `mount`.
std::vector<std::string> WithParents(const std::string& mount, std::string path) {
  std::vector<std::string> groups;
  while (!path.empty() && path != "/") {
    groups.push_back(mount + path);
    path.resize(path.rfind('/'));
  }
  groups.push_back(mount);
  return groups;
}

std::uint64_t MachineMemory() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

CgroupMemory::CgroupMemory(const std::string& root) {
  const std::string cgroups = root + "sys/fs/cgroup";
  std::ifstream file(root + "proc/self/cgroup");
  // `hierarchy:controllers:path`; the hierarchy of version 2 is 0 and names no controller.
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      version2_ = false;
      groups_ = WithParents(cgroups + "/memory", path);
      return;
    }
    if (controllers.empty()) {
      version2_ = true;
      groups_ = WithParents(cgroups, path);
    }
  }
}

std::uint64_t CgroupMemory::limit() const {
  std::uint64_t least = 0;
  for (const std::string& group : groups_) {
    const auto bytes = ReadNumber(group + (version2_ ? "/memory.max" : "/memory.limit_in_bytes"));
    if (bytes && *bytes > 0 && *bytes < kNoLimit && (least == 0 || *bytes < least)) least = *bytes;
  }
  return least;
}

std::optional<std::uint64_t> CgroupMemory::socket_bytes() const {
  for (const std::string& group : groups_) {
    if (!version2_) {
      const auto bytes = ReadNumber(group + "/memory.kmem.tcp.usage_in_bytes");
      // Without a limit of its own the kernel does not count, and says 0.
      if (bytes && *bytes > 0) return bytes;
      if (bytes) return std::nullopt;
      continue;
    }
    std::ifstream file(group + "/memory.stat");
    std::string name;
    for (std::uint64_t bytes = 0; file >> name >> bytes;) {
      if (name == "sock") return bytes;
    }
  }
  return std::nullopt;
}

std::uint64_t MemoryLimit() {
  const std::uint64_t limit = CgroupMemory().limit();
  const std::uint64_t machine = MachineMemory();
  return limit == 0 ? machine : std::min(limit, machine);
}

std::uint64_t DefaultMemoryBudget() {
  const std::uint64_t limit = CgroupMemory().limit();
  const std::uint64_t machine = MachineMemory();
  if (limit != 0 && limit < machine) return limit / 10 * 9;
  return machine / 2;
}

}  // namespace herald
