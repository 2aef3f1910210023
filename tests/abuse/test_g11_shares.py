"""G11: what one topic or one user fills is taken from that topic or user, and not from the others."""

import unittest

from harness import Herald, eventually
from producer import END, Producer, Watch


class SharesTest(unittest.TestCase):
    def start(self, *flags):
        self.herald = self.enterContext(Herald(
            *flags, "--inbound_messages_per_second=100000", "--inbound_bytes_per_second=0"))
        self.producer = self.enterContext(Producer(self.herald))

    def test_g11_a_topic_cannot_push_out_the_histories_of_others(self):
        self.start("--max_history_bytes_total=4MiB")
        reader = self.enterContext(self.herald.json_client())
        state = reader.request(subscribe={"topic": "quiet"})["ok"]["topic"]
        with self.herald.json_client() as chat:
            for number in range(300):
                self.assertIn("ok", chat.request(publish={"topic": f"loud/{number % 3}", "text": "x" * 60_000}))
                if number % 60 == 59:
                    for _ in range(80):  # to the last kilobyte
                        self.assertIn("ok", chat.request(publish={"topic": "loud/small", "text": "x" * 500}))
                    self.producer.deliver("q" * 3000, topic="quiet")
        self.assertGreater(self.herald.metric("herald_history_evicted_total"), 0, "the histories were full")
        again = self.enterContext(self.herald.json_client())
        resumed = again.request(subscribe={"topic": "quiet", "position": state["position"]})["ok"]["topic"]
        self.assertEqual(resumed.get("recovered"), True, resumed)

    def test_g11_a_user_cannot_push_out_the_events_of_others(self):
        self.start("--event_buffer_size=200")
        with Watch(self.producer, ["client_message"], group="backend"):
            pass  # its place is kept
        users = [f"user{number}" for number in range(40)]
        for user in users:
            with self.herald.json_client(f"?user={user}") as client:
                self.assertIn("ok", client.request(message={"text": "honest"}))
        with self.herald.json_client("?user=flood") as flood:
            for _ in range(1000):
                flood.send({"message": {"text": "flood"}})
            self.assertIn("ok", flood.request(message={"text": "last"}))
        found = []
        watch = self.enterContext(Watch(self.producer, ["client_message"], group="backend"))
        while not found or found[-1] != ("flood", b"last"):
            event = watch.take()
            self.assertIsNot(event, END)
            found.append((event.user_id, event.client_message.payload))
        self.assertEqual([user for user, _ in found if user != "flood"], users)
        eventually(lambda: watch.missed > 0, "the watcher is told what was lost")


if __name__ == "__main__":
    unittest.main()
