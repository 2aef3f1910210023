"""G10: small frames, control frames and reconnects must not buy more than a session's rate."""

import unittest

from harness import Herald
from rates import cpu_seconds, flood, raw_session
from server_case import ServerTest
from wire import frame_bytes

FLAGS = ("--inbound_messages_per_second=20",)
MAX_BYTES = 24 << 20  # more than the kernel holds for a connection that nobody reads
FRAMES_A_CHUNK = 2000


def chunk(*frame, **options):
    return b"".join(frame_bytes(*frame, **options) for _ in range(FRAMES_A_CHUNK))


class FrameFloodTest(ServerTest):
    def assert_closed(self, herald, first, frames, reason="session_frames"):
        """A flood is closed, costs little, and an innocent client is answered meanwhile and after."""
        innocent = self.enter(herald.json_client("?user=innocent"))
        client = self.enter(raw_session(herald))
        client.send(first)
        before = cpu_seconds(herald)
        sent = flood(client, frames, MAX_BYTES)
        spent = cpu_seconds(herald) - before
        self.assertIn("ok", innocent.request(ping={}))
        self.assertLess(sent, MAX_BYTES, "the server reads as fast as the client sends")
        self.assertLess(spent, 0.5, f"CPU seconds for {sent} bytes")
        client.socket.settimeout(10)
        code, text = client.wait_close()
        self.assertEqual(code, 4429, text)
        self.assertGreaterEqual(herald.metric("herald_rate_limited_total", reason=reason), 1)
        self.assertIn("ok", innocent.request(ping={}))

    def test_g10_fragments_of_one_byte(self):
        self.assert_closed(self.enter(Herald(*FLAGS)), frame_bytes(1, b"{", fin=False), chunk(0, b" ", fin=False))

    def test_g10_empty_fragments(self):
        self.assert_closed(self.enter(Herald(*FLAGS)), frame_bytes(1, b"", fin=False), chunk(0, b"", fin=False))

    def test_g10_pings(self):
        self.assert_closed(self.enter(Herald(*FLAGS)), b"", chunk(9, b""))

    def test_g10_pongs(self):
        self.assert_closed(self.enter(Herald(*FLAGS)), b"", chunk(10, b""))

    def test_g10_bytes(self):
        herald = self.enter(Herald("--inbound_messages_per_second=1000000"))
        message = frame_bytes(1, b'{"message":{"text":"' + b"x" * 60_000 + b'"}}')
        self.assert_closed(herald, b"", message * 4, "session_bytes")

    # Twice the rate each time, and then a new connection.
    def reconnects(self, herald, query, count):
        """The code of the first connection that is refused; None if all may send."""
        for _ in range(count):
            try:
                client = raw_session(herald, query)
                if client is None:
                    return 429
                with client:
                    client.send(b"".join(frame_bytes(9, b"") for _ in range(38)) + frame_bytes(1, b'{"id":7,"ping":{}}'))
                    while b'"reply"' not in client.wait_frame(1):
                        pass
            except (EOFError, ConnectionError):
                return 4429
        return None

    def test_g10_a_user_who_reconnects_has_no_fresh_bucket(self):
        herald = self.enter(Herald(*FLAGS))
        # 160 frames at once and 80 a second; each connection sends 40.
        self.assertIsNotNone(self.reconnects(herald, "?user=mallory", 300))
        self.assertGreaterEqual(herald.metric("herald_rate_limited_total", reason="user_frames"), 1)
        alice = self.enter(herald.json_client("?user=alice"))
        self.assertIn("ok", alice.request(ping={}))

    def test_g10_an_address_without_users_has_no_fresh_bucket(self):
        herald = self.enter(Herald(*FLAGS, "--address_rate_multiple=3"))
        self.assertIsNotNone(self.reconnects(herald, "", 300))
        self.assertGreaterEqual(herald.metric("herald_rate_limited_total", reason="address_frames"), 1)


if __name__ == "__main__":
    unittest.main()
