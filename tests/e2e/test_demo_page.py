"""The demo page in a headless Chromium: what heraldctl sends appears there, in order, and what excepts its user does not.

Screenshots are left in build/screenshots.
"""

import contextlib
import unittest

from browser import Page, needs_chromium
from harness import ROOT, Herald, python_example
from producer import Producer, Watch

SCREENSHOTS = ROOT / "build/screenshots"


@needs_chromium
class DemoPageTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.herald = self.stack.enter_context(Herald(threads=2))
        self.producer = self.stack.enter_context(Producer(self.herald))

    def open(self, query="?user=alice&labels=tier=gold"):
        page = self.stack.enter_context(Page("demo_page.mjs", self.herald.page_url + query))
        self.stack.callback(page.close)
        page.ask("waitForState", "open")
        return page

    def test_what_heraldctl_sends_appears_in_order_but_for_what_excepts_its_user(self):
        page = self.open()
        self.assertEqual(page.ask("text", "#user-id"), "alice")
        session_id = page.ask("text", "#session-id")
        self.assertEqual(dict(self.producer.session(session_id).labels)["tier"], "gold")
        send = [["--all", '{"greeting":"to everybody"}'],
                ["--user", "alice", "--event", "shipped", "to alice"],
                ["--topic", "demo/chat", "--event", "chat", '{"text":"to the chat"}'],
                ["--where", "tier=gold", "to gold"],
                ["--all", "--except-user", "alice", "not to alice"],
                ["--where", "tier=silver", "not to silver"],
                ["--session", session_id, "to this session"],
                ["--all", "the last"]]
        for words in send:
            self.herald.ctl("send", *words)
        page.ask("waitForEntry", "the last")
        entries = page.ask("entries")
        self.assertEqual([(topic, event) for topic, event, _ in entries],
                         [("$all", ""), ("$user/alice", "shipped"), ("demo/chat", "chat"), ("", ""), ("", ""), ("$all", "")])
        for (_, _, shown), text in zip(entries, ["to everybody", "to alice", "to the chat", "to gold", "to this session", "the last"]):
            self.assertIn(text, shown)
        self.assertEqual(page.ask("problems"), [])

    def test_what_is_typed_goes_out(self):
        page = self.open()
        with self.herald.json_client("?topics=demo/chat") as other, Watch(self.producer, kinds=["client_message"]) as watch:
            page.ask("say", "chat", "hello, all of you")
            message = other.message()
            self.assertEqual((message["topic"], message["data"], message["sender"]),
                             ("demo/chat", {"text": "hello, all of you"}, page.ask("text", "#session-id")))
            page.ask("say", "upstream", '{"order":42}')
            event = watch.event("client_message")
            self.assertEqual((event.user_id, event.client_message.payload), ("alice", b'{"order":42}'))
            page.ask("waitForText", "#messages .own .status", "sent")
        self.assertEqual(page.ask("problems"), [])

    def test_comes_back_by_itself_and_has_missed_nothing(self):
        page = self.open()
        before = page.ask("text", "#session-id")
        self.herald.ctl("send", "--user", "alice", "before")
        page.ask("waitForEntry", "before")
        self.herald.ctl("kick", "--session", before, "--reconnect", "yes")
        self.herald.ctl("send", "--user", "alice", "in between")
        page.ask("waitForEntry", "in between")
        page.ask("waitForState", "open")
        self.herald.ctl("send", "--user", "alice", "after")
        page.ask("waitForEntry", "after")
        self.assertEqual([text for _, _, text in page.ask("entries")], ["before", "in between", "after"])

    def test_looks(self):
        """Fits a desktop and a phone, in light and dark; the pictures are for people."""
        page = self.open("?user=alice&labels=tier=gold,platform=web")
        feed = self.stack.enter_context(python_example("system_feed/feed.py", f"--addr={self.herald.grpc_addr}", "--interval=0.2"))
        feed.wait_line("publishing")
        others = [self.stack.enter_context(self.herald.json_client(f"?user={user}&labels=platform=ios&topics=demo/chat"))
                  for user in ("bob", "carol", "dörte")]
        self.herald.ctl("send", "--all", '{"notice":"The warehouse closes at 18:00","level":"info","regions":["eu","us"],"retry":false}')
        self.herald.ctl("send", "--user", "alice", "--event", "shipped", '{"order":42,"eta":"12:30"}')
        others[0].request(publish={"topic": "demo/chat", "event": "chat", "data": {"text": "Good morning, everybody!"}})
        page.ask("say", "chat", "Good morning, Bob. The parcel is on its way: https://example.com/a-rather-long-address/that-does-not-break/at-all")
        self.herald.ctl("send", "--where", "tier=gold", "Gold members only: plain text, so it stands as it came.")
        page.ask("waitForEntry", "Gold members only")
        page.ask("waitForText", "#presence", "dörte")
        page.ask("waitForText", "#messages .from", "bob")
        page.ask("waitForText", "#rtt", "ms")
        page.ask("waitForText", "#system [data-figure=cpu] output", "%")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for name, width, height, whole, dark in [("desktop", 1280, 800, False, False), ("desktop-dark", 1280, 800, False, True),
                                                 ("phone", 390, 844, False, False), ("phone-whole", 390, 844, True, False)]:
            path = SCREENSHOTS / f"demo-{name}.png"
            wider = page.ask("screenshot", str(path), width, height, whole, dark)
            self.assertEqual(wider, 0, f"{name}: nothing scrolls sideways")
            self.assertGreater(path.stat().st_size, 20_000, f"{name}: not an empty page")
        self.assertEqual(page.ask("problems"), [])


if __name__ == "__main__":
    unittest.main()
