"""100,000 commands pipelined in one stream, from Python and from Node: a result for each, every message once and in order.

The commands are made from their `seq` alone, by `command_of` here and in node/pipeline_producer.mjs:

    seq % 1000 == 0   everybody: $all, which has a history
    seq % 5 == 0      topic pipe/<k>, which has a history; 20 sessions are on each of 50
    otherwise         one of 500 users, two sessions each
    BAD               commands that are refused, each with its own code, in the middle of the stream
"""

import collections
import json
import os
import subprocess
import unittest

import grpc

from fleet import Fleet, Spec
from harness import DEADLINE, ROOT, Herald
from push import command, push_all, push_service_pb2, to

COMMANDS = int(os.environ.get("HERALD_PIPELINE_COMMANDS", 100_000))
SESSIONS = 1000
USERS = 500
TOPICS = 50
BAD_FROM = COMMANDS // 2 // 5 * 5

INVALID, NOT_FOUND, OK = (code.value[0] for code in (
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK))

# What is wrong, its code, and what the detail must name. Their seqs follow BAD_FROM, multiples of five left out.
BAD = [
    ("no action", INVALID, "action"),
    ("no target", INVALID, "target"),
    ("empty user", INVALID, "user"),
    ("reserved topic", INVALID, "topic"),
    ("topic name too long", INVALID, "topic"),
    ("bad selector", INVALID, "selector"),
    ("payload over the limit", INVALID, "payload"),
    ("JSON that is none", INVALID, "JSON"),
    ("session id that is none", INVALID, "session_id"),
    ("nobody online", NOT_FOUND, "matched"),
    ("join to a reserved topic", INVALID, "topics"),
    ("bad close code", INVALID, "code"),
]
BAD_SEQS = dict(zip((seq for seq in range(BAD_FROM, COMMANDS) if seq % 5), BAD))


def bad_command(seq, kind):
    action = {
        "no action": lambda: {},
        "join to a reserved topic": lambda: {"join": push_service_pb2.Join(target=to(all=True), topics=["$all"])},
        "bad close code": lambda: {"disconnect": push_service_pb2.Disconnect(target=to(all=True), code=1006)},
        "nobody online": lambda: {"deliver": push_service_pb2.Deliver(
            target=to(user_id="nobody"), message={"payload": b"{}"}, require_online=True)},
    }.get(kind)
    if action:
        return push_service_pb2.Command(seq=seq, **action())
    target, payload = {
        "no target": ({}, b"{}"),
        "empty user": ({"user_id": ""}, b"{}"),
        "reserved topic": ({"topic": "$user/u1"}, b"{}"),
        "topic name too long": ({"topic": "x" * 256}, b"{}"),
        "bad selector": ({"selector": "tier in gold"}, b"{}"),
        "payload over the limit": ({"user_id": "u1"}, b'"%s"' % (b"x" * 65536)),
        "JSON that is none": ({"user_id": "u1"}, b"{broken"),
        "session id that is none": ({"session_id": "nonsense"}, b"{}"),
    }[kind]
    return command(seq, payload, **target)


def target_of(seq):
    if seq % 1000 == 0:
        return {"all": True}
    if seq % 5 == 0:
        return {"topic": f"pipe/{seq // 5 % TOPICS}"}
    return {"user_id": f"u{(seq // 5 * 4 + seq % 5 - 1) % USERS}"}


def command_of(seq):
    if seq in BAD_SEQS:
        return bad_command(seq, BAD_SEQS[seq][0])
    return command(seq, b'{"n":%d}' % seq, **target_of(seq))


def expected_of_topics():
    """topic → the numbers it carries, in order."""
    expected = collections.defaultdict(list)
    for seq in range(1, COMMANDS + 1):
        if seq not in BAD_SEQS:
            target = target_of(seq)
            expected["$all" if "all" in target else target.get("topic") or f"$user/{target['user_id']}"].append(seq)
    return expected


class PipelineTest(unittest.TestCase):
    def check(self, produce):
        """Runs `produce(herald)`, which returns seq → (code, detail, matched, offsets), and checks what it and all sessions got."""
        expected = expected_of_topics()
        topics_of = [["$all", f"$user/u{index % USERS}", f"pipe/{index % TOPICS}"] for index in range(SESSIONS)]
        deliveries = sum(len(expected[topic]) for topics in topics_of for topic in topics)
        # A pong waits its turn behind 600,000 messages that one Python process reads on a machine that others use too.
        with Herald("--pong_timeout=1m", threads=2) as herald, Fleet(herald) as fleet:
            hellos = fleet.open([Spec(f"s{index}", f"?user=u{index % USERS}&topics=pipe/{index % TOPICS}")
                                 for index in range(SESSIONS)])
            results = produce(herald)
            fleet.wait_messages(deliveries)
            # A last message to everybody: whatever was sent twice would stand before it.
            push_all(herald, [command(1, b'{"n":-1}', all=True)])
            fleet.wait_messages(deliveries + SESSIONS)
            messages, sessions = fleet.counts()
            self.assertEqual((messages, sessions), (deliveries + SESSIONS, SESSIONS))
            received = fleet.collect()
            self.assertEqual(herald.metric("herald_dropped_total"), 0)
        self.check_results(results, expected)
        offset_of = {(topic, n): offset for seq, (_, _, _, offsets) in results.items()
                     for topic, offset in offsets.items() for n in [seq]}
        for index, topics in enumerate(topics_of):
            mine = received[f"s{index}"]
            self.assertEqual(mine.others, [])
            self.assertEqual(mine.close_code, 0)
            self.assertEqual(set(mine.numbers), set(topics))
            for topic in topics:
                numbers, offsets = list(mine.numbers[topic]), list(mine.offsets[topic])
                if topic == "$all":
                    self.assertEqual(numbers.pop(), -1)
                    offsets.pop()
                self.assertEqual(numbers, expected[topic], f"session {index}, {topic}: once and in order")
                self.assertEqual(offsets, list(range(1, len(numbers) + 1)), f"session {index}, {topic}")
                self.assertEqual(offsets, [offset_of[topic, n] for n in numbers], f"session {index}, {topic}: as the results said")
        self.assertEqual(len({hello["session_id"] for hello in hellos.values()}), SESSIONS)

    def check_results(self, results, expected):
        self.assertEqual(sorted(results), list(range(1, COMMANDS + 1)), "one result for every seq")
        for seq, (code, detail, matched, offsets) in results.items():
            if seq in BAD_SEQS:
                what, wanted, named = BAD_SEQS[seq]
                self.assertEqual(code, wanted, f"{what}: {detail}")
                self.assertIn(named, detail, what)
                self.assertEqual((matched, offsets), (0, {}), what)
                continue
            self.assertEqual((code, detail), (OK, ""), f"seq {seq}")
            self.assertEqual(matched, SESSIONS if seq % 1000 == 0 else SESSIONS // TOPICS if seq % 5 == 0 else SESSIONS // USERS)
            self.assertEqual(len(offsets), 1, f"seq {seq}")
        self.assertEqual(sum(len(numbers) for numbers in expected.values()), COMMANDS - len(BAD))

    def test_python_producer(self):
        def produce(herald):
            results = push_all(herald, map(command_of, range(1, COMMANDS + 1)))
            self.assertEqual(len(results), COMMANDS)
            ids = {result.message_id for result in results if result.code == OK}
            self.assertEqual(len(ids), COMMANDS - len(BAD), "every message has an id of its own")
            return {result.seq: (result.code, result.detail, result.matched,
                                 {position.topic: position.offset for position in result.positions}) for result in results}
        self.check(produce)

    def test_node_producer(self):
        def produce(herald):
            done = subprocess.run(
                ["node", ROOT / "tests/e2e/node/pipeline_producer.mjs", herald.grpc_addr, str(COMMANDS), str(BAD_FROM)],
                env=os.environ | {"HERALD_NODE_MODULES": str(ROOT / "build/node/node_modules")},
                capture_output=True, text=True, timeout=6 * DEADLINE)
            self.assertEqual(done.returncode, 0, done.stderr)
            results = json.loads(done.stdout)
            self.assertEqual(len(results), COMMANDS, "one line for each result, none twice")
            return {seq: (code, detail, matched, offsets) for seq, code, detail, matched, offsets in results}
        self.check(produce)


if __name__ == "__main__":
    unittest.main()
