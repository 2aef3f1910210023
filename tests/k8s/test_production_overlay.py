"""The production overlay against the real binaries: a NATS cluster of three as its pods would run, Herald over it as its pod would."""

import subprocess
import sys
import tempfile
from pathlib import Path

import jwt
from websockets.exceptions import InvalidStatus

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import ENVIRONMENT, JsonClient, binary
from herald_pod_case import HeraldPodCase, unittest
from nats_pods import NatsPods
from pods import POD_NAME
from production_secrets import ProductionSecrets
from tokens import claims


class ProductionOverlayTest(HeraldPodCase, unittest.TestCase):
    OVERLAY = "production"

    @classmethod
    def setUpClass(cls):
        cls.secrets = ProductionSecrets()
        cls.addClassCleanup(cls.secrets.close)
        cls.SECRETS = cls.secrets.objects
        super().setUpClass()

    def ctl(self, herald, *words, token=True):
        """heraldctl as a producer in the cluster would: TLS by the authority that make-secrets made, and its token."""
        arguments = [str(binary("heraldctl")), *words, f"--addr={herald.grpc_addr}", f"--ca={self.secrets.directory}/ca.crt"]
        if token:
            arguments.append(f"--token={self.secrets.producer_token()}")
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)

    def test_it_runs_over_its_nats_and_delivers(self):
        stateful_set = self.manifests.one("StatefulSet", "nats")["spec"]
        nats = NatsPods(self.manifests.pod("StatefulSet", "nats", self.secrets.objects),
                        self.enterContext(tempfile.TemporaryDirectory()), stateful_set["replicas"])
        with nats:
            nats.wait_healthy()
            # All but the addresses is the pod's: user, password file, replicas, TLS, tokens, keys.
            with self.herald_pod.start(f"--nats_url={nats.urls()}") as herald:
                self.check_probes(herald)
                self.assertIn("herald_sessions", self.check_metrics(herald))
                status = self.ctl(herald, "status")
                self.assertEqual(status.returncode, 0, status.stderr)
                self.assertIn(POD_NAME, status.stdout)
                self.assertIn("nats", status.stdout)
                self.check_a_message_arrives(herald)
                self.check_strangers_stay_out(herald)

    def test_the_startup_probe_waits_longer_than_herald_waits_for_nats(self):
        """So that what ends it is Herald itself, with a line that says why."""
        probe = self.pod.container["startupProbe"]
        timeout = self.herald_pod.settings()["nats_connect_timeout"]
        self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], int(timeout.removesuffix("s")) + 15)

    def check_a_message_arrives(self, herald):
        token = jwt.encode(claims(allow={"subscribe": ["orders/*"]}), self.secrets.key, algorithm="EdDSA", headers={"kid": "k1"})
        (origin,) = self.herald_pod.config["allowed_origins"]
        with JsonClient(herald.client_url, {"token": token}, origin=origin) as client:
            self.assertEqual(client.hello["user_id"], "alice")
            self.assertIn("ok", client.request(subscribe={"topic": "orders/42"}))
            sent = self.ctl(herald, "send", "--topic", "orders/42", "--report", "written", '{"eta":"12:30"}')
            self.assertEqual(sent.returncode, 0, sent.stderr)
            self.assertEqual(client.message()["data"], {"eta": "12:30"})

    def check_strangers_stay_out(self, herald):
        self.assertIn("UNAUTHENTICATED", self.ctl(herald, "status", token=False).stderr)
        plain = subprocess.run([str(binary("heraldctl")), "status", f"--addr={herald.grpc_addr}", "--timeout=5s"],
                               capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
        self.assertEqual(plain.returncode, 3, "gRPC without TLS")
        with self.assertRaises(InvalidStatus) as refused:
            JsonClient(herald.client_url, origin="https://elsewhere.example")
        self.assertEqual(refused.exception.response.status_code, 403)

    def test_a_new_token_joins_the_old_ones_and_keys_stay(self):
        before = {path.name: path.read_bytes() for path in self.secrets.directory.iterdir()}
        self.assertEqual(self.secrets.make("--producer", "billing").returncode, 0)
        after = {path.name: path.read_bytes() for path in self.secrets.directory.iterdir()}
        for name in ("tokens", "producers.yaml"):
            self.assertTrue(after.pop(name).startswith(before.pop(name)))
        self.assertEqual(before, after)
        self.assertNotEqual(self.secrets.make("--producer", "billing").returncode, 0, "a name twice")

    def test_private_keys_are_no_key_set(self):
        private = self.secrets.directory.parent / "private.json"
        private.write_text('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}')
        made = self.secrets.make("--jwks", private)
        self.assertNotEqual(made.returncode, 0)
        self.assertIn("private", made.stderr)
