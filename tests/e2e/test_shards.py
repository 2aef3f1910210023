"""Several shards behave as one: a broadcast reaches all, and the commands of one stream take effect in their order everywhere."""

import collections
import contextlib
import unittest
from concurrent import futures

from fleet import Fleet, Spec
from harness import Herald, eventually
from push import batches, command, push_service_pb2, to
from producer import Producer

SESSIONS = 200
TURNS = 500


def shard_of(session_id):
    """`<node>-<shard, 2 hex>-<32 hex>`."""
    return int(session_id.split("-")[-2], 16)


class ShardsTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, threads, *flags, sessions=SESSIONS):
        self.herald = self.stack.enter_context(Herald(*flags, threads=threads))
        self.fleet = self.stack.enter_context(Fleet(self.herald))
        self.names = [f"s{index}" for index in range(sessions)]
        hellos = self.fleet.open([Spec(name, f"?user=u{index}&labels=tier=none,half={'ab'[index % 2]}")
                                  for index, name in enumerate(self.names)])
        self.session_ids = {name: hello["session_id"] for name, hello in hellos.items()}
        self.producer = self.stack.enter_context(Producer(self.herald))

    def push(self, commands):
        """All in one stream; returns the results by seq."""
        results = [result for response in self.producer.push.Push(batches(commands), timeout=120) for result in response.results]
        self.assertEqual(sorted(result.seq for result in results), [command.seq for command in commands])
        return {result.seq: result for result in results}

    def assert_ok(self, results, matched):
        for seq, result in results.items():
            self.assertEqual((result.code, result.detail), (0, ""), f"seq {seq}")
        self.assertEqual({seq: result.matched for seq, result in results.items()}, matched)

    def test_streams_on_several_grpc_threads_each_keep_their_order(self):
        self.start(2, "--grpc_threads=3")
        streams, count = 9, 400

        def push(index):
            commands = [command(n + 1, b'{"n":%d}' % n, user_id=f"u{index}") for n in range(count)]
            with Producer(self.herald) as producer:
                return [result for response in producer.push.Push(batches(commands, 4), timeout=120) for result in response.results]

        with futures.ThreadPoolExecutor(streams) as pool:
            pushed = [pool.submit(push, index) for index in range(streams)]
            # Short calls come in between, on whichever thread.
            for _ in range(50):
                self.assertEqual(self.producer.deliver(topic="nobody").code, 0)
            for each in pushed:
                self.assertEqual([(result.seq, result.code) for result in each.result()], [(n + 1, 0) for n in range(count)])
        self.fleet.wait_messages(streams * count)
        received = self.fleet.collect()
        for index in range(streams):
            self.assertEqual([list(numbers) for numbers in received[f"s{index}"].numbers.values()], [list(range(count))], index)

    def test_a_broadcast_reaches_the_sessions_of_all_shards(self):
        for threads in (1, 2, 4):
            with self.subTest(threads=threads):
                self.start(threads)
                on = collections.Counter(shard_of(session_id) for session_id in self.session_ids.values())
                self.assertEqual(set(on), set(range(threads)), "every shard holds some")
                self.assertLess(max(on.values()), 3 * SESSIONS / threads, "and none nearly all")
                self.assert_ok(self.push([command(1, b'{"n":1}', all=True)]), {1: SESSIONS})
                self.fleet.wait_messages(SESSIONS)
                self.assertTrue(all(list(one.numbers["$all"]) == [1] for one in self.fleet.collect().values()))
                self.stack.close()

    def test_join_then_send_500_times(self):
        """The message behind a join, in the same request, reaches every session that the join meant."""
        self.start(2)
        commands, matched = [], {}
        for turn in range(TURNS):
            seq, topic = 3 * turn + 1, f"turn/{turn}"
            commands += [
                push_service_pb2.Command(seq=seq, join=push_service_pb2.Join(target=to(all=True), topics=[topic])),
                command(seq + 1, b'{"n":%d}' % turn, topic=topic),
                # Leaving keeps the sessions below their limit of 128 topics, and a join must not be overtaken by it.
                push_service_pb2.Command(seq=seq + 2, leave=push_service_pb2.Leave(target=to(topic=topic), topics=[topic]))]
            matched |= {seq: SESSIONS, seq + 1: SESSIONS, seq + 2: SESSIONS}
        self.assert_ok(self.push(commands), matched)
        self.fleet.wait_messages(SESSIONS * TURNS)
        self.assertEqual(self.fleet.counts(), (SESSIONS * TURNS, SESSIONS))
        for name, one in self.fleet.collect().items():
            self.assertEqual({topic: list(numbers) for topic, numbers in one.numbers.items()},
                             {f"turn/{turn}": [turn] for turn in range(TURNS)}, name)

    def test_what_a_join_made_is_seen_by_the_commands_behind_it(self):
        """Commands other than deliveries, addressed to the topic that the join before them filled."""
        self.start(2)
        commands, matched = [], {}
        for turn in range(100):
            seq, first, second = 6 * turn + 1, f"first/{turn}", f"second/{turn}"
            commands += [
                push_service_pb2.Command(seq=seq, join=push_service_pb2.Join(target=to(all=True), topics=[first])),
                push_service_pb2.Command(seq=seq + 1, join=push_service_pb2.Join(target=to(topic=first), topics=[second])),
                push_service_pb2.Command(seq=seq + 2, set_labels=push_service_pb2.SetLabels(
                    target=to(topic=second), set={"turn": str(turn)})),
                command(seq + 3, b'{"n":%d}' % turn, selector=f"turn={turn}"),
                push_service_pb2.Command(seq=seq + 4, leave=push_service_pb2.Leave(target=to(topic=second), topics=[first])),
                push_service_pb2.Command(seq=seq + 5, leave=push_service_pb2.Leave(target=to(topic=second), topics=[second]))]
            matched |= {seq + step: SESSIONS for step in range(6)}
        self.assert_ok(self.push(commands), matched)
        self.fleet.wait_messages(SESSIONS * 100)
        for name, one in self.fleet.collect().items():
            self.assertEqual(list(one.numbers[""]), list(range(100)), name)

    def test_leave_takes_effect_in_order(self):
        self.start(2)
        join = push_service_pb2.Join(target=to(all=True), topics=["news"])
        commands, matched = [], {}
        for turn in range(100):  # the even half leaves and comes back
            seq = 4 * turn + 1
            commands += [
                push_service_pb2.Command(seq=seq, join=join),
                command(seq + 1, b'{"n":%d}' % seq, topic="news"),
                push_service_pb2.Command(seq=seq + 2, leave=push_service_pb2.Leave(target=to(selector="half=a"), topics=["news"])),
                command(seq + 3, b'{"n":%d}' % (seq + 2), topic="news")]
            matched |= {seq: SESSIONS, seq + 1: SESSIONS, seq + 2: SESSIONS // 2, seq + 3: SESSIONS // 2}
        self.assert_ok(self.push(commands), matched)
        self.fleet.wait_messages(100 * SESSIONS * 3 // 2)
        received = self.fleet.collect()
        for index, name in enumerate(self.names):
            expected = [4 * turn + 1 + step for turn in range(100) for step in ((0, 2) if index % 2 else (0,))]
            self.assertEqual(list(received[name].numbers["news"]), expected, name)

    def test_set_labels_then_selector_in_order(self):
        self.start(2)
        commands, matched = [], {}
        for turn in range(100):
            seq, half = 3 * turn + 1, "ab"[turn % 2]
            commands += [
                push_service_pb2.Command(seq=seq, set_labels=push_service_pb2.SetLabels(
                    target=to(selector=f"half={half}"), set={"tier": f"t{turn}"})),
                command(seq + 1, b'{"n":%d}' % turn, selector=f"tier=t{turn}"),
                command(seq + 2, b'{"n":%d}' % -turn, selector=f"tier=t{turn},half!={half}")]
            matched |= {seq: SESSIONS // 2, seq + 1: SESSIONS // 2, seq + 2: 0}
        self.assert_ok(self.push(commands), matched)
        self.fleet.wait_messages(100 * SESSIONS // 2)
        received = self.fleet.collect()
        for index, name in enumerate(self.names):
            self.assertEqual(list(received[name].numbers[""]), [turn for turn in range(100) if turn % 2 == index % 2], name)

    def test_disconnect_takes_effect_in_order(self):
        self.start(2)
        gone = {f"s{index}" for index in range(0, SESSIONS, 2)}
        self.assert_ok(self.push([
            command(1, b'{"n":1}', all=True),
            push_service_pb2.Command(seq=2, disconnect=push_service_pb2.Disconnect(
                target=to(selector="half=a"), code=4321, reason="enough")),
            command(3, b'{"n":3}', all=True)]), {1: SESSIONS, 2: SESSIONS // 2, 3: SESSIONS // 2})
        self.fleet.wait_messages(SESSIONS * 3 // 2)
        eventually(lambda: self.fleet.counts()[1] == SESSIONS // 2, "the half is closed")
        for name, one in self.fleet.collect().items():
            self.assertEqual(list(one.numbers["$all"]), [1] if name in gone else [1, 3], name)
            self.assertEqual((one.close_code, one.close_reason), (4321, "enough") if name in gone else (0, ""), name)
        eventually(lambda: self.herald.metric("herald_sessions") == SESSIONS // 2, "the table knows")

    def test_exceptions_and_single_sessions_on_every_shard(self):
        self.start(4)
        commands = [command(1, b'{"n":1}', all=True, except_sessions=[self.session_ids[name] for name in self.names[:10]],
                            except_users=[f"u{index}" for index in range(10, 20)])]
        commands += [command(index + 2, b'{"n":%d}' % (index + 2), session_id=self.session_ids[name])
                     for index, name in enumerate(self.names)]
        self.assert_ok(self.push(commands), {1: SESSIONS - 20} | {index + 2: 1 for index in range(SESSIONS)})
        self.fleet.wait_messages(SESSIONS - 20 + SESSIONS)
        received = self.fleet.collect()
        for index, name in enumerate(self.names):
            self.assertEqual(list(received[name].numbers.get("$all", [])), [] if index < 20 else [1], name)
            self.assertEqual(list(received[name].numbers[""]), [index + 2], name)


if __name__ == "__main__":
    unittest.main()
