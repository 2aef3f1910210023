"""A TCP proxy on a thread of its own that makes a bad network: late, slow, silent, torn or refused, each direction by itself.

    with FaultProxy(nats.addr) as proxy:                 # clients use proxy.addr
        proxy.down.delay = 0.05; proxy.down.jitter = 0.02   # seconds, server → client
        proxy.up.bytes_per_second = 500                     # client → server: a trickle
        proxy.hold()                                        # a partition: nothing passes, nobody is told; heal() lets it go on
        proxy.blackhole()                                   # what is sent is thrown away; heal() resets those connections
        proxy.cut(refuse=True)                              # reset, and those that come too, until heal()
        proxy.heal()

With `nats=NatsFilter()` it reads what a nats-server sends and can lose single messages: `drop_every(100, "herald.l.>")`.
Bytes never change order inside a direction. proxy.py is the one for tests that need cuts only; it costs two threads a connection.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading

from harness import DEADLINE

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
CHUNK_BYTES = 65536
QUEUED_CHUNKS = 256  # that wait for their time, a direction of a connection; then the sender feels it
TRICKLES_PER_SECOND = 20


class Way:
    """How one direction is, for all connections; may be changed at any time, from any thread."""

    def __init__(self):
        self.delay = 0.0  # seconds that everything takes longer
        self.jitter = 0.0  # seconds: up to so much more
        self.bytes_per_second = 0  # 0: as fast as it goes
        self.held = False  # what comes waits
        self.lost = False  # what comes is thrown away
        self.bytes = 0  # that have come in

    @property
    def plain(self):
        return not (self.delay or self.jitter or self.bytes_per_second or self.held)


class NatsFilter:
    """Loses messages of a nats-server. Its `feed` is called by the proxy's thread only; the others by any."""

    def __init__(self):
        self._rule = None  # (every, regular expression)
        self.matched = self.dropped = 0

    def drop_every(self, every, *subjects):
        """Of the messages on these subjects (`*` and `>` as in NATS) each `every`th is lost, over all connections."""
        self._rule = every, re.compile(b"|".join(_subject_pattern(subject) for subject in subjects))

    def drop_none(self):
        self._rule = None

    def takes(self, subject):
        """Whether a message with this subject passes."""
        rule = self._rule
        if rule is None or not rule[1].fullmatch(subject):
            return True
        self.matched += 1
        if self.matched % rule[0]:
            return True
        self.dropped += 1
        return False


class NatsStream:
    """One connection's bytes from the server, told apart: INFO, MSG, HMSG, PING, PONG, +OK, -ERR."""

    def __init__(self, nats_filter):
        self._filter = nats_filter
        self._buffer = bytearray()

    def feed(self, data):
        """What passes of `data`, and of what was kept of earlier ones: whole protocol messages."""
        buffer, made, at = self._buffer, bytearray(), 0
        buffer += data
        while True:
            end = buffer.find(b"\r\n", at)
            if end < 0:
                break
            after = end + 2
            passes = True
            if buffer.startswith((b"MSG ", b"HMSG "), at):
                words = bytes(buffer[at:end]).split()
                after += int(words[-1]) + 2
                if after > len(buffer):
                    break
                passes = self._filter.takes(words[1])
            if passes:
                made += buffer[at:after]
            at = after
        del buffer[:at]
        return bytes(made)


class FaultProxy:
    """Listens on `addr` (127.0.0.1, a port of its own) and passes everything to `target`. Use as a context manager."""

    def __init__(self, target, nats=None):
        host, port = target.rsplit(":", 1)
        self._target, self.nats = (host, int(port)), nats
        self.up, self.down = Way(), Way()  # client → server, server → client
        self._refuses = False
        self._connections = set()  # loop's thread only
        self.accepted = 0  # connections there have been, refused ones included
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.addr = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    @property
    def url(self):
        return f"nats://{self.addr}"

    @property
    def connected(self):
        return self._on_loop(lambda: len(self._connections))

    def cut(self, refuse=False):
        """Resets all connections on both sides. `refuse`: and those that come, until `heal()`."""
        self._refuses = self._refuses or refuse
        self._on_loop(self._reset_all)

    def hold(self):
        """Nothing passes in either direction, and nobody is told. What was sent meanwhile arrives when it is healed."""
        self.up.held = self.down.held = True

    def blackhole(self):
        """What is sent in either direction is lost. A connection has a hole then, so `heal()` resets it."""
        self.up.lost = self.down.lost = True

    def heal(self):
        """As it was at first."""
        holes = self.up.lost or self.down.lost
        for way in (self.up, self.down):
            way.delay = way.jitter = way.bytes_per_second = 0
            way.held = way.lost = False
        if holes:
            self._on_loop(self._reset_all)
        self._refuses = False
        if self.nats:
            self.nats.drop_none()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()
        self._loop.close()

    def _on_loop(self, what):
        """Runs it there and returns what it returns."""
        async def run():
            return what()
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)

    def _reset_all(self):
        for connection in list(self._connections):
            connection.reset()

    async def _close(self):
        self._accepting.cancel()
        tasks = [connection.task for connection in self._connections]
        self._reset_all()
        await asyncio.gather(self._accepting, *tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self):
        self._listener.setblocking(False)
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            if self._refuses:
                _reset(client)
                continue
            connection = _Connection(self, client)
            self._connections.add(connection)
            connection.start(self._loop)


class _Connection:
    def __init__(self, proxy, client):
        self.proxy, self.ends = proxy, [client]

    def start(self, loop):
        self.loop = loop
        self.task = loop.create_task(self.serve())

    def reset(self):
        self.task.cancel()

    async def serve(self):
        """Until one side is torn or both have ended."""
        client, server = self.ends[0], socket.socket()
        self.ends.append(server)
        tasks = []
        try:
            for end in self.ends:
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.sock_connect(server, self.proxy._target)
            for source, sink, way in (client, server, self.proxy.up), (server, client, self.proxy.down):
                queue = asyncio.Queue(QUEUED_CHUNKS)
                nats = NatsStream(self.proxy.nats) if self.proxy.nats and way is self.proxy.down else None
                tasks += [self.loop.create_task(self.read(source, queue, way, nats)), self.loop.create_task(self.write(queue, sink, way))]
            await asyncio.gather(*tasks)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in self.ends:  # only now: the loop has let go of them
                _reset(end)
            self.proxy._connections.discard(self)

    async def read(self, source, queue, way, nats):
        last = 0.0
        while data := await self.loop.sock_recv(source, CHUNK_BYTES):
            way.bytes += len(data)
            if nats and not (data := nats.feed(data)):
                continue
            last = max(last, self.loop.time() + way.delay + random.random() * way.jitter)
            await queue.put((last, data))
        await queue.put((last, None))

    async def write(self, queue, sink, way):
        while True:
            due, data = await queue.get()
            while not way.plain and (way.held or self.loop.time() < due):
                await asyncio.sleep(0.01 if way.held else min(0.05, due - self.loop.time()))
            if data is None:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            at = 0
            while at < len(data):
                while way.held:
                    await asyncio.sleep(0.01)
                rate = way.bytes_per_second
                size = max(1, rate // TRICKLES_PER_SECOND) if rate else len(data)
                piece = data[at:at + size]
                if not way.lost:
                    await self.loop.sock_sendall(sink, piece)
                at += size
                if rate:
                    await asyncio.sleep(len(piece) / rate)


def _reset(end):
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()


def _subject_pattern(subject):
    words = [re.escape(word.encode()) for word in subject.split(".")]
    words = [rb"[^.]+" if word == rb"\*" else rb".+" if word in (b">", rb"\>") else word for word in words]
    return rb"\.".join(words)
