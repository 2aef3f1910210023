"""Both overlays render, and every object fits its schema. And the check can tell."""

import copy
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import schemas
from manifests import Manifests, kustomize, K8S
from production_secrets import ProductionSecrets


class SchemasTest(unittest.TestCase):
    def check_all(self, objects, least):
        self.assertGreaterEqual(len(objects), least)
        for thing in objects:
            with self.subTest(kind=thing["kind"], name=thing["metadata"]["name"]):
                schemas.check(thing)

    def test_dev(self):
        self.check_all(Manifests("overlays/dev").objects, 6)

    def test_production(self):
        production = Manifests("overlays/production")
        self.check_all(production.objects, 19)
        self.assertLessEqual(
            {"Deployment", "StatefulSet", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
             "ServiceMonitor", "PrometheusRule", "ConfigMap", "Namespace", "ServiceAccount"},
            {thing["kind"] for thing in production.objects})
        self.assertFalse(production.all("Secret"), "nothing secret is in the repository")

    def test_secrets(self):
        secrets = ProductionSecrets()
        self.addCleanup(secrets.close)
        self.check_all(secrets.objects, 4)

    def test_no_name_twice(self):
        for overlay in ("dev", "production"):
            names = [(thing["kind"], thing["metadata"]["name"]) for thing in Manifests(f"overlays/{overlay}").objects]
            self.assertEqual(len(names), len(set(names)), names)

    def test_the_check_can_tell(self):
        production = Manifests("overlays/production")
        deployment = production.one("Deployment", "herald")
        monitor = production.one("ServiceMonitor", "herald")

        def container(thing):
            return thing["spec"]["template"]["spec"]["containers"][0]

        faults = [
            (deployment, lambda it: container(it).update(readynessProbe={})),
            (deployment, lambda it: container(it)["ports"][0].update(containerPort="client")),
            (deployment, lambda it: it["spec"].pop("selector")),
            (deployment, lambda it: it.update(apiVersion="apps/v2")),
            (monitor, lambda it: it["spec"]["endpoints"][0].update(intervall="15s")),
            (monitor, lambda it: it["spec"]["endpoints"][0].update(interval="15 s")),
            (monitor, lambda it: it.update(kind="ServiceMonitors")),
        ]
        for number, (thing, spoil) in enumerate(faults):
            spoiled = copy.deepcopy(thing)
            spoil(spoiled)
            with self.subTest(number), self.assertRaises(AssertionError):
                schemas.check(spoiled)

    def test_a_folder_that_does_not_render_fails(self):
        with self.assertRaises(AssertionError):
            kustomize(K8S / "overlays")
