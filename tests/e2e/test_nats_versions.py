"""Which nats-server Herald warns of: an old one, where there are several of them."""

import unittest

from harness import eventually
from nats_case import NatsTest
from nats_server import NEW, ROOT, NatsCluster

OLD = ROOT / "build/nats/usr/sbin/nats-server"  # Debian's 2.9
WARNING = "this nats-server is too old for more than one NATS node"


class VersionsTest(NatsTest):
    start_replicas = False

    def warnings(self, replica):
        return [line for line in replica.logs() if line["msg"].startswith(WARNING)]

    @unittest.skipUnless(OLD.exists(), "no nats-server 2.9: scripts/install-deps nats")
    def test_a0_an_old_cluster_is_warned_of_once(self):
        with NatsCluster(3, binary=OLD) as nats:
            replica = self.replica("a", "--nats_replicas=3", url=nats.urls)
            eventually(lambda: self.warnings(replica), "the warning")
            self.assertRegex(self.warnings(replica)[0]["version"], r"^2\.9\.")
            self.assertEqual(self.warnings(replica)[0]["level"], "warn")
            # The same once more is no news.
            for node in nats.nodes:
                node.stop()
            eventually(lambda: replica.logs("the connection to NATS is lost: sessions stay, publishing is refused"), "the loss")
            nats.restart()
            eventually(lambda: replica.logs("NATS is back"), "its return")
            self.publish_until_taken(replica, "x", topic="log/t")
            self.assertEqual(len(self.warnings(replica)), 1)

    @unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
    def test_a0_a_new_cluster_and_a_single_old_server_are_not(self):
        alone = self.replica("a")
        with NatsCluster(3, binary=NEW) as nats:
            several = self.replica("b", "--nats_replicas=3", url=nats.urls)
            for replica in (alone, several):
                self.publish_until_taken(replica, "x", topic="log/t")
                replica.stop()  # after the server was asked
                self.assertEqual(self.warnings(replica), [])


if __name__ == "__main__":
    unittest.main()
