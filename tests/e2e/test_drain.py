"""The orderly end of a replica: closes spread evenly, nothing queued is lost, producers get what they are owed and are told to move.

HERALD_DRAIN_SESSIONS=10000 makes it as large as an operator may meet it; the suite runs a smaller one.
"""

import os
import signal
import socket
import time
import unittest
from pathlib import Path

from fleet import Fleet, Spec
from harness import DEADLINE, eventually
from producer import END, Code, Producer, PushStream, Watch, deliver, push_service_pb2
from herald_client import as_json
from server_case import ServerTest
from wire import TEXT, RawClient

SESSIONS = int(os.environ.get("HERALD_DRAIN_SESSIONS", 400))
SECONDS = 5 if SESSIONS <= 1000 else 30
QUEUED = 20 if SESSIONS <= 1000 else 2  # more, and it is the client that is late


class Told(PushStream):
    """Keeps the move notice too."""

    def __init__(self, *arguments, **options):
        self.moving = None
        super().__init__(*arguments, **options)

    def items(self, response):
        if response.HasField("moving"):
            self.moving = response.moving
        return super().items(response)


def seconds(duration):
    return float((duration or "0s").removesuffix("s"))


def connections_to(addr):
    """Our ports of the established connections to `127.0.0.1:port` (proc(5), net/tcp)."""
    wanted = f"0100007F:{int(addr.rsplit(':', 1)[1]):04X}"
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[2].endswith(wanted) and row[3] == "01"}


class DrainTest(ServerTest):
    def test_closes_are_spread_evenly_and_queues_flushed(self):
        herald = self.start(f"--drain_seconds={SECONDS}", "--ping_interval=10m")
        producer = self.enter(Producer(herald))
        names = [f"s{number}" for number in range(SESSIONS)]
        with Fleet(herald) as fleet:
            fleet.open([Spec(name, f"?user={name}&topics=news") for name in names], timeout=300)
            with Told(producer) as stream:
                stream.send(*[{"deliver": deliver(message=as_json({"n": n}), topic="news")} for n in range(QUEUED)])
                stream.results(QUEUED)
                began = time.monotonic()
                herald.signal(signal.SIGTERM)
                herald.wait_line('"draining"')
                # Whoever is still there gets messages until his turn: these come while closes go on.
                for n in range(QUEUED, 2 * QUEUED):
                    stream.send({"deliver": deliver(message=as_json({"n": n}), topic="news")})
                self.assertEqual({result.code for result in stream.results(QUEUED).values()}, {0})
                self.assertEqual(herald.wait(SECONDS + 3 * DEADLINE), 0)
            took = time.monotonic() - began
            eventually(lambda: fleet.counts()[1] == 0, "all are closed")
            received = fleet.collect()
        came_back, last_number = [], []
        for name, one in received.items():
            self.assertEqual(one.close_code, 1012, f"{name}: {one.close_reason}")
            numbers = list(one.numbers["news"])
            self.assertEqual(numbers, list(range(len(numbers))), "in order, without a hole")
            self.assertGreaterEqual(len(numbers), QUEUED, "what was sent before the drain has arrived")
            last_number.append(numbers[-1])
            self.assertEqual([list(frame) for frame in one.others], [["reconnect"]], name)
            came_back.append(one.closed_at - began + seconds(one.others[0]["reconnect"].get("delay")))
        self.assertEqual(len(came_back), SESSIONS)
        self.assertGreaterEqual(sum(number == 2 * QUEUED - 1 for number in last_number), SESSIONS // 2,
                                "those whose turn came later got what was sent meanwhile")
        self.assertLess(max(came_back), SECONDS + 1.5, "all are back by the end")
        slots = [0] * (int(max(came_back)) + 1)
        for at in came_back:
            slots[int(at)] += 1
        # Not together: how evenly is told by the wave's own test, and here a busy machine holds some up.
        self.assertLess(max(slots), SESSIONS / 2, slots)
        closes = [0] * (int(max(one.closed_at for one in received.values()) - began) * 2 + 2)
        for one in received.values():
            closes[int(2 * (one.closed_at - began))] += 1
        self.assertLess(max(closes), SESSIONS / 2, f"by half seconds: {closes}")
        summary = herald.logs("ended")[-1]
        self.assertEqual((summary["sessions_closed"], summary["sessions_left"], summary["dropped"]), (SESSIONS, 0, 0), summary)
        print(f"{SESSIONS} sessions over {SECONDS} s: reconnects by second {slots}, exit after {took:.1f} s")

    def test_a_reconnecting_client_cannot_come_back(self):
        herald = self.start("--drain_seconds=3600")  # not over while this looks at it
        self.enter(herald.json_client())
        waiting = self.enter(RawClient(herald.client_addr))  # on its way in
        host, port = herald.client_addr.split(":")
        herald.signal(signal.SIGTERM)
        herald.wait_line('"draining"')

        def refused():
            try:
                with socket.create_connection((host, int(port)), DEADLINE) as taken:
                    return taken.recv(1) == b""
            except ConnectionError:
                return True
        eventually(refused, "the port is shut")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), DEADLINE)
        waiting.send(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: herald.v1.json\r\n\r\n")
        self.assertIn(b" 503 ", waiting.read_until(b"\r\n"))
        self.assertEqual(herald.http("/readyz")[:2], (503, "draining\n"))
        self.assertEqual(herald.http("/healthz")[0], 200)
        self.assertEqual(herald.metric("herald_draining"), 1)
        herald.signal(signal.SIGTERM)
        self.assertEqual(herald.wait(), 0)

    def test_a_second_signal_hurries_and_spreads_the_clients(self):
        herald = self.start("--drain_seconds=60")
        clients = [self.enter(herald.json_client()) for _ in range(20)]
        herald.signal(signal.SIGTERM)
        herald.wait_line('"draining"')
        began = time.monotonic()
        herald.signal(signal.SIGTERM)
        delays = [seconds(client.wait(lambda frame: "reconnect" in frame)["reconnect"].get("delay")) for client in clients]
        self.assertGreater(max(delays), 15, delays)
        self.assertLess(min(delays), 45, delays)
        self.assertLessEqual(max(delays), 60)
        self.assertEqual(herald.wait(), 0)
        self.assertLess(time.monotonic() - began, DEADLINE)

    def test_clients_that_do_not_close_do_not_disturb_the_end(self):
        """Their connections go last: the server's own assertion sees whether one goes after what it refers to."""
        herald = self.start("--drain_seconds=0", "--max_sessions_per_ip=100")
        subscribed, upgraded, silent = (self.enter(RawClient(herald.client_addr)) for _ in range(3))
        for client in (subscribed, upgraded):
            self.assertEqual(client.upgrade(subprotocol="herald.v1.json").status, 101)
        subscribed.send_frame(TEXT, '{"id": 1, "connect": {"topics": ["news"]}}')
        self.assertIn(b'"hello"', subscribed.wait_frame(TEXT))
        silent.send(b"GET /ws HTTP/1.1\r\n")
        herald.signal(signal.SIGTERM)
        self.assertEqual(herald.wait(), 0, herald.output)
        self.assertEqual(subscribed.wait_close()[0], 1012)

    def test_drain_by_call_answers_with_the_sessions(self):
        herald = self.start("--drain_seconds=60")
        clients = [self.enter(herald.json_client()) for _ in range(3)]
        self.assertEqual(herald.ctl("drain", "--over", "1s").stdout, "draining  3 sessions\n")
        for client in clients:
            advice = client.wait(lambda frame: "reconnect" in frame)["reconnect"]
            self.assertLessEqual(seconds(advice.get("delay")), 1)
        self.assertEqual(herald.wait(), 0)

    def test_a_slow_reader_gets_its_queue(self):
        herald = self.start("--drain_seconds=1", "--max_outbound_bytes_per_session=8MiB", threads=1)
        producer = self.enter(Producer(herald))
        with Fleet(herald) as fleet:
            fleet.open([Spec("slow", "?topics=news", rcvbuf=4096, reads=False)])
            with PushStream(producer) as stream:
                for n in range(100):
                    stream.send({"deliver": deliver(message=as_json({"n": n, "pad": "x" * 60_000}), topic="news")})
                stream.results(100)
            self.assertGreater(herald.metric("herald_queued_bytes"), 0, "some wait in the queue")
            herald.signal(signal.SIGTERM)
            herald.wait_line('"draining"')
            fleet.reads(["slow"], True)
            self.assertEqual(herald.wait(3 * DEADLINE), 0)
            eventually(lambda: fleet.counts()[1] == 0, "it is closed")
            slow = fleet.collect()["slow"]
        self.assertEqual((slow.close_code, list(slow.numbers["news"])), (1012, list(range(100))))


class ProducersTest(ServerTest):
    def test_every_result_and_receipt_of_an_open_stream(self):
        herald = self.start("--drain_seconds=1")
        producer = self.enter(Producer(herald))
        clients = [self.enter(herald.json_client("?user=alice")) for _ in range(2)]
        stream = self.enter(Told(producer))
        acked = {"report": push_service_pb2.REPORT_LEVEL_ACKED, "report_timeout": {"seconds": 60}}
        stream.send(*[{"deliver": deliver("x", user_id="alice", **acked)} for _ in range(50)])
        first = stream.take()
        herald.signal(signal.SIGTERM)
        herald.wait_line('"draining"')
        stream.send(*[{"deliver": deliver("x", user_id="alice", **acked)} for _ in range(50)])
        items = [first]
        while (item := stream.take()) is not END:
            items.append(item)
        results = {item.seq: item.code for item in items if hasattr(item, "code")}
        receipts = {item.seq: item for item in items if hasattr(item, "final")}
        self.assertEqual(results, dict.fromkeys(range(1, 101), 0))
        self.assertEqual(sorted(receipts), list(range(1, 101)))
        for receipt in receipts.values():
            self.assertTrue(receipt.final)
            self.assertEqual(receipt.acked + sum(count for reason, count in receipt.dropped.items() if reason != "no_session"), receipt.matched)
        self.assertEqual({receipts[seq].matched for seq in range(1, 51)}, {2})
        self.assertEqual(stream.call.code(), Code.UNAVAILABLE)
        self.assertLessEqual(stream.moving.within.ToTimedelta().total_seconds(), 1)
        self.assertIn("draining", stream.moving.reason)
        self.assertEqual(herald.wait(), 0)
        del clients

    def test_a_stream_that_moves_ends_well(self):
        herald = self.start("--drain_seconds=3600")
        self.enter(herald.json_client())  # keeps the drain going
        producer = self.enter(Producer(herald))
        stream = self.enter(Told(producer))
        stream.send({"deliver": deliver(all=True)})
        stream.results(1)
        herald.signal(signal.SIGTERM)
        eventually(lambda: stream.moving, "the notice")
        self.assertAlmostEqual(stream.moving.within.ToTimedelta().total_seconds(), 3600, delta=5)
        stream.send({"deliver": deliver(all=True)})
        stream.half_close()
        self.assertEqual(stream.results(1)[2].code, 0)
        self.assertEqual(stream.end()[0], Code.OK)
        # The connection has had its GOAWAY: the next call takes another, which nobody takes here.
        code, _ = producer.send_refusal(deliver=deliver(all=True))
        self.assertEqual(code, Code.UNAVAILABLE)
        herald.signal(signal.SIGTERM)
        self.assertEqual(herald.wait(), 0)

    def test_watchers_see_the_closes(self):
        herald = self.start("--drain_seconds=0")
        producer = self.enter(Producer(herald))
        watch = self.enter(Watch(producer, kinds=["session_closed"]))
        clients = [self.enter(herald.json_client()) for _ in range(20)]
        herald.signal(signal.SIGTERM)
        closed = {watch.event("session_closed").session_id for _ in clients}
        self.assertEqual(closed, {client.session_id for client in clients})
        self.assertEqual(watch.end()[0], Code.UNAVAILABLE)
        self.assertEqual(herald.wait(), 0)


class ConnectionAgeTest(ServerTest):
    def test_the_notice_comes_after_goaway_and_before_the_end(self):
        herald = self.start("--grpc_max_connection_age=1s", "--grpc_max_connection_age_grace=2s")
        producer = self.enter(Producer(herald))
        began = time.monotonic()
        stream = self.enter(Told(producer))
        sent = 0
        while not stream.moving and time.monotonic() - began < DEADLINE:
            stream.send({"deliver": deliver(topic="a")})
            sent += 1
            stream.results(1)
            time.sleep(0.02)
        self.assertGreater(time.monotonic() - began, 1)
        self.assertEqual(stream.moving.within.ToTimedelta().total_seconds(), 2)
        self.assertIn("grpc_max_connection_age", stream.moving.reason)
        before = connections_to(herald.grpc_addr)
        moved = self.enter(Told(producer))  # the old connection has had its GOAWAY, so this takes another
        moved.send({"deliver": deliver(topic="a")})
        moved.results(1)
        self.assertTrue(connections_to(herald.grpc_addr) - before, "a new connection")
        stream.send({"deliver": deliver(topic="a")})
        self.assertEqual([result.code for result in stream.results(1).values()], [0], "still served")
        code, details = stream.end()
        self.assertEqual(code, Code.UNAVAILABLE, details)
        self.assertGreater(time.monotonic() - began, 3)

    def test_no_age_unless_asked_for(self):
        herald = self.start("--grpc_max_connection_age=0s")
        stream = self.enter(Told(self.enter(Producer(herald))))
        stream.send({"deliver": deliver(topic="a")})
        stream.results(1)
        self.assertTrue(stream.nothing(2))
        self.assertIsNone(stream.moving)


if __name__ == "__main__":
    unittest.main()
