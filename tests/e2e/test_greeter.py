"""examples/greeter against the real server: both threads' sessions are greeted, logged and reached by a push to all."""

import contextlib
import subprocess
import unittest

from harness import DEADLINE, Herald, python_example, raw_node_client

CLIENTS = 12  # enough that both threads hold some


class GreeterTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.herald = self.stack.enter_context(Herald(threads=2))

    def start_greeter(self, *arguments):
        greeter = self.stack.enter_context(python_example(
            "greeter/greeter.py", f"--addr={self.herald.grpc_addr}", *arguments, stdin=subprocess.PIPE))
        greeter.wait_line("watching")
        return greeter

    def test_greets_logs_and_pushes_to_all(self):
        greeter = self.start_greeter()
        clients = [self.stack.enter_context(self.herald.raw_client()) for _ in range(CLIENTS)]
        greetings = [client.recv(DEADLINE) for client in clients]
        for greeting in greetings:
            self.assertRegex(greeting, r"^Hello, stranger! You are session \S+\.$")
        self.assertEqual(len(set(greetings)), CLIENTS, "each session is told its own id")
        greeter.wait_line("connect", count=CLIENTS)

        clients[0].send("how are you?")
        greeter.wait_line(r"message  \S+: how are you\?")

        greeter.write_line("to everybody")
        self.assertEqual([client.recv(DEADLINE) for client in clients], ["to everybody"] * CLIENTS)

        clients[0].close(1000)
        greeter.wait_line(r"close    \S+ code 1000")

    def test_logs_a_broken_connection_as_error(self):
        greeter = self.start_greeter()
        client = self.stack.enter_context(self.herald.raw_client())
        client.recv(DEADLINE)
        client.socket.shutdown(2)  # the socket goes without a close frame
        greeter.wait_line(r"error    \S+ code 1006")

    def test_greets_a_user_by_name(self):
        self.start_greeter()
        with self.herald.raw_client("?user=alice") as client:
            self.assertRegex(client.recv(DEADLINE), r"^Hello, alice!")

    def test_pushes_by_itself(self):
        self.start_greeter("--every=0.1")
        with self.herald.raw_client() as client:
            client.recv(DEADLINE)
            self.assertRegex(client.recv(DEADLINE), r"^tick \d+$")

    def test_plain_websocket_in_node(self):
        greeter = self.start_greeter()
        with raw_node_client(self.herald.client_url) as client:
            client.wait_line("^Hello, stranger!")
            client.write_line("from node")
            greeter.wait_line(r"message  \S+: from node")
            greeter.write_line("for all")
            client.wait_line("^for all$")


if __name__ == "__main__":
    unittest.main()
