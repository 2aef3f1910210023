"""Keys from `jwks_url`: a real HTTPS server whose answers change while Herald runs."""

import http.server
import json
import ssl
import tempfile
import threading
import unittest
from pathlib import Path

import jwt
from websockets.exceptions import ConnectionClosed

import tokens
from certificates import Authority
from harness import DEADLINE, Herald, JsonClient, eventually
from server_case import ServerTest
from tokens import claims
from wire import open_client, wait_close

FAILED = "keys not fetched from jwks_url, the ones before stay"


class KeyServer:
    """Serves `answer` (status, headers, body) at every path over TLS, and counts the requests."""

    def __init__(self, certificate=None):
        outer = self
        self.requests, self.answer = [], (503, {}, b"")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                outer.requests.append((self.path, dict(self.headers)))
                status, headers, body = outer.answer
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that does not trust us

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    port = property(lambda self: self._server.server_address[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def serve(self, *members, **headers):
        self.answer = (200, headers, json.dumps({"keys": list(members)}).encode())


class JwksUrlTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))
        self.authority = Authority(self.directory)
        self.server = self.enter(KeyServer(self.authority.issue("server")))
        self.keys = {kid: tokens.make_key("ES256") for kid in ("a", "b")}

    def member(self, kid):
        return tokens.jwk(self.keys[kid], "ES256", kid)

    def token(self, kid, **more):
        return jwt.encode(claims(**more), self.keys[kid], algorithm="ES256", headers={"kid": kid})

    def start(self, *flags, url=None, dev=False, wait=True):
        url = url or f"https://localhost:{self.server.port}/.well-known/jwks.json?tenant=1"
        return self.enter(Herald(f"--jwks_url={url}", f"--jwks_ca_file={self.authority.cert}", *flags, dev=dev, threads=1, wait=wait))

    def client(self, herald, token):
        return self.enter(JsonClient(herald.client_url, {"token": token}))

    def refused(self, herald, token):
        """True if it is closed with 4401, false if there is a `hello`."""
        with open_client(herald) as connection:
            connection.send(json.dumps({"connect": {"token": token}}))
            try:
                return "hello" not in json.loads(connection.recv(DEADLINE))
            except ConnectionClosed as closed:
                self.assertEqual(closed.rcvd.code, 4401)
                return True

    def test_keys_are_fetched_and_rotated(self):
        self.server.serve(self.member("a"))
        herald = self.start("--jwks_refresh=1s")
        path, headers = self.server.requests[0]
        self.assertEqual((path, headers["Host"]), ("/.well-known/jwks.json?tenant=1", f"localhost:{self.server.port}"))
        old = self.client(herald, self.token("a"))
        self.assertTrue(self.refused(herald, self.token("b")))
        self.server.serve(self.member("b"))
        self.assertEqual(wait_close(old.socket)[0], 4401, "its key has been removed")
        self.assertEqual(self.client(herald, self.token("b")).hello["user_id"], "alice")
        self.assertGreaterEqual(herald.metric("herald_jwks_fetches_total"), 2)

    def test_an_unknown_kid_fetches_at_once_but_not_again_and_again(self):
        self.server.serve(self.member("a"))
        herald = self.start()  # the next would come after five minutes
        self.server.serve(self.member("a"), self.member("b"))
        for _ in range(30):
            self.refused(herald, self.token("b"))
        self.assertLessEqual(len(self.server.requests), 2, "at most one in 10 s")
        eventually(lambda: not self.refused(herald, self.token("b")), "the new key is there")
        self.assertEqual(len(self.server.requests), 2)

    def test_what_fails_keeps_the_old_keys(self):
        self.server.serve(self.member("a"))
        herald = self.start("--jwks_refresh=100ms")
        client = self.client(herald, self.token("a"))
        big = json.dumps({"keys": [self.member("a")], "padding": "x" * 70_000}).encode()
        unusable = json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}).encode()
        for number, (answer, why) in enumerate((
                ((500, {}, b""), "status 500"), ((200, {}, b"<html>"), "not JSON"), ((200, {}, big), "longer than 65536 bytes"),
                ((200, {}, unusable), "none of the 1 keys can be used"),
                ((302, {"Location": f"https://localhost:{self.server.port}/other"}, b""), "redirects are not followed"),
                ((301, {"Location": "http://127.0.0.1:1/"}, b""), "redirects are not followed"))):
            with self.subTest(why):
                self.server.answer = answer
                eventually(lambda: len(herald.logs(FAILED)) > number, "the failure in the log")
                self.assertIn(why, herald.logs(FAILED)[number]["error"])
                before = len(self.server.requests)
                self.assertTrue(self.client(herald, self.token("a")).session_id)
                eventually(lambda: len(self.server.requests) > before + 1, "it is tried again")
                self.assertEqual(len(herald.logs(FAILED)), number + 1, "a failure is logged once")
        self.assertEqual({path for path, _ in self.server.requests}, {"/.well-known/jwks.json?tenant=1"})
        self.assertGreaterEqual(herald.metric("herald_jwks_fetch_failures_total"), 6)
        self.assertIn("ok", client.request(ping={}))

    def test_not_ready_until_the_keys_are_there(self):
        herald = self.start(wait=False)
        herald.wait_listening()
        status, body, _ = herald.http("/readyz")
        self.assertEqual((status, "jwks_url" in body), (503, True), body)
        self.assertTrue(self.refused(herald, self.token("a")))
        self.server.serve(self.member("a"))
        herald.wait_ready()
        self.assertTrue(self.client(herald, self.token("a")).session_id)

    def test_the_certificate_must_be_trusted_and_name_the_host(self):
        self.server.serve(self.member("a"))
        (self.directory / "other").mkdir()
        stranger = Authority(self.directory / "other")
        (self.directory / "third").mkdir()
        elsewhere = Authority(self.directory / "third", names="DNS:elsewhere.example")
        other = self.enter(KeyServer(elsewhere.issue("server")))
        other.serve(self.member("a"))
        for port, authority in ((self.server.port, stranger), (other.port, elsewhere)):
            with self.subTest(port):
                herald = self.enter(Herald(f"--jwks_url=https://localhost:{port}/", f"--jwks_ca_file={authority.cert}", dev=False,
                                           threads=1, wait=False))
                herald.wait_listening()
                eventually(lambda: herald.logs(FAILED), "the failure in the log")
                self.assertRegex(herald.logs(FAILED)[0]["error"], "^TLS: .*")
        self.assertEqual(self.server.requests + other.requests, [])

    def test_http_is_for_dev_and_loopback_only(self):
        plain = self.enter(KeyServer())
        plain.serve(self.member("a"))
        url = f"http://127.0.0.1:{plain.port}/"
        herald = self.enter(Herald(f"--jwks_url={url}", "--noallow_anonymous", threads=1))
        self.assertTrue(self.client(herald, self.token("a")).session_id)
        for flags, url, why in ((("--dev",), "http://id.example/keys", "https"), ((), url, "https"),
                                ((), "https://user:secret@id.example/", "password"), ((), "ftp://id.example/", "https"), ((), "nonsense", "URL")):
            with self.subTest(url):
                refused = Herald(f"--jwks_url={url}", *flags, dev=False, wait=False)
                self.enter(refused)
                self.assertNotEqual(refused.wait(), 0)
                self.assertRegex(refused.output, f"jwks_url: .*{why}")
                self.assertNotIn("secret@", refused.output)

    def test_a_reload_keeps_the_fetched_keys(self):
        self.server.serve(self.member("a"))
        config = self.directory / "herald.yaml"
        config.write_text("max_topics_per_session: 5\n")
        herald = self.start(f"--config={config}")
        client = self.client(herald, self.token("a"))
        config.write_text("max_topics_per_session: 6\n")
        herald.ctl("reload")
        self.assertTrue(self.client(herald, self.token("a")).session_id)
        self.assertIn("ok", client.request(ping={}))
        self.assertEqual(len(self.server.requests), 1)


if __name__ == "__main__":
    unittest.main()
