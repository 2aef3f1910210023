"""Producers whose connections are cut at random: every command is carried out once and in order, and has its result.

The C++ library is driven by `heraldctl stream`; the examples are run as they are.
"""

import base64
import json
import os
import subprocess
import tempfile
import unittest

from cuts import CuttingReader
from harness import DEADLINE, ENVIRONMENT, ROOT, Herald, binary
from proxy import Proxy

COUNT = 20_000
CUTS = 25


def lines(topic, count):
    for number in range(1, count + 1):
        payload = base64.b64encode(b'{"number":%d}' % number).decode()
        yield json.dumps({"deliver": {"target": {"topic": topic}, "message": {"payload": payload}}}) + "\n"


class ProducerCutsTest(unittest.TestCase):
    def setUp(self):
        self.herald = self.enterContext(Herald(threads=2))
        self.proxy = self.enterContext(Proxy(self.herald.grpc_addr))

    def stream(self, count, *flags):
        """`heraldctl stream` through the proxy, with so many numbered messages as its input; its CompletedProcess."""
        with tempfile.TemporaryFile("w+") as file:
            file.writelines(lines("numbers", count))
            file.seek(0)
            return subprocess.run([binary("heraldctl"), "stream", f"--addr={self.proxy.addr}", *flags], stdin=file, env=ENVIRONMENT,
                                  capture_output=True, text=True, timeout=6 * DEADLINE)

    def test_heraldctl_sends_again_what_has_no_result(self):
        reader = CuttingReader(self.herald, "numbers", COUNT, self.proxy, CUTS)
        # Evenly over some seconds, so that the cuts fall into them.
        done = self.stream(COUNT, "--producer-id=cuts", "--rate=5000", "--batch=16")
        self.assertEqual(done.returncode, 0, done.stderr)
        reader.finish(self)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(sorted(int(result["seq"]) for result in results), list(range(1, COUNT + 1)), "one result each")
        self.assertEqual({result["code"] for result in results}, {0})
        self.assertGreater(sum(result["duplicate"] for result in results), 0, "results were lost, so something was repeated")
        self.assertGreater(self.proxy.accepted, CUTS // 2, "it was cut again and again")
        self.assertIn("trying again", done.stderr)

    def test_heraldctl_without_an_id_ends(self):
        CuttingReader(self.herald, "numbers", 1000, self.proxy, 1)
        done = self.stream(COUNT, "--rate=5000")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("lost the connection", done.stderr)
        self.assertLessEqual(self.proxy.accepted, 2, "the channel may connect once more, but no stream is opened")
        self.assertGreater(len(done.stdout.splitlines()), 0)

    def check_example(self, *argv, env=None):
        count = 5_000
        reader = CuttingReader(self.herald, "demo/numbers", count, self.proxy, 6)
        done = subprocess.run([*map(str, argv), "--addr", self.proxy.addr, "--count", str(count)], env=os.environ | (env or {}),
                              capture_output=True, text=True, timeout=6 * DEADLINE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{count} results, 0 failed", done.stdout)
        reader.finish(self)
        self.assertGreater(self.proxy.accepted, 2, "it was cut again and again")

    def test_node_example(self):
        self.check_example("node", ROOT / "examples/node_producer/producer.js", env={"NODE_PATH": str(ROOT / "build/node/node_modules")})

    def test_python_example(self):
        self.check_example(ROOT / "build/venv/bin/python", ROOT / "examples/python_producer/producer.py")


if __name__ == "__main__":
    unittest.main()
