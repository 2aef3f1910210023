"""The servers of bench/peers: their names, and which of them are installed."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("bench/peers")  # below the root, as herald-bench is told of them


@dataclass(frozen=True)
class Peer:
    name: str  # of its folder
    title: str
    version: str = ""
    missing: str = ""  # how to get it, if it is not installed

    @property
    def folder(self):
        return f"{FOLDER}/{self.name}"


def names(root):
    return sorted(path.parent.name for path in (root / FOLDER).glob("*/peer.json"))


def look(root, name):
    folder = root / FOLDER / name
    title = json.loads((folder / "peer.json").read_text())["name"]
    asked = subprocess.run([folder / "start", "--version"], capture_output=True, text=True, timeout=30)
    if asked.returncode == 0:
        return Peer(name, title, version=asked.stdout.strip())
    return Peer(name, title, missing=asked.stderr.strip() or f"ended with {asked.returncode}")
