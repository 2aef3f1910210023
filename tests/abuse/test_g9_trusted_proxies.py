"""G9: behind a trusted proxy the client's own address counts, by PROXY protocol or X-Forwarded-For; nobody else is believed."""

import socket
import ssl
import struct
import tempfile
import unittest
from pathlib import Path

from certificates import Authority
from harness import eventually
from producer import Producer
from server_case import ServerTest
from test_tls import TlsHerald
from wire import RawClient, frame_bytes, request_text, upgrade_headers

TRUST = "--trusted_proxies=127.0.0.0/8"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CONNECT = frame_bytes(1, b'{"connect":{}}')


def v1(source="192.0.2.7", port=12345):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {'::1' if ':' in source else '10.0.0.1'} {port} 443\r\n".encode()


def v2(source="192.0.2.7", port=12345, tlvs=b"", command=1):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, "::1" if ":" in source else "10.0.0.1")
    body = addresses + struct.pack("!HH", port, 443) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x21 if ":" in source else 0x11]) + struct.pack("!H", len(body)) + body


class TrustedProxiesTest(ServerTest):
    def client(self, herald, before=b"", connect=True, wrap=None, **headers):
        """The status line's number, and the connection, of a client that sends `before` first."""
        one = self.enter(RawClient(herald.client_addr))
        one.send(before)
        if wrap:
            one.socket = self.enter(wrap.wrap_socket(one.socket, server_hostname="127.0.0.1"))
        fields = upgrade_headers("herald.v1.json") | {name.replace("_", "-"): value for name, value in headers.items()}
        one.send(request_text(headers=fields))
        answer = one.response()
        if answer.status == 101 and connect:
            one.send(CONNECT)
            one.read_frame()
        return answer.status, one

    def addresses(self, herald):
        with Producer(herald) as producer:
            return sorted(session.remote_address for session in producer.list_sessions().sessions)

    def assert_refused(self, herald, before):
        """400, or closed without an upgrade."""
        one = self.enter(RawClient(herald.client_addr))
        one.send(before + request_text(headers=upgrade_headers("herald.v1.json")))
        try:
            self.assertEqual(one.response().status, 400)
        except (EOFError, ConnectionResetError):
            pass

    def test_g9_proxy_protocol(self):
        herald = self.start(TRUST)
        for before in (v1(), v2(port=2), v2("2001:db8::7", 3), v1("2001:db8::8", 4), v2(port=5, tlvs=b"\x04\0\3abc")):
            self.assertEqual(self.client(herald, before)[0], 101)
        self.assertEqual(self.addresses(herald), ["192.0.2.7:12345", "192.0.2.7:2", "192.0.2.7:5", "[2001:db8::7]:3", "[2001:db8::8]:4"])

    def test_g9_headers_without_a_client(self):
        herald = self.start(TRUST)
        for before in (b"PROXY UNKNOWN\r\n", v2(command=0), b""):
            self.assertEqual(self.client(herald, before)[0], 101)
        self.assertTrue(all(address.startswith("127.0.0.1:") for address in self.addresses(herald)))

    def test_g9_a_header_that_comes_in_pieces(self):
        herald = self.start(TRUST)
        for header in (v1(), v2(tlvs=b"\x04\0\3abc")):
            one = self.enter(RawClient(herald.client_addr))
            one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header:
                one.send(bytes([byte]))
            self.assertEqual(one.upgrade(subprotocol="herald.v1.json").status, 101)
        # A request that begins like a header.
        one = self.enter(RawClient(herald.client_addr))
        one.send(b"P")
        eventually(lambda: herald.metric("herald_connections", state="unauthenticated") >= 1, "it is there")
        one.send(b"OST /ws HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(one.response().status, 405)

    def test_g9_x_forwarded_for(self):
        herald = self.start(TRUST, "--proxy_protocol=off")
        self.assertEqual(self.client(herald, X_Forwarded_For="203.0.113.66, 192.0.2.7, 127.0.0.9")[0], 101)
        self.assertEqual(self.client(herald, X_Forwarded_For="2001:db8::7")[0], 101)
        self.assertEqual(self.addresses(herald), ["192.0.2.7", "2001:db8::7"])

    def test_g9_others_are_not_believed(self):
        herald = self.start("--trusted_proxies=10.0.0.0/8")
        for before in (v1(), v2()):
            self.assert_refused(herald, before)
        self.assertEqual(self.client(herald, X_Forwarded_For="192.0.2.7")[0], 101)
        self.assertTrue(self.addresses(herald)[0].startswith("127.0.0.1:"))

    def test_g9_malformed_and_missing_headers(self):
        herald = self.start(TRUST, "--proxy_protocol=required")
        for before in (b"", b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n", v2()[:-1].replace(b"\x00\x0c", b"\x00\x0b"),
                       SIGNATURE + b"\x21\x11\xff\xff"):
            self.assert_refused(herald, before)
        self.assertEqual(self.client(herald, v2())[0], 101)
        self.assertEqual(herald.metric("herald_bad_proxy_headers_total"), 4)
        self.assertEqual(herald.http("/readyz")[0], 200)

    def test_g9_limits_are_the_clients(self):
        herald = self.start(TRUST, "--max_sessions_per_ip=1")
        self.assertEqual(self.client(herald, v1("192.0.2.1"))[0], 101)
        self.assertEqual(self.client(herald, v2("192.0.2.2"))[0], 101)
        self.assertEqual(self.client(herald, v1("192.0.2.1", 9))[0], 429)
        self.assertEqual(self.client(herald, X_Forwarded_For="192.0.2.3")[0], 101)
        self.assertEqual(self.client(herald, X_Forwarded_For="192.0.2.2")[0], 429)
        # One subscriber has a /64.
        self.assertEqual(self.client(herald, v2("2001:db8:1:2::1"))[0], 101)
        self.assertEqual(self.client(herald, v2("2001:db8:1:2:ffff::9"))[0], 429)
        self.assertEqual(self.client(herald, v2("2001:db8:1:3::1"))[0], 101)

    def test_g9_before_tls(self):
        authority = Authority(Path(self.enter(tempfile.TemporaryDirectory())))
        herald = self.enter(TlsHerald(authority, TRUST))
        trust = ssl.create_default_context(cadata=authority.pem().decode())
        self.assertEqual(self.client(herald, v2(), wrap=trust)[0], 101)
        self.assertEqual(self.client(herald, wrap=trust)[0], 101)
        addresses = self.addresses(herald)
        self.assertIn("192.0.2.7:12345", addresses)
        self.assertEqual(len(addresses), 2)

    def test_g9_bad_settings(self):
        for flag, words in (("--trusted_proxies=10.0.0.1/8", "write 10.0.0.0/8"), ("--trusted_proxies=proxy", "does not begin with an IP"),
                            ("--proxy_protocol=v2", "off|optional|required")):
            herald = self.start(flag, wait=False)
            self.assertEqual(herald.wait(), 1)
            self.assertIn(words, herald.output)



if __name__ == "__main__":
    unittest.main()
