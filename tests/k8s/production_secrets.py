"""The secrets of the production overlay, made by its own make-secrets with a key set that a test can sign for."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import tokens
from manifests import K8S, kustomize

OVERLAY = K8S / "overlays/production"


class ProductionSecrets:
    """`objects` are the Secrets; `directory` holds the files; `key` signs clients' tokens (EdDSA, kid `k1`)."""

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.directory = Path(self._temporary.name) / "secrets"
        shutil.copytree(OVERLAY / "secrets", self.directory,
                        ignore=lambda _, names: [name for name in names if name not in ("kustomization.yaml", ".gitignore")])
        self.key = tokens.make_key("EdDSA")
        jwks = Path(self._temporary.name) / "provider.json"
        jwks.write_text(json.dumps({"keys": [tokens.jwk(self.key, "EdDSA", "k1")]}))
        done = self.make("--jwks", jwks)
        assert done.returncode == 0, done.stderr
        self.objects = kustomize(self.directory)

    def make(self, *options):
        return subprocess.run([str(OVERLAY / "make-secrets"), "--dir", str(self.directory), *map(str, options)],
                              capture_output=True, text=True, timeout=60)

    def close(self):
        self._temporary.cleanup()

    def producer_token(self):
        return (self.directory / "tokens").read_text().split()[1]
