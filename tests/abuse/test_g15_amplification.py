"""G15: a few small frames of one client must not make megabytes for others or for itself."""

import pathlib
import tempfile
import unittest

from fleet import Fleet, Spec
from harness import DEADLINE, Herald, eventually
from producer import Producer, PushStream, deliver
from herald_client import as_json
from server_case import ServerTest

LISTENERS = 100
RULES = """
topic_rules:
  - {pattern: 'room/**', client_subscribe: anyone, join_leave: true}
  - {pattern: '**', client_subscribe: anyone, history_size: 100}
"""


class AmplificationTest(ServerTest):
    def start(self, *flags):
        config = pathlib.Path(self.enter(tempfile.TemporaryDirectory())) / "herald.yaml"
        config.write_text(RULES)
        herald = self.enter(Herald(f"--config={config}", *flags))
        self.producer = self.enter(Producer(herald))
        return herald

    def test_g15_joins_and_leaves(self):
        herald = self.start("--presence_grace=2s")
        with Fleet(herald) as fleet:
            fleet.open([Spec(f"s{n}", "?topics=room/a") for n in range(LISTENERS)])
            watcher = self.enter(herald.json_client("?user=watcher&topics=room/a"))
            mallory = self.enter(herald.json_client("?user=mallory"))
            before = herald.metric("herald_sent_bytes_total")
            for _ in range(60):
                self.assertIn("ok", mallory.request(subscribe={"topic": "room/a"}))
                self.assertIn("ok", mallory.request(unsubscribe={"topic": "room/a"}))
            # The marker follows the news of all that was before it, but for the leave in its grace.
            self.producer.send(deliver=deliver(message=as_json({"n": 1}), topic="room/a"))
            fleet.wait_messages(LISTENERS)
            sent = herald.metric("herald_sent_bytes_total") - before
        news = []
        while True:
            frame = watcher.receive()
            if "message" in frame:
                break
            news += [kind for kind in ("join", "leave") if kind in frame and frame[kind].get("user_id") == "mallory"]
        # The grace may end once while this runs on a slow machine, not sixty times.
        self.assertLess(len(news), 20, news)
        self.assertLess(sent, 400_000, "120 small frames")
        # And in the end all know the truth.
        if news[-1:] != ["leave"]:
            watcher.wait(lambda frame: frame.get("leave", {}).get("user_id") == "mallory")

    def test_g15_news_past_the_budget_wait(self):
        herald = self.start("--presence_frames_per_second=100", "--presence_grace=1s")
        watcher = self.enter(herald.json_client("?user=watcher"))
        watcher.request(subscribe={"topic": "room/b"})
        joined = set()
        with Fleet(herald) as fleet:
            fleet.open([Spec(f"s{n}", f"?user=guest{n}&topics=room/b") for n in range(40)])
            while len(joined) < 40:
                joined.add(watcher.wait(lambda frame: "join" in frame)["join"]["user_id"])
        self.assertEqual(joined, {f"guest{n}" for n in range(40)})
        self.assertGreater(herald.metric("herald_presence_delayed_total"), 0)

    def fill(self, topic):
        """A position before 100 messages of 8 KB."""
        self.producer.deliver("first", topic=topic)
        client = self.enter(self.herald.json_client())
        position = client.request(subscribe={"topic": topic})["ok"]["topic"]["position"]
        with PushStream(self.producer) as stream:
            stream.send(*({"deliver": deliver(message=as_json({"n": n, "x": "x" * 8000}), topic=topic)} for n in range(99)))
            self.assertEqual({stream.take().code for _ in range(99)}, {0})
        return position

    def test_g15_subscribing_with_an_old_position_again_and_again(self):
        self.herald = herald = self.start()
        position = self.fill("log")
        mallory = self.enter(herald.json_client("?user=mallory"))
        before = herald.metric("herald_sent_bytes_total")
        errors = []
        for _ in range(40):
            reply = mallory.request(subscribe={"topic": "log", "position": position})
            if "error" in reply:
                errors.append(reply["error"])
                continue
            mallory.request(unsubscribe={"topic": "log"})
            mallory._kept.clear()
        self.assertEqual({error["code"] for error in errors}, {"RESOURCE_EXHAUSTED"})
        self.assertIn("bytes of history a second", errors[0]["message"])
        # A burst of 2 MiB, what is owed past it, and 256 KiB a second.
        self.assertLess(herald.metric("herald_sent_bytes_total") - before, 12 << 20)
        self.assertGreaterEqual(herald.metric("herald_rate_limited_total", reason="session_replay"), 1)
        # Others are not touched, and the session goes on.
        alice = self.enter(herald.json_client("?user=alice"))
        self.assertTrue(alice.request(subscribe={"topic": "log", "position": position})["ok"]["topic"]["recovered"])
        self.assertIn("ok", mallory.request(subscribe={"topic": "log"}))
        # Later it may have its history again.
        mallory.request(unsubscribe={"topic": "log"})
        eventually(lambda: "ok" in mallory.request(subscribe={"topic": "log", "position": position}), "history again", 3 * DEADLINE)


if __name__ == "__main__":
    unittest.main()
