"""Clients that have nothing but the WebSocket of Node (the browsers' own): raw, herald.v1.json and herald.v1.proto."""

import base64
import contextlib
import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import DEADLINE, ROOT, Herald, Process
from producer import Producer, common_pb2, deliver

NODE_PACKAGES = ROOT / "build/node/node_modules"
BYTES = bytes(range(256))


def node_arguments():
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    major = int(re.match(r"v(\d+)", version)[1])
    return ["node", "--no-warnings", *(["--experimental-websocket"] if major < 22 else [])]


def generate_javascript(directory):
    """The static module that protobufjs makes of client_protocol.proto."""
    module = Path(directory) / "client_protocol.cjs"
    subprocess.run(["node", NODE_PACKAGES / "protobufjs-cli/bin/pbjs", "--target", "static-module", "--wrap", "commonjs", "--keep-case",
                    "--path", ROOT / "proto", "--out", module, ROOT / "proto/herald/v1/client_protocol.proto"],
                   check=True, timeout=3 * DEADLINE)
    # It imports protobufjs from beside itself.
    (Path(directory) / "node_modules").symlink_to(NODE_PACKAGES)
    return module


class NodeClient(Process):
    """`lines` as JSON values, in order."""

    def __init__(self, script, *arguments):
        super().__init__([*node_arguments(), ROOT / "tests/e2e/node" / script, *arguments], stdin=subprocess.PIPE)
        self._next = 0

    def take(self):
        self._next += 1
        self.wait_line("", count=self._next)
        return json.loads(self.lines[self._next - 1])

    def send(self, frame):
        self.write_line(json.dumps(frame))


class NodeClientsTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.herald = self.stack.enter_context(Herald(threads=2))
        self.producer = self.stack.enter_context(Producer(self.herald))

    def client(self, *arguments):
        return self.stack.enter_context(NodeClient(*arguments))

    def test_raw(self):
        client = self.client("raw_client.mjs", self.herald.client_url + "?user=alice&topics=news,sport&labels=tier=gold")
        self.assertEqual(client.take(), {"open": ""})
        session, = self.producer.list_sessions(user_id="alice").sessions
        self.assertEqual(sorted(session.topics), ["news", "sport"])
        self.producer.deliver("to all", all=True)
        self.producer.deliver('{"to":"alice"}', user_id="alice")
        self.producer.deliver("on a topic", topic="sport")
        self.producer.deliver("to gold", selector="tier=gold")
        self.producer.deliver("to the session", session_id=session.session_id)
        self.producer.deliver("grüß dich 👋", topic="news")
        self.producer.send(deliver=deliver(message=common_pb2.Message(payload=BYTES), user_id="alice"))
        self.producer.deliver("not to alice", all=True, except_users=["alice"])
        self.producer.deliver("", topic="news")
        texts = ["to all", '{"to":"alice"}', "on a topic", "to gold", "to the session", "grüß dich 👋"]
        self.assertEqual([client.take() for _ in texts], [{"text": text} for text in texts], "nothing but payloads, no envelope, no hello")
        self.assertEqual(client.take(), {"binary": BYTES.hex()})
        self.assertEqual(client.take(), {"text": ""})
        self.producer.disconnect(session_id=session.session_id, code=4410, reason="enough")
        self.assertEqual(client.take(), {"close": 4410, "reason": "enough", "wasClean": True})

    def check_frames(self, *arguments):
        """What both subprotocols have in common: the frames as canonical JSON, but for how a payload stands in them."""
        client = self.client("frame_client.mjs", self.herald.client_url + "?user=alice&topics=news&labels=tier=gold", *arguments)
        self.assertEqual(client.take(), {"open": arguments[0]})
        client.send({"id": 1, "connect": {"labels": {"page": "test"}}})
        hello = client.take()["hello"]
        self.assertEqual(hello["user_id"], "alice")
        session = self.producer.session(hello["session_id"])
        self.assertEqual(dict(session.labels), {"tier": "gold", "client/page": "test"})
        self.assertIn("news", [topic["topic"] for topic in hello["topics"]])

        client.send({"id": 2, "subscribe": {"topic": "orders/42"}})
        self.assertEqual(client.take()["reply"]["id"], 2)
        results = [self.producer.send(deliver=deliver(message=common_pb2.Message(
                       payload='{"eta":[1,2.5,"ü"]}'.encode()), topic="orders/42")),
                   self.producer.deliver("just text", user_id="alice"),
                   self.producer.send(deliver=deliver(message=common_pb2.Message(
                       payload=BYTES, event="blob", id="my-id", attributes={"key": "value"}), all=True)),
                   self.producer.deliver("to gold", selector="tier=gold")]
        self.producer.deliver("not to alice", all=True, except_users=["alice"])
        messages = [client.take()["message"] for _ in results]
        for message, result in zip(messages, results):
            self.assertEqual(message["id"], result.message_id)
            self.assertRegex(str(message["time"]), r"\d")
            if result.positions:
                self.assertEqual((message["topic"], message["offset"], message["position"]),
                                 (result.positions[0].topic, str(result.positions[0].offset), result.positions[0].token))
        self.assertEqual([message.get("topic", "") for message in messages], ["orders/42", "$user/alice", "$all", ""])
        self.assertEqual((messages[2]["event"], messages[2]["id"], messages[2]["attributes"]), ("blob", "my-id", {"key": "value"}))
        self.assertEqual(messages[1]["text"], "just text")
        self.assertEqual(base64.b64decode(messages[2]["bytes"]), BYTES)

        client.send({"ack": {"orders/42": "1"}} if arguments[0] == "herald.v1.json" else {"ack": {"offsets": {"orders/42": 1}}})
        client.send({"id": 3, "unsubscribe": {"topic": "news"}})
        self.assertEqual(client.take()["reply"]["id"], 3)
        client.send({"id": 4, "subscribe": {"topic": "$user/bob"}})
        self.assertEqual(client.take()["reply"]["error"]["code"], "INVALID_ARGUMENT")
        client.send({"id": 5, "ping": {}})
        self.assertIn("pong", client.take())
        self.assertEqual(client.take()["reply"]["id"], 5)
        self.producer.disconnect(session_id=hello["session_id"], reason="enough")
        self.assertEqual(client.take(), {"close": 4410, "reason": "enough", "wasClean": True})
        return messages[0]

    def test_json(self):
        self.assertEqual(self.check_frames("herald.v1.json")["data"], {"eta": [1, 2.5, "ü"]})

    def test_proto_through_generated_code(self):
        generated = generate_javascript(self.stack.enter_context(tempfile.TemporaryDirectory()))
        message = self.check_frames("herald.v1.proto", str(generated))
        self.assertEqual(base64.b64decode(message["data"]).decode(), '{"eta":[1,2.5,"ü"]}')

    def test_all_three_see_one_message(self):
        generated = generate_javascript(self.stack.enter_context(tempfile.TemporaryDirectory()))
        raw = self.client("raw_client.mjs", self.herald.client_url)
        others = [self.client("frame_client.mjs", self.herald.client_url, "herald.v1.json"),
                  self.client("frame_client.mjs", self.herald.client_url, "herald.v1.proto", str(generated))]
        for client in (raw, *others):
            self.assertIn("open", client.take())
        for client in others:
            client.send({"connect": {}})
            self.assertIn("hello", client.take())
        result = self.producer.deliver("for all", all=True)
        self.assertEqual(result.matched, 3)
        self.assertEqual(raw.take(), {"text": "for all"})
        one, two = (client.take()["message"] for client in others)
        self.assertEqual({key: one[key] for key in ("topic", "offset", "position", "id", "text")},
                         {key: two[key] for key in ("topic", "offset", "position", "id", "text")})


if __name__ == "__main__":
    unittest.main()
