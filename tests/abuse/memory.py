"""What an attack has cost a process."""

import re
from pathlib import Path

MIB = 1 << 20


def peak_bytes(process):
    """The most resident memory that it ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


class Growth:
    """How much the peak rose.

        with Growth(herald) as growth: ...
        growth.bytes
    """

    def __init__(self, process):
        self._process = process
        self.bytes = 0

    def __enter__(self):
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")  # the peak is now what is resident
        self._before = peak_bytes(self._process)
        return self

    def __exit__(self, *_):
        self.bytes = peak_bytes(self._process) - self._before
