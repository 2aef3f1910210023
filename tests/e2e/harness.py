"""Runs the real binary for end-to-end tests.

    with Herald() as herald:                       # herald --dev, two threads, ports of its own, ready
        with herald.raw_client() as client:
            ...
    with Herald("--max_sessions=3", env={...}) as herald: ...

Waits are for conditions, each with a deadline; nothing sleeps and hopes. Processes are ended by pid.
The binary is $HERALD_BIN, or build/$HERALD_PRESET/bin/herald (preset dev unless set); heraldctl stands beside it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "python"))
os.environ["PATH"] = f"{ROOT}/build/nodejs/bin:{os.environ['PATH']}"  # Node.js where the system's is too old

DEADLINE = float(os.environ.get("HERALD_TEST_DEADLINE", 20))  # seconds; sanitizers and shared cores are slow

# What children get: the server reads HERALD_… and refuses what it does not know, such as what steers these tests.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"} | {
    name: value for name, value in os.environ.items() if not name.startswith("HERALD_")}


def binary(name="herald"):
    if name == "herald" and "HERALD_BIN" in os.environ:
        return Path(os.environ["HERALD_BIN"])
    if "HERALD_BIN" in os.environ:
        return Path(os.environ["HERALD_BIN"]).with_name(name)
    return ROOT / "build" / os.environ.get("HERALD_PRESET", "dev") / "bin" / name


def grpc_version():
    """Of the binary, such as (1, 51); (0, 0) if it does not say."""
    done = subprocess.run([binary(), "--version"], capture_output=True, text=True, env=ENVIRONMENT, timeout=DEADLINE, check=True)
    found = re.search(r"gRPC (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def eventually(condition, what="the condition", timeout=DEADLINE):
    """Polls `condition` until it returns something true, and returns that. AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: still not so after {timeout:g} s; last: {value!r}")
        time.sleep(0.02)


class Process:
    """A child whose output is collected line by line. `stop()` ends it with SIGTERM, then SIGKILL."""

    def __init__(self, argv, env=None, stdin=None):
        self.argv = [str(word) for word in argv]
        self.lines = []
        self._popen = subprocess.Popen(
            self.argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=ENVIRONMENT | (env or {}), text=True, errors="replace", bufsize=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._popen.pid

    @property
    def returncode(self):
        """None while it runs."""
        return self._popen.poll()

    @property
    def output(self):
        return "\n".join(self.lines)

    def write_line(self, line):
        """To its standard input; needs `stdin=subprocess.PIPE`."""
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def wait_line(self, pattern, timeout=DEADLINE, count=1):
        """Waits until `count` lines match the regular expression; returns the last match."""
        def look():
            exited = self.returncode is not None and not self._reader.is_alive()  # before looking: all is there then
            found = [match for match in map(re.compile(pattern).search, list(self.lines)) if match]
            if len(found) < count and exited:
                raise AssertionError(f"ended with {self.returncode} before a line like {pattern!r}:\n{self.output}")
            return found[count - 1] if len(found) >= count else None

        try:
            return eventually(look, f"a line like {pattern!r}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- output of {self.argv[0]}\n{self.output}") from None

    def wait(self, timeout=DEADLINE):
        """Waits for its end; returns the exit code."""
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} still runs after {timeout:g} s:\n{self.output}") from None
        self._reader.join(timeout)
        return self._popen.returncode

    def signal(self, number):
        self._popen.send_signal(number)

    def stop(self, timeout=DEADLINE):
        """Asks it to end, insists after `timeout`; returns the exit code (negative: killed). Fails if a sanitizer has complained."""
        if self.returncode is None:
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._popen.stdin:
            try:
                self._popen.stdin.close()
            except BrokenPipeError:
                pass
        self._reader.join(timeout)
        self._popen.stdout.close()
        if report := re.search(r"((?:ERROR|WARNING): \w+Sanitizer|:\d+:\d+: runtime error:)(.*\n){0,60}", self.output):
            raise AssertionError(f"{self.argv[0]}:\n{report[0]}")
        return self._popen.returncode

    def kill(self):
        self.signal(signal.SIGKILL)
        self._popen.wait(DEADLINE)

    def rss_bytes(self):
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024

    def _read(self):
        try:
            for line in self._popen.stdout:
                self.lines.append(line.rstrip("\n"))
        except ValueError:
            pass  # closed by stop()


class Herald(Process):
    """The server on free loopback ports, ready when the constructor returns.

    `flags` come after the defaults, and the last one wins. `dev=False` leaves `--dev` out, `wait=False` returns at once, `wrap`
    are the words of a command that runs the server, `open_files` is its limit of open files.
    """

    def __init__(self, *flags, dev=True, threads=2, env=None, wait=True, wrap=(), open_files=None):
        limited = ["prlimit", f"--nofile={open_files}:{open_files}"] if open_files else []
        defaults = ["--dev"] if dev else []
        defaults += ["--client_addr=127.0.0.1:0", "--grpc_addr=127.0.0.1:0", "--admin_addr=127.0.0.1:0",
                     f"--threads={threads}", "--log_format=json", "--drain_seconds=0"]
        super().__init__([*wrap, *limited, binary(), *defaults, *flags], env=env)
        self.client_addr = self.grpc_addr = self.admin_addr = None
        if wait:
            try:
                self.wait_listening()
                self.wait_ready()
            except BaseException:
                self.kill() if self.returncode is None else None
                self.stop()
                raise

    @property
    def client_url(self):
        """`ws://…/ws`."""
        return f"ws://{self.client_addr}/ws"

    @property
    def page_url(self):
        return f"http://{self.client_addr}/"

    @property
    def admin_url(self):
        """Without a slash at its end."""
        return f"http://{self.admin_addr}"

    def logs(self, msg=None):
        """The log lines that are JSON objects, as dicts; `msg` picks those with that message."""
        records = []
        for line in list(self.lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and msg in (None, record.get("msg")):
                records.append(record)
        return records

    def wait_listening(self, timeout=DEADLINE):
        self.wait_line(r'"msg": ?"listening"', timeout)
        record = self.logs("listening")[-1]
        self.client_addr, self.grpc_addr, self.admin_addr = (record.get(key) for key in ("client", "grpc", "admin"))

    def wait_ready(self, timeout=DEADLINE):
        eventually(lambda: self.returncode is not None or self.http("/readyz")[0] == 200, "/readyz", timeout)
        if self.returncode is not None:
            raise AssertionError(f"herald ended with {self.returncode}:\n{self.output}")

    def http(self, path, base=None, headers=None, method="GET"):
        """(status, body, headers) from the admin port, or from `base`; (0, reason, {}) if nobody answers."""
        request = urllib.request.Request((base or self.admin_url) + path, headers=headers or {}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=5) as response:
                return response.status, response.read().decode(), dict(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace"), dict(error.headers)
        except OSError as error:
            return 0, str(error), {}

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.http("/metrics")[1].splitlines():
            match = re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)(?: \d+)?", line)
            if match and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', match[1] or "")).items():
                total += float(match[2])
        return total

    def raw_client(self, query="", **options):
        """A connection without subprotocol: frames are payloads. `query` such as "?topics=news"."""
        return connect(self.client_url + query, **(CLIENT_OPTIONS | options))

    def json_client(self, query="", **options):
        """A JsonClient that has said `connect` and got its `hello`."""
        return JsonClient(self.client_url + query, **options)

    def ctl(self, *words, input=None, check=True):
        """Runs heraldctl against this server; returns its CompletedProcess."""
        argv = [str(binary("heraldctl")), words[0], f"--addr={self.grpc_addr}", *map(str, words[1:])]
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=3 * DEADLINE, env=ENVIRONMENT)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done


CLIENT_OPTIONS = {"legacy": True, "proxy": None, "compression": None, "open_timeout": DEADLINE, "close_timeout": 5, "max_size": None}


class JsonClient:
    """A session with subprotocol herald.v1.json. Frames are dicts; `hello` holds the server's first answer."""

    def __init__(self, url, connect_frame=None, **options):
        self.socket = connect(url, subprotocols=["herald.v1.json"], **(CLIENT_OPTIONS | options))
        self._last_id = 1
        self._kept = []  # frames that came while something else was waited for
        self.send({"id": 1, "connect": connect_frame or {}})
        self.hello = self.wait(lambda frame: "hello" in frame)["hello"]
        self.session_id = self.hello["session_id"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        self.socket.send(json.dumps(frame))

    def receive(self, timeout=DEADLINE):
        """The next frame. TimeoutError, or websockets' ConnectionClosed."""
        return self._kept.pop(0) if self._kept else json.loads(self.socket.recv(timeout))

    def wait(self, condition, timeout=DEADLINE):
        """The next frame for which `condition` holds; others stay for later calls."""
        end = time.monotonic() + timeout
        for index, frame in enumerate(self._kept):
            if condition(frame):
                return self._kept.pop(index)
        while True:
            frame = json.loads(self.socket.recv(max(0.01, end - time.monotonic())))
            if condition(frame):
                return frame
            self._kept.append(frame)

    def message(self, timeout=DEADLINE):
        """The next `message`, without its envelope."""
        return self.wait(lambda frame: "message" in frame, timeout)["message"]

    def request(self, **kind):
        """Sends a frame, e.g. `request(subscribe={"topic": "news"})`, and returns its `reply`."""
        self._last_id += 1
        number = self._last_id
        self.send({"id": number, **kind})
        return self.wait(lambda frame: frame.get("reply", {}).get("id") == number)["reply"]


def python_example(path, *arguments, stdin=None):
    """Starts one of the programs in examples/ with the interpreter that runs the tests."""
    return Process([sys.executable, ROOT / "examples" / path, *arguments], stdin=stdin)


def raw_node_client(url):
    """`new WebSocket(url)` under Node: prints what arrives, sends what is written to it. Skips the test if Node lacks it."""
    try:
        version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        version = ""
    major, minor = (int(part) for part in re.findall(r"\d+", version + "0.0")[:2])
    if (major, minor) < (20, 10):
        raise unittest.SkipTest(f"Node 20.10 or newer is needed for its WebSocket client, this is {version.strip() or 'none'}")
    option = ["--experimental-websocket"] if major < 22 else []
    return Process(["node", *option, "--no-warnings", ROOT / "examples/greeter/client.js", url], stdin=subprocess.PIPE)
