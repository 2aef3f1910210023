"""Memory stays bounded whatever producers and clients do, and those who behave notice nothing.

Bounds are on the resident memory that a test adds to what Herald held before it. Each says what it is made of.
"""

import contextlib
import os
import statistics
import threading
import time
import unittest

from fleet import Fleet, Spec
from harness import DEADLINE, Herald, eventually
from producer import Producer, PushStream, Watch
from push import BATCH, batches, command, push_service_pb2

KIB, MIB = 1024, 1024 * 1024
# AddressSanitizer pads what is allocated and keeps what is freed: its build is held to a multiple (CMakeLists.txt).
MEMORY_FACTOR = float(os.environ.get("HERALD_MEMORY_FACTOR", 1))
MAX_IN_FLIGHT = 4096  # max_commands_in_flight
SESSIONS = 1000
SLOW = 50
BROADCASTS = 400  # 4.7 MiB: the kernel takes up to 2.6 MiB for a socket nobody reads, then 1 MiB is queued
BROADCAST_BYTES = 12 * KIB
AHEAD = 32  # broadcasts that the slowest healthy client may be behind: 384 KiB, below its queue's 1 MiB


def padded(number, size):
    head = b'{"n":%d,"pad":"' % number
    return head + b"x" * (size - len(head) - 2) + b'"}'


class Memory(threading.Thread):
    """Watches a process's resident memory; `grown` is the most it has been above where it was at first."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self._process, self._stop_asked = process, threading.Event()
        self.before = self.most = process.rss_bytes()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_asked.set()
        self.join()

    @property
    def grown(self):
        return self.most - self.before

    def run(self):
        while not self._stop_asked.wait(0.02):
            with contextlib.suppress(OSError, TypeError):
                self.most = max(self.most, self._process.rss_bytes())


class DeafProducer:
    """Writes commands as fast as Herald reads them, and reads no result before `listen`."""

    def __init__(self, producer, make):
        self.written, self._stop_asked = 0, threading.Event()
        self._make = make
        self.call = producer.push.Push(self._requests())  # nothing is read before somebody iterates over it

    def _requests(self):
        while not self._stop_asked.is_set():
            first = self.written + 1
            # Counted before it is handed over: what gRPC holds of it counts too.
            self.written += BATCH
            yield push_service_pb2.PushRequest(commands=[self._make(seq) for seq in range(first, first + BATCH)])

    def wait_until_stopped(self, quiet=1.0, timeout=DEADLINE):
        """Until nothing has been written for `quiet` seconds."""
        end, last, since = time.monotonic() + timeout, -1, 0
        while time.monotonic() < end:
            if self.written != last:
                last, since = self.written, time.monotonic()
            elif time.monotonic() - since > quiet:
                return
            time.sleep(0.05)
        raise AssertionError(f"Herald still reads after {timeout:g} s: {self.written} commands")

    def stop_writing(self):
        self._stop_asked.set()

    def listen(self):
        """Reads all results; the stream half-closes as soon as the request under way is through."""
        self.stop_writing()
        return [result for response in self.call for result in response.results]


def round_trips(producer, count, **target):
    """Seconds of `count` commands sent one at a time."""
    seconds = []
    with PushStream(producer) as stream:
        for number in range(count):
            started = time.perf_counter()
            stream.send({"deliver": command(0, padded(number, 100), **target).deliver})
            (result,) = stream.results(1).values()
            seconds.append(time.perf_counter() - started)
            if result.code:
                raise AssertionError(result)
    return seconds


class BackpressureTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *flags):
        self.herald = self.stack.enter_context(Herald(*flags, threads=2))
        self.fleet = self.stack.enter_context(Fleet(self.herald))

    def producer(self, **options):
        return self.stack.enter_context(Producer(self.herald, **options))

    def report(self, text):
        print(f"\n    {text}", flush=True)

    def test_producers_that_read_no_results(self):
        """Herald stops reading each after 4,096 commands without result, one request and what HTTP/2 windows hold."""
        self.start()
        self.fleet.open([Spec(f"s{index}", f"?user=u{index}") for index in range(10)])
        calm = round_trips(self.producer(), 200, user_id="u1")
        self.fleet.wait_messages(200)
        producers, payload = 4, 1 * KIB
        with Memory(self.herald) as memory:
            # Windows of 64 KiB that do not grow: else gRPC's client takes 40,000 results off Herald's hands.
            small = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535)]
            deaf = [DeafProducer(self.producer(options=small), lambda seq: command(seq, padded(seq, payload), user_id="nobody"))
                    for _ in range(producers)]
            for one in deaf:
                one.wait_until_stopped()
            taken = self.herald.metric("herald_commands_total") - 200
            stuck = round_trips(self.producer(), 200, user_id="u1")
            self.assertEqual(self.herald.metric("herald_commands_total") - 400, taken, "no more is read")
            # Results without a reader (200 bytes each at most) and one request each, and windows of 4 MiB in both directions.
            bound = 64 * MIB
            self.report(f"deaf producers: Herald took {taken:.0f} commands of {producers} streams and grew {memory.grown / MIB:.1f} MiB; "
                        f"written {[one.written for one in deaf]}; round trip p50 {statistics.median(calm) * 1e3:.2f} ms before, "
                        f"{statistics.median(stuck) * 1e3:.2f} ms beside them")
            self.assertLess(memory.grown, MEMORY_FACTOR * bound)
        # Results that the client's window of 64 KiB took are in flight no longer: less than 1,024 of them.
        self.assertGreaterEqual(taken, producers * MAX_IN_FLIGHT)
        self.assertLess(taken, producers * (MAX_IN_FLIGHT + BATCH + 1024))
        self.assertLess(statistics.median(stuck), 10 * statistics.median(calm) + 0.01)
        self.fleet.wait_messages(400)
        for one in deaf:
            one.stop_writing()
        for one in deaf:
            results = one.listen()
            self.assertEqual(sorted(result.seq for result in results), list(range(1, one.written + 1)))
            self.assertEqual({result.code for result in results}, {0})

    def test_clients_that_do_not_read(self):
        """50 of 1,000 never read: they are closed 4413 and counted; the others get everything once and in order."""
        self.start()
        slow = [f"slow{index}" for index in range(SLOW)]
        healthy = [f"ok{index}" for index in range(SESSIONS - SLOW)]
        hellos = self.fleet.open([Spec(name) for name in healthy] +
                                 [Spec(name, rcvbuf=4 * KIB, reads=False) for name in slow])
        producer = self.producer()
        closed = {}
        with Watch(producer, kinds=["session_closed"]) as watch, PushStream(producer) as stream, Memory(self.herald) as memory:
            started, first_close = time.monotonic(), None
            for number in range(BROADCASTS):
                if number % 16 == 0:
                    if first_close is None and self.herald.metric("herald_dropped_total", reason="slow_consumer"):
                        first_close = time.monotonic()
                    # Open loop would be the machine's speed, not Herald's: the healthy clients set the pace.
                    eventually(lambda: self.fleet.slowest("ok") >= number - AHEAD, "the healthy clients keep up", 3 * DEADLINE)
                stream.send({"deliver": command(0, padded(number, BROADCAST_BYTES), all=True).deliver})
            results = stream.results(BROADCASTS)
            eventually(lambda: self.fleet.slowest("ok") == BROADCASTS, "the healthy clients have all", 3 * DEADLINE)
            seconds = time.monotonic() - started
            # Half of them read again at once and see the close; the others never do, and Herald ends them by itself.
            self.fleet.reads(slow[:SLOW // 2], True)
            in_time = first_close is None or time.monotonic() - first_close < 3
            for _ in slow:
                event = watch.event("session_closed")
                closed[event.session_id] = event.session_closed
            self.fleet.reads(slow[SLOW // 2:], True)
            eventually(lambda: self.fleet.counts()[1] == SESSIONS - SLOW, "the slow ones see their end")
        self.assertEqual({result.code for result in results.values()}, {0})
        self.assertEqual(results[1].matched, SESSIONS)
        received = self.fleet.collect()
        for name in healthy:
            one = received[name]
            self.assertEqual((one.close_code, one.others), (0, []), name)
            self.assertEqual(list(one.numbers["$all"]), list(range(BROADCASTS)), f"{name}: exactly once, in order")
            self.assertEqual(list(one.offsets["$all"]), list(range(1, BROADCASTS + 1)), name)
        self.assertEqual(set(closed), {hellos[name]["session_id"] for name in slow})
        self.assertEqual({event.code for event in closed.values()}, {4413})
        dropped = sum(event.dropped["slow_consumer"] for event in closed.values())
        self.assertGreater(min(event.dropped["slow_consumer"] for event in closed.values()), 0)
        self.assertEqual(self.herald.metric("herald_dropped_total", reason="slow_consumer"), dropped)
        codes = [received[name].close_code for name in slow]
        self.report(f"slow clients: {BROADCASTS} broadcasts in {seconds:.1f} s, Herald grew {memory.grown / MIB:.1f} MiB, "
                    f"{dropped} messages dropped, close codes seen { {code: codes.count(code) for code in set(codes)} }")
        for name in slow:
            numbers = list(received[name].numbers.get("$all", []))
            self.assertEqual(numbers, list(range(len(numbers))), f"{name}: what came before the close is whole")
        if in_time:  # on a busy machine the broadcasts take longer than Herald waits for an answer to its close
            self.assertEqual([received[name].close_code for name in slow[:SLOW // 2]], [4413] * (SLOW // 2), "who reads again sees why")
        else:
            self.assertLessEqual({received[name].close_code for name in slow}, {4413, 1006})
        # Queues share frames: the messages of one queue (1 MiB), the history of $all (100 messages), the frames under way
        # to the healthy ones and, a session, the list of what is queued; 64 MiB would be 50 queues of 1 MiB with copies.
        self.assertLess(memory.grown, MEMORY_FACTOR * (SLOW * MIB + 14 * MIB))
        self.assertEqual(self.herald.metric("herald_sessions"), SESSIONS - SLOW)

    def test_no_message_is_lost_without_being_counted(self):
        """What a command matched is what arrived and what was counted as dropped, however a session ended."""
        self.start()
        readers, deaf = ([f"{kind}{index}" for index in range(10)] for kind in ("reader", "deaf"))
        self.fleet.open([Spec(name, "?labels=kind=slow", rcvbuf=4 * KIB, reads=False) for name in readers + deaf])
        producer = self.producer()
        with Watch(producer, kinds=["session_closed"]) as watch, PushStream(producer) as stream:
            # A selector is counted by the shards as they deliver, so `matched` is exact.
            for number in range(400):
                stream.send({"deliver": command(0, padded(number, 12 * KIB), selector="kind=slow").deliver})
            matched = sum(result.matched for result in stream.results(400).values())
            self.fleet.reads(readers, True)
            closed = [watch.event("session_closed").session_closed for _ in readers + deaf]
        self.fleet.reads(deaf, True)
        eventually(lambda: self.fleet.counts()[1] == 0, "all see their end")
        received = {name: len(one.numbers[""]) for name, one in self.fleet.collect().items()}
        counted = {reason: sum(event.dropped[reason] for event in closed) for reason in ("slow_consumer", "disconnected")}
        self.report(f"matched {matched}, received {sum(received.values())}, dropped {counted}")
        self.assertEqual({reason: self.herald.metric("herald_dropped_total", reason=reason) for reason in counted}, counted)
        self.assertEqual(matched, sum(received.values()) + sum(counted.values()))

    def test_what_ended_sessions_had_queued_is_counted_out(self):
        """Else the total of queued bytes creeps up to max_outbound_bytes_total, and sessions that did nothing are closed."""
        self.start()
        producer = self.producer()
        with PushStream(producer) as stream:
            for turn in range(3):
                names = [f"gone{turn}.{index}" for index in range(20)]
                self.fleet.open([Spec(name, rcvbuf=4 * KIB, reads=False) for name in names])
                for number in range(100):
                    stream.send({"deliver": command(0, padded(number, 60_000), all=True).deliver})
                stream.results(100)
                self.fleet.close(names)
                eventually(lambda: self.herald.metric("herald_sessions") == 0, "the sessions are gone")
                self.assertEqual(self.herald.metric("herald_queued_bytes"), 0, f"turn {turn}")

    def test_commands_faster_than_a_shard_can_take_them(self):
        """Selectors cost a shard a look at each session: producers are read only as fast as that goes."""
        self.start()
        self.fleet.open([Spec(f"s{index}", "?labels=tier=gold") for index in range(SESSIONS)])
        streams, payload, seconds = 4, 30_000, 5
        # One request again and again, encoded beforehand: nothing but Herald slows it down.
        (request,) = batches([command(seq, padded(seq, payload), selector="tier=silver") for seq in range(1, BATCH + 1)])
        encoded = request.SerializeToString()
        asked, answered, bad = [0] * streams, [0] * streams, []
        ends = time.monotonic() + seconds

        def requests(index):
            while time.monotonic() < ends:
                asked[index] += BATCH
                yield encoded

        def flood(index):
            with Producer(self.herald) as producer:
                push = producer.channel.stream_stream("/herald.v1.PushService/Push", request_serializer=None,
                                                      response_deserializer=push_service_pb2.PushResponse.FromString)
                for response in push(requests(index), timeout=6 * DEADLINE):
                    answered[index] += len(response.results)
                    bad.extend(result for result in response.results if result.code or result.matched)

        depth = 0
        with Memory(self.herald) as memory:
            threads = [threading.Thread(target=flood, args=(index,)) for index in range(streams)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                depth = max(depth, self.herald.metric("herald_mailbox_depth"))
                time.sleep(0.1)
        # What waits: the watermark of a shard's mailbox (64 MiB, and both shards hold the same messages), and for each stream a
        # request over it. The process may hold that, and what gRPC reads ahead and the allocator keeps, which is several times as much
        # and grows with the speed: a second's worth of freed pages, at up to 1 GB/s. Unread it would be gigabytes.
        deepest = 2 * (64 * MIB / payload + streams * BATCH)
        bound = 512 * MIB
        self.report(f"flood: {sum(answered)} commands of {payload} bytes in {streams} streams, Herald grew {memory.grown / MIB:.0f} MiB "
                    f"of {bound / MIB:.0f}, mailbox depth at most {depth:.0f}")
        self.assertEqual((answered, bad), (asked, []))
        self.assertLess(depth, deepest)
        self.assertLess(memory.grown, MEMORY_FACTOR * bound)
        eventually(lambda: self.herald.metric("herald_mailbox_depth") == 0, "the mailboxes are empty")


if __name__ == "__main__":
    unittest.main()
