"""G13: one ClientHello, replayed. The budget of its address ends the work before TLS; others get in."""

import socket
import ssl
import tempfile
import unittest
from pathlib import Path

from certificates import Authority
from harness import DEADLINE
from server_case import ServerTest
from strangers import raise_open_files
from test_tls import TlsHerald


def client_hello():
    outgoing = ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class ClientHelloTest(ServerTest):
    def replay(self, herald, count, source):
        """How many of `count` replays the server answered with a handshake of its own."""
        host, port = herald.client_addr.rsplit(":", 1)
        hello, answered = client_hello(), 0
        for _ in range(count):
            try:
                with socket.create_connection((host, int(port)), DEADLINE, source_address=(source, 0)) as one:
                    one.sendall(hello)
                    answered += bool(one.recv(4096))
            except (ConnectionResetError, BrokenPipeError):
                pass
        return answered

    def test_g13_replayed_client_hellos(self):
        raise_open_files()
        authority = Authority(Path(self.enter(tempfile.TemporaryDirectory())))
        herald = self.enter(TlsHerald(authority))
        host, port = herald.client_addr.rsplit(":", 1)
        total = answered = 0
        while total < 6000 and answered == total:
            answered += self.replay(herald, 500, "127.0.0.2")
            total += 500
        self.assertLess(answered, total, "no replay was refused")
        self.assertGreater(herald.metric("herald_connections_refused_total", reason="tls_failures_per_ip"), 0)
        # Another address: TLS as ever.
        with socket.create_connection((host, int(port)), DEADLINE) as tcp, herald.trust.wrap_socket(tcp, server_hostname=host) as tls:
            tls.sendall(b"GET /herald.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b" 200 ", tls.recv(4096))
        with herald.json_client() as client:
            client.request(ping={})

    def test_g13_handshakes_are_charged_before_tls(self):
        authority = Authority(Path(self.enter(tempfile.TemporaryDirectory())))
        herald = self.enter(TlsHerald(authority, "--handshakes_per_second=5"))
        self.assertLess(self.replay(herald, 100, "127.0.0.2"), 100)
        self.assertGreater(herald.metric("herald_connections_refused_total", reason="handshake_rate"), 0)


if __name__ == "__main__":
    unittest.main()
