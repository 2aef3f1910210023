"""TLS on the client port of the real binary: sessions, certificates that change, clients that do not speak it, load."""

import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.request
from pathlib import Path

from websockets.exceptions import InvalidStatus

from browser import Page, needs_chromium
from certificates import Authority
from harness import DEADLINE, ENVIRONMENT, Herald, Process, binary, eventually
from producer import Producer
from push import command, push_all
from server_case import ServerTest
from wire import RawClient, wait_close

KIB, MIB = 1024, 1024 * 1024


class TlsHerald(Herald):
    """`herald --dev` with a certificate of `authority` on its client port."""

    def __init__(self, authority, *flags, **options):
        self.cert, self.key = authority.issue("server")
        self.trust = ssl.create_default_context(cadata=authority.pem().decode())
        # The client of the `websockets` package reads on a thread of its own while it writes its request. With TLS 1.3 it may read a
        # session ticket then, and OpenSSL's state is torn: an internal error, or a request that never leaves.
        self.threaded_trust = ssl.create_default_context(cadata=authority.pem().decode())
        self.threaded_trust.maximum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(f"--client_tls_cert_file={self.cert}", f"--client_tls_key_file={self.key}", *flags, **options)

    @property
    def client_url(self):
        return f"wss://{self.client_addr}/ws"

    @property
    def page_url(self):
        return f"https://{self.client_addr}/"

    def json_client(self, query="", **options):
        return super().json_client(query, **({"ssl": self.threaded_trust} | options))

    def raw_client(self, query="", **options):
        return super().raw_client(query, **({"ssl": self.threaded_trust} | options))

    def handshakes(self, result):
        return self.metric("herald_tls_handshakes_total", result=result)


class TlsTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))
        self.authority = Authority(self.directory)

    def start(self, *flags, **options):
        herald = self.enter(TlsHerald(self.authority, *flags, **options))
        self.producer = self.enter(Producer(herald))
        return herald

    def test_json_raw_and_pages(self):
        herald = self.start()
        client = self.enter(herald.json_client("?user=alice"))
        raw = self.enter(herald.raw_client("?topics=news"))
        client.request(subscribe={"topic": "news"})
        host, port = herald.client_addr.rsplit(":", 1)
        for trust, version in ((herald.trust, "TLSv1.3"), (herald.threaded_trust, "TLSv1.2")):
            with socket.create_connection((host, int(port)), DEADLINE) as tcp, trust.wrap_socket(tcp, server_hostname=host) as tls:
                self.assertEqual(tls.version(), version)
        self.producer.deliver("to alice", user_id="alice")
        self.producer.deliver("news", topic="news")
        self.assertEqual([client.message()["text"] for _ in range(2)], ["to alice", "news"])
        self.assertEqual(raw.recv(DEADLINE), "news")
        large = "x" * (60 * KIB)  # several records
        self.producer.deliver(large, topic="news")
        self.assertEqual(client.message()["text"], large)
        self.assertEqual(raw.recv(DEADLINE), large)
        raw.send("y" * (60 * KIB))
        client.request(ping={})
        trusting = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=herald.trust))
        with trusting.open(herald.page_url + "herald.js", timeout=DEADLINE) as page:
            self.assertEqual(int(page.headers["Content-Length"]), len(page.read()))
        self.assertGreaterEqual(herald.handshakes("done"), 5)  # readiness calls this port too, and may get as far
        self.assertEqual(len(herald.logs("TLS on the client port")), 1)

    def test_a_burst_reaches_a_slow_reader_in_order(self):
        herald = self.start()
        slow = self.enter(herald.json_client("?topics=news", max_queue=1))
        quick = self.enter(herald.json_client("?topics=news"))
        results = push_all(herald, [command(seq, b'{"n":%d,"pad":"%s"}' % (seq, b"x" * 700), topic="news") for seq in range(1, 1001)])
        self.assertEqual([result.code for result in results], [0] * 1000)
        for client in (quick, slow):
            self.assertEqual([client.message()["data"]["n"] for _ in range(1000)], list(range(1, 1001)))

    def test_close_codes(self):
        herald = self.start("--inbound_messages_per_second=1")
        client = self.enter(herald.json_client())
        client.socket.send("nonsense")
        self.assertEqual(wait_close(client.socket)[0], 4400)
        client = self.enter(herald.json_client())
        self.producer.disconnect(code=4410, reason="so it is", session_id=client.session_id)
        self.assertEqual(wait_close(client.socket)[:2], (4410, "so it is"))
        client = self.enter(herald.json_client())
        client.socket.close(1000)
        client = self.enter(herald.json_client())
        herald.stop()
        self.assertEqual(wait_close(client.socket)[0], 1012)
        self.assertEqual(herald.returncode, 0)

    def test_clients_that_do_not_speak_it(self):
        herald = self.start("--handshake_timeout=300ms")
        with RawClient(herald.client_addr) as silent:
            with self.assertRaises(EOFError):
                silent.read(1)
        with RawClient(herald.client_addr) as garbage:
            garbage.send(b"\x7f" * 300)
            with self.assertRaises((EOFError, ConnectionResetError)):
                while True:
                    garbage.read(1)
        with RawClient(herald.client_addr) as plain:
            plain.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b" 400 ", plain.read_until(b"\r\n"))
        untrusting = ssl.create_default_context()
        with self.assertRaises(ssl.SSLCertVerificationError):
            herald.json_client(ssl=untrusting)
        eventually(lambda: herald.handshakes("failed") >= 2 and herald.handshakes("timeout") == 1, "they are counted")
        with herald.json_client() as client:
            client.request(ping={})

    def test_only_pages_of_the_same_host_by_https_may_connect(self):
        herald = self.start()
        with herald.raw_client(origin=f"https://{herald.client_addr}"):
            pass
        for origin in (f"http://{herald.client_addr}", "https://evil.com"):
            with self.assertRaises(InvalidStatus) as refused:
                herald.raw_client(origin=origin)
            self.assertEqual(refused.exception.response.status_code, 403)

    def test_certificates_are_read_again(self):
        herald = self.start()
        before = self.enter(herald.json_client("?topics=news"))
        # Files that do not go together, as between the two writes of a rotation.
        herald.key.write_text("nonsense")
        herald.wait_line("client certificate not reloaded, the old one stays")
        with herald.json_client() as client:
            client.request(ping={})
        next_authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = next_authority.issue("server")
        herald.cert.write_bytes(cert.read_bytes())
        herald.key.write_bytes(key.read_bytes())
        herald.wait_line('"client certificate reloaded"')
        with self.assertRaises(ssl.SSLCertVerificationError):
            herald.json_client()
        with herald.json_client(ssl=ssl.create_default_context(cadata=next_authority.pem().decode())) as client:
            client.request(ping={})
        self.producer.deliver("still here", topic="news")
        self.assertEqual(before.message()["text"], "still here")
        self.assertLessEqual(len(herald.logs("client certificate not reloaded, the old one stays")), 3)

    def test_bad_files_at_the_start(self):
        cert, key = self.authority.issue("server")
        _, other = self.authority.issue("other")
        bad = self.directory / "bad"
        bad.write_text("nonsense")
        for words, flags in {
                "need each other": [f"--client_tls_cert_file={cert}"],
                "No such file": [f"--client_tls_cert_file={self.directory}/none", f"--client_tls_key_file={key}"],
                "no certificate": [f"--client_tls_cert_file={bad}", f"--client_tls_key_file={key}"],
                "no private key": [f"--client_tls_cert_file={cert}", f"--client_tls_key_file={bad}"],
                "not the key of": [f"--client_tls_cert_file={cert}", f"--client_tls_key_file={other}"]}.items():
            with self.subTest(words):
                done = subprocess.run([binary(), "--allow_anonymous", "--client_addr=127.0.0.1:0", "--grpc_addr=127.0.0.1:0",
                                       "--admin_addr=127.0.0.1:0", *flags], env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE)
                self.assertGreater(done.returncode, 0)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(words, done.stderr)

    def test_slow_consumers_are_closed_and_memory_stays_bounded(self):
        herald = self.start("--max_outbound_bytes_per_session=256KiB")
        slow = [self.enter(herald.json_client("?topics=flood", max_queue=1)) for _ in range(20)]
        healthy = self.enter(herald.json_client())
        before = most = herald.rss_bytes()
        rest = 50  # once the first has been closed, and the others have taken as much as it
        for _ in range(1000):
            self.producer.deliver("x" * (60 * KIB), topic="flood")
            most = max(most, herald.rss_bytes())
            rest -= herald.metric("herald_dropped_total", reason="slow_consumer") > 0
            if rest == 0:
                break
        # Queues share the frames: beside them a session has a record twice, plain and encrypted.
        self.assertLess(most - before, 64 * MIB)
        healthy.request(ping={})
        codes = []
        readers = [threading.Thread(target=lambda client=client: codes.append(wait_close(client.socket)[0])) for client in slow]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self.assertEqual(codes, [4413] * len(slow))
        eventually(lambda: herald.metric("herald_queued_bytes") == 0, "nothing is queued")

    def test_heraldctl_subscribes(self):
        herald = self.start()
        words = [binary("heraldctl"), "subscribe", f"--url={herald.client_url}", "--topic=news", "--count=1"]
        with Process([*words, f"--ca={self.authority.cert}"]) as subscriber:
            eventually(lambda: self.producer.deliver("to the terminal", topic="news").matched == 1, "it is on the topic")
            self.assertEqual(subscriber.wait(), 0)
            self.assertIn("to the terminal", subscriber.lines)
        for why, flags in {"certificate verify failed": [], "No such file": ["--ca=/none"],
                           "verify failed ": [f"--ca={self.authority.cert}", "--server-name=example.com"]}.items():
            with self.subTest(flags), Process([*words, *flags]) as refused:
                self.assertEqual(refused.wait(), 3)
                self.assertIn(why.strip(), refused.output)

    @needs_chromium
    def test_the_demo_page_and_the_sdk_over_https(self):
        herald = self.start()
        page = self.enter(Page("demo_page.mjs", herald.page_url + "?user=alice"))
        self.stack.callback(page.close)
        page.ask("waitForState", "open")
        self.assertEqual(page.ask("text", "#user-id"), "alice")


if __name__ == "__main__":
    unittest.main()
