"""What the tests of the browser SDK share: the SDK as the binary serves it, and a Node program that uses it."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from harness import DEADLINE, ROOT, Process, eventually
from producer import Producer
from proxy import Proxy
from server_case import ServerTest

RULES = """\
topic_rules:
  - {pattern: "log/**", history_size: 1000, history_ttl: 10m, client_subscribe: any, client_publish: any}
  - {pattern: "short/*", history_size: 5, client_subscribe: any, client_publish: any}
  - {pattern: "plain/*", client_subscribe: any, client_publish: any}
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
        super().__init__([*node_arguments(), ROOT / "tests/e2e/node/sdk_client.mjs", sdk, json.dumps(setup)], stdin=subprocess.PIPE)
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
    import base64
    return base64.b64encode(json.dumps(value).encode()).decode()
