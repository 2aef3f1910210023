"""Strangers: many TCP connections to one port, from chosen loopback addresses."""

import contextlib
import errno
import resource
import select
import socket
import time

from harness import DEADLINE


def raise_open_files():
    """The test itself holds as many descriptors as it gives the server. Returns how many it may hold."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Crowd(contextlib.ExitStack):
    """Connections to `addr`, closed together."""

    def __init__(self, addr):
        super().__init__()
        host, port = addr.rsplit(":", 1)
        self._to = (host, int(port))
        self.sockets = []
        self._silent = []

    def connect(self, count, source="127.0.0.1"):
        """Begins `count` connections without waiting for any."""
        for _ in range(count):
            one = self.enter_context(socket.socket())
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            one.bind((source, 0))
            if one.connect_ex(self._to) not in (0, errno.EINPROGRESS):
                raise OSError("connect failed")
            self.sockets.append(one)
            self._silent.append(one)

    def send(self, data):
        """To all that have not sent yet and take it; the server may have closed some."""
        silent, self._silent = self._silent, []
        for one in silent:
            with contextlib.suppress(OSError):
                one.send(data)

    def answers(self, seconds):
        """What has come on each connection within `seconds`; None: nothing, b"": the end."""
        poll = select.poll()
        by_number = {one.fileno(): one for one in self.sockets}
        for number in by_number:
            poll.register(number, select.POLLIN)
        got = {}
        end = time.monotonic() + seconds
        while len(got) < len(by_number) and time.monotonic() < end:
            for number, _ in poll.poll(100):
                try:
                    got[number] = by_number[number].recv(65536)
                except OSError:
                    got[number] = b""
                poll.unregister(number)
        return [got.get(one.fileno()) for one in self.sockets]


def get(addr, path, source="127.0.0.1"):
    """The first line of the answer to a GET on a connection of its own; "" if it was closed without one."""
    host, port = addr.rsplit(":", 1)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), \
            socket.create_connection((host, int(port)), DEADLINE, source_address=(source, 0)) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return one.makefile("rb").readline().decode().strip()
    return ""
