"""What NATS does not take: too large, not permitted. It is said once and for all, never as something that may pass, and never OK."""

import unittest

from harness import eventually
from nats_case import OK, UNAVAILABLE, NatsTest
from nats_server import NEW, NatsCluster
from producer import Code, Producer, PushStream, deliver, push_service_pb2

INVALID_ARGUMENT, FAILED_PRECONDITION = Code.INVALID_ARGUMENT.value[0], Code.FAILED_PRECONDITION.value[0]
LARGE = ("--max_message_bytes=2MiB", "--max_outbound_bytes_per_session=8MiB")
SIZE = 1_500_000  # more than NATS takes by default, less than Herald was told to take
USERS = """
authorization { users: [
  { user: admin, password: admin },
  { user: herald, password: "%s", permissions: { publish: { deny: ["herald.l.live/closed", "herald.h.*.log/closed"] } } }
] }
no_auth_user: admin
"""


class LimitsTest(NatsTest):
    start_replicas = False

    def test_a1_more_than_nats_takes_fails_the_start(self):
        herald = self.replica("a", *LARGE, wait=False)
        eventually(lambda: herald.returncode is not None, "the end of herald")
        self.assertGreater(herald.returncode, 0)
        lines = [line for line in herald.lines if line.startswith("herald: ")]
        self.assertEqual(len(lines), 1, herald.output)
        for word in ("max_payload", "max_message_bytes", "1048576", str(2 * 1024 * 1024)):
            self.assertIn(word, lines[0])

    def test_a1_a_server_that_takes_less_after_a_reconnect(self):
        with NatsCluster(binary=self.binary, more="max_payload: 4MB") as nats:
            a, b = (self.replica(name, *LARGE, url=nats.urls) for name in "ab")
            clients = [self.client(replica, "?user=u&topics=live/t,log/t") for replica in (a, b)]
            large = "x" * SIZE
            for topic in ("live/t", "log/t"):
                self.assertEqual([result.code for result in self.publish(a, large, topic=topic)], [OK])
                for client in clients:
                    self.assertEqual(len(client.message()["text"]), SIZE)
            node = nats.nodes[0]
            node.stop()
            node._config.write_text(node._config.read_text().replace("max_payload: 4MB", "max_payload: 1MB"))
            nats.restart()
            for replica in (a, b):  # both are back: a replica that is away misses what has no history
                eventually(lambda replica=replica: replica.logs("messages that NATS does not take are refused"), "the warning")
            for replica in (a, b):
                self.publish_until_taken(replica, "back", topic="live/t")
                self.publish_until_taken(replica, "back", topic="log/t")
            for client in clients:
                self.texts(client, 4)
            for topic in ("live/t", "log/t"):
                result = self.reported(a, large, topic)
                self.assertEqual(result.code, INVALID_ARGUMENT, result)
                self.assertIn("max_payload", result.detail)
                self.assertEqual([result.code for result in self.publish(a, "small", topic=topic)], [OK])
            for client in clients:
                self.assertEqual(self.texts(client, 2), ["small", "small"])
            # A message that fits, with what names it does not.
            edge = self.publish(a, "x" * (1024 * 1024 - 10), topic="log/t")[0]
            self.assertEqual(edge.code, INVALID_ARGUMENT, edge)

    def reported(self, replica, text, topic):
        """The result of a delivery with the report WRITTEN."""
        with Producer(replica) as producer, PushStream(producer) as stream:
            stream.send({"deliver": deliver(text, topic=topic, report=push_service_pb2.REPORT_LEVEL_WRITTEN)})
            return stream.results(1)[1]

    def test_a1_what_is_not_permitted_is_said_at_once(self):
        secret = "s3cret"
        with NatsCluster(binary=self.binary, more=USERS % secret) as nats:
            password = self.rules.with_name("password")
            password.write_text(secret)
            a = self.replica("a", "--nats_user=herald", f"--nats_password_file={password}", url=nats.urls)
            for topic in ("live/closed", "log/closed", "live/closed", "log/closed"):
                result = self.publish(a, "x", topic=topic)[0]
                self.assertEqual(result.code, FAILED_PRECONDITION, f"{topic}: {result}")
                self.assertIn("does not permit", result.detail)
            for topic in ("live/open", "log/open"):
                self.assertEqual([result.code for result in self.publish(a, "x", topic=topic)], [OK])
            eventually(lambda: a.logs("NATS refuses what Herald does: see the permissions of its user"), "the line")
            self.assertGreaterEqual(a.metric("herald_nats_not_permitted_total"), 2)

    def test_a1_a_sealed_stream_is_no_passing_error(self):
        a = self.replica("a")
        self.assertEqual([result.code for result in self.publish(a, "1", topic="log/t")], [OK])
        node = self.nats.nodes[0]
        for name, stream in node.streams().items():
            node.api(f"STREAM.UPDATE.{name}", **(stream["config"] | {"sealed": True}))
        results = []

        def refused():
            results[:] = self.publish(a, "2", topic="log/t")
            return results[0].code != UNAVAILABLE
        eventually(refused, "an answer that is not UNAVAILABLE")
        self.assertEqual(results[0].code, FAILED_PRECONDITION, results[0])


@unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
class NewServerLimitsTest(LimitsTest):
    binary = NEW


if __name__ == "__main__":
    unittest.main()
