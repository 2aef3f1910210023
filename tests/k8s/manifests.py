"""The objects that `kubectl kustomize` makes of a folder, and what is in them.

    production = Manifests("overlays/production")
    production.one("Deployment", "herald")["spec"]
    pod = production.pod("Deployment", "herald")
    pod.env(), pod.args(), pod.port("admin"), pod.mount(directory)
"""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"


def kubectl():
    """$HERALD_KUBECTL, that of scripts/install-deps k8s, or one in PATH."""
    candidates = [os.environ.get("HERALD_KUBECTL"), Path(sys.executable).with_name("kubectl"), shutil.which("kubectl")]
    for path in candidates:
        if path and Path(path).exists():
            return str(path)
    raise AssertionError("there is no kubectl: scripts/install-deps k8s installs it")


def kustomize(folder):
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"kubectl kustomize {folder}:\n{done.stderr}"
    assert not done.stderr, f"kubectl kustomize {folder} warns:\n{done.stderr}"
    return [document for document in yaml.safe_load_all(done.stdout) if document]


class Manifests:
    def __init__(self, folder):
        self.objects = kustomize(K8S / folder)

    def all(self, kind):
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind, name):
        """The one of this kind and name; a hash that kustomize has added does not count."""
        found = [thing for thing in self.all(kind)
                 if re.fullmatch(re.escape(name) + r"(-[0-9a-z]{10})?", thing["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    def workloads(self):
        return self.all("Deployment") + self.all("StatefulSet")

    def pod(self, kind, name, secrets=()):
        return Pod(self.one(kind, name)["spec"]["template"], self, secrets)

    def pods(self):
        return [Pod(thing["spec"]["template"], self) for thing in self.workloads()]


class Pod:
    """A pod template of one container. `secrets` are Secret objects that are not among the manifests."""

    def __init__(self, template, manifests, secrets=()):
        self.labels = template["metadata"]["labels"]
        self.spec = template["spec"]
        (self.container,) = self.spec["containers"]
        self._manifests = manifests
        self._secrets = {thing["metadata"]["name"]: thing for thing in secrets}

    def args(self):
        return list(self.container.get("args", []))

    def port(self, name):
        (number,) = [port["containerPort"] for port in self.container["ports"] if port["name"] == name]
        return number

    def probes(self):
        """{"livenessProbe": httpGet, …}"""
        return {name: self.container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}

    def env(self, pod_name):
        """As Kubernetes would set it: the pod's name, secrets, and $(OTHERS)."""
        result = {}
        for entry in self.container.get("env", []):
            source = entry.get("valueFrom", {})
            if "fieldRef" in source:
                assert source["fieldRef"]["fieldPath"] == "metadata.name", entry
                value = pod_name
            elif "secretKeyRef" in source:
                value = self._secret(source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
            else:
                value = re.sub(r"\$\((\w+)\)", lambda match: result[match[1]], entry["value"])
            result[entry["name"]] = value
        return result

    def mount(self, directory):
        """Lays out every ConfigMap and Secret below `directory` as the container would see it; returns that."""
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        for mount in self.container["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                files = self._config_map(volume["configMap"]["name"])
            elif "secret" in volume:
                files = self._items(self._secret(volume["secret"]["secretName"]), volume["secret"])
            else:  # an empty folder, or a claim
                files = {}
            where = Path(directory) / mount["mountPath"].lstrip("/")
            if "subPath" in mount:
                where.parent.mkdir(parents=True, exist_ok=True)
                where.write_bytes(files[mount["subPath"]])
                continue
            where.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (where / name).write_bytes(content)
        return Path(directory)

    @staticmethod
    def _items(files, source):
        return {item["path"]: files[item["key"]] for item in source["items"]} if "items" in source else files

    def _config_map(self, name):
        (found,) = [thing for thing in self._manifests.all("ConfigMap") if thing["metadata"]["name"] == name]
        return {key: text.encode() for key, text in found["data"].items()}

    def _secret(self, name):
        return {key: base64.b64decode(text) for key, text in self._secrets[name]["data"].items()}
