"""G3: calls whose requests never become complete must hold next to nothing, and end by themselves."""

import contextlib
import tempfile
import unittest
from pathlib import Path

import producers_file
from harness import eventually
from http2 import Connection, message
from memory import MIB, Growth
from producer import Producer
from server_case import ServerTest

PUSH = "/herald.v1.PushService/Push"
SEND = "/herald.v1.PushService/Send"
WATCH = "/herald.v1.EventService/Watch"
CHECK = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
TOKEN = "a-token-of-a-producer"
OK, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAUTHENTICATED = 0, 4, 12, 16
MAX_HEALTH_WATCHES = 256


class G3HalfSentBodiesTest(ServerTest):
    def start_with_tokens(self, *flags):
        path = Path(self.enter(tempfile.TemporaryDirectory())) / "producers"
        billing = producers_file.write(path, producers_file.entry("billing", TOKEN, **producers_file.EVERYTHING))
        self.herald = self.start(billing, "--grpc_threads=1", *flags, threads=1)
        return self.herald

    def connection(self):
        return self.enter(Connection(self.herald.grpc_addr))

    def refused(self, reason):
        return self.herald.metric("herald_grpc_refused_total", reason=reason)

    def assert_serves(self):
        with Producer(self.herald, TOKEN) as producer:
            self.assertEqual(producer.deliver(topic="a").code, 0)

    def test_g3_a_stranger_is_refused_by_the_headers(self):
        self.start_with_tokens()
        half = message(bytes(2 * MIB), length=3_900_000)
        statuses = []
        with Growth(self.herald) as growth, contextlib.ExitStack() as strangers:
            for _ in range(4):
                connection = strangers.enter_context(Connection(self.herald.grpc_addr))
                streams = [connection.call(SEND) for _ in range(25)]
                for stream in streams:
                    connection.data(stream, half, timeout=0.5)
                statuses.append(connection.status(streams[0], timeout=1))
        self.assertLess(growth.bytes, 16 * MIB)
        self.assertEqual(statuses, [UNAUTHENTICATED] * 4)
        self.assertEqual(self.refused("credentials"), 100)
        self.assert_serves()

    def test_g3_an_incomplete_unary_request_has_a_deadline(self):
        self.start_with_tokens("--grpc_request_timeout=1s")
        for begun in (b"", message(bytes(100), length=3_900_000)):
            connection = self.connection()
            stream = connection.call(SEND, TOKEN)
            connection.data(stream, begun)
            self.assertEqual(connection.status(stream), DEADLINE_EXCEEDED)
        self.assertEqual(self.refused("late_request"), 2)
        self.assertTrue(eventually(lambda: self.herald.logs("gRPC calls refused"), "a log line"))
        self.assert_serves()

    def test_g3_a_watch_must_say_what_it_watches(self):
        self.start_with_tokens("--grpc_request_timeout=1s")
        connection = self.connection()
        self.assertEqual(connection.status(connection.call(WATCH, TOKEN)), DEADLINE_EXCEEDED)
        connection = self.connection()
        self.assertEqual(connection.status(connection.call(HEALTH_WATCH, TOKEN)), DEADLINE_EXCEEDED)

    def test_g3_a_request_that_never_comes_is_not_waited_for(self):
        self.start_with_tokens("--grpc_request_timeout=300s")
        connection = self.connection()
        stream = connection.call(SEND, TOKEN)
        connection.half_close(stream)
        self.assertEqual(connection.status(stream), 3)
        self.assertEqual(self.refused("no_request"), 1)

    def test_g3_the_request_of_a_health_check_by_a_stranger_is_not_read(self):
        self.start_with_tokens("--grpc_request_timeout=300s")
        half = message(bytes(48 * MIB), length=1 << 30)
        with Growth(self.herald) as growth, Connection(self.herald.grpc_addr) as connection:
            stream = connection.call(CHECK)
            connection.data(stream, half, timeout=2)
            status = connection.status(stream)
        self.assertLess(growth.bytes, 16 * MIB)
        self.assertEqual(status, OK)

    def test_g3_a_health_watch_by_a_stranger_holds_nothing_and_there_are_few(self):
        self.start_with_tokens()
        connections = [self.connection() for _ in range(2)]
        calls = [(connection, connection.call(HEALTH_WATCH)) for connection in connections for _ in range(MAX_HEALTH_WATCHES // 2)]
        for connection, stream in calls:
            connection.data(stream, message(b"", length=1 << 30))
        one_more = self.connection()
        self.assertEqual(one_more.status(one_more.call(HEALTH_WATCH)), UNIMPLEMENTED)
        self.assertEqual(self.refused("health_watches"), 1)
        self.assertFalse([stream for connection, stream in calls if connection.ended(stream)])
        self.assert_serves()
        # A producer that checks the health of its server is not kept away by that.
        checks = '{"healthCheckConfig": {"serviceName": ""}, "loadBalancingConfig": [{"round_robin": {}}]}'
        with Producer(self.herald, TOKEN, options=[("grpc.service_config", checks)]) as producer:
            self.assertEqual(producer.deliver(topic="a").code, 0)

    def test_g3_half_sent_requests_of_a_producer_are_bounded_together(self):
        """Push requests have no deadline; what gRPC holds of all of them together is a share of the memory."""
        self.start_with_tokens("--max_memory_bytes=256MiB")
        half = message(bytes(4_000_000), length=4_200_000)
        with Growth(self.herald) as growth, contextlib.ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(Connection(self.herald.grpc_addr))
                for _ in range(10):
                    connection.data(connection.call(PUSH, TOKEN), half, timeout=0.3)
            self.assert_serves()
        self.assertLess(growth.bytes, 64 * MIB)
        self.assert_serves()


if __name__ == "__main__":
    unittest.main()
