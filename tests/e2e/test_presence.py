"""Who is on a topic: GetPresence, and the news of who comes and goes; against the running server."""

import contextlib
import pathlib
import tempfile
import unittest

from harness import DEADLINE, Herald, JsonClient, eventually
from producer import Producer, to
from herald.v1 import push_service_pb2
from service_case import ServiceTest

RULES = """
topic_rules:
  - {pattern: 'room/**', history_size: 10, client_subscribe: anyone, presence: true, join_leave: true}
  - {pattern: '**', client_subscribe: anyone, presence: true}
"""


class Presence(ServiceTest):
    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        config = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "herald.yaml"
        config.write_text(RULES)
        cls.herald = stack.enter_context(Herald(f"--config={config}", "--presence_grace=1s", threads=2))

    def setUp(self):
        super().setUp()
        self.producer = self.enter(Producer(self.herald))

    def news(self, client, timeout=DEADLINE):
        """(kind, topic, user) of the next news."""
        frame = client.wait(lambda frame: "join" in frame or "leave" in frame, timeout)
        (kind, told), = frame.items()
        return kind, told["topic"], told.get("user_id", "")

    def assert_no_news(self, client, seconds):
        with self.assertRaises(TimeoutError):
            self.fail(f"news: {self.news(client, seconds)}")

    def test_who_comes_and_goes_is_told_to_the_others(self):
        watcher = self.client("?user=watcher&topics=room/a")
        raw = self.enter(self.herald.raw_client("?topics=room/a"))  # has no frame for it
        self.assertEqual(self.news(watcher)[:2], ("join", "room/a"))
        alice = self.client("?user=alice&topics=room/a")
        self.assertEqual(self.news(watcher), ("join", "room/a", "alice"))
        alice.request(unsubscribe={"topic": "room/a"})
        self.assertEqual(self.news(watcher), ("leave", "room/a", "alice"))
        alice.request(subscribe={"topic": "room/a"})
        self.assertEqual(self.news(watcher), ("join", "room/a", "alice"))
        alice.socket.close()  # for good
        self.assertEqual(self.news(watcher), ("leave", "room/a", "alice"))
        self.producer.deliver("first", topic="room/a")
        self.assertEqual(raw.recv(DEADLINE), "first")

    def test_a_users_second_session_is_no_news(self):
        watcher = self.client("?user=watcher&topics=room/b")
        one, two = (self.client("?user=bob&topics=room/b") for _ in range(2))
        self.assertEqual(self.news(watcher), ("join", "room/b", "bob"))
        one.socket.close()
        self.assert_no_news(watcher, 0.3)
        two.socket.close()
        self.assertEqual(self.news(watcher), ("leave", "room/b", "bob"))

    def test_a_reconnect_is_no_news_but_staying_away_is(self):
        watcher = self.client("?user=watcher&topics=room/c")
        carol = self.client("?user=carol&topics=room/c")
        self.assertEqual(self.news(watcher), ("join", "room/c", "carol"))
        carol.socket.socket.close()  # the connection breaks
        eventually(lambda: not self.producer.list_sessions(user_id="carol").sessions, "the session is gone")
        again = self.enter(JsonClient(self.herald.client_url + "?user=carol&topics=room/c", {"previous_session_id": carol.session_id}))
        self.assert_no_news(watcher, 1.5)
        again.socket.socket.close()
        self.assertEqual(self.news(watcher), ("leave", "room/c", "carol"))

    def test_joins_by_producers_and_disconnects_are_news_too(self):
        watcher = self.client("?user=watcher&topics=room/d")
        self.client("?user=dave")
        self.producer.send(join=push_service_pb2.Join(target=to(user_id="dave"), topics=["room/d"]))
        self.assertEqual(self.news(watcher), ("join", "room/d", "dave"))
        self.producer.send(leave=push_service_pb2.Leave(target=to(user_id="dave"), topics=["room/d"]))
        self.assertEqual(self.news(watcher), ("leave", "room/d", "dave"))
        self.producer.send(join=push_service_pb2.Join(target=to(user_id="dave"), topics=["room/d"]))
        self.assertEqual(self.news(watcher), ("join", "room/d", "dave"))
        self.producer.disconnect(user_id="dave")
        self.assertEqual(self.news(watcher), ("leave", "room/d", "dave"))

    def test_topics_without_the_rule_have_no_news(self):
        watcher = self.client("?user=watcher&topics=hall")
        self.client("?user=erin&topics=hall")
        self.assert_no_news(watcher, 0.3)


if __name__ == "__main__":
    unittest.main()
