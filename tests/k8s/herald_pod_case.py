"""What holds for Herald's pod in every overlay, checked against the binary. A subclass names OVERLAY and starts the server."""

import re
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from manifests import Manifests
from pods import POD_NAME, HeraldPod, config_files, port_of


class HeraldPodCase:
    OVERLAY = None
    SECRETS = ()

    @classmethod
    def setUpClass(cls):
        cls.manifests = Manifests(f"overlays/{cls.OVERLAY}")
        cls.pod = cls.manifests.pod("Deployment", "herald", cls.SECRETS)

    def setUp(self):
        self.herald_pod = HeraldPod(self.pod, self.enterContext(tempfile.TemporaryDirectory()))

    def test_the_binary_knows_every_key_and_takes_it(self):
        settings = self.herald_pod.settings()
        self.assertGreater(len(self.herald_pod.config), 5)
        self.assertLessEqual(set(self.herald_pod.config), set(settings))
        self.assertEqual(settings["node_name"], POD_NAME)

    def test_ports_are_those_that_the_binary_listens_on(self):
        settings = self.herald_pod.settings()
        for name in ("client", "grpc", "admin"):
            host = settings[f"{name}_addr"].rpartition(":")[0]
            self.assertEqual(host, "0.0.0.0", f"{name}: beyond loopback, or nobody reaches the pod")
            self.assertEqual(port_of(settings[f"{name}_addr"]), self.pod.port(name), name)

    def test_files_that_the_configuration_names_are_mounted(self):
        for key, path in config_files(self.herald_pod.config).items():
            self.assertTrue((self.herald_pod.root / str(path).lstrip("/")).is_file(), f"{key}: nothing is mounted at {path}")

    def check_probes(self, herald):
        for name, probe in self.pod.probes().items():
            self.assertEqual(probe["port"], "admin")
            self.assertEqual(herald.http(probe["path"])[0], 200, f"{name}: {probe['path']}")
        self.assertEqual(self.pod.probes()["readinessProbe"]["path"], "/readyz")
        self.assertEqual(self.pod.probes()["livenessProbe"]["path"], "/healthz")

    def check_metrics(self, herald):
        """Every metric of ours that a manifest names is there."""
        named = {metric["pods"]["metric"]["name"] for scaler in self.manifests.all("HorizontalPodAutoscaler")
                 for metric in scaler["spec"]["metrics"]}
        for rules in self.manifests.all("PrometheusRule"):
            named |= set(re.findall(r"herald_\w+", " ".join(
                rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"])))
        for monitor in self.manifests.all("ServiceMonitor"):
            for endpoint in monitor["spec"]["endpoints"]:
                self.assertEqual(herald.http(endpoint["path"])[0], 200)
        served = set(re.findall(r"^(herald_\w+)", herald.http("/metrics")[1], re.MULTILINE))
        self.assertLessEqual(named, served)
        return named


# So that `python -m unittest` takes none of it by itself.
__all__ = ["HeraldPodCase", "unittest"]
