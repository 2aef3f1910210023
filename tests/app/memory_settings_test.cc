#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "app/cgroup_memory.h"
#include "app/config.h"
#include "app/derive_memory.h"
#include "fmt/format.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

// A file tree in the place of /.
class CgroupMemoryTest : public ::testing::Test {
 protected:
  ~CgroupMemoryTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root_ = fmt::format("{}cgroup_{}/", ::testing::TempDir(),
                                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(CgroupMemoryTest, G5ReadsTheLowestLimitOfNestedGroupsOfVersion2) {
  Write("proc/self/cgroup", "0::/pods/herald\n");
  Write("sys/fs/cgroup/pods/herald/memory.max", "max\n");
  Write("sys/fs/cgroup/pods/memory.max", "268435456\n");
  Write("sys/fs/cgroup/pods/herald/memory.stat", "anon 1\nsock 8192\nfile 3\n");
  const CgroupMemory memory(root_);
  EXPECT_EQ(memory.limit(), 256 * kMiB);
  EXPECT_EQ(memory.socket_bytes(), 8192u);
}

TEST_F(CgroupMemoryTest, G5ReadsVersion1BesideVersion2) {
  Write("proc/self/cgroup", "4:cpu,memory:/a/b\n0::/\n");
  Write("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
  Write("sys/fs/cgroup/memory/a/b/memory.kmem.tcp.usage_in_bytes", "4096\n");
  const CgroupMemory memory(root_);
  EXPECT_EQ(memory.limit(), kMiB);
  EXPECT_EQ(memory.socket_bytes(), 4096u);
}

// In a container the path is the host's, and only the container's own group is mounted.
TEST_F(CgroupMemoryTest, ReadsTheMountWhereThePathIsTheHosts) {
  Write("proc/self/cgroup", "4:memory:/kubepods/pod1/c1\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n");
  EXPECT_EQ(CgroupMemory(root_).limit(), 2 * kMiB);
}

TEST_F(CgroupMemoryTest, WithoutAGroupThereIsNoLimit) {
  EXPECT_EQ(CgroupMemory(root_).limit(), 0u);
  EXPECT_EQ(CgroupMemory(root_).socket_bytes(), std::nullopt);
}

TEST(DeriveMemoryTest, G5WhatIsNotSetIsAShareOfTheBudget) {
  Config config;
  config.threads = 2;
  DeriveMemorySettings(230 * kMiB, config);
  EXPECT_EQ(config.limits.max_memory_bytes, 230 * kMiB);
  EXPECT_LT(config.limits.max_outbound_bytes_total + config.max_history_bytes_total +
                config.max_event_bytes + 2 * config.limits.mailbox_high_watermark_bytes +
                config.limits.max_idempotency_keys * 300ull,
            230 * kMiB * 6 / 10);
  EXPECT_EQ(config.origins.at("max_history_bytes_total"), kDerived);
  EXPECT_TRUE(ValidateMemory(config).ok());
}

TEST(DeriveMemoryTest, WhatIsSetStays) {
  Config config;
  config.max_history_bytes_total = 5 * kMiB;
  config.limits.max_memory_bytes = kGiB;
  DeriveMemorySettings(230 * kMiB, config);
  EXPECT_EQ(config.max_history_bytes_total, 5 * kMiB);
  EXPECT_EQ(config.limits.max_memory_bytes, kGiB);
}

TEST(DeriveMemoryTest, ASettingAboveTheBudgetIsAnErrorThatSaysWhatToDo) {
  Config config;
  config.limits.max_memory_bytes = 64 * kMiB;
  config.max_history_bytes_total = kGiB;
  DeriveMemorySettings(0, config);
  const absl::Status status = ValidateMemory(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_history_bytes_total"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_memory_bytes"));
}

// A tiny budget refuses work; it is not a configuration that cannot start.
TEST(DeriveMemoryTest, ATinyBudgetStarts) {
  const char* const arguments[] = {"herald", "--allow_anonymous", "--max_memory_bytes=1MiB"};
  const auto config = LoadConfig(3, arguments, {});
  EXPECT_TRUE(config.ok()) << config.status();
}

}  // namespace
}  // namespace herald
