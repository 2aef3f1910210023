"""G21: what a client says of its session before must not become commands to NATS."""

import asyncio
import threading

import nats

from harness import JsonClient, eventually
from nats_case import NatsTest

ID = "-00-" + 32 * "0"
PREVIOUS = (
    "x 0\r\n\r\nPUB g21.evil 5\r\nhello\r\nPUB z",  # a message to any subject: to any client, or to JetStream
    "x\r\nNONSENSE",  # NATS ends the connection of all sessions
    "x y",
    "_all",
    "g21.evil",
    ">",
)


class Spy:
    """The subjects of all messages that pass through NATS while the block runs."""

    def __init__(self, url):
        self._url, self.subjects = url, []
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        async def on_message(message):
            self.subjects.append(message.subject)

        client = await nats.connect(self._url)
        await client.subscribe(">", cb=on_message)
        await client.flush()
        self._ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        await client.close()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)


class NamesInSubjectsTest(NatsTest):
    def test_g21_previous_session_id(self):
        before = self.a.metric("herald_nats_reconnects_total")
        with Spy(self.nats.urls.split(",")[0]) as spy:
            for node in PREVIOUS:
                with JsonClient(self.a.client_url + "?user=mallory", {"previous_session_id": node + ID}) as client:
                    self.assertIn("ok", client.request(subscribe={"topic": "live/a"}))
            # One that is well formed still reaches its node.
            with JsonClient(self.a.client_url + "?user=mallory", {"previous_session_id": "elsewhere" + ID}):
                eventually(lambda: "herald.n.elsewhere" in spy.subjects, "the word to the node of the session before")
            alice = self.client(self.b, "?user=alice&topics=live/b")
            self.publish(self.a, "after", topic="live/b")
            self.assertEqual(alice.message()["text"], "after")
        strange = {subject for subject in spy.subjects
                   if subject in ("z", "g21.evil", "herald.n.x") or subject.startswith(("herald.n.g21", "herald.n.>"))}
        self.assertEqual(strange, set())
        self.assertEqual(self.a.metric("herald_nats_reconnects_total"), before)
        self.assertEqual(self.a.logs("the connection to NATS is lost: sessions stay, publishing is refused"), [])


if __name__ == "__main__":
    import unittest

    unittest.main()
