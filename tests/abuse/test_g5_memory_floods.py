"""G5: three floods, each of which got Herald killed inside its own memory limit. With default settings in a cgroup of 256 MiB
it must live, stay below the limit and serve the others; sessions are shed instead, with a code and a counter.

HERALD_ABUSE_SECONDS makes each flood last that long (default: a few seconds)."""

import json
import os
import random
import socket
import threading
import time
import unittest

from cgroup import MIB, MemoryCgroup
from harness import Herald, JsonClient, eventually
from honest import Honest
from producer import Producer
from websockets.exceptions import ConnectionClosed
from wire import frame_bytes, request_text, upgrade_headers

LIMIT = 256 * MIB
SECONDS = float(os.environ.get("HERALD_ABUSE_SECONDS", 4))


class Flood:
    """Sockets of strangers; those that break are none of our concern."""

    def __init__(self, herald):
        host, port = herald.client_addr.rsplit(":", 1)
        self.address = (host, int(port))
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()

    def connect(self, subprotocol=None, path="/ws", receive_buffer=None):
        """An upgraded socket, or None."""
        one = socket.socket()
        if receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        one.settimeout(2)
        try:
            one.connect(self.address)
            one.sendall(request_text(path=path, headers=upgrade_headers(subprotocol)))
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = one.recv(1)
                if not more:
                    raise OSError("closed")
                answer += more
            if b" 101 " not in answer:
                raise OSError("refused")
        except OSError:
            one.close()
            return None
        self.sockets.append(one)
        return one


class MemoryFloodTest(unittest.TestCase):
    def setUp(self):
        self.cgroup = self.enterContext(MemoryCgroup(LIMIT))
        self.herald = self.enterContext(Herald(wrap=self.cgroup.wrap()))
        self.honest = Honest(self.herald)

    def survived(self):
        self.assertEqual((self.herald.returncode, self.cgroup.oom_kills()), (None, 0), "killed")
        self.honest.check(self)
        self.assertEqual(self.cgroup.oom_kills(), 0)
        self.assertLess(self.cgroup.peak(), LIMIT)

    def shed(self, account):
        return self.herald.metric("herald_memory_shed_total", account=account)

    def test_g5_unfinished_first_frames(self):
        """88 KB of a first frame whose end never comes, on as many connections without a token as there may be."""
        part = frame_bytes(1, b"x" * 90_000)[:88_000]
        ends = time.monotonic() + SECONDS
        with Flood(self.herald) as flood:
            tried = 0
            while self.herald.returncode is None and (tried < 3500 or time.monotonic() < ends):
                tried += 1
                if len(flood.sockets) > 4000:  # of which the oldest have been closed by Herald
                    flood.sockets.pop(0).close()
                one = flood.connect("herald.v1.json")
                if one is None:
                    continue
                try:
                    one.sendall(part)
                except OSError:
                    pass  # closed while it was sending
            self.survived()

    def test_g5_stopped_readers(self):
        """Clients that read nothing, on a topic with a fast producer."""
        with Flood(self.herald) as flood:
            for _ in range(600):
                flood.connect(path="/ws?topics=flood", receive_buffer=4096)
            ends = time.monotonic() + SECONDS
            body = "y" * 30_000
            sent = 0
            with Producer(self.herald) as producer:
                while self.herald.returncode is None and (sent < 200 or time.monotonic() < ends):
                    try:
                        producer.deliver(body, topic="flood")
                    except Exception:  # RESOURCE_EXHAUSTED now and then
                        time.sleep(0.01)
                    sent += 1
            self.survived()
            eventually(lambda: self.shed("sessions") + self.herald.metric("herald_dropped_total", reason="slow_consumer") > 0,
                       "slow readers were shed")

    def test_g5_publishing_clients(self):
        """20 clients fill histories with messages of 60 KB, each as fast as it may: 300 MB and more."""
        ends = time.monotonic() + SECONDS
        published, refused = [0] * 20, [0] * 20

        def going_on():
            return self.herald.returncode is None and (sum(published) < 5000 or time.monotonic() < ends)

        def publish(number):
            body = random.Random(number).randbytes(30_000).hex()
            frames = [json.dumps({"id": 7, "publish": {"topic": f"flood/{number}/{index}", "text": body}})
                      for index in range(50)]
            while going_on():
                try:
                    with JsonClient(self.herald.client_url) as client:
                        while going_on():
                            for _ in range(10):
                                client.socket.send(frames[published[number] % 50])
                                published[number] += 1
                            for _ in range(10):
                                reply = client.wait(lambda frame: "reply" in frame)["reply"]
                                refused[number] += "error" in reply
                except (ConnectionClosed, OSError, TimeoutError):
                    time.sleep(0.05)  # too many a second, or no memory for another session

        threads = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.survived()
        self.assertGreater(self.herald.metric("herald_history_evicted_total") + sum(refused), 0)


if __name__ == "__main__":
    unittest.main()
