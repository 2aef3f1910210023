"""A replica leaves while producers are at work: they go on at the other one, each command carried out once and in order.

The C++ library is driven by `heraldctl stream`; the examples are run as they are. Two replicas with a broker each, so what was taken
by which can be told.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import unittest

from websockets.exceptions import ConnectionClosed

from harness import DEADLINE, ENVIRONMENT, ROOT, Process, binary, eventually
from server_case import ServerTest
from test_producer_cuts import lines

PACED = 5_000  # at 2,500 a second
UNPACED = 50_000  # the examples send as fast as they can, with 4,096 under way: most are still to come when the first are here


class Reader:
    """A session that keeps the numbers that come, and calls `at_work` when the first hundred are here."""

    def __init__(self, client, at_work=None):
        self.numbers = []
        self.open = True
        self._client = client
        self._at_work = at_work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while True:
                self.numbers.append(json.loads(self._client.recv())["number"])
                if self._at_work and len(self.numbers) == 100:
                    self._at_work()
        except ConnectionClosed:
            self.open = False


class ProducerMovesTest(ServerTest):
    def check(self, start, topic, count):
        # The only session of the one that leaves is closed at any time within an hour: hardly in the seconds that this takes.
        leaving, stays = self.start("--drain_seconds=3600"), self.start()

        def reader(herald, at_work=None):
            return Reader(self.enter(herald.raw_client(f"?topics={topic}", max_queue=None)), at_work)
        first, second = reader(leaving, at_work=lambda: leaving.signal(signal.SIGTERM)), reader(stays)
        start(f"{leaving.grpc_addr},{stays.grpc_addr}")()
        eventually(lambda: second.numbers[-1:] == [count], "the last has come, and to the one that stays")
        saw_all = first.open
        leaving.signal(signal.SIGTERM)  # in a hurry now
        self.assertEqual(leaving.wait(), 0)
        taken = leaving.logs("ended")[-1]["commands"]
        self.assertEqual(second.numbers, list(range(taken + 1, count + 1)), "once and in order, over both")
        eventually(lambda: not first.open, "its close")
        self.assertEqual(first.numbers, list(range(1, (taken if saw_all else len(first.numbers)) + 1)), "once and in order")

    def stream(self, *flags):
        def start(addr):
            file = self.enter(tempfile.TemporaryFile("w+"))
            file.writelines(lines("numbers", PACED))
            file.seek(0)
            child = subprocess.Popen([binary("heraldctl"), "stream", f"--addr={addr}", "--rate=2500", "--batch=16", *flags], stdin=file,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)

            def finish():
                out, err = child.communicate(timeout=6 * DEADLINE)
                self.assertEqual(child.returncode, 0, err)
                results = [json.loads(line) for line in out.splitlines()]
                self.assertEqual([int(result["seq"]) for result in results], list(range(1, PACED + 1)), "one result each")
                self.assertEqual({(result["code"], result["duplicate"]) for result in results}, {(0, False)}, "nothing was sent twice")
                self.assertEqual(err, "", "a move is no break")
            return finish
        return start

    def test_heraldctl(self):
        self.check(self.stream("--producer-id=moves"), "numbers", PACED)

    def test_heraldctl_without_an_id(self):
        self.check(self.stream(), "numbers", PACED)

    def example(self, *argv, env=None):
        def start(addr):
            child = self.enter(Process([*argv, "--addr", addr, "--count", str(UNPACED)], env=os.environ | (env or {})))

            def finish():
                self.assertEqual(child.wait(6 * DEADLINE), 0, child.output)
                self.assertIn(f"{UNPACED} results, 0 failed", child.lines[-1])
                self.assertEqual(len(child.lines), 1, f"a move is no break:\n{child.output}")
            return finish
        return start

    def test_node_example(self):
        self.check(self.example("node", ROOT / "examples/node_producer/producer.js", "--batch", "4",
                                env={"NODE_PATH": str(ROOT / "build/node/node_modules")}), "demo/numbers", UNPACED)

    def test_python_example(self):
        self.check(self.example(ROOT / "build/venv/bin/python", ROOT / "examples/python_producer/producer.py"), "demo/numbers", UNPACED)


if __name__ == "__main__":
    unittest.main()
