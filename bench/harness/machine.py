"""What the figures were measured on and with: the head of docs/performance.md."""

import os
import platform
import re
import subprocess
from datetime import date
from pathlib import Path


def describe(root, versions):
    """`versions`: name → version of the servers that take part."""
    return {
        "cpu": _first(r"^model name\s*: (.*)$", Path("/proc/cpuinfo")) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo"))) / 1024 / 1024),
        "kernel": "Linux " + re.match(r"[\d.]*\d", platform.release())[0],
        "system": _first(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release")) or "unknown",
        "compiler": _output("g++", "-dumpfullversion", "-dumpversion") or "unknown",
        "versions": versions,
        "date": date.today().isoformat(),
        "commit": commit(root),
    }


def commit(root):
    """Of the sources; with a remark if they are not as committed."""
    name = _output("git", "-C", root, "rev-parse", "--short=10", "HEAD") or "unknown"
    changed = _output("git", "-C", root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return name + (" with changes" if changed else "")


def _first(pattern, path):
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    return found and " ".join(found[1].split())


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
