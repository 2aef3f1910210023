#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace herald {

// The memory controller of the control groups that this process is in (cgroups(7), version 1 or 2).
//
// Threads:   immutable after construction; any thread. Each call reads files, some 20 us.
// Errors:    a file that is missing or unreadable counts as "no limit" or "unknown".
// Spec:      Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the Linux kernel.
class CgroupMemory {
 public:
  // `root` replaces "/" in tests.
  explicit CgroupMemory(const std::string& root = "/");

  // The lowest limit of this group and the groups above it; 0: none.
  std::uint64_t limit() const;
  // What the kernel charges to the group for TCP sockets; nothing where it does not count that.
  std::optional<std::uint64_t> socket_bytes() const;

 private:
  bool version2_ = false;
  std::vector<std::string> groups_;  // directories, this process's group first
};

// The memory this process may use: the limit of its control groups, or the machine's memory if that
// is less. 0: unknown.
std::uint64_t MemoryLimit();

// The default of max_memory_bytes: nine tenths of the control group's limit. On a machine without
// such a limit others need memory too: half of the machine's.
std::uint64_t DefaultMemoryBudget();

}  // namespace herald
