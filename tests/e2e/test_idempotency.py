"""Retries that are safe: cut streams, repeated commands and keys, against the real binary."""

import random
import re
import tempfile
import threading
import time
import unittest
from pathlib import Path

import grpc

import producers_file
from harness import ROOT, eventually
from producer import END, Code, Producer, PushStream, deliver, push_service_pb2, to
from service_case import ServiceTest

COMMANDS = 2000
BATCH = 16
CUTS = 6

Open, Command = push_service_pb2.PushOpen, push_service_pb2.Command
Join, Leave = push_service_pb2.Join, push_service_pb2.Leave


def commands(prefix):
    """Messages on three topics with history; each hundredth command is a join or leave of all sessions."""
    made = {}
    for seq in range(1, COMMANDS + 1):
        if seq % 200 == 0:
            action = {"leave": Leave(target=to(all=True), topics=[f"{prefix}/side"])}
        elif seq % 100 == 0:
            action = {"join": Join(target=to(all=True), topics=[f"{prefix}/side"])}
        else:
            action = {"deliver": deliver(str(seq), topic=f"{prefix}/{seq % 3}")}
        made[seq] = Command(seq=seq, **action)
    return made


class Outbox:
    """What a careful producer does: keeps each command until it has its result, and sends those again on a new stream."""

    def __init__(self, herald, producer_id):
        self.herald, self.producer_id = herald, producer_id
        self.waiting = commands(producer_id)
        self.results = {}  # seq → its first result
        self.repeats = {}  # seq → its first result with `duplicate`
        self.last_seq = 0
        self.resent_below = 0  # commands sent again though last_seq said that they are there

    def run(self, cut_after=None, only_above_last_seq=False):
        """One stream. Without `cut_after` it ends when all have results, else after so many requests, whatever is under way."""
        with Producer(self.herald) as producer, PushStream(producer, Open(producer_id=self.producer_id)) as stream:
            eventually(lambda: stream.opened, "the answer to open")
            self.last_seq = stream.opened.last_seq
            if only_above_last_seq:
                self.waiting = {seq: command for seq, command in self.waiting.items() if seq > self.last_seq}
            below = [seq for seq in self.waiting if seq <= self.last_seq]
            sending = list(self.waiting.values())
            batches = [sending[at:at + BATCH] for at in range(0, len(sending), BATCH)][:cut_after]
            for batch in batches:
                stream.write(push_service_pb2.PushRequest(commands=batch))
            sent = sum(map(len, batches))
            # Where it is cut, some results are read, and the rest is lost.
            self.take(stream, sent if cut_after is None else random.randint(0, sent // 2))
            if cut_after is not None:
                random.choice([producer.channel.close, stream.kill])()
            else:
                self.resent_below += len(below)
                assert all(seq in self.repeats for seq in below), "what is up to last_seq had succeeded"

    def take(self, stream, count):
        for _ in range(count):
            result = stream.take()
            assert result is not END, (stream.call.code(), stream.call.details())
            assert result.code == 0, result
            self.results.setdefault(result.seq, result)
            if result.duplicate:
                self.repeats.setdefault(result.seq, result)
            self.waiting.pop(result.seq, None)


class RetryTest(ServiceTest):
    flags = ()

    def clients(self, prefix, count=3):
        return [self.client(f"?topics={prefix}/0,{prefix}/1,{prefix}/2") for _ in range(count)]

    def check_received(self, clients, prefix, results):
        """Every session has every message once and in the order of its topic, at the position that the results told."""
        expected = {f"{prefix}/{k}": [seq for seq in range(1, COMMANDS + 1) if seq % 100 and seq % 3 == k] for k in range(3)}
        for client in clients:
            received = {topic: [] for topic in expected}
            for _ in range(sum(map(len, expected.values()))):
                message = client.message()
                seq = int(message["text"])
                received[message["topic"]].append(seq)
                if seq in results:
                    self.assertEqual((results[seq].message_id, [position.token for position in results[seq].positions]),
                                     (message["id"], [message["position"]]), f"seq {seq}")
            self.assertEqual(received, expected)
        self.assert_silence(*clients)

    def test_retry_after_cut_streams(self):
        random.seed(1)
        clients = self.clients("cut")
        outbox = Outbox(self.herald, "cut")
        told = []
        for _ in range(CUTS):
            outbox.run(cut_after=random.randint(1, COMMANDS // BATCH // 2))
            told.append(outbox.last_seq)
        outbox.run()
        told.append(outbox.last_seq)
        self.assertEqual(told, sorted(told), "last_seq only grows")
        self.assertEqual(sorted(outbox.results), list(range(1, COMMANDS + 1)))
        self.assertGreater(len(outbox.repeats), 0, "results were lost, so something was repeated")
        self.check_received(clients, "cut", outbox.results)
        with PushStream(self.producer, Open(producer_id="cut")) as stream:
            self.assertEqual(eventually(lambda: stream.opened, "opened").last_seq, COMMANDS)
            stream.send({"join": Join(target=to(all=True), topics=["x"])})
            self.assertEqual(stream.results(1)[1].code, Code.ALREADY_EXISTS.value[0])

    def test_sending_only_what_is_above_last_seq_loses_nothing(self):
        random.seed(2)
        clients = self.clients("above")
        outbox = Outbox(self.herald, "above")
        for _ in range(CUTS):
            outbox.run(cut_after=random.randint(1, COMMANDS // BATCH // 2), only_above_last_seq=True)
        outbox.run(only_above_last_seq=True)
        self.check_received(clients, "above", outbox.results)

    def test_the_recipe_of_the_guide(self):
        guide = (ROOT / "docs" / "producer-guide.md").read_text()
        recipe = next(block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "def push_safely" in block)
        names = {"grpc": grpc, "time": time, "random": random, "PushOpen": Open, "PushRequest": push_service_pb2.PushRequest}
        exec(recipe, names)
        producer, cuts = self.producer, [0.3, 0.6]

        class CutTwice:
            def Push(self, requests):
                call = producer.push.Push(requests)
                results = 0
                for response in call:
                    yield response
                    results += len(response.results)
                    if cuts and results > cuts[0] * COMMANDS / 2:
                        cuts.pop(0)
                        call.cancel()

        clients = self.clients("guide")
        names["push_safely"](CutTwice(), "guide", commands("guide").values())
        self.assertEqual(cuts, [])
        self.check_received(clients, "guide", {})

    def test_a_half_dead_stream_and_its_successor_send_the_same(self):
        clients = self.clients("two")
        made = list(commands("two").values())
        found = {}

        def send(name):
            with Producer(self.herald) as producer, PushStream(producer, Open(producer_id="two")) as stream:
                for at in range(0, COMMANDS, BATCH):
                    stream.write(push_service_pb2.PushRequest(commands=made[at:at + BATCH]))
                found[name] = stream.results(COMMANDS)

        threads = [threading.Thread(target=send, args=(name,)) for name in ("old", "new")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(found), {"old", "new"})
        for seq in range(1, COMMANDS + 1):
            old, new = found["old"][seq], found["new"][seq]
            self.assertEqual((old.code, new.code), (0, 0))
            self.assertEqual(sorted([old.duplicate, new.duplicate]), [False, True], f"seq {seq} is carried out once")
            self.assertEqual((old.message_id, old.positions, old.matched), (new.message_id, new.positions, new.matched))
        self.check_received(clients, "two", found["old"])

    def test_repeat_is_flagged_and_has_the_first_positions(self):
        client = self.client("?user=alice")
        before = self.herald.metric("herald_duplicates_total")
        command = {"deliver": deliver("once", user_id="alice", idempotency_key="order-17")}
        first, again = self.producer.send(**command), self.producer.send(**command)
        self.assertEqual((first.code, first.duplicate, first.matched), (0, False, 1))
        self.assertTrue(again.duplicate)
        again.duplicate = False
        self.assertEqual(again, first)
        self.assertEqual(len(first.positions), 1)
        with PushStream(self.producer) as stream:  # the same key on a stream without producer id
            stream.send({"deliver": deliver("other", user_id="alice")}, command, command)
            results = stream.results(3)
        self.assertEqual([results[seq].duplicate for seq in (1, 2, 3)], [False, True, True])
        self.assertEqual((results[3].seq, results[3].message_id), (3, first.message_id))
        self.assertEqual([client.message()["text"] for _ in range(2)], ["once", "other"])
        self.assert_silence(client)
        self.assertEqual(self.herald.metric("herald_duplicates_total") - before, 3)

    def test_another_payload_already_exists(self):
        client = self.client("?topics=exists")
        self.producer.send(deliver=deliver("a", topic="exists", idempotency_key="exists"))
        self.assert_refused(Code.ALREADY_EXISTS, "idempotency_key",
                            deliver=deliver("b", topic="exists", idempotency_key="exists"))
        self.assertEqual(client.message()["text"], "a")
        self.assert_silence(client)
        client = self.client("?topics=exists2")
        for payload, code in (("a", 0), ("b", Code.ALREADY_EXISTS.value[0]), ("a", 0)):
            with PushStream(self.producer, Open(producer_id="exists")) as stream:
                stream.send({"deliver": deliver(payload, topic="exists2")})
                result = stream.results(1)[1]
                self.assertEqual(result.code, code, result)
                self.assertEqual("seq 1" in result.detail, code != 0)
        self.assertEqual(client.message()["text"], "a")
        self.assert_silence(client)

    def test_failed_commands_are_carried_out_when_tried_again(self):
        made = [{"deliver": deliver("1", topic="failed")}, {"deliver": deliver("2", topic="failed", require_online=True)},
                {"deliver": deliver("3", topic="failed")}]

        def send(last_seq):
            with PushStream(self.producer, Open(producer_id="failed")) as stream:
                self.assertEqual(eventually(lambda: stream.opened, "opened").last_seq, last_seq)
                stream.send(*made)
                results = stream.results(3)
            return [(results[seq].code, results[seq].duplicate) for seq in (1, 2, 3)]

        not_found = Code.NOT_FOUND.value[0]
        self.assertEqual(send(0), [(0, False), (not_found, False), (0, False)])
        self.assertEqual(send(1), [(0, True), (not_found, False), (0, True)])
        client = self.client("?topics=failed")
        self.assertEqual(send(1), [(0, True), (0, False), (0, True)])
        self.assertEqual(send(3), [(0, True), (0, True), (0, True)])
        self.assertEqual(client.message()["text"], "2")
        self.assert_silence(client)
        failing = {"deliver": deliver("x", user_id="late", require_online=True, idempotency_key="late")}
        self.assertEqual(self.producer.send_refusal(**failing)[0], Code.NOT_FOUND)
        late = self.client("?user=late")
        self.assertFalse(self.producer.send(**failing).duplicate)
        self.assertEqual(late.message()["text"], "x")

    def test_last_seq_is_told_before_any_command(self):
        with PushStream(self.producer, Open(producer_id="new")) as stream:
            self.assertEqual(eventually(lambda: stream.opened, "opened").last_seq, 0)

    def test_seq_zero_is_refused(self):
        with PushStream(self.producer, Open(producer_id="zero")) as stream:
            stream.write(push_service_pb2.PushRequest(commands=[Command(deliver=deliver(topic="zero"))]))
            result = stream.take()
            self.assertEqual((result.code, "seq" in result.detail), (Code.INVALID_ARGUMENT.value[0], True), result)
            stream.send({"deliver": deliver(topic="zero")})
            self.assertEqual(stream.take().code, 0)


class ForgettingTest(ServiceTest):
    def test_after_the_window(self):
        self.herald = self.start("--idempotency_window=500ms")
        client = self.client("?topics=a")
        command = {"deliver": deliver("x", topic="a", idempotency_key="k")}
        self.assertFalse(self.producer.send(**command).duplicate)
        with PushStream(self.producer, Open(producer_id="p")) as stream:
            stream.send({"deliver": deliver("y", topic="a")})
            stream.results(1)
            eventually(lambda: self.herald.metric("herald_idempotency_keys") == 0, "all is forgotten")
            self.assertFalse(self.producer.send(**command).duplicate)
            # While the stream is open its seqs are known to be old.
            with PushStream(self.producer, Open(producer_id="p")) as successor:
                self.assertEqual(eventually(lambda: successor.opened, "opened").last_seq, 1)
                successor.send({"deliver": deliver("y", topic="a")}, {"deliver": deliver("z", topic="a")})
                results = successor.results(2)
        self.assertEqual((results[1].code, results[2].code), (Code.OUT_OF_RANGE.value[0], 0), results)
        self.assertIn("idempotency_window", results[1].detail)
        self.assertEqual([client.message()["text"] for _ in range(4)], ["x", "y", "x", "z"])
        self.assert_silence(client)
        self.assertEqual(self.herald.metric("herald_idempotency_evicted_total"), 0)

    def test_the_oldest_are_evicted(self):
        self.herald = self.start("--max_idempotency_keys=10")
        for n in range(15):
            self.producer.send(deliver=deliver("x", topic="a", idempotency_key=f"k{n}"))
        self.assertEqual(self.herald.metric("herald_idempotency_keys"), 10)
        self.assertEqual(self.herald.metric("herald_idempotency_evicted_total"), 5)
        found = [self.producer.send(deliver=deliver("x", topic="a", idempotency_key=f"k{n}")).duplicate for n in (14, 5, 4)]
        self.assertEqual(found, [True, True, False])

    def test_producers_names_are_apart(self):
        with tempfile.TemporaryDirectory() as directory:
            self.herald = self.start(producers_file.write(
                Path(directory) / "producers.yaml",
                *(producers_file.entry(name, may=["deliver"], topics=["a"]) for name in ("shop", "mail"))))
            shop, mail = (self.enter(Producer(self.herald, token=producers_file.token_of(name))) for name in ("shop", "mail"))
            for producer, duplicate in ((shop, False), (mail, False), (shop, True), (mail, True)):
                result = producer.send(deliver=deliver("x", topic="a", idempotency_key="k"))
                self.assertEqual(result.duplicate, duplicate)
                with PushStream(producer, Open(producer_id="p")) as stream:
                    stream.send({"deliver": deliver("x", topic="a")})
                    self.assertEqual(stream.results(1)[1].duplicate, duplicate)


if __name__ == "__main__":
    unittest.main()
