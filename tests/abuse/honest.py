"""Honest clients and a producer beside an attack: what they were promised must hold."""

import json
import threading
import time

from harness import DEADLINE, eventually
from producer import Producer
from websockets.exceptions import ConnectionClosed


class Honest:
    """`sessions` JSON clients on one topic with history, each on its own thread, and a producer that sends a numbered message
    every `pause` seconds, sending it again until it is accepted. `check()` ends it and asserts that each client got every
    number in order, or was closed and told so."""

    def __init__(self, herald, sessions=10, pause=0.02):
        self.sent, self.refused = 0, 0
        self.clients = [herald.json_client() for _ in range(sessions)]
        self.numbers = [[] for _ in self.clients]
        self.closed = {}
        for client in self.clients:
            assert "ok" in client.request(subscribe={"topic": "honest"})
        self._stop = threading.Event()
        self._readers = [threading.Thread(target=self._read, args=(index,), daemon=True) for index in range(sessions)]
        self._sender = threading.Thread(target=self._send, args=(herald, pause), daemon=True)
        for thread in (*self._readers, self._sender):
            thread.start()

    def _read(self, index):
        try:
            while True:
                frame = json.loads(self.clients[index].socket.recv())
                if "message" in frame:
                    self.numbers[index].append(int(frame["message"]["text"] if "text" in frame["message"] else
                                                   frame["message"]["data"]))
        except ConnectionClosed as closed:
            self.closed[index] = closed.rcvd.code if closed.rcvd else 1006

    def _send(self, herald, pause):
        with Producer(herald) as producer:
            while not self._stop.wait(pause):
                try:
                    producer.deliver(str(self.sent), topic="honest")
                    self.sent += 1
                except Exception:  # refused for memory, and tried again
                    self.refused += 1
                    if herald.returncode is not None:
                        return

    def check(self, test):
        sent_before = self.sent
        eventually(lambda: self.sent > sent_before, "the honest producer is served after the flood", DEADLINE)
        self._stop.set()
        self._sender.join(DEADLINE)
        test.assertEqual(self.closed, {}, "no honest session was closed")
        wanted = list(range(self.sent))
        for numbers in self.numbers:
            eventually(lambda: len(numbers) >= len(wanted), "all that was accepted has arrived", DEADLINE)
            test.assertEqual(numbers, wanted)
        for client in self.clients:
            client.socket.close()
