"""G8: one frame of a client that names thousands of topics must cost what any frame of its size costs."""

import json
import unittest

from harness import Herald
from producer import Code, Producer, to
from herald.v1 import client_protocol_pb2, push_service_pb2
from rates import cpu_seconds
from server_case import ServerTest
from wire import BINARY, TEXT, RawClient

TOPICS = 11_000
FRAMES = 20


def resume_json():
    return json.dumps({"connect": {"resume": [{"topic": f"t{n:x}"} for n in range(4_000)]}}, separators=(",", ":"))


def resume_proto():
    frame = client_protocol_pb2.ClientFrame()
    for number in range(TOPICS):
        frame.connect.resume.add(topic=f"{number:x}")
    return frame.SerializeToString()


def ack_json():
    return json.dumps({"ack": {f"t{n:x}": 1 for n in range(8_000)}}, separators=(",", ":"))


class ListsTest(ServerTest):
    def close_of(self, herald, subprotocol, opcode, *frames):
        with RawClient(herald.client_addr) as client:
            self.assertEqual(client.upgrade("/ws", subprotocol).status, 101)
            for frame in frames:
                client.send_frame(opcode, frame)
            return client.wait_close()

    def cost(self, herald, subprotocol, opcode, frame, code):
        """CPU seconds for FRAMES connections that send `frame` first."""
        before = cpu_seconds(herald)
        for _ in range(FRAMES):
            found, reason = self.close_of(herald, subprotocol, opcode, frame)
            self.assertEqual(found, code, reason)
        return cpu_seconds(herald) - before, reason

    def test_g8_resume_with_thousands_of_topics(self):
        herald = self.enter(Herald("--max_connect_bytes=128KiB", threads=1))
        for subprotocol, opcode, frame in (("herald.v1.json", TEXT, resume_json()), ("herald.v1.proto", BINARY, resume_proto())):
            with self.subTest(subprotocol):
                self.assertLess(len(frame), 88_000)
                # As long, and refused for its kind: reading and checking it is all that it costs.
                harmless = '{"nothing":"' + "x" * (len(frame) - 14) + '"}' if opcode == TEXT else b"\xfa\x06" + b"\xff" * (len(frame) - 2)
                allowed, _ = self.cost(herald, subprotocol, opcode, harmless, 4400)
                took, reason = self.cost(herald, subprotocol, opcode, frame, 4400)
                self.assertLess(took, 5 * allowed + 0.3, f"{FRAMES} frames; {allowed} s for harmless ones")
                self.assertIn("`resume` has more than 130 topics", reason)

    def test_g8_ack_with_thousands_of_topics(self):
        herald = self.enter(Herald(threads=1))
        code, reason = self.close_of(herald, "herald.v1.json", TEXT, '{"connect":{}}', ack_json())
        self.assertEqual((code, reason), (4400, "`ack` has more than 130 topics"))

    def test_g8_thousands_of_labels_of_a_producer(self):
        producer = self.enter(Producer(self.enter(Herald(threads=1))))
        keys = [f"k{number}" for number in range(5_000)]
        for labels in (push_service_pb2.SetLabels(target=to(all=True), remove=keys),
                       push_service_pb2.SetLabels(target=to(all=True), set=dict.fromkeys(keys, "v"))):
            code, details = producer.send_refusal(set_labels=labels)
            self.assertEqual(code, Code.INVALID_ARGUMENT, details)
            self.assertIn("over the limit of", details)

    def test_g8_the_limit_itself_is_allowed(self):
        herald = self.enter(Herald(threads=1))
        topics = [{"topic": f"t{number}"} for number in range(128)]
        client = self.enter(herald.json_client())
        self.assertIn("ok", client.request(ack={one["topic"]: "1" for one in topics}))
        with RawClient(herald.client_addr) as full:
            full.upgrade("/ws", "herald.v1.json")
            full.send_frame(TEXT, json.dumps({"connect": {"resume": topics}}))
            self.assertEqual(len(json.loads(full.wait_frame(TEXT))["hello"]["topics"]), 129)  # and $all


if __name__ == "__main__":
    unittest.main()
