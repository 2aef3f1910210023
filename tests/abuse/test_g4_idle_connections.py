"""G4: idle, polite and hostile clients, as many as the open-files limit and more. gRPC and /healthz answer throughout.

HERALD_ABUSE_OPEN_FILES=15000 repeats it with that limit; the default is 1,024.
"""

import contextlib
import os
import socket
import threading
import unittest

import grpc
from harness import DEADLINE, eventually, grpc_version
from producer import Producer
from server_case import ServerTest
from strangers import Crowd, get, raise_open_files
from wire import request_text, upgrade_headers

OPEN_FILES = int(os.environ.get("HERALD_ABUSE_OPEN_FILES", 1024))


class Throughout:
    """Asks /healthz, and gRPC on a new connection each time, until it ends; keeps what failed."""

    def __init__(self, herald):
        self._herald = herald
        self._stop = threading.Event()
        self.asked, self.failures = 0, []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            status, body, _ = self._herald.http("/healthz")
            if status != 200:
                self.failures.append(("/healthz", status, body))
            try:
                with Producer(self._herald) as producer:
                    producer.deliver("x", topic="nobody")
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a failure)
                self.failures.append(("gRPC", error))
            self.asked += 1
            self._stop.wait(0.05)


class IdleConnectionsTest(ServerTest):
    def setUp(self):
        super().setUp()
        if raise_open_files() < OPEN_FILES + 2000:
            self.skipTest("the open-files limit of this machine is too low")
        self.herald = self.start("--ping_interval=10m", open_files=OPEN_FILES)

    def assert_works(self):
        """Everything works: a session, a push over a new gRPC connection, readiness."""
        with Producer(self.herald) as producer, self.herald.json_client("?topics=news") as client:
            producer.deliver("after", topic="news")
            self.assertEqual(client.message()["text"], "after")
        eventually(lambda: self.herald.http("/readyz")[0] == 200, "/readyz")

    @contextlib.contextmanager
    def throughout(self):
        with Throughout(self.herald) as asker:
            yield asker
            before = asker.asked
            eventually(lambda: asker.asked > before + 1, "asked once more")
        self.assertEqual(asker.failures, [])

    def test_g4_idle_connections(self):
        with self.throughout(), Crowd(self.herald.client_addr) as crowd:
            crowd.connect(OPEN_FILES + 300)
            eventually(lambda: get(self.herald.client_addr, "/herald.js", "127.0.0.2") == "HTTP/1.1 200 OK", "an honest client gets in")
            self.assertEqual(self.herald.http("/readyz")[0], 200)
        self.assert_works()

    def test_g4_polite_clients(self):
        """They upgrade, connect and stay; who is refused reads the answer, and stays connected too."""
        upgrade = request_text(headers=upgrade_headers("herald.v1.json"))
        connect = b"\x81\x8e\0\0\0\0" + b'{"connect":{}}'
        sessions, refused = [], []
        with self.throughout(), contextlib.ExitStack() as stack:
            host, port = self.herald.client_addr.rsplit(":", 1)
            for number in range(OPEN_FILES + 1476):
                one = stack.enter_context(socket.socket())
                one.settimeout(DEADLINE)
                one.bind((f"127.0.1.{number % 50 + 1}", 0))
                one.connect((host, int(port)))
                answer = b""
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    one.sendall(upgrade)
                with contextlib.suppress(ConnectionResetError):
                    answer = one.recv(4096)
                if b" 101 " in answer.split(b"\r\n")[0]:
                    one.sendall(connect)
                    self.assertIn(b"hello", answer.split(b"\r\n\r\n", 1)[1] or one.recv(4096))
                    sessions.append(one)
                else:
                    refused.append(answer.split(b"\r\n")[0])
            self.assertGreater(len(sessions), OPEN_FILES // 2)
            self.assertEqual(self.herald.metric("herald_sessions"), len(sessions))
            told = [line for line in refused if line == b"HTTP/1.1 503 Service Unavailable"]
            self.assertGreater(len(told), len(refused) * 9 // 10, set(refused))
        eventually(lambda: self.herald.metric("herald_sessions") == 0, "all have gone")
        self.assert_works()

    def test_g4_hostile_clients(self):
        """They come and go, half a request each, from many addresses, while others sit still."""
        with self.throughout(), Crowd(self.herald.client_addr) as idle:
            idle.connect(OPEN_FILES)
            for round_ in range(10):
                with Crowd(self.herald.client_addr) as crowd:
                    for address in range(1, 21):
                        crowd.connect(10, f"127.0.2.{address}")
                    crowd.send(b"GET /ws HTTP/1.1\r\nHost: local")
                    eventually(lambda: get(self.herald.client_addr, "/herald.js", f"127.0.3.{round_ + 1}") == "HTTP/1.1 200 OK",
                               "an honest client gets in")
        self.assertEqual(self.herald.metric("herald_accept_errors_total"), 0)
        self.assert_works()

    @unittest.skipIf(grpc_version() < (1, 60), "this gRPC does not limit connections")
    def test_g4_connections_to_the_producers_port(self):
        """More than may be there: clients, /healthz and a producer that is connected go on meanwhile."""
        with Producer(self.herald) as producer, Crowd(self.herald.grpc_addr) as crowd:
            producer.deliver("before", topic="news")
            crowd.connect(OPEN_FILES + 300)
            eventually(lambda: sum(answer == b"" for answer in crowd.answers(1)) > OPEN_FILES // 2, "most are closed",
                       timeout=5)  # at once, and not after the ten seconds that a handshake may take
            self.assertEqual(self.herald.http("/healthz")[0], 200)
            with self.herald.json_client("?topics=news") as client:
                producer.deliver("meanwhile", topic="news")
                self.assertEqual(client.message()["text"], "meanwhile")
        eventually(self.producer_gets_in, "a new producer is served")
        self.assert_works()

    def producer_gets_in(self):
        with Producer(self.herald) as producer, contextlib.suppress(grpc.RpcError):
            return producer.deliver("x", topic="nobody").code == 0


if __name__ == "__main__":
    unittest.main()
