"""HTTP and WebSocket byte by byte, for what a proper client library refuses to do."""

import base64
import os
import socket
import struct

from websockets.exceptions import ConnectionClosed

from harness import CLIENT_OPTIONS, DEADLINE, connect

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # RFC 6455 §5.2


class Response:
    def __init__(self, status, headers, body=""):
        self.status, self.headers, self.body = status, headers, body  # header names in lower case

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body!r}"


class RawClient:
    """A TCP connection to `host:port`. Reads have the deadline of all tests; EOFError when the other side has closed."""

    def __init__(self, addr, receive_buffer=None):
        host, port = addr.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((host, int(port)))
        self._unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        while len(self._unread) < size:
            self._fill()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def read_until(self, mark):
        while mark not in self._unread:
            self._fill()
        return self.read(self._unread.index(mark) + len(mark))

    def _fill(self):
        more = self.socket.recv(65536)
        if not more:
            raise EOFError(f"closed after {self._unread!r}")
        self._unread += more

    def response(self):
        """The HTTP answer. The body by its Content-Length."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        size = int(headers.get("content-length", 0))
        return Response(int(status_line.split()[1]), headers, self.read(size).decode() if size else "")

    def request(self, method="GET", path="/ws", version="HTTP/1.1", headers=None):
        """Sends a request; returns the answer."""
        self.send(request_text(method, path, version, headers or {"Host": "localhost"}))
        return self.response()

    def upgrade(self, path="/ws", subprotocol=None, **changes):
        """A good upgrade, with `changes` to its headers: `Sec_WebSocket_Key="x"`, None leaves one out."""
        headers = upgrade_headers(subprotocol)
        for name, value in changes.items():
            headers[name.replace("_", "-")] = value
        return self.request(path=path, headers={name: value for name, value in headers.items() if value is not None})

    def send_frame(self, opcode, payload=b"", *, fin=True, reserved=0, masked=True):
        """One frame; `reserved` are the RSV bits, 1 to 7."""
        payload = payload.encode() if isinstance(payload, str) else payload
        self.send(frame_bytes(opcode, payload, fin=fin, reserved=reserved, masked=masked))

    def read_frame(self):
        """(opcode, payload) of the next server frame, which must be whole and unmasked."""
        first, second = self.read(2)
        assert first & 0x80 and not first & 0x70 and not second & 0x80, (first, second)
        size = second
        if size == 126:
            size = struct.unpack("!H", self.read(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.read(8))[0]
        return first & 0x0F, self.read(size)

    def wait_frame(self, opcode):
        """The payload of the next frame of this kind; others are passed over."""
        while True:
            found, payload = self.read_frame()
            if found == opcode:
                return payload

    def wait_close(self):
        """(code, reason) of the server's close frame. (1006, "") if the connection ends without one."""
        try:
            payload = self.wait_frame(CLOSE)
        except (EOFError, ConnectionResetError):
            return 1006, ""
        return struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:].decode()


def upgrade_headers(subprotocol=None):
    headers = {"Host": "localhost", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
    if subprotocol:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    return headers


def request_text(method="GET", path="/ws", version="HTTP/1.1", headers=None):
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame_bytes(opcode, payload, *, fin=True, reserved=0, masked=True):
    header = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        header += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        header += bytes([flag | 126]) + struct.pack("!H", len(payload))
    else:
        header += bytes([flag | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return header + payload
    mask = os.urandom(4)
    repeated = mask * (len(payload) // 4 + 1)
    return header + mask + bytes(a ^ b for a, b in zip(payload, repeated))


def raw_client(herald, subprotocol=None, **options):
    """A RawClient that has been upgraded."""
    client = RawClient(herald.client_addr, **options)
    answer = client.upgrade(subprotocol=subprotocol)
    if answer.status != 101:
        client.socket.close()
        raise AssertionError(f"not upgraded: {answer}")
    return client


def open_client(herald, subprotocol="herald.v1.json", query="", **options):
    """A `websockets` connection that has not said `connect` yet."""
    return connect(herald.client_url + query, subprotocols=[subprotocol] if isinstance(subprotocol, str) else subprotocol,
                   **(CLIENT_OPTIONS | options))


def wait_close(connection):
    """Reads until the server closes: (code, reason, frames read). The deadline is that of all tests."""
    frames = []
    while True:
        try:
            frames.append(connection.recv(DEADLINE))
        except ConnectionClosed as closed:
            received = closed.rcvd
            return (received.code, received.reason, frames) if received else (1006, "", frames)
