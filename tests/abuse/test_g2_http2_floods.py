"""G2: floods of HTTP/2 frames on one connection, without a token.

gRPC 1.51 has no limits against some of them (HELD_FROM), and Herald cannot add them from outside: there the process must live,
stay below a bound that keeps a container of 1 GiB, and serve the honest producer afterwards. With a newer gRPC the memory must
stay flat, and the honest producer is served meanwhile.
"""

import tempfile
import unittest
from pathlib import Path

import http2_floods as floods
import producers_file
from harness import grpc_version
from memory import MIB, Growth
from producer import Producer
from server_case import ServerTest

TOKEN = "a-token-of-a-producer"
FLOOD_BYTES = 3_000_000
FLAT = 48 * MIB      # calls, buffers and the allocator's slack
BOUNDED = 512 * MIB  # what gRPC 1.51 makes of FLOOD_BYTES at most


class G2Http2FloodsTest(ServerTest):
    HELD_FROM = {"rapid_reset": (1, 60), "settings": (1, 60), "ping": (1, 60)}

    def setUp(self):
        super().setUp()
        path = Path(self.enter(tempfile.TemporaryDirectory())) / "producers"
        billing = producers_file.write(path, producers_file.entry("billing", TOKEN, **producers_file.EVERYTHING))
        self.herald = self.start(billing, threads=1)
        self.producer = self.enter(Producer(self.herald, TOKEN))

    def flood(self, name):
        self.assertEqual(self.producer.deliver(topic="before").code, 0)
        with Growth(self.herald) as growth, floods.Honest(lambda: self.producer.deliver(topic="meanwhile")) as honest:
            floods.send(self.herald.grpc_addr, name, FLOOD_BYTES)
        self.assertIsNone(self.herald.returncode, self.herald.output)
        self.assertEqual(self.producer.deliver(topic="after").code, 0)
        self.assertEqual(honest.failures, 0)
        held = grpc_version() >= self.HELD_FROM.get(name, (0, 0))
        self.assertLess(growth.bytes, FLAT if held else BOUNDED)

    def test_g2_rapid_reset(self):
        self.flood("rapid_reset")

    def test_g2_endless_continuation(self):
        self.flood("continuation")

    def test_g2_empty_continuation(self):
        self.flood("empty_continuation")

    def test_g2_settings(self):
        self.flood("settings")

    def test_g2_ping(self):
        self.flood("ping")

    def test_g2_priority(self):
        self.flood("priority")

    def test_g2_window_update(self):
        self.flood("window_update")

    def test_g2_the_binary_says_which_grpc_it_has(self):
        self.assertGreaterEqual(grpc_version(), (1, 51))

    def test_g2_an_old_grpc_beyond_loopback_is_warned_of(self):
        warned = "this build's gRPC is older than 1.60"
        beyond = self.start("--grpc_addr=0.0.0.0:0", "--insecure_grpc", threads=1)
        lines = [line for line in beyond.lines if warned in line]
        self.assertEqual(len(lines), 1 if grpc_version() < (1, 60) else 0, beyond.output)
        self.assertFalse([line for line in self.herald.lines if warned in line], "not on loopback")


if __name__ == "__main__":
    unittest.main()
