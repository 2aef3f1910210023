"""The NATS password: never in clear text where `tls://` was asked for, and never in what Herald writes."""

import os
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from certificates import Authority
from harness import DEADLINE, ENVIRONMENT, Herald, binary, eventually
from nats_server import NatsServer, free_port
from server_case import ServerTest

SECRET = "hunter2-s3cret"
INFO = b'INFO {"server_id":"X","server_name":"X","version":"2.12.3","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}\r\n'


class Eavesdropper:
    """Speaks NATS without TLS, and keeps what it is sent. Use as a context manager."""

    def __enter__(self):
        self.heard = b""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection):
        with connection:
            connection.settimeout(DEADLINE)
            try:
                connection.sendall(INFO)
                while part := connection.recv(4096):
                    self.heard += part
                    if b"PING" in part:
                        connection.sendall(b"PONG\r\n")
            except OSError:
                pass


class NatsSecretsTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enter(tempfile.TemporaryDirectory(prefix="herald-test-")))
        self.password = self.folder / "password"
        self.password.write_text(SECRET)

    def herald(self, url, *flags, **options):
        return self.enter(Herald("--broker=nats", "--node_name=a", f"--nats_url={url}", *flags, **options))

    def last_words(self, herald):
        """The one line with which it ends."""
        eventually(lambda: herald.returncode is not None, "the end of herald")
        self.assertGreater(herald.returncode, 0)
        lines = [line for line in herald.lines if line.startswith("herald: ")]
        self.assertEqual(len(lines), 1, herald.output)
        return lines[0]

    def test_g7_tls_is_tls(self):
        for flags, user in ((("--nats_user=herald", f"--nats_password_file={self.password}"), ""), ((), f"herald:{SECRET}@")):
            with Eavesdropper() as server:
                herald = self.herald(f"tls://{user}127.0.0.1:{server.port}", "--nats_connect_timeout=3s", *flags, wait=False)
                line = self.last_words(herald)
                self.assertGreater(server.connections, 0)
                self.assertNotIn(SECRET.encode(), server.heard)
                self.assertNotIn(b"CONNECT", server.heard)
                self.assertIn("TLS", line)
                self.assertNotIn(SECRET, herald.output)

    def test_g7_the_systems_authorities_count(self):
        authority = Authority(self.folder)
        cert, key = authority.issue("nats")
        more = f'tls {{ cert_file: "{cert}", key_file: "{key}" }}\nauthorization {{ user: herald, password: "{SECRET}" }}'
        server = NatsServer(self.folder, more=more)
        self.stack.callback(server.kill)
        server.start()
        flags = ("--nats_user=herald", f"--nats_password_file={self.password}", "--nats_connect_timeout=3s")
        herald = self.herald(f"tls://{server.addr}", *flags, env={"SSL_CERT_FILE": str(authority.cert)})
        self.assertEqual(herald.http("/readyz")[0], 200)
        self.assertNotIn(SECRET, herald.output)
        # A server of an authority that the system does not know is no server.
        other = Authority(Path(self.enter(tempfile.TemporaryDirectory())))
        stranger = self.herald(f"tls://{server.addr}", *flags, env={"SSL_CERT_FILE": str(other.cert)}, wait=False)
        self.assertIn(server.addr, self.last_words(stranger))

    def test_g7_no_secret_in_what_herald_writes(self):
        server = NatsServer(self.folder, more=f'authorization {{ user: herald, password: "{SECRET}" }}')
        self.stack.callback(server.kill)
        server.start()
        url = f"nats://herald:{SECRET}@{server.addr}"
        herald = self.herald(url)
        self.assertTrue(herald.logs("connecting to NATS"))
        server.kill()
        eventually(lambda: herald.logs("the connection to NATS is lost: sessions stay, publishing is refused"), "the loss")
        herald.stop()
        self.assertNotIn(SECRET, herald.output)

        away = f"127.0.0.1:{free_port()}"
        lost = self.herald(f"nats://herald:{SECRET}@{away}", "--nats_connect_timeout=1s", wait=False)
        self.assertIn(away, self.last_words(lost))
        self.assertNotIn(SECRET, lost.output)
        server.start()
        wrong = self.herald(f"nats://herald:{SECRET}x@{server.addr}", "--nats_connect_timeout=1s", wait=False)
        self.last_words(wrong)
        self.assertNotIn(SECRET, wrong.output)

        for words in ([f"--nats_url={url}", "--print_config"], [f"--nats_url=http://herald:{SECRET}@{away}"],
                      [f"--nats_url={url},http://herald:{SECRET}@{away}"], [f"--nats_url={url}", "--nats_user=herald"]):
            done = subprocess.run([binary(), "--dev", "--broker=nats", "--node_name=a", *words], capture_output=True, text=True,
                                  timeout=DEADLINE, env=ENVIRONMENT | {"PATH": os.environ["PATH"]})
            self.assertNotIn(SECRET, done.stdout + done.stderr, words[-1])


if __name__ == "__main__":
    unittest.main()
