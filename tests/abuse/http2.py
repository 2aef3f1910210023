"""HTTP/2 by hand, for what no client library sends: floods of frames, half-sent messages, compressed bombs.

    with Connection(herald.grpc_addr) as connection:
        stream = connection.call("/herald.v1.PushService/Send", token="…")
        connection.data(stream, message(b"…"), end=True)
        connection.status(stream)               # 16

Loopback only. Frames as in RFC 9113, header blocks as in RFC 7541 without its tables and without Huffman codes.
"""

import re
import socket
import struct
import time

from harness import DEADLINE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL = struct.pack(">I", 8)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header(name, value):
    """One literal field, not indexed; both shorter than 127 bytes."""
    name, value = name.encode(), value.encode()
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


def headers(path, **more):
    """The header block of a gRPC call; `_` in names stands for `-`."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test", "te": "trailers",
              "content-type": "application/grpc"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return b"".join(header(*field) for field in fields.items())


def message(body, length=None, compressed=False):
    """A gRPC message, or its beginning if `length` is more than the body."""
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


class Connection:
    """One connection to a gRPC port. Keeps to the flow control of the server, and notes what it answers."""

    def __init__(self, addr):
        host, port = addr.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._next = 1
        self._window = 65535
        self._windows = {}
        self._initial = 65535
        self.statuses = {}   # stream: grpc-status
        self.closed = False  # by the server, or GOAWAY
        self.send(PREFACE + frame(SETTINGS))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, data):
        """All of it, whatever the server does with it; nothing if it has closed the connection."""
        try:
            self._socket.settimeout(DEADLINE)
            self._socket.sendall(data)
        except OSError:
            self.closed = True

    def call(self, path, token=None, **more):
        """Sends the headers of a call; its stream."""
        if token:
            more["authorization"] = f"Bearer {token}"
        stream, self._next = self._next, self._next + 2
        self._windows[stream] = self._initial
        self.send(frame(HEADERS, END_HEADERS, stream, headers(path, **more)))
        return stream

    def data(self, stream, body, end=False, timeout=DEADLINE):
        """Sends `body` as far as the server's windows allow within `timeout`; the number of bytes sent."""
        sent, until = 0, time.monotonic() + timeout
        while sent < len(body) and not self.ended(stream):
            room = min(self._window, self._windows[stream], 16384, len(body) - sent)
            if room <= 0:
                if time.monotonic() > until:
                    break
                self.receive(0.05)
                continue
            last = end and sent + room == len(body)
            self.send(frame(DATA, END_STREAM if last else 0, stream, body[sent:sent + room]))
            self._window -= room
            self._windows[stream] -= room
            sent += room
            self.receive(0)
        return sent

    def half_close(self, stream):
        self.send(frame(DATA, END_STREAM, stream))

    def ended(self, stream):
        return self.closed or stream in self.statuses

    def status(self, stream, timeout=DEADLINE):
        """The call's grpc-status, "closed" if the connection was closed instead, None if neither comes in time."""
        until = time.monotonic() + timeout
        while not self.ended(stream) and time.monotonic() < until:
            self.receive(0.05)
        return self.statuses.get(stream, "closed" if self.closed else None)

    def receive(self, timeout):
        """Reads what comes within `timeout`, at most one piece."""
        try:
            self._socket.settimeout(max(timeout, 1e-6))
            piece = self._socket.recv(1 << 18)
            self.closed = self.closed or not piece
            self._received += piece
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            self.closed = True
            return
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + length:
                return
            kind, flags = self._received[3:5]
            stream = int.from_bytes(self._received[5:9], "big")
            self._on_frame(kind, flags, stream, self._received[9:9 + length])
            self._received = self._received[9 + length:]

    def _on_frame(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[i:i + 6])
                if name == 4:
                    for open_stream in self._windows:
                        self._windows[open_stream] += value - self._initial
                    self._initial = value
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
            elif stream in self._windows:
                self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == HEADERS:
            # gRPC writes the first status of a connection as a literal, and later ones as an index. 0: it is an index.
            if flags & END_STREAM:
                found = re.search(rb"grpc-status[\x01\x02](\d+)", payload)
                self.statuses[stream] = int(found[1]) if found else 0
        elif kind == RST_STREAM:
            self.statuses.setdefault(stream, -1)
        elif kind == GOAWAY and int.from_bytes(payload[4:8], "big") != 0:
            self.closed = True
