"""The NATS of the production overlay, as three real servers with the manifests' configuration, environment and secrets."""

import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import eventually
from manifests import Manifests
from nats_pods import NatsPods
from production_secrets import ProductionSecrets


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.secrets = ProductionSecrets()
        cls.addClassCleanup(cls.secrets.close)
        manifests = Manifests("overlays/production")
        cls.pod = manifests.pod("StatefulSet", "nats", cls.secrets.objects)
        replicas = manifests.one("StatefulSet", "nats")["spec"]["replicas"]
        cls.nats = cls.enterClassContext(NatsPods(cls.pod, cls.enterClassContext(tempfile.TemporaryDirectory()), replicas))
        cls.nats.wait_healthy()


class NatsTest(Cluster):
    def password(self, name):
        return (self.secrets.directory / f"{name}-password").read_text()

    def test_every_probe_answers_on_every_node(self):
        for name, probe in self.pod.probes().items():
            self.assertEqual(probe["port"], "monitor")
            for node in range(self.nats.replicas):
                self.assertEqual(self.nats.probe(node, probe["path"]), 200, f"{name}, node {node}")

    def test_herald_has_jetstream_in_its_account(self):
        info = self.nats.ask("herald", self.password("herald"), "$JS.API.INFO")
        self.assertNotIn("error", info)
        self.assertIn("limits", info)

    def test_herald_may_do_what_it_does_and_nothing_else(self):
        for subject in ("$JS.API.STREAM.DELETE.HERALD_0", "$JS.API.STREAM.PURGE.HERALD_0", "$JS.API.STREAM.NAMES", "other.subject",
                        "herald.other", "$SYS.REQ.SERVER.PING"):
            self.assertIn("Permissions Violation", self.nats.ask("herald", self.password("herald"), subject), subject)
        for subject in ("$JS.API.STREAM.INFO.HERALD_0", "$JS.API.STREAM.MSG.GET.HERALD_0"):
            self.assertIn("error", self.nats.ask("herald", self.password("herald"), subject))  # of JetStream: there is no such stream

    def test_all_nodes_are_one_cluster(self):
        def routes():
            answer = self.nats.ask("system", self.password("system"), "$SYS.REQ.SERVER.PING.JSZ")
            return len(answer["data"].get("meta_cluster", {}).get("replicas", [])) == self.nats.replicas - 1 or \
                answer["data"].get("meta_cluster", {}).get("cluster_size") == self.nats.replicas
        eventually(routes, "a meta cluster of all nodes")
        for server in self.nats.servers:  # one route too few would not be noticed: nodes tell each other of the rest
            self.assertNotRegex(server.output, r"rid:\d+.*([Aa]uthentication error|[Aa]uthorization)")

    def test_nobody_comes_in_without_a_password(self):
        for user, password in (("herald", "wrong"), ("", ""), ("route", self.password("route")), ("herald", self.password("system"))):
            self.assertIn("Authorization Violation", self.nats.ask(user, password, "$JS.API.INFO"), user)

    def test_pods_of_that_name_are_in_the_store(self):
        for node in range(self.nats.replicas):
            root = self.nats.directory / f"nats-{node}"
            self.assertTrue((root / "data/jetstream").is_dir())
            self.assertTrue((root / "run/nats/nats.pid").is_file())
            self.assertIn(f"nats-{node}", self.nats.servers[node].output)


class LeavingTest(Cluster):
    def test_a_pod_that_is_told_to_go_hands_over_first(self):
        leaving, stays = self.nats.replicas - 1, range(self.nats.replicas - 1)
        server, root = self.nats.servers[leaving], self.nats.directory / f"nats-{leaving}"
        command = [part.replace("/run/nats", f"{root}/run/nats") for part in self.pod.container["lifecycle"]["preStop"]["exec"]["command"]]
        self.assertEqual(command.pop(0), "nats-server")
        done = subprocess.run([self.nats.path, *command], capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)
        server.wait_line("(?i)lame duck")  # nats-server may trip over a SIGTERM that comes before it has taken up the first signal
        server.signal(signal.SIGTERM)  # as the kubelet does, soon after preStop has ended
        server.wait(self.pod.spec["terminationGracePeriodSeconds"])  # with 0, 1, or 2: 2.9 may trip over the second way to be told
        for node in stays:
            eventually(lambda node=node: self.nats.probe(node, self.pod.probes()["readinessProbe"]["path"]) == 200, f"node {node} ready")
