"""Certificates for one test, made with the `openssl` command."""

import subprocess
from pathlib import Path


class Authority:
    """Issues certificates for `names`, in `directory`."""

    def __init__(self, directory, names="IP:127.0.0.1,DNS:localhost"):
        self._directory = Path(directory)
        self._names = names
        self.cert = self._directory / "ca.pem"
        self._key = self._directory / "ca.key"
        self._openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.cert, "-days", "2", "-subj", "/CN=test authority",
                      "-addext", "keyUsage=critical,keyCertSign")

    def pem(self):
        return self.cert.read_bytes()

    def issue(self, name, san=None):
        """(certificate file, key file); the subject is `CN=name`. `san` stands in for `names`."""
        request, cert, key, extensions = (self._directory / f"{name}.{end}" for end in ("csr", "pem", "key", "ext"))
        extensions.write_text(f"subjectAltName={san or self._names}\n")
        self._openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days", "2",
                      "-extfile", extensions, "-out", cert)
        return cert, key

    def _openssl(self, *words):
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
