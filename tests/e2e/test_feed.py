"""examples/system_feed against the real server: figures and presence arrive, and go on after the server was away."""

import contextlib
import json
import unittest

from harness import DEADLINE, Herald, python_example


class FeedTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *flags):
        return self.stack.enter_context(Herald(*flags))

    def start_feed(self, herald):
        return self.stack.enter_context(
            python_example("system_feed/feed.py", f"--addr={herald.grpc_addr}", "--interval=0.1"))

    def test_figures_are_whole_and_plausible(self):
        herald = self.start()
        self.start_feed(herald)
        with herald.raw_client("?topics=demo/system") as client:
            client.recv(DEADLINE)
            figures = json.loads(client.recv(DEADLINE))  # the second has rates
        self.assertTrue(0 <= figures["cpu"] <= 100, figures)
        self.assertTrue(0 < figures["memory"]["used"] < figures["memory"]["total"], figures)
        self.assertEqual(len(figures["load"]), 3)
        self.assertTrue(figures["net"]["in"] >= 0 and figures["net"]["out"] >= 0, figures)
        self.assertGreater(figures["cores"], 0)

    def test_presence_shows_who_is_there(self):
        herald = self.start()
        self.start_feed(herald)
        with herald.json_client("?topics=demo/presence&user=alice&labels=platform=web") as client:
            def mine():
                news = client.message()["data"]
                return [session for session in news["sessions"] if session["session_id"] == client.session_id]

            session = next(filter(None, (mine() for _ in range(50))))[0]
            self.assertEqual(session["user_id"], "alice")
            self.assertEqual(session["protocol"], "json")
            self.assertEqual(session["labels"].get("platform"), "web")

    def test_comes_back_when_the_server_does(self):
        first = self.start()
        feed = self.start_feed(first)
        feed.wait_line("publishing")
        addr = first.grpc_addr
        first.stop()
        feed.wait_line(r"next try in")
        second = self.start(f"--grpc_addr={addr}")
        with second.raw_client("?topics=demo/system") as client:
            self.assertIn("cpu", json.loads(client.recv(3 * DEADLINE)))
        feed.wait_line("publishing", count=2)

    def test_ends_at_once_when_asked(self):
        feed = self.start_feed(self.start())
        feed.wait_line("publishing")
        self.assertEqual(feed.stop(), 0)


if __name__ == "__main__":
    unittest.main()
