"""Real nats-server processes on loopback, one or a cluster, with JetStream in a fresh directory.

    with NatsCluster(3) as nats:                # ready when the block begins: a meta leader is there
        nats.urls                               # "nats://127.0.0.1:…,nats://…"
        nats.leader("H_0").kill()               # kill -9 of who leads that stream
        ...
        nats.restart()                          # those that are down, with the stores they had

The binary is $NATS_SERVER, or, for several servers, `NEW` (2.12) where that is there, or the one in PATH, or what `scripts/install-deps
nats` made: several servers of 2.9 can lose what they have acknowledged (docs/decisions/0018-nats-versions.md).
A server of 2.9 panics when it comes back to a store in which a stream was deleted meanwhile: one store a test.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import tempfile
import time
import urllib.request
from pathlib import Path

import nats

from harness import ROOT, Process, eventually

NEW = ROOT / "build/nats-2.12/nats-server"
START_SECONDS = 30  # a cluster on busy cores needs some for its elections
REMOVAL_SECONDS = 0.5
TRIES = 5  # at ports that somebody else may take first


def nats_binary(size=1):
    """The path of the nats-server for so many of them."""
    newer = NEW if size > 1 and NEW.exists() else None
    found = os.environ.get("NATS_SERVER") or newer or shutil.which("nats-server") or ROOT / "build/nats/usr/sbin/nats-server"
    if not Path(found).exists():
        raise AssertionError("no nats-server: scripts/install-deps nats gets it, or NATS_SERVER names it")
    return Path(found)


def free_port():
    """One that nobody listens on, below those that the kernel gives to clients: it is to be free again after a restart."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class NatsServer:
    """One process; it can be ended and started again with its ports and its store. `routes`: ports of the whole cluster."""

    def __init__(self, folder, name="n1", jetstream=True, routes=(), route_port=0, binary=None, more=""):
        self.name, self.binary = name, Path(binary or nats_binary())
        self.port, self.monitor_port = free_port(), free_port()
        self.folder = Path(folder) / name
        self.store = self.folder / "store"
        self.folder.mkdir(parents=True)
        self.paused = False
        self._process = None
        lines = [f"server_name: {name}", f'listen: "127.0.0.1:{self.port}"', f'http: "127.0.0.1:{self.monitor_port}"', more]
        if jetstream:
            lines.append(f'jetstream {{ store_dir: "{self.store}", max_memory_store: 256MB, max_file_store: 4GB }}')
        if routes:
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes if port != route_port)
            # Clients are not told of the other nodes: they would get around the proxy that they are to use.
            lines.append(f'cluster {{ name: herald, listen: "127.0.0.1:{route_port}", routes: [{others}], no_advertise: true }}')
        self._config = self.folder / "nats.conf"
        self._config.write_text("\n".join(lines) + "\n")

    @property
    def addr(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"nats://{self.addr}"

    @property
    def running(self):
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self):
        return self._process.pid

    @property
    def output(self):
        return self._process.output if self._process else ""

    def start(self, wait=True):
        self._process = Process([self.binary, "-c", self._config])
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until it takes clients. AssertionError if it has ended instead."""
        self._process.wait_line("Server is ready", START_SECONDS)

    def stop(self):
        """SIGTERM; what it has is written."""
        if self.running:
            self.resume()
            self._process.stop()

    def kill(self):
        if self.running:
            self._process.kill()
            self._process.stop()
            self.paused = False

    def pause(self):
        """SIGSTOP."""
        self._process.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        if self.paused:
            self._process.signal(signal.SIGCONT)
            self.paused = False

    def snapshot(self, name="snapshot"):
        """A copy of the store as a crash at this moment would leave it; of a server that runs too, which stands still meanwhile."""
        copy = self.folder / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)

    def roll_back(self, name="snapshot"):
        """Puts the copy in the place of the store, of a server that does not run."""
        if self.running:
            raise AssertionError(f"{self.name} runs: its store cannot be replaced")
        shutil.rmtree(self.store)
        shutil.copytree(self.folder / name, self.store)

    def monitor(self, path):
        """What a monitoring page such as "jsz?streams=true" says; None while nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.monitor_port}/{path}", timeout=5) as response:
                return json.load(response)
        except (OSError, ValueError):
            return None

    @property
    def healthy(self):
        """Whether it says so: its streams are as those of their leaders."""
        return (self.monitor("healthz") or {}).get("status") == "ok"

    def streams(self):
        """name → its details as /jsz has them; {} while nobody answers."""
        pages = self.monitor("jsz?accounts=true&streams=true&config=true") or {}
        return {stream["name"]: stream for account in pages.get("account_details") or () for stream in account.get("stream_detail") or ()}

    def request(self, subject, data=b"", timeout=5):
        """One request's answer as bytes, over a connection of its own."""
        return asyncio.run(_request(self.url, subject, data, timeout))

    def api(self, what, **request):
        """A request to the JetStream API, e.g. `api("STREAM.INFO.H_0")`: its answer. AssertionError if that is an error."""
        answer = json.loads(self.request(f"$JS.API.{what}", json.dumps(request).encode() if request else b""))
        if "error" in answer:
            raise AssertionError(f"{what}: {answer['error']}")
        return answer

    def stored(self, stream):
        """All that a stream holds: [(sequence, subject, headers, payload)]."""
        return asyncio.run(_stored(self.url, stream))


class NatsCluster:
    """`size` servers that know each other; with 1 a server alone. Use as a context manager."""

    def __init__(self, size=1, jetstream=True, binary=None, more=""):
        self.size, self._jetstream, self._binary, self._more = size, jetstream, binary or nats_binary(size), more
        self._folder = None
        self.nodes = []

    def __enter__(self):
        for attempt in range(TRIES):
            self._folder = tempfile.mkdtemp(prefix="herald-nats-")
            routes = [free_port() for _ in range(self.size)] if self.size > 1 else [0]
            self.nodes = [NatsServer(self._folder, f"n{index + 1}", self._jetstream, routes if self.size > 1 else (), port, self._binary,
                                     self._more) for index, port in enumerate(routes)]
            try:
                self.restart()
                return self
            except BaseException as error:
                taken = any("address already in use" in node.output for node in self.nodes)
                self.__exit__()
                if not taken or attempt == TRIES - 1 or not isinstance(error, AssertionError):
                    raise

    def __exit__(self, *_):
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def urls(self):
        return ",".join(node.url for node in self.nodes)

    @property
    def up(self):
        """Those that can answer."""
        return [node for node in self.nodes if node.running and not node.paused]

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def restart(self):
        """Starts those that are down, all at once, and waits until the cluster answers."""
        down = [node for node in self.nodes if not node.running]
        for node in down:
            node.start(wait=False)
        for node in down:
            node.wait_ready()
        self.wait_ready()

    def wait_ready(self, timeout=START_SECONDS):
        """Until JetStream has a leader that all of them know."""
        if self._jetstream:
            eventually(lambda: self.size == 1 or all((node.monitor("jsz") or {}).get("meta_cluster", {}).get("leader") for node in self.up),
                       "a leader of JetStream", timeout)
            eventually(self._answers, "an answer of JetStream", timeout)

    def _answers(self):
        try:
            return "error" not in json.loads(self.up[0].request("$JS.API.INFO", timeout=2))
        except (OSError, ValueError, nats.errors.Error):
            return False

    def stop(self):
        for node in self.nodes:
            node.stop()

    def kill(self):
        for node in self.nodes:
            node.kill()

    def streams(self):
        """name → details, from the stream's leader where it has one: the others do not know how its replicas are."""
        found = {}
        for node in self.up:
            for name, stream in node.streams().items():
                if name not in found or stream.get("cluster", {}).get("leader") == node.name:
                    found[name] = stream
        return found

    def leader(self, stream, timeout=START_SECONDS):
        """The node that leads the stream."""
        if self.size == 1:
            return self.nodes[0]

        def look():
            name = self.streams().get(stream, {}).get("cluster", {}).get("leader")
            return name and self.node(name)
        return eventually(look, f"a leader of {stream}", timeout)

    def follower(self, stream):
        """A node that does not lead it."""
        leader = self.leader(stream)
        return next(node for node in self.up if node is not leader)

    def wait_in_sync(self, timeout=START_SECONDS):
        """Until every stream has a leader and replicas that are up to date, as the leader and they themselves say."""
        eventually(lambda: all(map(_in_sync, self.streams().values())) and all(node.healthy for node in self.up), "all streams in sync", timeout)

    def snapshot(self, name="snapshot"):
        """A copy of all stores at one moment, while they may run: they stand still meanwhile."""
        up = self.up
        for node in up:
            node.pause()
        try:
            for node in self.nodes:
                node.snapshot(name)
        finally:
            for node in up:
                node.resume()

    def roll_back(self, name="snapshot"):
        """Ends all and puts the copies in the place of the stores; `restart()` comes next."""
        self.kill()
        for node in self.nodes:
            node.roll_back(name)

    def delete_stream(self, name):
        """Returns its configuration, for `create_stream`. 2.9 removes the files in the background: what is made again in that moment is
        broken for good ("error opening msg block file"), so this waits a little."""
        config = self.up[0].api(f"STREAM.INFO.{name}")["config"]
        self.up[0].api(f"STREAM.DELETE.{name}")
        time.sleep(REMOVAL_SECONDS)
        return config

    def create_stream(self, config):
        """Makes it, unless somebody else has done so meanwhile."""
        try:
            self.up[0].api(f"STREAM.CREATE.{config['name']}", **config)
        except AssertionError as error:
            if "already in use" not in str(error):
                raise


def _in_sync(stream):
    """`stream` as its leader tells it: all replicas that it should have are there and have what it has."""
    cluster = stream.get("cluster", {})
    replicas = [replica for replica in cluster.get("replicas") or () if replica["current"]]
    return stream["config"]["num_replicas"] == 1 or bool(cluster.get("leader")) and len(replicas) == stream["config"]["num_replicas"] - 1


async def _connect(url):
    return await nats.connect(url, allow_reconnect=False, connect_timeout=5)


async def _request(url, subject, data, timeout):
    client = await _connect(url)
    try:
        return (await client.request(subject, data, timeout)).data
    finally:
        await client.close()


async def _stored(url, stream):
    client = await _connect(url)
    try:
        made, sequence = [], 0
        jetstream = client.jetstream()
        while True:
            # The next one at or behind a sequence, whatever its subject.
            answer = json.loads((await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps(
                {"seq": sequence + 1, "next_by_subj": ">"}).encode(), 5)).data)
            if "error" in answer:
                if answer["error"].get("code") == 404:
                    return made
                raise AssertionError(f"{stream}: {answer['error']}")
            message = answer["message"]
            sequence = message["seq"]
            made.append((sequence, message["subject"], *(base64.b64decode(message.get(part, "")) for part in ("hdrs", "data"))))
    finally:
        await client.close()
