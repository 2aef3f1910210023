"""The attacks of section G as functions, each for a process of its own: flood(target, seconds).

Each one is bounded in time and in what it opens, speaks to loopback only, and goes on when the server
refuses or closes what it holds. `siege.py` runs them beside honest clients.
"""

import base64
import contextlib
import json
import os
import random
import selectors
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass

import tokens
import wire

MAX_SOCKETS = 4000


@dataclass
class Target:
    client: tuple  # host and port
    grpc: tuple
    history_topics: str = "chat/"
    secret: str = tokens.SECRET

    def token(self, user, **claims):
        return tokens.hs256(user, self.secret, **claims)


def upgrade_bytes(subprotocol="herald.v1.json", path="/ws", token=None):
    headers = wire.upgrade_headers(subprotocol)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return wire.request_text(path=path, headers=headers)


def dial(address, receive_buffer=None):
    sock = socket.socket()
    sock.settimeout(2)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        return None
    return sock


def upgraded(target, token=None, path="/ws", receive_buffer=None):
    """A socket that got 101, or None."""
    sock = dial(target.client, receive_buffer)
    if sock is None:
        return None
    try:
        sock.sendall(upgrade_bytes(path=path, token=token))
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = sock.recv(4096)
            if not more:
                raise OSError
            answer += more
        if b" 101 " not in answer.split(b"\r\n", 1)[0]:
            raise OSError
        return sock
    except OSError:
        sock.close()
        return None


def connected(target, user, receive_buffer=None, connect=None, topic=None):
    """A session of `user` that got its hello, on `topic` if given, or None."""
    sock = upgraded(target, receive_buffer=receive_buffer)
    if sock is None:
        return None
    frame = {"id": 1, "connect": {"token": target.token(user, allow=["**"]), **(connect or {})}}
    try:
        sock.sendall(wire.frame_bytes(wire.TEXT, json.dumps(frame).encode()))
        if b"hello" not in sock.recv(65536):
            raise OSError
        if topic:
            frame = {"id": 2, "subscribe": {"topic": topic}}
            sock.sendall(wire.frame_bytes(wire.TEXT, json.dumps(frame).encode()))
        return sock
    except OSError:
        sock.close()
        return None


class Pool:
    """Sockets kept open; those that the server has closed are made anew."""

    def __init__(self, size, make, rate=2000):
        self.size, self.make, self.rate = min(size, MAX_SOCKETS), make, rate
        self.sockets = []

    def fill(self):
        """Opens up to a twentieth of a second's worth; returns the new ones."""
        new = []
        for _ in range(min(self.size - len(self.sockets), self.rate // 20)):
            sock = self.make()
            if sock is None:
                break
            sock.setblocking(False)
            new.append(sock)
        self.sockets += new
        return new

    def drop_closed(self):
        open_ones = []
        for sock in self.sockets:
            try:
                if sock.recv(65536, socket.MSG_PEEK) == b"":
                    raise OSError
            except BlockingIOError:
                pass
            except OSError:
                sock.close()
                continue
            open_ones.append(sock)
        self.sockets = open_ones

    def close(self):
        for sock in self.sockets:
            sock.close()


def hold(target, seconds, size, make, each=lambda sock: None):
    """Keeps a pool full for `seconds`, and does `each` once with each new socket."""
    end = time.monotonic() + seconds
    with contextlib.closing(Pool(size, make)) as pool:
        while time.monotonic() < end:
            for sock in pool.fill():
                with contextlib.suppress(OSError):
                    each(sock)
            pool.drop_closed()
            time.sleep(0.05)


def pump(sock, data):
    """Sends what goes at once; false when the connection is gone."""
    try:
        sock.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


# --- connections -----------------------------------------------------------------------------------


def idle_connections(target, seconds):
    """G4: TCP connections that say nothing."""
    hold(target, seconds, MAX_SOCKETS, lambda: dial(target.client))


def unauthenticated_upgrades(target, seconds):
    """G9: upgrades without a `connect`."""
    hold(target, seconds, 1000, lambda: upgraded(target))


def client_hellos(target, seconds):
    """G13: one ClientHello, again and again, on connections that then say nothing more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    hello = outgoing.read()
    hold(target, seconds, 500, lambda: dial(target.client), lambda sock: sock.sendall(hello))


# --- memory ----------------------------------------------------------------------------------------


def unfinished_frames(target, seconds):
    """G5: the first frame announces 88 KB and sends all but its last byte."""
    size = 88 * 1024
    frame = wire.frame_bytes(wire.TEXT, b"x" * size)[:-1]
    waiting = {}

    def begin(sock):
        waiting[sock] = memoryview(frame)

    end = time.monotonic() + seconds
    with contextlib.closing(Pool(3500, lambda: upgraded(target))) as pool:
        while time.monotonic() < end:
            for sock in pool.fill():
                begin(sock)
            for sock, rest in list(waiting.items()):
                try:
                    sent = sock.send(rest)
                    waiting[sock] = rest[sent:]
                except BlockingIOError:
                    pass
                except OSError:
                    waiting.pop(sock)
                    continue
                if not waiting[sock]:
                    waiting.pop(sock)
            pool.drop_closed()
            time.sleep(0.01)


def stopped_readers(target, seconds):
    """G5: sessions that never read, on the topic of a producer that sends 30 KB as fast as it is answered."""
    number = iter(range(10**9))
    stop = threading.Event()
    loud = threading.Thread(target=produce_loudly, args=(target, stop), daemon=True)
    loud.start()
    try:
        hold(target, seconds, 300, lambda: connected(
            target, f"deaf{next(number)}", receive_buffer=4096, topic="siege/loud"))
    finally:
        stop.set()
        loud.join()


def produce_loudly(target, stop):
    import grpc  # here: a process that forks after gRPC's threads have started would hang

    from producer import push_service_pb2, push_service_pb2_grpc
    from push import command

    body = b"y" * 30_000
    with grpc.insecure_channel("{}:{}".format(*target.grpc), [("grpc.enable_http_proxy", 0)]) as channel:
        push = push_service_pb2_grpc.PushServiceStub(channel)
        while not stop.is_set():
            with contextlib.suppress(grpc.RpcError):
                push.Send(push_service_pb2.SendRequest(command=command(1, body, topic="siege/loud")), timeout=5)


def history_publishers(target, seconds):
    """G5 and G11: 20 clients that publish 60 KB each time, to topics with a history."""
    number = iter(range(10**9))
    text = "x" * 60_000

    def make():
        return connected(target, f"chatty{next(number) % 20}")

    end = time.monotonic() + seconds
    with contextlib.closing(Pool(20, make)) as pool:
        while time.monotonic() < end:
            pool.fill()
            for sock in pool.sockets:
                topic = f"{target.history_topics}{random.randrange(1000)}"
                frame = {"publish": {"topic": topic, "text": text}}
                sock.setblocking(True)
                sock.settimeout(1)
                with contextlib.suppress(OSError):
                    sock.sendall(wire.frame_bytes(wire.TEXT, json.dumps(frame).encode()))
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    while sock.recv(1 << 20):
                        pass
            pool.drop_closed()
            time.sleep(0.005)


# --- work ------------------------------------------------------------------------------------------


def resume_lists(target, seconds):
    """G8: `connect` frames with 11,000 topics to resume."""
    resume = [{"topic": f"t{i}"} for i in range(4600)]
    frame = wire.frame_bytes(wire.TEXT, json.dumps({"id": 1, "connect": {"resume": resume}}).encode()[:88_000])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock = upgraded(target)
        if sock is None:
            time.sleep(0.02)
            continue
        with contextlib.suppress(OSError), sock:
            sock.sendall(frame)
            sock.recv(4096)


def tiny_frames(target, seconds):
    """G10: one user's frames of one byte, pings and empty fragments; at each close a new connection."""
    ping = wire.frame_bytes(wire.PING, b"x") * 400
    tiny = wire.frame_bytes(wire.TEXT, b"x", fin=False) + wire.frame_bytes(0, b"", fin=False) * 400
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock = connected(target, "flooder")
        if sock is None:
            time.sleep(0.02)
            continue
        with contextlib.suppress(OSError), sock:
            for data in [ping] * 20 + [tiny] * 50:
                if time.monotonic() > end:
                    break
                sock.sendall(data)


def forged_tokens(target, seconds):
    """G14: tokens that no key has signed."""
    def forged():
        head = tokens.part({"alg": "HS256", "typ": "JWT"})
        return f"{head}.{tokens.part(tokens.claims('mallory'))}.{base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}"

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock = dial(target.client)
        if sock is None:
            time.sleep(0.02)
            continue
        with contextlib.suppress(OSError), sock:
            sock.sendall(upgrade_bytes(token=forged()))
            sock.recv(4096)


def churning_subscriber(target, seconds):
    """G15: subscribes and unsubscribes as fast as it may, and asks for the same past again and again."""
    def frame(**kind):
        return wire.frame_bytes(wire.TEXT, json.dumps(kind).encode())

    turn = b"".join((frame(subscribe={"topic": "siege/room"}), frame(unsubscribe={"topic": "siege/room"})))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock = connected(target, "churner")
        if sock is None:
            time.sleep(0.02)
            continue
        with contextlib.suppress(OSError), sock:
            sock.setblocking(False)
            while time.monotonic() < end:
                if not pump(sock, turn):
                    break
                with contextlib.suppress(BlockingIOError):
                    if sock.recv(1 << 20) == b"":
                        break
                time.sleep(0.02)


# --- gRPC ------------------------------------------------------------------------------------------


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def h2_frame(kind, flags=0, stream=0, payload=b""):
    """RFC 9113 §4.1."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def h2_headers(stream, path=b"/herald.v1.PushService/Send", more=()):
    """A HEADERS frame of a gRPC request, literals without indexing (RFC 7541 §6.2.2)."""
    def literal(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    block = b"\x83\x86" + literal(b":path", path) + literal(b":authority", b"localhost")
    block += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    for name, value in more:
        block += literal(name, value)
    return h2_frame(1, 0x4, stream, block)


def _h2(target, seconds, make):
    """Sends what `make` gives (an iterator of bytes a connection) until the end, at most 10 MB/s."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock = dial(target.grpc)
        if sock is None:
            time.sleep(0.05)
            continue
        with contextlib.suppress(OSError), sock:
            sock.sendall(PREFACE + h2_frame(4))
            sock.setblocking(False)
            for data in make():
                rest = memoryview(data)
                while rest and time.monotonic() < end:
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[sock.send(rest):]
                    with contextlib.suppress(BlockingIOError):
                        if sock.recv(1 << 20) == b"":
                            raise OSError
                    if rest:
                        time.sleep(0.002)
                if time.monotonic() > end:
                    break
                time.sleep(len(data) / 10e6)
        time.sleep(0.01)


def rapid_reset(target, seconds):
    """G2: requests that are reset at once."""
    def make():
        stream = 1
        while stream < 2**31 - 1000:
            burst = b""
            for _ in range(200):
                burst += h2_headers(stream) + h2_frame(3, 0, stream, struct.pack("!I", 8))
                stream += 2
            yield burst
    _h2(target, seconds, make)


def settings_and_pings(target, seconds):
    """G2: SETTINGS, PING, PRIORITY and WINDOW_UPDATE without end."""
    def make():
        burst = (h2_frame(4) + h2_frame(6, 0, 0, b"12345678") + h2_frame(8, 0, 0, struct.pack("!I", 1))) * 300
        while True:
            yield burst
    _h2(target, seconds, make)


def continuation(target, seconds):
    """G2: a header block that never ends."""
    def make():
        block = h2_headers(1)
        yield block[:4] + b"\x00" + block[5:]
        part = b"".join(h2_frame(9, 0, 1, b"\x00\x01a\x7f\x80\x01" + b"b" * 255) for _ in range(100))
        while True:
            yield part
    _h2(target, seconds, make)


def half_sent_bodies(target, seconds):
    """G3: 100 calls without a token, each with most of a 3.9 MB message."""
    def make():
        body = struct.pack("!BI", 0, 3_900_000) + b"\x00" * 16_000
        yield b"".join(h2_headers(1 + 2 * i) + h2_frame(0, 0, 1 + 2 * i, body) for i in range(100))
        while True:
            yield b"".join(h2_frame(0, 0, 1 + 2 * i, b"\x00" * 4000) for i in range(100))
    _h2(target, seconds, make)


def gzip_bombs(target, seconds):
    """G1: compressed zeros."""
    import gzip

    packed = gzip.compress(b"\x00" * (500 << 20), 9)

    def make():
        stream = 1
        while True:
            yield h2_headers(stream, more=((b"grpc-encoding", b"gzip"),))
            message = struct.pack("!BI", 1, len(packed)) + packed
            for at in range(0, len(message), 16_000):
                yield h2_frame(0, 0, stream, message[at:at + 16_000])
            yield h2_frame(0, 1, stream)
            stream += 2
    _h2(target, seconds, make)


FLOODS = {flood.__name__: flood for flood in (
    gzip_bombs, rapid_reset, settings_and_pings, continuation, half_sent_bodies, idle_connections,
    unauthenticated_upgrades, unfinished_frames, stopped_readers, history_publishers, resume_lists,
    tiny_frames, forged_tokens, churning_subscriber)}
TLS_FLOODS = {"client_hellos": client_hellos}
