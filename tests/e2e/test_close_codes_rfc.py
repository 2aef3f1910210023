"""The close codes of RFC 6455 and its registry, 1000 to 1013, provoked against the real binary.

A test's name begins with `test_<code>_`.
"""

import json
import signal
import unittest

from close_case import CloseTest
from harness import Herald
from producer import Producer, PushStream, Watch, to
from wire import BINARY, CLOSE, TEXT, open_client, raw_client


class WebSocketTest(CloseTest):
    """Codes of RFC 6455, with one server for all."""

    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def setUp(self):
        super().setUp()
        self.producer = self.enter(Producer(self.herald))

    def client(self, **options):
        return self.enter(self.herald.json_client(**options))

    def raw(self, subprotocol=None, **options):
        return self.enter(raw_client(self.herald, subprotocol, **options))

    def closing_event(self, watch):
        return watch.event("session_closed").session_closed

    def test_1000_client_closes(self):
        watch = self.enter(Watch(self.producer, ["session_closed"]))
        client = self.client()
        client.socket.close(1000, "done")
        self.assertEqual(client.socket.close_code, 1000)
        closed = self.closing_event(watch)
        self.assertEqual((closed.code, closed.reason), (1000, "done"))

    def test_1000_by_a_producer(self):
        client = self.client()
        self.producer.disconnect(code=1000, reason="bye", session_id=client.session_id)
        self.assert_closed(client.socket, 1000, "^bye$")

    def test_1001_client_goes_away_and_is_answered(self):
        watch = self.enter(Watch(self.producer, ["session_closed"]))
        client = self.raw()
        client.send_frame(CLOSE, b"\x03\xe9leaving")
        self.assertEqual(client.wait_close()[0], 1001, "RFC 6455 §5.5.1: the answer carries the same code")
        closed = self.closing_event(watch)
        self.assertEqual((closed.code, closed.reason), (1001, "leaving"))

    def test_1001_by_a_producer(self):
        client = self.client()
        self.producer.disconnect(code=1001, session_id=client.session_id)
        self.assert_closed(client.socket, 1001)

    def test_1002_reserved_bits(self):
        for bits in (1, 2, 4):
            client = self.raw()
            client.send_frame(TEXT, "x", reserved=bits)
            self.assertEqual(client.wait_close()[0], 1002, bits)

    def test_1002_unmasked_frame(self):
        client = self.raw()
        client.send_frame(TEXT, "x", masked=False)
        self.assertEqual(client.wait_close()[0], 1002)

    def test_1002_reserved_opcodes(self):
        for opcode in (3, 7, 11, 15):
            client = self.raw("herald.v1.json")
            client.send_frame(opcode, "x")
            self.assertEqual(client.wait_close()[0], 1002, opcode)

    def test_1002_broken_fragments_and_control_frames(self):
        for name, frames in {
            "a continuation of nothing": [(0, "x", True)],
            "a message inside another": [(TEXT, "x", False), (TEXT, "y", True)],
            "a fragmented ping": [(9, "x", False)],
            "a ping of 126 bytes": [(9, "x" * 126, True)],
            "a close frame of one byte": [(CLOSE, b"\x03", True)],
            "a close code that must not be sent": [(CLOSE, b"\x03\xed", True)],
        }.items():
            with self.subTest(name):
                client = self.raw()
                for opcode, payload, fin in frames:
                    client.send_frame(opcode, payload, fin=fin)
                self.assertEqual(client.wait_close()[0], 1002)

    def test_1002_is_told_to_watchers(self):
        watch = self.enter(Watch(self.producer, ["session_closed"]))
        self.raw().send_frame(TEXT, "x", masked=False)
        self.assertEqual(self.closing_event(watch).code, 1002)

    def test_1003_binary_to_json(self):
        connection = self.enter(open_client(self.herald))
        connection.send(b'{"id":1,"connect":{}}')
        self.assert_closed(connection, 1003, "text")

    def test_1003_text_to_proto(self):
        connection = self.enter(open_client(self.herald, "herald.v1.proto"))
        connection.send('{"id":1,"connect":{}}')
        self.assert_closed(connection, 1003, "binary")

    def test_1007_bad_utf8_in_a_text_frame(self):
        for subprotocol in ("herald.v1.json", None):
            client = self.raw(subprotocol)
            client.send_frame(TEXT, b'{"id":1,"connect":{"token":"\xff"}}')
            self.assertEqual(client.wait_close()[0], 1007, subprotocol)

    def test_1007_across_fragments(self):
        client = self.raw()
        client.send_frame(TEXT, b"\xe2\x82", fin=False)
        client.send_frame(0, b"x")
        self.assertEqual(client.wait_close()[0], 1007)

    def test_1007_is_not_for_good_or_binary_frames(self):
        watch = self.enter(Watch(self.producer, ["client_message"]))
        client = self.raw()
        client.send_frame(TEXT, b"\xe2\x82", fin=False)
        client.send_frame(0, b"\xac")
        self.assertEqual(watch.event("client_message").client_message.payload.decode(), "€")
        client.send_frame(BINARY, b"\xff")
        self.assertEqual(watch.event("client_message").client_message.payload, b"\xff")

    def test_1009_too_big(self):
        with self.enter(self.herald.raw_client()) as client:
            client.send(b"x" * (64 * 1024 + 1))
            self.assert_closed(client, 1009)

    def test_1009_too_big_in_fragments(self):
        client = self.raw()
        client.send_frame(BINARY, b"x" * 40_000, fin=False)
        client.send_frame(0, b"x" * 40_000)
        self.assertEqual(client.wait_close()[0], 1009)

    def test_1009_too_big_for_an_envelope(self):
        client = self.client()
        client.send({"message": {"text": "x" * 200_000}})
        self.assert_closed(client.socket, 1009)

    def test_1009_is_not_for_the_largest_that_fits(self):
        watch = self.enter(Watch(self.producer, ["client_message"]))
        self.enter(self.herald.raw_client()).send(b"x" * 64 * 1024)
        self.assertEqual(len(watch.event("client_message").client_message.payload), 64 * 1024)

    def test_1013_by_a_producer(self):
        # Nothing in this version closes an open session with 1013 by itself in a way that a test can bring about: a server that is
        # full answers the handshake with 503. A producer may use the code.
        client = self.client()
        self.producer.disconnect(code=1013, reason="busy", session_id=client.session_id)
        self.assert_closed(client.socket, 1013, "^busy$")


class RestartTest(CloseTest):
    def test_1012_with_reconnect_advice_and_exit_0(self):
        herald = self.start("--drain_seconds=2")
        client, other = self.enter(herald.json_client()), self.enter(open_client(herald, None))
        herald.signal(signal.SIGTERM)
        frames = [json.loads(frame) for frame in self.assert_closed(client.socket, 1012)]
        self.assertEqual([list(frame) for frame in frames], [["reconnect"]], "the advice is the last frame, and comes once")
        advice = frames[0]["reconnect"]
        delay = float(advice.get("delay", "0s").removesuffix("s"))
        self.assertTrue(0 <= delay <= 2, advice)
        self.assertFalse(advice.get("never", False))
        self.assert_closed(other, 1012)
        self.assertEqual(herald.wait(), 0)

    def test_1012_delays_are_spread(self):
        herald = self.start("--drain_seconds=60")
        clients = [self.enter(herald.json_client()) for _ in range(10)]
        herald.signal(signal.SIGTERM)
        herald.wait_line('"draining"')
        herald.signal(signal.SIGTERM)  # in a hurry: then the clients spread over the time that was left
        delays = [client.wait(lambda frame: "reconnect" in frame)["reconnect"].get("delay", "0s") for client in clients]
        self.assertGreater(len(set(delays)), 5, delays)

    def test_1012_what_was_queued_comes_first(self):
        herald = self.start("--drain_seconds=0")
        client = self.enter(herald.json_client("?topics=news"))
        with Producer(herald) as producer, PushStream(producer) as stream:
            stream.send(*[{"deliver": {"target": to(topic="news"), "message": {"payload": b"%d" % n}}} for n in range(500)])
            stream.results(500)
        herald.signal(signal.SIGTERM)
        frames = [json.loads(frame) for frame in self.assert_closed(client.socket, 1012)]
        self.assertEqual([frame["message"]["data"] for frame in frames if "message" in frame], list(range(500)))


if __name__ == "__main__":
    unittest.main()
