"""G18: what a producer asks for and does not read must stay within its share of the memory, and disturb no other."""

import contextlib
import tempfile
import unittest
from pathlib import Path

import grpc
import producers_file
from harness import eventually
from http2 import Connection, message
from memory import MIB, Growth
from producer import Producer, deliver, event_service_pb2, push_service_pb2, session_service_pb2
from server_case import ServerTest

PUSH = "/herald.v1.PushService/Push"
SEND = "/herald.v1.PushService/Send"
WATCH = "/herald.v1.EventService/Watch"
HISTORY = "/herald.v1.SessionService/GetHistory"
OK, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 0, 3, 7, 8
TOKEN, OTHER = producers_file.token_of("hostile"), producers_file.token_of("honest")


class G18UnreadAnswersTest(ServerTest):
    def start_with_producers(self, *flags):
        directory = Path(self.enter(tempfile.TemporaryDirectory()))
        producers = producers_file.write(
            directory / "producers",
            *(producers_file.entry(name, **producers_file.EVERYTHING) for name in ("hostile", "honest")),
            producers_file.entry("asks", may=["query"], topics=["**"], users=["**"]))
        rules = directory / "rules.yaml"
        rules.write_text("topic_rules:\n- {pattern: '**', history_size: 1000}\n")
        self.herald = self.start(producers, f"--config={rules}", "--grpc_threads=1", "--max_memory_bytes=256MiB", *flags, threads=1)
        return self.herald

    def connections(self, count):
        return [self.enter(Connection(self.herald.grpc_addr)) for _ in range(count)]

    def ask(self, connection, path, request, end=True, timeout=0.5):
        """A call whose answer nobody reads: the connection's window stays shut."""
        stream = connection.call(path, TOKEN)
        connection.data(stream, message(request.SerializeToString()), end=end, timeout=timeout)
        return stream

    def status_of(self, path, request):
        """On a connection of its own, where the status is spelled out."""
        connection = self.connections(1)[0]
        return connection.status(self.ask(connection, path, request, end=False, timeout=10))

    def assert_the_honest_one_is_served(self):
        with Producer(self.herald, OTHER) as producer:
            self.assertEqual(producer.deliver(topic="a").code, 0)
            request = session_service_pb2.GetHistoryRequest(topic="a", limit=1)
            self.assertEqual(len(producer.call(producer.sessions.GetHistory, request).entries), 1)

    def refused(self):
        return self.herald.metric("herald_grpc_refused_total", reason="memory")

    def held(self):
        return self.herald.metric("herald_memory_bytes", account="calls")

    def test_g18_histories_that_nobody_reads(self):
        self.start_with_producers()
        with Producer(self.herald, TOKEN) as producer:
            for _ in range(90):
                producer.deliver("x" * 32_000, topic="large")
        request = session_service_pb2.GetHistoryRequest(topic="large", limit=1000)
        with Growth(self.herald) as growth:
            for connection in self.connections(2):
                for _ in range(60):
                    self.ask(connection, HISTORY, request)
            self.assertTrue(eventually(lambda: self.refused() > 100, "most are refused"))
            self.assert_the_honest_one_is_served()
        self.assertEqual(self.status_of(HISTORY, request), RESOURCE_EXHAUSTED)
        self.assertLess(growth.bytes, 64 * MIB)

    def test_g18_a_history_comes_in_pages_that_any_client_takes(self):
        self.start_with_producers()
        with Producer(self.herald, OTHER) as producer:
            for number in range(150):
                producer.deliver(f"{number:04}" * 8_000, topic="large")
            read, since = [], ""
            for _ in range(10):
                request = session_service_pb2.GetHistoryRequest(topic="large", limit=1000, since=since)
                page = producer.call(producer.sessions.GetHistory, request)
                self.assertTrue(page.complete)
                read += [int(entry.message.payload[:4]) for entry in page.entries]
                since = page.entries[-1].position.token
                if since == page.current.token:
                    break
            self.assertEqual(read, list(range(150)))

    def test_g18_results_that_nobody_reads(self):
        self.start_with_producers()
        topics = [f"topic/{number}" for number in range(2000)]
        request = push_service_pb2.PushRequest()
        for number in range(20):
            request.commands.add(seq=number + 1, deliver=deliver("x", topics=topics))
        with Growth(self.herald) as growth:
            for connection in self.connections(6):
                self.ask(connection, PUSH, request, end=False)
            self.assert_the_honest_one_is_served()
        self.assertLess(growth.bytes, 72 * MIB)  # 120 results of 480 KB each, were they all made
        self.assertGreater(self.herald.metric("herald_call_memory_limited_total"), 0)

    def test_g18_requests_that_wait_are_not_held_parsed(self):
        """A list of empty names takes 20 times its bytes once parsed; a stream whose results nobody reads is not read."""
        self.start_with_producers()
        request = push_service_pb2.PushRequest()
        for number in range(4095):
            request.commands.add(seq=number + 1, deliver=deliver("x", topic="a"))
        names = request.commands.add(seq=4096, deliver=deliver("x", topics=[])).deliver.target.topics.topics
        names.extend([""] * 700_000)
        with Growth(self.herald) as growth:
            for connection in self.connections(4):
                for _ in range(5):
                    self.ask(connection, PUSH, request, end=False)
            self.assert_the_honest_one_is_served()
        self.assertLess(growth.bytes, 128 * MIB)

    def test_g18_a_command_longer_than_any_that_makes_sense_is_not_parsed(self):
        self.start_with_producers()
        request = push_service_pb2.PushRequest()
        request.commands.add(seq=1, deliver=deliver("x", topics=[""] * 900_000))
        self.assertEqual(self.status_of(PUSH, request), INVALID_ARGUMENT)
        request = push_service_pb2.SendRequest(command=request.commands[0])
        self.assertEqual(self.status_of(SEND, request), INVALID_ARGUMENT)
        self.assertEqual(self.herald.metric("herald_grpc_refused_total", reason="long_request"), 1)

    def test_g18_watches_are_counted(self):
        self.start_with_producers()
        request = event_service_pb2.WatchRequest(open=event_service_pb2.WatchOpen())
        connections = self.connections(3)
        for connection in connections:
            for _ in range(250):
                self.ask(connection, WATCH, request, end=False)
        self.assertEqual(self.status_of(WATCH, request), RESOURCE_EXHAUSTED)
        self.assertTrue(eventually(lambda: 50 < self.refused() < 700, "those beyond its half are refused"))
        with Producer(self.herald, OTHER) as producer:
            watch = producer.events.Watch(iter([request]), metadata=producer.metadata, timeout=10)
            self.assertTrue(next(watch).HasField("opened"))
            watch.cancel()
        for connection in connections:
            connection.__exit__()
        self.assertTrue(eventually(lambda: self.held() == 0, "all given back"))

    def test_g18_a_producer_without_commands_has_no_stream(self):
        self.start_with_producers()
        with Producer(self.herald, producers_file.token_of("asks")) as producer:
            stream = producer.push.Push(iter(()), metadata=producer.metadata, timeout=10)
            with self.assertRaises(grpc.RpcError) as refused:
                next(stream)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
            self.assertIn("deliver", refused.exception.details())


if __name__ == "__main__":
    unittest.main()
