"""examples/node_producer against the real server: every message arrives once and in order, every command gets its result."""

import json
import os
import subprocess
import unittest

from harness import DEADLINE, ROOT, Herald

COUNT = 2000


class NodeProducerTest(unittest.TestCase):
    def test_pipelined_push(self):
        with Herald(threads=2) as herald, herald.raw_client("?topics=demo/numbers") as one, \
                herald.raw_client("?topics=demo/numbers") as two:
            done = subprocess.run(
                ["node", ROOT / "examples/node_producer/producer.js", "--addr", herald.grpc_addr, "--count", str(COUNT)],
                env=os.environ | {"NODE_PATH": str(ROOT / "build/node/node_modules")},
                capture_output=True, text=True, timeout=5 * DEADLINE)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn(f"{COUNT} results, 0 failed", done.stdout)
            for client in (one, two):
                numbers = [json.loads(client.recv(DEADLINE))["number"] for _ in range(COUNT)]
                self.assertEqual(numbers, list(range(1, COUNT + 1)))


if __name__ == "__main__":
    unittest.main()
