"""That the servers of nats_server.py do what tests of many replicas rely on: they lead, die, come back, and go back in time."""

import asyncio
import contextlib
import unittest

import nats

from harness import eventually
from nats_server import NEW, NatsCluster

STREAM = {"name": "T", "subjects": ["t.>"], "storage": "file", "retention": "limits", "discard": "old", "duplicate_window": 120_000_000_000}


def publish(node, *payloads):
    """Sequences that the stream gave."""
    async def run():
        client = await nats.connect(node.url, allow_reconnect=False)
        try:
            return [(await client.jetstream().publish("t.a", payload, timeout=5)).seq for payload in payloads]
        finally:
            await client.close()
    return asyncio.run(run())


def payloads(node, stream="T"):
    return [payload for *_, payload in node.stored(stream)]


class OneServerTest(unittest.TestCase):
    def test_what_it_stored_is_there_after_kill_9_and_restart(self):
        with NatsCluster() as cluster:
            node = cluster.nodes[0]
            node.api("STREAM.CREATE.T", **STREAM)
            self.assertEqual(publish(node, b"one", b"two"), [1, 2])
            node.kill()
            self.assertIsNone(node.monitor("varz"))
            cluster.restart()
            self.assertEqual(node.stored("T"), [(1, "t.a", b"", b"one"), (2, "t.a", b"", b"two")])

    def test_rolls_back_to_a_copy_that_was_taken_while_it_ran(self):
        with NatsCluster() as cluster:
            node = cluster.nodes[0]
            node.api("STREAM.CREATE.T", **STREAM)
            publish(node, b"one", b"two")
            cluster.snapshot()
            self.assertEqual(publish(node, b"three"), [3])
            cluster.roll_back()
            cluster.restart()
            self.assertEqual(payloads(node), [b"one", b"two"])
            self.assertEqual(publish(node, b"other"), [3], "the sequence is given a second time")

    def test_a_deleted_stream_comes_back_empty(self):
        with NatsCluster() as cluster:
            node = cluster.nodes[0]
            node.api("STREAM.CREATE.T", **STREAM)
            publish(node, b"one")
            config = cluster.delete_stream("T")
            self.assertEqual(cluster.streams(), {})
            cluster.create_stream(config)
            cluster.create_stream(config)  # there already: nothing happens
            self.assertEqual(payloads(node), [])
            self.assertEqual(publish(node, b"new"), [1])

    def test_without_jetstream(self):
        with NatsCluster(jetstream=False) as cluster, self.assertRaises(nats.errors.NoRespondersError):
            cluster.nodes[0].request("$JS.API.INFO")

    @unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
    def test_the_newer_server(self):
        with NatsCluster(binary=NEW) as cluster:
            node = cluster.nodes[0]
            self.assertTrue(node.monitor("varz")["version"].startswith("2.12"))
            node.api("STREAM.CREATE.T", **STREAM)
            publish(node, b"one")
            self.assertEqual(payloads(node), [b"one"])


class ThreeServersTest(unittest.TestCase):
    def setUp(self):
        self.cluster = self.enterContext(NatsCluster(3))
        self.cluster.nodes[0].api("STREAM.CREATE.T", **STREAM, num_replicas=3)
        self.cluster.wait_in_sync()

    def publish(self, *payloads):
        """As soon as somebody leads."""
        def attempt():
            with contextlib.suppress(nats.errors.Error):
                return publish(self.cluster.up[0], *payloads)
        return eventually(attempt, "a publish that is acknowledged")

    def test_goes_on_without_its_leader_and_in_sync_when_it_is_back(self):
        self.publish(b"one")
        leader = self.cluster.leader("T")
        leader.kill()
        self.publish(b"two")
        self.assertIsNot(self.cluster.leader("T"), leader)
        self.cluster.restart()
        self.cluster.wait_in_sync()
        self.cluster.follower("T").kill()
        self.publish(b"three")
        self.assertEqual(payloads(self.cluster.leader("T")), [b"one", b"two", b"three"])

    def test_all_stores_go_back_to_one_moment(self):
        self.publish(b"one")
        self.cluster.wait_in_sync()
        self.cluster.snapshot()
        self.publish(b"two", b"three")
        self.cluster.roll_back()
        self.cluster.restart()
        self.cluster.wait_in_sync()
        self.assertEqual(payloads(self.cluster.leader("T")), [b"one"])

    def test_a_paused_node_is_not_seen_as_ended(self):
        follower = self.cluster.follower("T")
        follower.pause()
        self.publish(b"one")
        self.assertTrue(follower.running)
        follower.resume()
        self.cluster.wait_in_sync()


if __name__ == "__main__":
    unittest.main()
