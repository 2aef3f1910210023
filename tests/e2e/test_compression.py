"""permessage-deflate with real clients: Python's websockets, Node, and the bytes themselves."""

import json
import unittest

from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from browser import Page, needs_chromium
from harness import DEADLINE, eventually, raw_node_client
from producer import Producer, Watch, deliver
from server_case import ServerTest
from wire import RawClient

PAYLOAD = json.dumps({"orders": [{"id": i * 7919 % 10007, "status": "shipped"} for i in range(100)]})


def offer(**parameters):
    return {"extensions": [ClientPerMessageDeflateFactory(**parameters)]}


def negotiated(socket):
    """The parameters of the session's permessage-deflate; None if it has none."""
    extensions = socket.protocol.extensions
    return extensions[0] if extensions else None


class CompressionTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.herald = self.start("--compression")
        self.producer = self.enter(Producer(self.herald))

    def compressed_frames(self):
        return self.herald.metric("herald_compressed_frames_total")

    def test_all_get_the_same_and_each_message_is_compressed_once(self):
        options = {"compression": "deflate"}
        clients = [self.enter(self.herald.json_client("?topics=a", **options)) for _ in range(10)]
        clients += [self.enter(self.herald.json_client("?topics=a")) for _ in range(3)]
        raw = [self.enter(self.herald.raw_client("?topics=a", **options)) for _ in range(2)]
        self.assertEqual([negotiated(client.socket) is not None for client in clients], [True] * 10 + [False] * 3)
        sent = [PAYLOAD if i % 2 else f'"{i}"' for i in range(100)]
        before = self.herald.metric("herald_sent_bytes_total")
        for payload in sent:
            self.producer.deliver(payload, topic="a")
        for client in clients:
            messages = [client.message() for _ in sent]
            self.assertEqual([message["text"] for message in messages], sent)
            self.assertEqual([int(message["offset"]) for message in messages], list(range(1, 101)))
        for client in raw:
            self.assertEqual([client.recv(DEADLINE) for _ in sent], sent)
        self.assertEqual(self.compressed_frames(), 100, "50 messages, two subprotocols")
        bytes_in = self.herald.metric("herald_compression_in_bytes_total")
        bytes_out = self.herald.metric("herald_compression_out_bytes_total")
        self.assertGreater(bytes_in, 100 * len(PAYLOAD))
        self.assertLess(bytes_out, bytes_in / 3)
        self.assertLess(self.herald.metric("herald_sent_bytes_total") - before, 8 * 50 * len(PAYLOAD))

    def test_windows_of_the_server(self):
        for bits in range(9, 16):
            with self.herald.raw_client(f"?topics=w{bits}", **offer(server_max_window_bits=bits)) as client:
                extension = negotiated(client)
                self.assertEqual(extension is not None, bits >= 12, bits)
                if extension:
                    self.assertEqual(extension.remote_max_window_bits, 12)
                self.producer.deliver(PAYLOAD * 10, topic=f"w{bits}")
                self.assertEqual(client.recv(DEADLINE), PAYLOAD * 10)
        self.assertEqual(self.compressed_frames(), 4)

    def test_clients_compress_as_they_like(self):
        for parameters in ({}, {"client_max_window_bits": 9}, {"client_max_window_bits": True}, {"client_no_context_takeover": True}):
            with self.herald.json_client("?topics=echo", **offer(**parameters)) as client, \
                    self.herald.json_client("?topics=echo") as other:
                self.assertTrue(negotiated(client.socket).local_no_context_takeover, parameters)
                for i in range(20):
                    data = {"n": i, "text": PAYLOAD * (i % 10)}
                    self.assertIn("ok", client.request(publish={"topic": "echo", "data": data}))
                    self.assertEqual(other.message()["data"], data)

    def test_a_bomb_closes_1009_in_bounded_memory(self):
        before = self.herald.rss_bytes()
        for _ in range(5):
            client = self.enter(self.herald.json_client(**offer()))
            try:
                client.socket.send(" " * 100_000_000)
                client.socket.recv(DEADLINE)
            except ConnectionClosed:
                pass
            eventually(lambda: client.socket.close_code, "the close")
            self.assertEqual(client.socket.close_code, 1009)
        self.assertLess(self.herald.rss_bytes() - before, 8 << 20)

    def test_with_node(self):
        client = self.enter(raw_node_client(self.herald.client_url + "?topics=n"))
        eventually(lambda: self.herald.metric("herald_sessions") == 1, "the session")
        eventually(lambda: self.herald.metric("herald_topics") >= 2, "its topic")
        self.producer.deliver("x" * 5000, topic="n")
        client.wait_line("x" * 5000)
        self.assertEqual(self.compressed_frames(), 1)

    @needs_chromium
    def test_with_chromium(self):
        page = self.enter(Page("sdk_page.mjs", self.herald.page_url))
        self.stack.callback(page.close)
        extensions = page.ask("evaluate", """new Promise((resolve) => {
            globalThis.got = [];
            globalThis.socket = new WebSocket(location.href.replace('http', 'ws') + 'ws?topics=c');
            socket.onmessage = ({ data }) => got.push(data);
            socket.onopen = () => resolve(socket.extensions);
        })""")
        self.assertIn("permessage-deflate", extensions)
        eventually(lambda: self.producer.deliver(PAYLOAD, topic="c") and page.ask("evaluate", "got.length"), "it comes")
        self.assertEqual(page.ask("evaluate", "got[0]"), PAYLOAD)
        self.assertGreaterEqual(self.compressed_frames(), 1)
        # What the browser sends comes compressed too.
        with Watch(self.producer, kinds=["client_message"]) as watch:
            page.ask("evaluate", f"socket.send({json.dumps(PAYLOAD)})")
            self.assertEqual(watch.event("client_message").client_message.payload.decode(), PAYLOAD)


class ThresholdTest(ServerTest):
    def test_off_by_default(self):
        herald = self.start()
        with RawClient(herald.client_addr) as client:
            answer = client.upgrade(Sec_WebSocket_Extensions="permessage-deflate")
            self.assertEqual(answer.status, 101)
            self.assertNotIn("sec-websocket-extensions", answer.headers)
        self.assertNotIn("herald_compressed_frames_total", herald.http("/metrics")[1])

    def test_is_as_configured(self):
        herald = self.start("--compression", "--compression_threshold_bytes=2KiB")
        with Producer(herald) as producer, herald.raw_client("?topics=a", compression="deflate") as client:
            for size in (2047, 2048):
                producer.deliver("x" * size, topic="a")
                self.assertEqual(client.recv(DEADLINE), "x" * size)
        self.assertEqual(herald.metric("herald_compressed_frames_total"), 1)


if __name__ == "__main__":
    unittest.main()
