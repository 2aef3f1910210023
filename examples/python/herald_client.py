"""The little that the Python examples share: the generated stubs, a Push stream, a watch, and trying again.

The stubs come from proto/herald/v1; `scripts/gen-python` puts them into build/python.
"""

import json
import queue
import random
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

import grpc
from grpc import RpcError

STUBS = Path(__file__).resolve().parents[2] / "build" / "python"
sys.path.insert(0, str(STUBS))
try:
    from herald.v1 import common_pb2, event_service_pb2, push_service_pb2, session_service_pb2
    from herald.v1 import event_service_pb2_grpc, push_service_pb2_grpc, session_service_pb2_grpc
except ModuleNotFoundError as error:
    sys.exit(f"no Python stubs of Herald ({error}): run scripts/gen-python")

# Trying again would not help.
FATAL = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
         grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)


class Herald:
    """Stubs of the services at `addr`; `token` is a producer's bearer token. Use as a context manager.

    With several addresses, parted by commas, SafePush goes on at the next when one fails or leaves; all else uses the first. Of a name
    with several addresses each stream takes the next.
    """

    def __init__(self, addr="127.0.0.1:50051", token=None):
        self.addr = addr
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        options = [("grpc.enable_http_proxy", 0), ("grpc.keepalive_time_ms", 30_000), ("grpc.lb_policy_name", "round_robin"),
                   ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2_000)]
        self.channels = [grpc.insecure_channel(one, options) for one in addr.split(",")]
        self.pushes = [push_service_pb2_grpc.PushServiceStub(channel) for channel in self.channels]
        self.channel, self.push = self.channels[0], self.pushes[0]
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for channel in self.channels:
            channel.close()

    def open_push(self, on_result=None):
        """A Push stream. `on_result(result)` is called, on another thread, for every command's result."""
        return PushStream(self, on_result)

    def open_safe_push(self, on_result=None):
        """A Push stream that survives its connections."""
        return SafePush(self, on_result)

    def watch(self, kinds=(), topics=()):
        """Yields events until the stream ends. `kinds`: names such as "session_opened"; none means all."""
        kinds = [event_service_pb2.EventKind.Value(f"EVENT_KIND_{kind.upper()}") for kind in kinds]
        opening = event_service_pb2.WatchRequest(
            open=event_service_pb2.WatchOpen(kinds=kinds, topic_patterns=topics))
        requests = queue.SimpleQueue()  # stays open: half-closing would end the watch
        requests.put(opening)
        try:
            for response in self.events.Watch(iter(requests.get, None), metadata=self.metadata):
                if response.HasField("opened"):
                    log("watching what clients do")
                if response.missed:
                    log(f"too slow: missed {response.missed} events")
                yield from response.events
        finally:
            requests.put(None)

    def list_sessions(self, **filters):
        """All sessions that match, over all pages."""
        request = session_service_pb2.ListSessionsRequest(page_size=1000, **filters)
        while True:
            response = self.sessions.ListSessions(request, metadata=self.metadata, timeout=5)
            yield from response.sessions
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token


class PushStream:
    """One pipelined stream of commands: they take effect in the order in which they are sent."""

    def __init__(self, herald, on_result=None):
        self._requests = queue.SimpleQueue()
        self._seq = 0
        self._on_result = on_result or report_failure
        self._call = herald.push.Push(iter(self._requests.get, None), metadata=herald.metadata)
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, **command):
        """Sends one command, e.g. `send(deliver=deliver(to(topic="news"), text("hello")))`. Returns its `seq`."""
        if not self._call.is_active():
            raise self._call  # an RpcError: the stream has ended
        with self._lock:
            self._seq += 1
            self._requests.put(push_service_pb2.PushRequest(
                commands=[push_service_pb2.Command(seq=self._seq, **command)]))
            return self._seq

    def deliver(self, message, **target):
        """Short for the command sent most: `deliver(text("hello"), user_id="alice")`."""
        return self.send(deliver=push_service_pb2.Deliver(target=to(**target), message=message))

    def close(self, timeout=5):
        """Half-closes and waits for the results that are still to come."""
        self._requests.put(None)
        self._reader.join(timeout)

    def _read(self):
        try:
            for response in self._call:
                for result in response.results:
                    self._on_result(result)
        except RpcError:
            pass  # `send` raises it where somebody can act on it


class SafePush:
    """Opens its stream again when it breaks, and sends again what has no result: each command is carried out once and in order.

    That holds for outages shorter than the server's idempotency_window (2 minutes). A command that is answered UNAVAILABLE (the broker
    is away) is tried again, before all that follow. A replica that leaves says so: then the stream is brought to its end, and what was
    not sent goes to the next. `send` blocks while 4,096 have no result.
    """

    def __init__(self, herald, on_result=None):
        self._herald, self._on_result = herald, on_result or report_failure
        self._opening = push_service_pb2.PushRequest(open=push_service_pb2.PushOpen(
            producer_id=uuid.uuid4().hex, end_at_unavailable=True))
        self._waiting = {}  # seq → its request, in order, until its result is there
        self._requests = queue.SimpleQueue()  # of the stream that is open
        self._seq = 0
        self._closing, self._error = False, None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, **command):
        """As PushStream's. Raises the RpcError that ended it for good."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or len(self._waiting) < 4096)
            if self._error:
                raise self._error
            self._seq += 1
            request = push_service_pb2.PushRequest(commands=[push_service_pb2.Command(seq=self._seq, **command)])
            self._waiting[self._seq] = request
            self._requests.put(request)
            return self._seq

    deliver = PushStream.deliver

    def close(self, timeout=60):
        """Waits for the results that are still to come."""
        with self._changed:
            self._closing = True
            self._requests.put(None)
        self._thread.join(timeout)

    def _run(self):
        pushes, stream, attempt = self._herald.pushes, 0, 0
        while not self._error and (self._waiting or not self._closing):
            moved = self._run_stream(pushes[stream % len(pushes)])
            stream += 1
            attempt = 1 if self._progress or moved else attempt + 1
            if not moved and attempt >= len(pushes):  # the others are asked at once
                time.sleep(random.uniform(0, min(10, 0.2 * 2 ** (attempt - len(pushes)))))

    def _run_stream(self, push):
        """One stream to its end; true if it was told to move."""
        moved, self._progress = False, False
        with self._changed:
            self._requests = requests = queue.SimpleQueue()
            for request in [self._opening, *self._waiting.values(), *([None] if self._closing else [])]:
                requests.put(request)
        try:
            for response in push.Push(iter(requests.get, None), metadata=self._herald.metadata):
                if response.HasField("moving"):
                    moved = True
                    with self._changed:
                        self._requests = queue.SimpleQueue()  # what comes waits for the next stream
                    requests.put(None)
                for result in response.results:
                    self._take(result)
        except RpcError as error:
            if error.code() in FATAL:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
        requests.put(None)  # ends the thread that gRPC has for them
        return moved

    def _take(self, result):
        if result.code == grpc.StatusCode.UNAVAILABLE.value[0]:
            return  # the stream ends now, and it is sent again
        self._progress = True
        with self._changed:
            self._waiting.pop(result.seq, None)
            self._changed.notify_all()
        self._on_result(result)


def to(**target):
    """A Target: `to(session_id=…)`, `to(topic=…)`, `to(all=True, except_sessions=[…])`."""
    return common_pb2.Target(**target)


def text(payload, event="", content_type="text/plain"):
    payload = payload.encode() if isinstance(payload, str) else payload
    return common_pb2.Message(payload=payload, event=event, content_type=content_type)


def as_json(value, event=""):
    return text(json.dumps(value, separators=(",", ":")), event, "application/json")


def report_failure(result):
    if result.code and result.code != grpc.StatusCode.NOT_FOUND.value[0]:  # not found: it left meanwhile
        log(f"command {result.seq} failed with code {result.code}: {result.detail}")


def log(line):
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def run_forever(addr, work, token=None):
    """Calls `work(herald)` again and again, with backoff and full jitter, until Ctrl-C or SIGTERM. Says what is wrong once."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    attempt = 0
    while True:
        problem = "the server ended the stream"
        started = time.monotonic()
        try:
            with Herald(addr, token) as herald:
                grpc.channel_ready_future(herald.channel).result(timeout=10)
                log(f"connected to {addr}")
                work(herald)
        except grpc.FutureTimeoutError:
            problem = "no answer"
        except RpcError as error:
            if error.code() in FATAL:
                sys.exit(f"{addr}: {error.code().name}: {error.details()}")  # trying again would not help
            if error.code() != grpc.StatusCode.OK:
                problem = f"{error.code().name}: {error.details()}"
        except KeyboardInterrupt:
            return
        attempt = 0 if time.monotonic() - started > 30 else attempt + 1
        pause = random.uniform(0.1, min(10, 0.5 * 2 ** attempt))
        log(f"{addr}: {problem}; next try in {pause:.1f} s")
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            return
