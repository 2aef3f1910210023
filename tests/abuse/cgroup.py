"""A memory cgroup for one test: a child of the group that this process is in (cgroups(7), version 1 or 2).

    with MemoryCgroup(256 * MIB) as cgroup:
        with Herald(wrap=cgroup.wrap()) as herald: ...
        cgroup.peak(), cgroup.oom_kills()

Skips the test, with the reason, where the machine does not let us make one. Sockets' memory counts for the limit on
version 2. On version 1 the kernel counts it apart, and `peak` adds the two.
"""

import os
import re
import unittest
from pathlib import Path

MIB = 1 << 20
ROOT = Path("/sys/fs/cgroup")


def _own_group():
    """(directory, version) of the memory controller's group of this process."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return ROOT / "memory" / path.lstrip("/"), 1
    for number, controllers, path in lines:
        if number == "0" and not controllers:
            return ROOT / path.lstrip("/"), 2
    raise unittest.SkipTest("no memory controller in /proc/self/cgroup")


class MemoryCgroup:
    def __init__(self, limit):
        parent, self.version = _own_group()
        self.path = parent / f"herald-test-{os.getpid()}-{id(self):x}"
        try:
            self.path.mkdir()
        except OSError as error:
            raise unittest.SkipTest(f"may not make a memory cgroup here: {error}")
        try:
            if self.version == 1:
                (self.path / "memory.kmem.tcp.limit_in_bytes").write_text(str(1 << 40))  # makes the kernel count
                (self.path / "memory.limit_in_bytes").write_text(str(limit))
            else:
                (self.path / "memory.max").write_text(str(limit))
                (self.path / "memory.swap.max").write_text("0")
        except OSError as error:
            self.path.rmdir()
            raise unittest.SkipTest(f"may not limit a memory cgroup here: {error}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.rmdir()

    def wrap(self):
        """The words before a command that make it run in this group."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def _number(self, name):
        return int((self.path / name).read_text())

    def peak(self):
        """Bytes, kernel sockets included."""
        if self.version == 1:
            return self._number("memory.max_usage_in_bytes") + self._number("memory.kmem.tcp.max_usage_in_bytes")
        return self._number("memory.peak")

    def oom_kills(self):
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return int(re.search(r"^oom_kill (\d+)$", (self.path / name).read_text(), re.MULTILINE)[1])
