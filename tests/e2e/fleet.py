"""Many sessions in a process of their own: a small WebSocket client over epoll that keeps the number of every message.

    with Fleet(herald) as fleet:
        fleet.open([Spec("a", "?user=alice&topics=news"), Spec("slow", rcvbuf=4096)])    # returns their hellos
        fleet.wait_messages(2000)
        received = fleet.collect()       # name → Received: per topic the numbers and offsets, in order of arrival

Messages are JSON objects with a number in `n`. Frames are parsed here and not by a library: a thousand sessions have to
share what is left of two cores.
"""

import json
import multiprocessing
import os
import re
import select
import socket
import struct
import time
import traceback
from array import array
from dataclasses import dataclass, field

from harness import DEADLINE

CONNECTING_AT_ONCE = 64
READ_BYTES = 256 * 1024
# Long messages are looked at only this far; short ones are parsed as JSON from end to end.
LONG_BYTES = 2048
LONG_MESSAGE = re.compile(rb'\{"message":\{"topic":"([^"\\]*)","offset":"(\d+)",.{0,500}?"data":\{"n":(-?\d+),')


@dataclass
class Spec:
    name: str
    query: str = ""
    rcvbuf: int = 0  # bytes of SO_RCVBUF, 0: as the system has it
    reads: bool = True  # after the hello
    labels: dict = field(default_factory=dict)  # in the connect frame
    resume: dict = field(default_factory=dict)  # topic → position, in the connect frame


@dataclass
class Received:
    numbers: dict = field(default_factory=dict)  # topic → array of `n`; "" for messages without topic
    offsets: dict = field(default_factory=dict)  # topic → array of offsets, 0 where there is none
    others: list = field(default_factory=list)  # frames that are no messages: gap, reconnect, …
    close_code: int = 0  # 0: open; 1006: ended without a close frame
    close_reason: str = ""
    closed_at: float = 0  # by time.monotonic()


class Fleet:
    """Sessions with subprotocol herald.v1.json, in one child process. All calls wait for the child's answer."""

    def __init__(self, herald):
        host, port = herald.client_addr.rsplit(":", 1)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, host, int(port)), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pipe.close()
        self._process.join(DEADLINE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def open(self, specs, timeout=3 * DEADLINE):
        """Connects all; returns name → hello."""
        return self._ask("open", specs, timeout=timeout)

    def counts(self):
        """(messages received by all, sessions open)."""
        return self._ask("counts")

    def slowest(self, prefix=""):
        """The fewest messages that a session with a name like that has."""
        return self._ask("slowest", prefix)

    def reads(self, names, on):
        """Starts or stops reading."""
        return self._ask("reads", names, on)

    def collect(self, forget=True):
        """name → Received; forgets what has been received unless told otherwise."""
        return self._ask("collect", forget)

    def close(self, names):
        """Closes these sessions' sockets."""
        return self._ask("close", names)

    def wait_messages(self, total, timeout=3 * DEADLINE):
        """Until all together have `total` messages. Then a little longer must bring no more: that is checked by the caller's count."""
        end = time.monotonic() + timeout
        while True:
            messages, sessions = self.counts()
            if messages >= total:
                return messages
            if time.monotonic() > end:
                ended = [f"{name}: {one.close_code} {one.close_reason}" for name, one in self.collect().items() if one.close_code]
                raise AssertionError(f"{messages} of {total} messages after {timeout:g} s, {sessions} sessions open; "
                                     f"ended: {ended[:5]}")
            time.sleep(0.05)

    def _ask(self, what, *arguments, timeout=3 * DEADLINE):
        self._pipe.send((what, arguments))
        if not self._pipe.poll(timeout):
            raise AssertionError(f"the fleet has not answered {what!r} after {timeout:g} s")
        good, answer = self._pipe.recv()
        if not good:
            raise AssertionError(f"the fleet failed at {what!r}:\n{answer}")
        return answer


class _Session:
    def __init__(self, spec):
        self.spec = spec
        self.socket = None
        self.buffer = bytearray()
        self.upgraded = False
        self.hello = None
        self.reading = True
        self.messages = 0
        self.received = Received()


class _Loop:
    """The child's side."""

    def __init__(self, pipe, host, port):
        self.pipe, self.host, self.port = pipe, host, port
        self.sessions = {}  # name → session
        self.by_fd = {}
        self.epoll = select.epoll()
        self.epoll.register(pipe.fileno(), select.EPOLLIN)

    def run(self):
        while True:
            for fd, _ in self.epoll.poll():
                if fd != self.pipe.fileno():
                    self.read(self.by_fd[fd])
                    continue
                try:
                    what, arguments = self.pipe.recv()
                except EOFError:
                    return
                try:
                    answer = True, getattr(self, "do_" + what)(*arguments)
                except Exception:
                    answer = False, traceback.format_exc()
                self.pipe.send(answer)

    def do_open(self, specs):
        waiting, hellos, connecting = list(reversed(specs)), {}, {}
        while waiting or connecting:
            while waiting and len(connecting) < CONNECTING_AT_ONCE:
                session = self.connect(waiting.pop())
                connecting[session.spec.name] = session
            for fd, _ in self.epoll.poll(DEADLINE):
                if fd != self.pipe.fileno():
                    self.read(self.by_fd[fd])
            for name, session in list(connecting.items()):
                if session.received.close_code:
                    raise RuntimeError(f"{name}: closed {session.received.close_code} {session.received.close_reason}")
                if session.hello:
                    hellos[name] = session.hello
                    if not session.spec.reads:
                        self.set_reading(session, False)
                    del connecting[name]
        return hellos

    def do_counts(self):
        sessions = self.sessions.values()
        return sum(s.messages for s in sessions), sum(not s.received.close_code for s in sessions)

    def do_slowest(self, prefix):
        return min(s.messages for name, s in self.sessions.items() if name.startswith(prefix))

    def do_reads(self, names, on):
        for name in names:
            self.set_reading(self.sessions[name], on)

    def do_collect(self, forget):
        received = {name: session.received for name, session in self.sessions.items()}
        if forget:
            for session in self.sessions.values():
                old = session.received
                session.messages = 0
                session.received = Received(close_code=old.close_code, close_reason=old.close_reason, closed_at=old.closed_at)
        return received

    def do_close(self, names):
        for name in names:
            self.end(self.sessions[name], 1006, "closed by the test")

    def connect(self, spec):
        session = _Session(spec)
        session.socket = socket.socket()
        if spec.rcvbuf:
            session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, spec.rcvbuf)
        session.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session.socket.connect((self.host, self.port))
        session.socket.sendall(
            f"GET /ws{spec.query} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            "Sec-WebSocket-Protocol: herald.v1.json\r\n\r\n".encode())
        session.socket.setblocking(False)
        self.sessions[spec.name] = self.by_fd[session.socket.fileno()] = session
        self.epoll.register(session.socket.fileno(), select.EPOLLIN)
        return session

    def set_reading(self, session, on):
        if session.received.close_code or session.reading == on:
            return
        session.reading = on
        if on:
            self.epoll.register(session.socket.fileno(), select.EPOLLIN)
        else:
            self.epoll.unregister(session.socket.fileno())

    def end(self, session, code, reason):
        if session.received.close_code:
            return
        session.received.close_code, session.received.close_reason = code, reason
        session.received.closed_at = time.monotonic()
        if session.reading:
            self.epoll.unregister(session.socket.fileno())
        del self.by_fd[session.socket.fileno()]
        session.socket.close()

    def read(self, session):
        try:
            data = session.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            return self.end(session, 1006, str(error))
        if not data:
            return self.end(session, 1006, "end of stream")
        buffer = session.buffer
        buffer += data
        if not session.upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not buffer.startswith(b"HTTP/1.1 101 "):
                return self.end(session, 1006, buffer[:end].decode(errors="replace"))
            session.upgraded = True
            del buffer[:end + 4]
            resume = [{"topic": topic, "position": position} for topic, position in session.spec.resume.items()]
            self.send(session, 1, json.dumps({"id": 1, "connect": {"labels": session.spec.labels, "resume": resume}}).encode())
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, start = struct.unpack_from(">H", buffer, at + 2)[0], at + 4
            elif length == 127:
                if size - at < 10:
                    break
                length, start = struct.unpack_from(">Q", buffer, at + 2)[0], at + 10
            elif length > 127:
                return self.end(session, 1006, "a masked frame from the server")
            if size - start < length:
                break
            first, at = buffer[at], start + length
            if first == 0x81:
                self.text(session, buffer[start:at])
            elif first == 0x88:
                code = int.from_bytes(buffer[start:start + 2], "big") if length >= 2 else 1005
                return self.end(session, code, buffer[start + 2:at].decode())
            elif first == 0x89:
                self.send(session, 10, bytes(buffer[start:at]))
            else:
                return self.end(session, 1006, f"a frame that begins with {first:#x}")
        del buffer[:at]

    def text(self, session, text):
        if len(text) > LONG_BYTES and (match := LONG_MESSAGE.match(text)):
            return self.keep(session, match[1].decode(), int(match[3]), int(match[2]))
        frame = json.loads(text)
        message = frame.get("message")
        if message is None:
            if "hello" in frame:
                session.hello = frame["hello"]
            elif "reply" not in frame:
                session.received.others.append(frame)
            return
        self.keep(session, message.get("topic", ""), message["data"]["n"], int(message.get("offset", 0)))

    def keep(self, session, topic, number, offset):
        session.messages += 1
        received = session.received
        numbers = received.numbers.get(topic)
        if numbers is None:
            numbers = received.numbers[topic] = array("q")
            received.offsets[topic] = array("Q")
        numbers.append(number)
        received.offsets[topic].append(offset)

    def send(self, session, opcode, payload):
        mask = os.urandom(4)
        length = len(payload)
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | length) if length < 126 else struct.pack(">BBH", 0x80 | opcode, 0xFE, length)
        masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        try:
            session.socket.sendall(head + mask + masked)
        except OSError as error:
            self.end(session, 1006, str(error))


def _run(pipe, host, port):
    try:
        _Loop(pipe, host, port).run()
    except KeyboardInterrupt:
        pass
