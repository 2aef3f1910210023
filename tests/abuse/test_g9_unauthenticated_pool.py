"""G9: strangers who upgrade and never say `connect` hold no session's place, and use up their own budgets only."""

import tempfile
import unittest

import tokens
from harness import JsonClient, eventually
from server_case import ServerTest
from strangers import Crowd, get, raise_open_files
from wire import open_client, raw_client, request_text, upgrade_headers, wait_close

UPGRADE = request_text(headers=upgrade_headers("herald.v1.json"))


class UnauthenticatedPoolTest(ServerTest):
    def setUp(self):
        super().setUp()
        raise_open_files()
        self.secret = tokens.write_secret(self.enter(tempfile.TemporaryDirectory()))

    def start_with_tokens(self, *flags, **options):
        return self.start(f"--jwt_secret_file={self.secret}", "--noallow_anonymous", *flags, dev=False, **options)

    def assert_token_holder_gets_in(self, herald):
        with JsonClient(herald.client_url, {"token": tokens.hs256("alice")}) as client:
            self.assertEqual(client.hello["user_id"], "alice")
        with JsonClient(herald.client_url, additional_headers={"Authorization": "Bearer " + tokens.hs256("bob")}) as client:
            self.assertEqual(client.hello["user_id"], "bob")

    def test_g9_tokenless_upgrades_hold_no_session(self):
        herald = self.start_with_tokens("--max_sessions=100")
        with Crowd(herald.client_addr) as crowd:
            crowd.connect(300)
            crowd.send(UPGRADE)
            answers = crowd.answers(5)
            self.assert_token_holder_gets_in(herald)
            self.assertGreater(sum(answer is not None and b" 101 " in answer for answer in answers), 200)
        eventually(lambda: herald.metric("herald_connections", state="session") == 0, "sessions end")

    def test_g9_with_few_descriptors(self):
        herald = self.start_with_tokens(open_files=1024)
        with Crowd(herald.client_addr) as crowd:
            for _ in range(3):
                crowd.connect(400)
                crowd.send(UPGRADE)
                eventually(lambda: get(herald.client_addr, "/herald.js", "127.0.0.2") == "HTTP/1.1 200 OK", "another address gets in")
            eventually(lambda: self.get_in(herald), "a token holder from the same address gets in")
            self.assertGreater(herald.metric("herald_connections_evicted_total"), 0)

    def get_in(self, herald):
        try:
            self.assert_token_holder_gets_in(herald)
            return True
        except Exception:  # noqa: BLE001  (refused this time)
            return False

    def test_g9_the_pool_evicts_the_oldest_of_the_heaviest_address(self):
        herald = self.start_with_tokens("--max_unauthenticated_connections=3", "--max_unauthenticated_per_ip=2")
        with Crowd(herald.client_addr) as crowd:
            crowd.connect(1, "127.0.0.2")
            crowd.send(UPGRADE)
            crowd.answers(5)
            first, second = (self.enter(open_client(herald, source_address=("127.0.0.4", 0))) for _ in range(2))
            # The pool is full. 127.0.0.3 has none, so 127.0.0.4 gives up its oldest.
            crowd.connect(1, "127.0.0.3")
            crowd.send(UPGRADE)
            self.assertIn(wait_close(first)[0], (1006, 1013))
            second.send('{"connect":{"token":"%s"}}' % tokens.hs256("alice"))
            self.assertIn("hello", second.recv(5))

    def test_g9_sessions_full_at_connect(self):
        herald = self.start_with_tokens("--max_sessions=1")
        early = self.enter(open_client(herald))
        with JsonClient(herald.client_url, {"token": tokens.hs256("alice")}):
            early.send('{"connect":{"token":"%s"}}' % tokens.hs256("bob"))
            self.assertEqual(wait_close(early)[0], 1013)
        self.assertEqual(herald.metric("herald_connections_refused_total", reason="sessions"), 1)

    def test_g9_handshakes_of_one_address(self):
        herald = self.start("--handshakes_per_second_per_ip=3")
        statuses = []
        for _ in range(20):
            try:
                raw_client(herald).socket.close()
                statuses.append(101)
            except AssertionError as error:
                self.assertIn("429", str(error))
                statuses.append(429)
        self.assertIn(429, statuses)
        with Crowd(herald.client_addr) as other:
            other.connect(1, "127.0.0.2")
            other.send(UPGRADE)
            self.assertIn(b" 101 ", other.answers(5)[0])


if __name__ == "__main__":
    unittest.main()
