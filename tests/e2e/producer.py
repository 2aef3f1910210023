"""gRPC as a backend uses it: unary calls, a Push stream, a Watch. Everything waits with a deadline."""

import os
import queue
import threading

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is told by the calls
import grpc

from harness import DEADLINE, ROOT  # noqa: F401  (harness puts examples/python on the path)
from herald_client import text  # noqa: F401
from herald.v1 import admin_service_pb2, admin_service_pb2_grpc, common_pb2, event_service_pb2, event_service_pb2_grpc  # noqa: F401
from herald.v1 import push_service_pb2, push_service_pb2_grpc, session_service_pb2, session_service_pb2_grpc

Code = grpc.StatusCode
CODES = {code.value[0]: code for code in Code}
END = object()


class Producer:
    """Stubs of all services at `herald`; `token` is a bearer token. Use as a context manager."""

    def __init__(self, herald, token=None, credentials=None, addr=None, options=()):
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *options]
        addr = addr or herald.grpc_addr
        self.channel = (grpc.secure_channel(addr, credentials, options) if credentials
                        else grpc.insecure_channel(addr, options))
        self.push = push_service_pb2_grpc.PushServiceStub(self.channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, request):
        return method(request, metadata=self.metadata, timeout=DEADLINE)

    def refusal(self, method, request):
        """(code, details) of a unary call that must fail."""
        try:
            answer = self.call(method, request)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError(f"not refused: {request} was answered {answer}")

    def send(self, **action):
        """One command by Send; its CommandResult."""
        return self.call(self.push.Send, push_service_pb2.SendRequest(command=push_service_pb2.Command(seq=1, **action))).result

    def send_refusal(self, **action):
        return self.refusal(self.push.Send, push_service_pb2.SendRequest(command=push_service_pb2.Command(seq=1, **action)))

    def deliver(self, payload="x", **target):
        return self.send(deliver=deliver(payload, **target))

    def disconnect(self, code=0, reason="", reconnect=0, delay=None, **target):
        request = session_service_pb2.DisconnectRequest(target=to(**target), code=code, reason=reason, reconnect=reconnect)
        if delay is not None:
            request.reconnect_delay.FromTimedelta(delay)
        return self.call(self.sessions.Disconnect, request)

    def session(self, session_id):
        return self.call(self.sessions.GetSession, session_service_pb2.GetSessionRequest(session_id=session_id)).session

    def list_sessions(self, **filters):
        return self.call(self.sessions.ListSessions, session_service_pb2.ListSessionsRequest(**filters))


def to(**target):
    """A Target: `to(session_id=…)`, `to(topics=["a", "b"])`, `to(all=True, except_sessions=[…])`."""
    for name, field in (("users", "user_ids"), ("topics", "topics")):
        if isinstance(target.get(name), list):
            target[name] = {field: target[name]}
    return common_pb2.Target(**target)


def deliver(payload="x", message=None, **target):
    fields = {name: target.pop(name) for name in ("policy", "report", "report_timeout", "idempotency_key", "require_online")
              if name in target}
    return push_service_pb2.Deliver(target=to(**target), message=message or text(payload), **fields)


class Stream:
    """A bidirectional call. What arrives is kept in order; `code` and `details` say how it ended."""

    def __init__(self, method, metadata):
        self._requests = queue.SimpleQueue()
        self._arrived = queue.SimpleQueue()
        self.call = method(iter(self._requests.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def write(self, request):
        self._requests.put(request)

    def half_close(self):
        self._requests.put(None)

    def kill(self):
        """Ends it at once, as a client that dies."""
        self.call.cancel()
        self._requests.put(None)
        self._reader.join(DEADLINE)

    def take(self):
        """The next thing that arrived; END once the call has ended."""
        try:
            return self._arrived.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError(f"nothing came in {DEADLINE:g} s") from None

    def nothing(self, seconds):
        """True if nothing comes for so long."""
        try:
            self._arrived.put(self._arrived.get(timeout=seconds))
            return False
        except queue.Empty:
            return True

    def end(self):
        """Reads to the end: (code, details)."""
        while self.take() is not END:
            pass
        self._arrived.put(END)
        return self.call.code(), self.call.details()

    def _read(self):
        try:
            for response in self.call:
                for item in self.items(response):
                    self._arrived.put(item)
        except grpc.RpcError:
            pass
        self._arrived.put(END)

    def items(self, response):
        return [response]


class PushStream(Stream):
    """A Push call; `take` gives CommandResults."""

    def __init__(self, producer, open=None):
        self.opened = None
        self._seq = 0
        super().__init__(producer.push.Push, producer.metadata)
        if open is not None:
            self.write(push_service_pb2.PushRequest(open=open))

    def items(self, response):
        if response.HasField("opened"):
            self.opened = response.opened
        return list(response.results) + list(response.receipts)

    def send(self, *commands):
        """One request with these commands, each a dict of one action; their `seq` are 1, 2, 3, …"""
        made = []
        for command in commands:
            self._seq += 1
            made.append(push_service_pb2.Command(seq=self._seq, **command))
        self.write(push_service_pb2.PushRequest(commands=made))

    def results(self, count):
        """The next `count` results by their `seq`."""
        found = {}
        while len(found) < count:
            result = self.take()
            if result is END:
                raise AssertionError(f"ended with {self.call.code()} {self.call.details()} after {found}")
            found[result.seq] = result
        return found


class Watch(Stream):
    """A Watch call that has been opened; `take` gives Events. `missed` counts what the server said is gone."""

    def __init__(self, producer, kinds=(), **open):
        self.missed = 0
        self.opened = None
        self._opened = threading.Event()
        super().__init__(producer.events.Watch, producer.metadata)
        kinds = [event_service_pb2.EventKind.Value(f"EVENT_KIND_{kind.upper()}") for kind in kinds]
        self.write(event_service_pb2.WatchRequest(open=event_service_pb2.WatchOpen(kinds=kinds, **open)))
        if not self._opened.wait(DEADLINE):
            raise AssertionError("the watch was not opened")

    def items(self, response):
        if response.HasField("opened"):
            self.opened = response.opened
            self._opened.set()
        self.missed += response.missed
        return list(response.events)

    def _read(self):
        super()._read()
        self._opened.set()  # or refused: `end` tells

    def ack(self, *ids):
        self.write(event_service_pb2.WatchRequest(ack_ids=ids))

    def event(self, kind):
        """The next event, which must be of this kind."""
        event = self.take()
        if event is END:
            raise AssertionError(f"ended with {self.call.code()} {self.call.details()}")
        name = event_service_pb2.EventKind.Name(event.kind).removeprefix("EVENT_KIND_").lower()
        if name != kind:
            raise AssertionError(f"{name} came, not {kind}: {event}")
        return event
