"""The Node process that holds the clients, and what they log."""

import asyncio
import json
import time
from collections import defaultdict

from harness import ENVIRONMENT, ROOT
from sdk_case import node_arguments

HERE = ROOT / "tests" / "checker"


class Clients:
    """Use as an async context manager. `logs[name]` are the client's events, each `(time, kind, …)`."""

    def __init__(self, sdk):
        self._argv = [*node_arguments(), HERE / "clients.mjs", sdk]
        self.logs = defaultdict(list)
        self.views = {}  # name → View
        self.errors = []  # what the process says beside the log
        self._synced = {}
        self._process = None

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            *map(str, self._argv), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=1 << 22, env=ENVIRONMENT | {"HERALD_NODE_MODULES": str(ROOT / "build/node/node_modules")})
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]
        return self

    async def __aexit__(self, *_):
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()

    def tell(self, name, *what):
        if self._process.returncode is not None:
            raise AssertionError(f"the clients' process ended with {self._process.returncode}: {self.errors}")
        self._process.stdin.write(json.dumps([name, *what]).encode() + b"\n")

    async def sync(self, name):
        """Everything that had happened is in the log when it returns."""
        done = self._synced[name] = asyncio.Event()
        self.tell(name, "sync")
        await asyncio.wait_for(done.wait(), 30)

    def forget(self, name):
        self.logs.pop(name, None)
        self.views.pop(name, None)

    async def _read(self):
        async for line in self._process.stdout:
            moment, name, kind, *what = json.loads(line)
            if kind == "sync":
                self._synced.pop(name).set()
                continue
            self.logs[name].append((moment, kind, *what))
            if name in self.views:
                self.views[name].see(kind, what)

    async def _read_errors(self):
        async for line in self._process.stderr:
            self.errors.append(line.decode(errors="replace").rstrip())


class View:
    """Where a client stands, as its log tells. `steady`: connected, and on every topic that it wants."""

    def __init__(self, clients, name, base):
        self._clients, self.name = clients, name
        self.wanted = set(base)
        self.on = set()
        self.state = ""
        self.numbers = set()  # of messages that came
        clients.views[name] = self

    def see(self, kind, what):
        if kind == "state":
            self.state = what[0]
            if what[0] != "open":
                self.on.clear()
        elif kind == "start":
            self.on.add(what[0])
        elif kind == "unsubok":
            self.on.discard(what[0])
        elif kind == "msg":
            self.numbers.add(what[2])

    @property
    def steady(self):
        return self.state == "open" and self.wanted <= self.on

    def sub(self, topic):
        self.wanted.add(topic)
        self._clients.tell(self.name, "sub", topic)

    def unsub(self, topic):
        self.wanted.discard(topic)
        self.on.discard(topic)
        self._clients.tell(self.name, "unsub", topic)


async def until(condition, seconds):
    """True as soon as the condition holds, False after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True
