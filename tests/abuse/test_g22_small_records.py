"""G22: bytes in TLS records of their own must not buy more than a session's rate: each is a read, however little it holds."""

import socket
import ssl
import tempfile
import unittest

from certificates import Authority
from harness import Herald, eventually
from rates import cpu_seconds
from server_case import ServerTest
from wire import RawClient, frame_bytes, request_text, upgrade_headers

MESSAGE = frame_bytes(1, b'{"message":{"text":"' + b"x" * 60_000 + b'"}}')
RECORD = 16_000  # bytes, of a client that means no harm


class TlsClient(RawClient):
    """A RawClient over TLS that decides how many bytes each record has."""

    def __init__(self, herald, trust):
        super().__init__(herald.client_addr)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._until_done(self._tls.do_handshake)
        self.send(b"")

    def records(self, data, size):
        """`data` as it goes on the wire, with `size` bytes a record."""
        for begin in range(0, len(data), size):
            self._tls.write(data[begin:begin + size])
        return self._out.read()

    def send(self, data):
        self.socket.sendall(self.records(data, RECORD))

    def _fill(self):
        more = self._until_done(lambda: self._tls.read(65536))
        if not more:
            raise EOFError(f"closed after {self._unread!r}")
        self._unread += more

    def _until_done(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._out.read())
                received = self.socket.recv(65536)
                self._in.write(received) if received else self._in.write_eof()


class SmallRecordsTest(ServerTest):
    def setUp(self):
        super().setUp()
        authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = authority.issue("server")
        self.trust = ssl.create_default_context(cadata=authority.pem().decode())
        self.herald = self.enter(Herald(f"--client_tls_cert_file={cert}", f"--client_tls_key_file={key}"))

    def client(self, user):
        client = self.enter(TlsClient(self.herald, self.trust))
        client.send(request_text(path=f"/ws?user={user}", headers=upgrade_headers("herald.v1.json")))
        self.assertEqual(client.response().status, 101)
        client.send(frame_bytes(1, b'{"connect":{}}'))
        client.wait_frame(1)
        return client

    def test_g22_records_of_one_byte(self):
        innocent, mallory = self.client("innocent"), self.client("mallory")
        wire = mallory.records(MESSAGE * 10, 1)  # less than a second's worth of inbound_bytes_per_second
        before = cpu_seconds(self.herald)
        mallory.socket.settimeout(1)
        sent = 0
        try:
            while sent < len(wire):
                sent += mallory.socket.send(wire[sent:sent + 65536])
        except (socket.timeout, ConnectionError):
            pass
        spent = cpu_seconds(self.herald) - before
        self.assertLess(sent, len(wire), "the server reads it all")
        self.assertLess(spent, 0.8, f"CPU seconds for {sent} bytes")
        # What it still sends may cost it the close frame: a reset comes behind.
        eventually(lambda: self.herald.metric("herald_closes_total", code="4429") == 1, "the close")
        self.assertEqual(self.herald.metric("herald_rate_limited_total", reason="session_bytes"), 1)
        innocent.send(frame_bytes(1, b'{"id":2,"ping":{}}'))
        innocent.wait_frame(1)

    def test_g22_large_records_and_many_small_messages_are_fine(self):
        client = self.client("alice")
        client.send(MESSAGE * 10 + frame_bytes(1, b'{"id":2,"ping":{}}'))
        client.wait_frame(1)
        for _ in range(100):
            client.send(frame_bytes(1, b'{"id":3,"ping":{}}'))
            client.wait_frame(1)
        self.assertEqual(self.herald.metric("herald_rate_limited_total"), 0)


if __name__ == "__main__":
    unittest.main()
