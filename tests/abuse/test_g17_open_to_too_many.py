"""G17: what is open to too many is told at the start: files with secrets that every user of the machine can read, and --dev on a
public address."""

import json
import os
import tempfile
import unittest
from pathlib import Path

import tokens
from harness import Herald

TOLD = "every user of this machine can read a file with secrets"


class ReadableSecretTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def write(self, name, text, mode):
        path = tokens.write(self.directory / name, text)
        os.chmod(path, mode)
        return path

    def told(self, *flags):
        with Herald(*flags, dev=False) as herald:
            return [(line["setting"], line["file"], line["fix"]) for line in herald.logs(TOLD)]

    def test_g17_a_secret_for_all_to_read(self):
        path = self.write("secret", tokens.SECRET, 0o644)
        self.assertEqual(self.told(f"--jwt_secret_file={path}"), [("jwt_secret_file", str(path), f"chmod o-r {path}")])

    def test_g17_a_secret_of_its_owner_and_group(self):
        self.assertEqual(self.told(f"--jwt_secret_file={self.write('secret', tokens.SECRET, 0o640)}"), [])

    def test_g17_public_keys_are_for_all_to_read(self):
        key = tokens.make_key("ES256")
        public = self.write("public", json.dumps({"keys": [tokens.jwk(key, "ES256", "k")]}), 0o644)
        self.assertEqual(self.told(f"--jwks_file={public}"), [])
        symmetric = {"kty": "oct", "kid": "s", "k": tokens.part(tokens.SECRET.encode())}
        secret = self.write("secret", json.dumps({"keys": [symmetric]}), 0o644)
        self.assertEqual([setting for setting, _, _ in self.told(f"--jwks_file={secret}")], ["jwks_file"])

    def test_g17_dev_beyond_loopback(self):
        def told(*flags):
            with Herald(*flags, dev=True) as herald:
                return [line["setting"] for line in herald.logs() if line["msg"].startswith("--dev opens Herald to everyone")]

        self.assertEqual(told(), [])
        self.assertEqual(told("--client_addr=0.0.0.0:0", "--allowed_hosts=any-name"), ["client_addr"])


if __name__ == "__main__":
    unittest.main()
