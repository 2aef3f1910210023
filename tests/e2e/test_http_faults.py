"""Requests as browsers, proxies and attackers send them, byte by byte, against the real binary.

The names are those of the list of faults: RFC 9110, 9112 and 6455 say what is right.
"""

import os
import subprocess
import tempfile
import unittest

import tokens
from harness import DEADLINE, ENVIRONMENT, Herald, Process, binary, eventually
from producer import Producer
from server_case import ServerTest
from wire import RawClient, raw_client, upgrade_headers

JSON = "herald.v1.json"


def lines(request_line="GET /ws HTTP/1.1", fields=(), **changes):
    """A good upgrade as raw lines; `changes` as in RawClient.upgrade, `fields` are further (name, value) pairs."""
    headers = upgrade_headers()
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    pairs = [(name, value) for name, value in headers.items() if value is not None] + list(fields)
    return "\r\n".join([request_line, *(f"{name}: {value}" for name, value in pairs), "", ""]).encode("latin-1")


class FaultsTest(ServerTest):
    def ask(self, addr, data):
        with RawClient(addr) as client:
            client.send(data)
            return client.response()

    def status(self, data, herald=None):
        return self.ask((herald or self.herald).client_addr, data).status


class ClientPortTest(FaultsTest):
    """One server with the defaults of --dev."""

    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def test_b1_connection_and_upgrade_on_two_lines(self):
        data = lines(Connection="keep-alive", Upgrade="h2c", fields=[("Connection", "Upgrade"), ("Upgrade", "websocket")])
        self.assertEqual(self.status(data), 101)
        data = lines(Connection="keep-alive", fields=[("connection", "uPGRADE")])
        self.assertEqual(self.status(data), 101, "names and tokens in any case")

    def test_b1_subprotocols_on_two_lines(self):
        answer = self.ask(self.herald.client_addr, lines(fields=[("Sec-WebSocket-Protocol", "other"), ("Sec-WebSocket-Protocol", JSON)]))
        self.assertEqual((answer.status, answer.headers.get("sec-websocket-protocol")), (101, JSON))

    def test_b1_extensions_on_two_lines(self):
        herald = self.start("--compression")
        answer = self.ask(herald.client_addr, lines(fields=[("Sec-WebSocket-Extensions", "x-other"),
                                                            ("Sec-WebSocket-Extensions", "permessage-deflate")]))
        self.assertEqual(answer.status, 101)
        self.assertIn("permessage-deflate", answer.headers.get("sec-websocket-extensions", ""))

    def test_b1_cookies_on_two_lines(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(directory)}", "--token_cookie=herald", "--enable_raw", dev=False)
        self.assertEqual(self.status(lines(fields=[("Cookie", "a=b"), ("Cookie", f"herald={tokens.hs256()}")]), herald), 101)
        self.assertEqual(self.status(lines(fields=[("Cookie", "a=b")]), herald), 401)

    def test_b2_absolute_form(self):
        for target in ("http://localhost/ws", "HTTP://LOCALHOST:8080/ws?topics=a", "ws://127.0.0.1/ws"):
            self.assertEqual(self.status(lines(f"GET {target} HTTP/1.1")), 101, target)
        self.assertEqual(self.status(lines("GET http://localhost/nothing HTTP/1.1")), 404)
        self.assertEqual(self.status(lines("GET ftp://localhost/ws HTTP/1.1")), 400)
        self.assertEqual(self.ask(self.herald.client_addr, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204)

    def test_b2_the_host_of_an_absolute_form_counts(self):
        data = lines("GET http://localhost:8080/ws HTTP/1.1", Host="other.localhost", Origin="http://localhost:8080")
        self.assertEqual(self.status(data), 101)
        data = lines("GET http://localhost:8080/ws HTTP/1.1", Host="other.localhost", Origin="http://other.localhost")
        self.assertEqual(self.status(data), 403)

    def test_b2_absolute_form_on_the_admin_port(self):
        answer = self.ask(self.herald.admin_addr, b"GET http://localhost:9090/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((answer.status, answer.body), (200, "ok\n"))

    def test_b3_one_host_that_is_well_formed(self):
        for host in (None, "", "local host", "localhost/", "http://localhost", "user@localhost", "localhost:80:80", "localhost:x",
                     "localhost:65536", "::1", "[::1"):
            self.assertEqual(self.status(lines(Host=host)), 400, host)
        self.assertEqual(self.status(lines(fields=[("Host", "localhost")])), 400, "two, though equal")
        self.assertEqual(self.status(lines("GET /herald.js HTTP/1.1", fields=[("host", "evil.example")])), 400)
        self.assertEqual(self.ask(self.herald.admin_addr, b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status, 400)
        for host in ("localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:8080"):
            self.assertEqual(self.status(lines(Host=host)), 101, host)

    def test_b4_an_upgrade_has_no_body(self):
        frame = b"\x81\x85\0\0\0\0hello"
        for fields, body in ((("Content-Length", "5"), b"hello"), (("Transfer-Encoding", "chunked"), b"5\r\nhello\r\n0\r\n\r\n"),
                             (("Content-Length", str(len(frame))), frame)):
            self.assertEqual(self.status(lines(fields=[fields]) + body), 400, fields)
        self.assertEqual(self.status(lines(fields=[("Content-Length", "0")])), 101)

    def test_b4_nothing_that_servers_read_differently(self):
        for fields in ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], [("Content-Length", "5"), ("Content-Length", "5")],
                       [("Transfer-Encoding", "xchunked")], [("Transfer-Encoding", "chunked, identity")], [("X", "a\r\n folded")],
                       [("X", "a\nY: b")], [("X ", "a")], [("X", "a\rb")], [("X", "a\0b")]):
            self.assertEqual(self.status(lines("GET /herald.js HTTP/1.1", fields=fields)), 400, fields)
        self.assertEqual(self.status(b"GET /herald.js HTTP/1.1\nHost: localhost\n\n"), 400, "bare LF, and no waiting for more")

    def test_b5_what_browsers_leave_raw_in_a_query(self):
        for raw in "|[]{}^\"<>\\`'":
            self.assertEqual(self.status(lines(f"GET /ws?topics=a{raw}b HTTP/1.1")), 101, raw)
        client = self.enter(self.herald.json_client())
        with RawClient(self.herald.client_addr) as raw, Producer(self.herald) as producer:
            raw.send(lines("GET /ws?x[]=|&topics=a|b[c]{d}^e HTTP/1.1"))
            self.assertEqual(raw.response().status, 101)
            producer.deliver("hello", topic="a|b[c]{d}^e")
            self.assertEqual(raw.read_frame(), (1, b"hello"))
        for bad in ("a b", "a\x01b", "a\x7fb"):
            self.assertEqual(self.status(lines(f"GET /ws?topics={bad} HTTP/1.1")), 400, bad)
        client.request(ping={})

    def test_b6_commas_split_before_percent_is_decoded(self):
        with RawClient(self.herald.client_addr) as raw, Producer(self.herald) as producer:
            raw.send(lines("GET /ws?topics=a%2Cb,c+d HTTP/1.1"))
            self.assertEqual(raw.response().status, 101)
            for topic in ("a", "b", "a,b", "c d"):
                producer.deliver(f"to {topic}", topic=topic)
            self.assertEqual([raw.read_frame()[1] for _ in range(2)], [b"to a,b", b"to c d"])

    def test_b6_heraldctl_takes_a_topic_as_it_is_named(self):
        for flags in ((), ("--raw",)):
            argv = [binary("heraldctl"), "subscribe", f"--url={self.herald.client_url}", "--count=1", "--topic", "comma,comma", *flags]
            process = self.enter(Process(argv))

            def arrived(process=process):
                self.herald.ctl("send", "--topic", "comma,comma", "hi")
                return process.returncode is not None
            eventually(arrived, "the message arrived")
            self.assertEqual(process.wait(), 0)
            self.assertIn("hi", process.lines)

    def test_b8_if_none_match(self):
        base = f"http://{self.herald.client_addr}"
        etag = self.herald.http("/herald.js", base)[2]["ETag"]
        for value in (etag, f"W/{etag}", f'"old", {etag}', f'W/"a,b", W/{etag}', "*"):
            self.assertEqual(self.herald.http("/herald.js", base, {"If-None-Match": value})[0], 304, value)
        for value in ('"old"', 'W/"old"', etag.strip('"')):
            self.assertEqual(self.herald.http("/herald.js", base, {"If-None-Match": value})[0], 200, value)
        two = f'GET /herald.js HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "old"\r\nIf-None-Match: {etag}\r\n\r\n'
        self.assertEqual(self.status(two.encode()), 304, "on two lines")

    def test_b10_allow_is_what_works(self):
        for addr, path, status in ((self.herald.client_addr, "/herald.js", 200), (self.herald.client_addr, "/", 200),
                                   (self.herald.admin_addr, "/healthz", 200), (self.herald.admin_addr, "/metrics", 200)):
            for method in ("OPTIONS", "POST"):
                with RawClient(addr) as client:
                    answer = client.request(method, path)
                self.assertEqual(answer.status, 204 if method == "OPTIONS" else 405, path)
                self.assertEqual(answer.headers["allow"], "GET, HEAD, OPTIONS", path)
            with RawClient(addr) as client:
                client.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = client.read_until(b"\r\n\r\n")
            self.assertIn(f" {status} ".encode(), head)
        for method, status in (("OPTIONS", 204), ("HEAD", 405), ("PUT", 405)):
            with RawClient(self.herald.client_addr) as client:
                client.send(f"{method} /ws HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = client.read_until(b"\r\n\r\n").decode()
            self.assertIn(f" {status} ", head)
            self.assertIn("\r\nAllow: GET, OPTIONS\r\n", head)

    def test_b11_spaces_behind_bearer(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(directory)}", "--enable_raw", dev=False)
        for spaces in (" ", "  ", "    "):
            self.assertEqual(self.status(lines(Authorization=f"Bearer{spaces}{tokens.hs256()}"), herald), 101)

    def test_b11_empty_lines_before_the_request(self):
        for data in (b"\r\n" + lines(), b"\r\n\r\n\r\n" + lines()):
            self.assertEqual(self.status(data), 101)
        self.assertEqual(self.ask(self.herald.admin_addr, b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status, 200)

    def test_b12_a_field_that_may_come_once(self):
        for name, value in (("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
                            ("Origin", "http://localhost"), ("Authorization", "Bearer x")):
            twice = [(name, value)] if name.startswith("Sec-") else [(name, value), (name.lower(), value)]
            self.assertEqual(self.status(lines(fields=twice)), 400, name)


class SettingsTest(FaultsTest):
    def test_b7_allowed_origins_in_another_form(self):
        herald = self.start("--allowed_origins=https://example.com:443,HTTP://B.Example:80,https://xn--bcher-kva.example")
        for origin in ("https://example.com", "http://b.example", "https://xn--bcher-kva.example"):
            self.assertEqual(self.status(lines(Origin=origin), herald), 101, origin)
        for origin in ("http://example.com", "https://example.com:8443", "null"):
            self.assertEqual(self.status(lines(Origin=origin), herald), 403, origin)

    def test_b7_allowed_origins_that_never_match(self):
        for origin, word in (('"https://example.com"', "quotes"), ("https://bücher.example", "Punycode"), ("https://*.example.com", "wildcard"),
                             ("https://example.com/app", "path"), ("https://user@example.com", "origin")):
            herald = self.start(f"--allowed_origins={origin}", wait=False)
            self.assertNotEqual(herald.wait(DEADLINE), 0, origin)
            self.assertIn("allowed_origins", herald.output)
            self.assertIn(word, herald.output)

    def test_b9_a_line_that_is_too_large_is_431_and_harms_nobody(self):
        herald = self.start("--max_header_bytes=256KiB", threads=1)
        for size, status in ((59_000, 404), (66_000, 431), (200_000, 431)):
            with RawClient(herald.client_addr) as client:
                client.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"x" * size))
                self.assertEqual(client.response().status, status, size)
        self.assertIsNone(herald.returncode)

    def test_b13_a_token_is_no_subprotocol_to_answer_and_raw_mode_has_other_places_for_it(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(directory)}", "--enable_raw", "--token_cookie=herald",
                            "--allow_query_token", dev=False)
        token = tokens.hs256()
        answer = self.ask(herald.client_addr, lines(Sec_WebSocket_Protocol=f"bearer.{token}"))
        self.assertEqual((answer.status, answer.headers.get("sec-websocket-protocol")), (101, None), "browsers may fail it: see the docs")
        self.assertEqual(self.status(lines(Cookie=f"herald={token}"), herald), 101)
        self.assertEqual(self.status(lines(f"GET /ws?token={token} HTTP/1.1"), herald), 101)

    def test_c3_a_refused_origin_is_logged_and_counted(self):
        herald = self.start()
        for _ in range(20):
            self.assertEqual(self.status(lines(Origin="https://app.example"), herald), 403)
        eventually(lambda: herald.logs("requests refused on the client port"), "the line in the log")
        record = herald.logs("requests refused on the client port")[0]
        self.assertEqual((record["level"], record["reason"], record["status"]), ("warn", "origin", 403))
        self.assertIn("allowed_origins", record["text"])
        self.assertIn("https://app.example", record["detail"])
        self.assertEqual(herald.metric("herald_http_refused_total", status="403", reason="origin"), 20)
        self.assertEqual(herald.metric("herald_http_refused_total"), 20)
        self.assertLessEqual(len(herald.logs("requests refused on the client port")), 2, "one line a second, not one a request")


class AdminPortTest(FaultsTest):
    """B9: whatever is asked, there is an answer."""

    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def admin(self, data):
        return self.ask(self.herald.admin_addr, data)

    def test_b9_a_body_is_no_harm(self):
        for body in (b"hello", b"x" * 50_000):
            answer = self.admin(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self.assertEqual((answer.status, answer.body), (200, "ok\n"))
        answer = self.admin(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        self.assertEqual(answer.status, 200)

    def test_b9_a_body_that_does_not_come_is_not_waited_for(self):
        self.assertEqual(self.admin(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n").status, 200)

    def test_b9_post_is_405(self):
        for body in (b"", b"hello"):
            answer = self.admin(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_b9_a_header_that_is_too_large_is_431(self):
        self.assertEqual(self.admin(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 9000)).status, 431)
        self.assertEqual(self.admin(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 8000)).status, 200)

    def test_b9_what_is_malformed_is_400(self):
        for data in (b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", b"\x16\x03\x01"):
            self.assertEqual(self.admin(data).status, 400, data)

    def test_b9_an_incomplete_header_is_answered(self):
        with RawClient(self.herald.admin_addr) as slow:
            slow.socket.settimeout(2 * DEADLINE)
            slow.send(b"GET /healthz HTTP/1.1\r\nHost:")
            self.assertEqual(slow.response().status, 408)
        with RawClient(self.herald.admin_addr) as half:
            half.send(b"GET /healthz HTTP/1.1\r\nHost:")
            half.socket.shutdown(1)
            self.assertEqual(half.response().status, 400)

    def test_b9_idle_connections_do_not_stop_the_probes(self):
        idle = [self.enter(RawClient(self.herald.admin_addr)) for _ in range(200)]
        self.assertEqual(self.herald.http("/healthz")[0], 200)
        open_files = len(os.listdir(f"/proc/{self.herald.pid}/fd"))
        self.assertLess(open_files, 150, "the oldest of them have been ended")
        self.assertEqual(len(idle), 200)


class VerbatimTest(FaultsTest):
    """A10: what heraldctl prints and sends is what came, byte for byte."""

    BODY = '{"big":12345678901234567890123,"price":19.990,"e":1E2,"dup":1,"dup":2,"u":"\\u00e9"}'

    def subscriber(self, herald, *words):
        process = self.enter(Process([str(binary("heraldctl")), "subscribe", f"--url={herald.client_url}", "--topic=t", "--count=1", *words]))
        eventually(lambda: herald.metric("herald_topics") >= 2 or process.returncode is not None, "subscribed")
        return process

    def test_a10_subscribe_prints_json_verbatim(self):
        herald = self.start()
        process = self.subscriber(herald)
        herald.ctl("send", "--topic", "t", self.BODY)
        self.assertEqual(process.wait(), 0, process.output)
        self.assertIn(self.BODY, process.lines)

    def test_a10_publish_sends_json_verbatim(self):
        herald = self.start()
        with RawClient(herald.client_addr) as raw:
            self.assertEqual(raw.upgrade("/ws?topics=t").status, 101)
            subprocess.run([str(binary("heraldctl")), "subscribe", f"--url={herald.client_url}", "--topic=t", "--publish=t", "--for=1s"],
                           input=self.BODY + "\n", text=True, env=ENVIRONMENT, timeout=3 * DEADLINE, check=True, capture_output=True)
            self.assertEqual(raw.read_frame()[1].decode(), self.BODY)


class RefusedClientsTest(FaultsTest):
    def test_d1_a_refused_client_that_stays_connected_holds_nothing(self):
        herald = self.start("--max_sessions=1", threads=1)
        self.enter(raw_client(herald))
        files = len(os.listdir(f"/proc/{herald.pid}/fd"))
        kept = []
        for data, status in ((b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404), (lines(), 503)):
            for _ in range(50):
                client = self.enter(RawClient(herald.client_addr))
                client.send(data)
                self.assertEqual(client.response().status, status)
                kept.append(client)
            # Before a server that waits for its clients would have given up on the first of them.
            eventually(lambda: len(os.listdir(f"/proc/{herald.pid}/fd")) <= files + 2, "their descriptors are free", timeout=3)
        self.assertEqual(len(kept), 100)

    def test_d1_an_answer_arrives_also_when_the_client_is_still_sending(self):
        herald = self.start(threads=1)
        for size in (100, 60_000):
            for _ in range(20):
                with RawClient(herald.client_addr) as client:
                    client.send(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
                    client.send(b"x" * size)
                    self.assertEqual(client.response().status, 404)


if __name__ == "__main__":
    unittest.main()
