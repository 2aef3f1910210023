"""The dev overlay against the real binary: it starts as the pod would, its probes answer, a session gets a message."""

from herald_pod_case import HeraldPodCase, unittest
from pods import POD_NAME


class DevOverlayTest(HeraldPodCase, unittest.TestCase):
    OVERLAY = "dev"

    def test_it_starts_answers_its_probes_and_delivers(self):
        with self.herald_pod.start() as herald:
            self.check_probes(herald)
            self.check_metrics(herald)
            self.assertIn(POD_NAME, herald.ctl("status").stdout)
            with herald.raw_client("?topics=news") as client:
                herald.ctl("send", "--topic", "news", "--require-online", "hello")
                self.assertEqual(client.recv(timeout=20), "hello")

    def test_one_replica_at_a_time(self):
        spec = self.manifests.one("Deployment", "herald")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]["type"]), (1, "Recreate"))

    def test_an_unknown_key_would_be_found(self):
        file = self.herald_pod.root / "etc/herald/herald.yaml"
        file.write_text(file.read_text() + "\nmax_sesions: 3\n")
        with self.assertRaisesRegex(AssertionError, "max_sesions"):
            self.herald_pod.settings()
