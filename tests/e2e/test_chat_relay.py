"""examples/chat_relay against the real server: each text reaches all others, once, in one order, and never its sender."""

import contextlib
import unittest

from harness import DEADLINE, Herald, python_example, raw_node_client

CLIENTS = 12  # enough that both threads hold some
LINES = 20


class ChatRelayTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.herald = self.stack.enter_context(Herald(threads=2))
        self.relay = self.stack.enter_context(
            python_example("chat_relay/chat_relay.py", f"--addr={self.herald.grpc_addr}"))
        self.relay.wait_line("watching")

    def connect(self):
        """A raw client and the number the relay gave it."""
        before = len([line for line in self.relay.lines if line.endswith(" came")])
        client = self.stack.enter_context(self.herald.raw_client())
        return client, self.relay.wait_line(r"(\d+) came$", count=before + 1)[1]

    def test_all_others_get_it_once_and_in_one_order(self):
        clients = [self.connect() for _ in range(CLIENTS)]
        for turn in range(LINES):
            clients[turn % CLIENTS][0].send(f"line {turn}")
        heard = []
        for index, (client, _) in enumerate(clients):
            own = len([turn for turn in range(LINES) if turn % CLIENTS == index])
            heard.append([client.recv(DEADLINE) for _ in range(LINES - own)])
        everything = {f"{clients[turn % CLIENTS][1]}: line {turn}" for turn in range(LINES)}
        order = [line for line in heard[0]]
        for index, lines in enumerate(heard):
            number = clients[index][1]
            expected = {line for line in everything if not line.startswith(f"{number}: ")}
            self.assertEqual(set(lines), expected)
            self.assertEqual(len(lines), len(expected), "each once")
            common = set(lines) & set(order)
            self.assertEqual([line for line in lines if line in common], [line for line in order if line in common])

        # Nobody gets more than that, and the sender least of all: a last line is the next that each hears.
        last, number = self.connect()
        last.send("the end")
        for client, _ in clients:
            self.assertEqual(client.recv(DEADLINE), f"{number}: the end")
        clients[0][0].send("to the last")
        self.assertEqual(last.recv(DEADLINE), f"{clients[0][1]}: to the last")

    def test_utf8_and_binary(self):
        (alice, one), (bob, _) = self.connect(), self.connect()
        alice.send("grüß dich 👋")
        self.assertEqual(bob.recv(DEADLINE), f"{one}: grüß dich 👋")
        alice.send(b"\xff\xfe")
        self.assertEqual(bob.recv(DEADLINE), f"{one}: ".encode() + b"\xff\xfe")

    def test_plain_websocket_in_node(self):
        python, number = self.connect()
        with raw_node_client(self.herald.client_url) as node:
            node.wait_line("^connected$")
            node_number = self.relay.wait_line(r"(\d+) came$", count=2)[1]
            node.write_line("from node")
            self.assertEqual(python.recv(DEADLINE), f"{node_number}: from node")
            python.send("from python")
            node.wait_line(f"^{number}: from python$")
            self.assertFalse([line for line in node.lines if "from node" in line], "never back to the sender")

    def test_goes_on_with_sessions_it_did_not_see_connect(self):
        (client, _), (other, _) = self.connect(), self.connect()
        self.relay.stop()
        second = self.stack.enter_context(
            python_example("chat_relay/chat_relay.py", f"--addr={self.herald.grpc_addr}"))
        second.wait_line("watching")
        client.send("still here?")
        self.assertRegex(other.recv(DEADLINE), r"^\d+: still here\?$")


if __name__ == "__main__":
    unittest.main()
