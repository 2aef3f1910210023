"""What the tests of the browser SDK share: the SDK as the binary serves it, and a Node program that uses it."""

import base64
import contextlib
import json
import re
import subprocess
import tempfile
import threading
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from harness import DEADLINE, ROOT, Process, eventually
from producer import Producer
from proxy import Proxy
from server_case import ServerTest

RULES = """\
topic_rules:
  - {pattern: "log/**", history_size: 1000, history_ttl: 10m, client_subscribe: anyone, client_publish: anyone}
  - {pattern: "short/*", history_size: 5, client_subscribe: anyone, client_publish: anyone}
  - {pattern: "plain/*", client_subscribe: anyone, client_publish: anyone}
  - {pattern: "closed/*", client_subscribe: none}
"""
QUICK = {"backoff": {"baseMs": 50, "capMs": 400}}


def node_arguments():
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    major = int(re.match(r"v(\d+)", version)[1])
    return ["node", "--no-warnings", *(["--experimental-websocket"] if major < 22 else [])]


class SdkClient(Process):
    """`things` as they happened: dicts of one key each."""

    def __init__(self, sdk, **setup):
        super().__init__([*node_arguments(), ROOT / "tests/e2e/node/sdk_client.mjs", sdk, json.dumps(setup)],
                         stdin=subprocess.PIPE, env={"HERALD_NODE_MODULES": str(ROOT / "build/node/node_modules")})
        self._waited = 0

    def do(self, *what):
        self.write_line(json.dumps(what))

    @property
    def things(self):
        return [json.loads(line) for line in list(self.lines)]

    def all(self, kind):
        return [thing[kind] for thing in self.things if kind in thing]

    def wait(self, kind, condition=lambda _: True, count=1, timeout=DEADLINE):
        """The `count`-th thing of that kind for which the condition holds."""
        def look():
            if self.returncode is not None:
                raise AssertionError(f"ended with {self.returncode}:\n{self.output}")
            found = [what for what in self.all(kind) if condition(what)]
            return found[count - 1:count]

        try:
            return eventually(look, f"`{kind}`", timeout)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output[-4000:]}") from None

    def wait_state(self, name, count=1, timeout=DEADLINE):
        return self.wait("state", lambda state: state["name"] == name, count, timeout)

    def states(self):
        return [state["name"] for state in self.all("state")]

    def payloads(self, topic=None):
        return [message["data"] for message in self.all("message") if topic in (None, message["topic"])]


class Peer:
    """A server of ours that does what the real one would not: says hello to each connection, sends it the next list of `frames`,
    and closes it with the next of `codes`. When there are no more codes it holds the connection."""

    def __init__(self, codes=(), frames=()):
        self._codes = iter(codes)
        self._frames = iter(frames)
        self.connects = []  # what clients sent first
        self._server = serve(self._handle, "127.0.0.1", 0, subprotocols=["herald.v1.json"], compression=None)
        self.url = "ws://127.0.0.1:%d/ws" % self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()

    def _handle(self, connection):
        self.connects.append(json.loads(connection.recv())["connect"])
        recovered = [{"topic": "a", "position": "end", "offset": "99", **({"recovered": True} if len(self.connects) > 1 else {"offset": "0"})}]
        connection.send(json.dumps({"hello": {"session_id": "x", "ping_interval": "25s", "topics": recovered}}))
        for frame in next(self._frames, []):
            connection.send(frame if isinstance(frame, str) else json.dumps(frame))
        code = next(self._codes, None)
        if code is not None:
            return connection.close(code, "so it is")
        with contextlib.suppress(ConnectionClosed):
            for _ in connection:
                pass


class SdkTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def start_with_rules(self, *flags, rules=RULES, **options):
        """The server with histories, a proxy before it, and a producer."""
        (self.directory / "herald.yaml").write_text(rules)
        self.herald = self.start(f"--config={self.directory / 'herald.yaml'}", *flags, **options)
        self.proxy = self.enter(Proxy(self.herald.client_addr))
        self.producer = self.enter(Producer(self.herald))
        return self.herald

    def sdk(self, herald=None):
        """/herald.js, in a file."""
        herald = herald or self.herald
        status, body, _ = herald.http("/herald.js", base=f"http://{herald.client_addr}")
        self.assertEqual(status, 200)
        path = self.directory / "herald.mjs"
        path.write_text(body)
        return path

    def client(self, url=None, options=None, **setup):
        options = {"url": url or self.proxy.url, **QUICK, **(options or {})}
        return self.enter(SdkClient(self.sdk(), options=options, **setup))

    def open_client(self, *arguments, **setup):
        client = self.client(*arguments, **setup)
        client.wait_state("open")
        for topic in setup.get("topics", []):
            self.assertEqual(client.wait(f"subscribe {topic}"), {"ok": None})
        return client

    def push(self, topic, numbers):
        """Messages {"n": number} to a topic, in one pipelined stream."""
        lines = [json.dumps({"seq": str(seq), "deliver": {"target": {"topic": topic}, "message": {"payload": _base64({"n": number})}}})
                 for seq, number in enumerate(numbers, 1)]
        done = self.herald.ctl("stream", input="\n".join(lines) + "\n")
        results = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([result.get("code", 0) for result in results], [0] * len(lines), done.stdout[:500])


def _base64(value):
    return base64.b64encode(json.dumps(value).encode()).decode()
