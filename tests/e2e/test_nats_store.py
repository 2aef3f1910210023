"""A store that went back to an older state, or was deleted: whoever had what was lost is told, and nobody is called recovered."""

import unittest

from nats_case import NatsTest
from nats_server import NEW


class StoreLostTest(NatsTest):
    def lose(self, how):
        if how == "rolled back":
            self.nats.roll_back()
            self.nats.restart()
        else:
            for stream in list(self.nats.streams()):
                self.nats.create_stream(self.nats.delete_stream(stream))

    def test_a_client_that_stays_is_told(self):
        for how in ("rolled back", "deleted"):
            with self.subTest(how):
                topic = f"log/{how[:3]}"
                clients = [self.client(replica, f"?topics={topic}") for replica in (self.a, self.b)]
                self.publish(self.a, "1", "2", topic=topic)
                self.nats.snapshot()
                self.publish(self.a, "3", "4", "5", topic=topic)
                for client in clients:
                    self.assertEqual(self.texts(client, 5), list("12345"))
                self.lose(how)
                self.publish_until_taken(self.a, "6", topic=topic)
                self.publish_until_taken(self.b, "7", topic=topic)
                for client in clients:
                    frame = client.wait(lambda frame: frame.get("gap", {}).get("topic") == topic)["gap"]
                    self.assertIn(frame["reason"], ("rollback", "epoch"))
                # The gap may stand for what came after the loss too; what is published now has to come.
                self.publish_until_taken(self.b, "8", topic=topic)
                for client in clients:
                    self.assertEqual(client.wait(lambda frame: frame.get("message", {}).get("text") == "8")["message"]["topic"], topic)

    def test_a_position_that_was_lost_is_not_recovered(self):
        for how in ("rolled back", "deleted"):
            with self.subTest(how):
                topic = f"log/{how[:3]}"
                with self.client(self.a, f"?topics={topic}") as client:
                    self.publish(self.a, "1", "2", topic=topic)
                    kept = [client.message() for _ in range(2)][-1]["position"]
                    self.nats.snapshot()
                    self.publish(self.a, "3", topic=topic)
                    lost = client.message()["position"]
                self.lose(how)
                self.publish_until_taken(self.b, "4", topic=topic)  # the offset of "3", given again
                for replica in (self.a, self.b, self.replica(f"new-{how[:3]}")):
                    with self.client(replica, f"?topics={topic}", {topic: lost}) as client:
                        state = next(one for one in client.hello["topics"] if one["topic"] == topic)
                        self.assertFalse(state.get("recovered", False), f"{replica.argv}: {state}")
                        self.assertIn(state["reason"], ("rollback", "epoch"))
                    if how == "rolled back":
                        with self.client(replica, f"?topics={topic}", {topic: kept}) as client:
                            state = next(one for one in client.hello["topics"] if one["topic"] == topic)
                            if state.get("recovered"):  # it may be refused too, in doubt
                                self.assertEqual(self.texts(client, 1), ["4"])


@unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
class NewServerStoreLostTest(StoreLostTest):
    binary = NEW


if __name__ == "__main__":
    unittest.main()
