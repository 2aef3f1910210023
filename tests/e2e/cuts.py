"""A client that reads numbered messages and cuts the producer's connection while they come."""

import json
import random
import threading
import time

from harness import DEADLINE


class CuttingReader(threading.Thread):
    """Reads `count` numbers from `topic`; at random ones it cuts all connections of `proxy`, at times for a while."""

    def __init__(self, herald, topic, count, proxy, cuts, seed=1):
        super().__init__(daemon=True)
        pick = random.Random(seed)
        self._cut_at = set(pick.sample(range(1, count * 3 // 4), cuts))  # the producer may be far ahead of us
        self._refuses = pick
        self._client = herald.raw_client(f"?topics={topic}")
        self._count, self._proxy = count, proxy
        self.numbers, self.error = [], None
        self.start()

    def run(self):
        try:
            while len(self.numbers) < self._count:
                self.numbers.append(json.loads(self._client.recv(3 * DEADLINE))["number"])
                if len(self.numbers) in self._cut_at:
                    self._proxy.cut(refuse=self._refuses.random() < 0.3)
                    if self._proxy.connected == 0:
                        time.sleep(self._refuses.uniform(0, 0.05))
                    self._proxy.allow()
        except Exception as error:  # told by `finish`
            self.error = error

    def finish(self, test):
        """Checks that every number came once and in order, and that nothing follows."""
        self.join(6 * DEADLINE)
        with self._client:
            test.assertIsNone(self.error, f"after {len(self.numbers)} of {self._count}")
            test.assertEqual(self.numbers, list(range(1, self._count + 1)))
            with test.assertRaises(TimeoutError):
                self._client.recv(0.2)
