"""Starting on NATS: what is made there, and the one line that says what is wrong with it."""

import time
import unittest

from fault_proxy import FaultProxy
from harness import Herald
from nats_case import NatsTest
from nats_server import NEW, NatsCluster, free_port


class StartTest(NatsTest):
    start_replicas = False

    def assert_ends(self, words, *flags):
        """Ends by itself, not with 0, and says why on one line that holds all `words`."""
        herald = self.enter(Herald(f"--config={self.rules}", "--broker=nats", "--node_name=a", *flags, wait=False))
        self.assertGreater(herald.wait(), 0)
        lines = [line for line in herald.lines if line.startswith("herald: ")]
        self.assertEqual(len(lines), 1, herald.output)
        for word in words:
            self.assertIn(word, lines[0])

    def test_jetstream_is_off(self):
        with NatsCluster(jetstream=False, binary=self.binary) as plain:
            self.assert_ends(["JetStream"], f"--nats_url={plain.urls}", "--nats_connect_timeout=3s")

    def test_nobody_listens(self):
        addr = f"127.0.0.1:{free_port()}"
        self.assert_ends([addr], f"--nats_url=nats://{addr}", "--nats_connect_timeout=2s")

    def test_somebody_else_listens(self):
        with FaultProxy(self.nats.nodes[0].addr) as silent:
            silent.blackhole()
            self.assert_ends([silent.addr], f"--nats_url={silent.url}", "--nats_connect_timeout=2s")

    def test_waits_for_a_server_that_comes_later(self):
        self.nats.stop()
        herald = self.replica("a", wait=False)
        time.sleep(1)
        self.nats.restart()
        herald.wait_listening()
        herald.wait_ready()

    def test_a_second_start_finds_the_streams(self):
        self.replica("a").stop()
        streams = {name: stream["config"] for name, stream in self.nats.streams().items()}
        self.assertTrue(streams)
        self.replica("a").stop()
        self.assertEqual({name: stream["config"] for name, stream in self.nats.streams().items()}, streams)

    def test_no_consumer_for_anybody(self):
        replica = self.replica("a")
        clients = [self.client(replica, f"?user=u{n}&topics=log/{n},live/{n}") for n in range(20)]
        self.publish(replica, "1", all=True)
        for client in clients:
            client.message()
        self.assertEqual(self.nats.nodes[0].monitor("jsz")["consumers"], 0)


@unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
class NewServerStartTest(StartTest):
    binary = NEW


if __name__ == "__main__":
    unittest.main()
