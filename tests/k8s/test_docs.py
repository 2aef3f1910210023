"""docs/kubernetes.md: what it tells to paste works."""

import os
import re
import tempfile
import unittest
from pathlib import Path

import yaml

import schemas
from manifests import K8S, ROOT, kustomize

PAGE = (ROOT / "docs/kubernetes.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class DocsTest(unittest.TestCase):
    def render(self, *changes):
        """The page's own kustomization over the production overlay, with the patches of later blocks appended."""
        (text,) = [block for block in blocks("yaml") if "kind: Kustomization" in block]
        kustomization = yaml.safe_load(text)
        for change in changes:
            kustomization["patches"] += change["patches"]
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (overlay,) = kustomization["resources"]
        self.assertTrue(overlay.endswith("k8s/overlays/production"))
        kustomization["resources"] = [os.path.relpath(K8S / "overlays/production", directory.resolve())]
        (directory / "herald.yaml").write_text((K8S / "overlays/production/herald.yaml").read_text() + "ping_interval: 20s\n")
        (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return kustomize(directory), kustomization

    def test_the_kustomization_of_ones_own(self):
        objects, kustomization = self.render()
        by_kind = {thing["kind"]: thing for thing in objects}
        image = kustomization["images"][0]
        self.assertEqual(by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"], f"{image['newName']}:{image['newTag']}")
        self.assertEqual(by_kind["Ingress"]["spec"]["rules"][0]["host"], "push.internal")
        (config,) = [thing for thing in objects if thing["metadata"]["name"].startswith("herald-config")]
        self.assertIn("ping_interval: 20s", config["data"]["herald.yaml"])
        volumes = by_kind["Deployment"]["spec"]["template"]["spec"]["volumes"]
        self.assertIn(config["metadata"]["name"], [volume.get("configMap", {}).get("name") for volume in volumes])

    def test_without_the_prometheus_operator(self):
        (patch,) = [yaml.safe_load(block) for block in blocks("yaml") if "$patch: delete" in block]
        objects, _ = self.render(patch)
        self.assertFalse([thing for thing in objects if thing["apiVersion"].startswith("monitoring")])
        self.assertTrue([thing for thing in objects if thing["kind"] == "Deployment"])

    def test_versions_of_kubernetes(self):
        self.assertIn(" and ".join(schemas.VERSIONS), PAGE)

    def test_every_block_of_yaml_can_be_read(self):
        self.assertGreater(len(blocks("yaml")), 2)
        for block in blocks("yaml"):
            yaml.safe_load(block)

    def test_every_alert_is_explained_and_no_other(self):
        rules = yaml.safe_load_all((K8S / "overlays/production/monitoring.yaml").read_text())
        alerts = {rule["alert"] for thing in rules if thing["kind"] == "PrometheusRule"
                  for group in thing["spec"]["groups"] for rule in group["rules"]}
        self.assertEqual(alerts, set(re.findall(r"^\| `(Herald\w+)` \|", PAGE, re.MULTILINE)))

    def test_secrets_are_those_of_the_generator(self):
        generator = yaml.safe_load((K8S / "overlays/production/secrets/kustomization.yaml").read_text())
        for secret in generator["secretGenerator"]:
            (row,) = re.findall(rf"^\| `{secret['name']}` \| (.*?) \|(.*)$", PAGE, re.MULTILINE)
            for key in secret["files"]:
                self.assertIn(f"`{key}`", " ".join(row))

    def test_files_and_places_that_it_names_are_there(self):
        for path in re.findall(r"(?<![\w/.])((?:k8s|scripts)/[\w/.-]+[\w])", PAGE):
            self.assertTrue((ROOT / path).exists() or path in ("k8s/overlays/production/secrets/tokens",), path)
        headings = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)}
        for anchor in re.findall(r"\]\(#([\w-]+)\)", PAGE):
            self.assertIn(anchor, headings)
