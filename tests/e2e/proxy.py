"""A TCP proxy that can cut, stall and refuse connections: the network between a client and the server."""

import contextlib
import socket
import struct
import threading

from harness import DEADLINE, eventually

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Proxy:
    """Listens on `addr` (127.0.0.1, a port of its own) and passes everything to `target`. Use as a context manager."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._lock = threading.Lock()
        self._pairs = []  # of sockets that are connected
        self._half_open = []  # pairs of which the server does not know that the client is gone
        self._flows = threading.Event()
        self._flows.set()
        self._refusing = False
        self.accepted = 0  # connections there have been, refused ones included
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.addr = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._flows.set()
        self.cut()
        for _, server in self._half_open:
            _reset(server)

    @property
    def url(self):
        return f"ws://{self.addr}/ws"

    @property
    def connected(self):
        with self._lock:
            return len(self._pairs)

    def cut(self, refuse=False):
        """Resets all connections on both sides. `refuse`: and those that come, until `allow()`."""
        self._refusing = refuse
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def lose_clients(self):
        """Resets all connections on the clients' side; to the server they stay open, as when a phone leaves its network."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._half_open += pairs
        for client, _ in pairs:
            _reset(client)

    def refuse(self):
        """Resets those that come, until `allow()`."""
        self._refusing = True

    def allow(self):
        self._refusing = False

    def stall(self):
        """Nothing passes any more, and nobody is told."""
        self._flows.clear()

    def flow(self):
        self._flows.set()

    def wait_connected(self):
        eventually(lambda: self.connected, "a connection through the proxy")

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refusing:
                _reset(client)
                continue
            try:
                server = socket.create_connection(self._target, DEADLINE)
            except OSError:
                _reset(client)
                continue
            pair = (client, server)
            for end in pair:
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pass, args=(pair, source, sink), daemon=True).start()

    def _pass(self, pair, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
            if pair not in self._half_open:
                sink.shutdown(socket.SHUT_WR)
            return
        with self._lock:
            if pair in self._half_open:
                return
            if pair in self._pairs:
                self._pairs.remove(pair)
        for end in pair:
            _reset(end)


def _reset(end):
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)  # wakes the thread that reads
    end.close()
