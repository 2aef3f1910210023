"""What a producer learns of what became of its messages: receipts, acknowledgements, policies; against the running server."""

import datetime
import json
import time
import unittest

from harness import JsonClient, eventually
from producer import PushStream, deliver, session_service_pb2, to
from herald.v1 import push_service_pb2
from service_case import ServiceTest
from wire import raw_client

WRITTEN, ACKED = push_service_pb2.REPORT_LEVEL_WRITTEN, push_service_pb2.REPORT_LEVEL_ACKED
Policy = push_service_pb2.Policy
Seconds = lambda seconds: datetime.timedelta(seconds=seconds)  # noqa: E731


def policy(ttl=None, **fields):
    made = Policy(**fields)
    if ttl is not None:
        made.ttl.FromTimedelta(ttl)
    return made


class Reports(ServiceTest):
    flags = ("--max_outbound_bytes_per_session=64KiB",)

    def stream(self, **open):
        return self.enter(PushStream(self.producer, push_service_pb2.PushOpen(**open)))

    def results_and_receipts(self, stream, count, at_results=lambda: None):
        """The next `count` of each, by seq. `at_results` is called when all results are here."""
        results, receipts = {}, {}
        while len(results) < count or len(receipts) < count:
            item = stream.take()
            if isinstance(item, push_service_pb2.Receipt):
                self.assertIn(item.seq, results, "a receipt before its result")
                self.assertTrue(item.final)
                receipts[item.seq] = item
            else:
                self.assertEqual(item.code, 0, item.detail)
                results[item.seq] = item
                if len(results) == count:
                    at_results()
        return results, receipts

    def assert_receipt(self, receipt, matched, written, acked=0, **dropped):
        self.assertEqual((receipt.matched, receipt.written, receipt.acked, dict(receipt.dropped)),
                         (matched, written, acked, dropped), receipt)

    def test_written_by_send_and_by_push(self):
        alice, tab = self.client("?user=alice"), self.client("?user=alice")
        answer = self.producer.call(self.producer.push.Send, push_service_pb2.SendRequest(
            command=push_service_pb2.Command(seq=9, deliver=deliver("one", user_id="alice", report=WRITTEN))))
        self.assertEqual(answer.receipt.seq, 9)
        self.assert_receipt(answer.receipt, 2, 2)
        stream = self.stream(default_report=WRITTEN)
        stream.send(*[{"deliver": deliver(str(n), user_id="alice")} for n in range(100)])
        _, receipts = self.results_and_receipts(stream, 100)
        for receipt in receipts.values():
            self.assert_receipt(receipt, 2, 2)
        for client in (alice, tab):
            self.assertEqual([client.message()["text"] for _ in range(101)], ["one", *map(str, range(100))])

    def test_acks_are_counted_up_to_their_offset(self):
        alice = self.client("?user=alice")
        stream = self.stream(default_report=ACKED)
        stream.send(*[{"deliver": deliver(str(n), user_id="alice", report_timeout=Seconds(30))} for n in range(10)])
        messages = [alice.message() for _ in range(10)]
        alice.send({"ack": {"$user/alice": messages[6]["offset"]}})
        _, receipts = self.results_and_receipts_of(stream, 10, 7)
        self.assertEqual(sorted(receipts), [1, 2, 3, 4, 5, 6, 7])
        self.assertIn("ok", alice.request(ack={"$user/alice": messages[9]["offset"]}))
        _, rest = self.results_and_receipts_of(stream, 0, 3)
        for receipt in [*receipts.values(), *rest.values()]:
            self.assert_receipt(receipt, 1, 1, 1)

    def results_and_receipts_of(self, stream, results, receipts):
        found = [stream.take() for _ in range(results + receipts)]
        made = {True: {}, False: {}}
        for item in found:
            made[isinstance(item, push_service_pb2.Receipt)][item.seq] = item
        self.assertEqual((len(made[False]), len(made[True])), (results, receipts))
        return made[False], made[True]

    def test_who_does_not_acknowledge_is_a_timeout(self):
        self.client("?user=alice")
        stream = self.stream()
        stream.send({"deliver": deliver(user_id="alice", report=ACKED, report_timeout=Seconds(0.3))})
        _, receipts = self.results_and_receipts(stream, 1)
        self.assert_receipt(receipts[1], 1, 1, timeout=1)
        self.assertGreater(self.herald.metric("herald_dropped_total", reason="timeout"), 0)

    def test_an_absent_user_is_told_at_once(self):
        stream = self.stream(default_report=ACKED)
        stream.send({"deliver": deliver(user_id="nobody", report_timeout=Seconds(60))})
        _, receipts = self.results_and_receipts(stream, 1)
        self.assert_receipt(receipts[1], 0, 0, no_session=1)
        self.assertGreater(self.herald.metric("herald_dropped_total", reason="no_session"), 0)

    def test_heraldctl_tells(self):
        alice = self.client("?user=alice")
        send = ("send", "--user", "alice", "--report", "acked", "--report-timeout", "300ms")
        told = self.herald.ctl(*send, "hi").stdout
        self.assertIn("1 matched, 1 written, 0 acked", told)
        self.assertIn("timeout 1", told)
        told = self.herald.ctl("send", "--user", "nobody", "--report", "acked", "hi").stdout
        self.assertIn("0 matched, 0 written, 0 acked", told)
        self.assertIn("no_session 1", told)
        refused = self.herald.ctl("send", "--user", "nobody", "--report", "acked", "--require-online", "hi", check=False)
        self.assertEqual(refused.returncode, 4)
        self.assertIn("no_session", refused.stderr)

    def test_a_half_closed_stream_still_gets_its_receipts(self):
        self.client("?user=alice")
        stream = self.stream(default_report=ACKED)
        stream.send({"deliver": deliver(user_id="alice", report_timeout=Seconds(0.5))})
        stream.half_close()
        _, receipts = self.results_and_receipts(stream, 1)
        self.assert_receipt(receipts[1], 1, 1, timeout=1)
        self.assertEqual(stream.end()[0].name, "OK")

    def test_acked_needs_history(self):
        client = self.client()
        self.assert_invalid("report", deliver=deliver(session_id=client.session_id, report=ACKED))
        self.assert_invalid("report", deliver=deliver(user_id="a", report=ACKED, policy=policy(skip_history=True)))
        self.assert_invalid("report_timeout", deliver=deliver(user_id="a", report=WRITTEN, report_timeout=Seconds(61)))

    # --- sessions that come back ---

    def test_who_resumes_and_acknowledges_turns_a_receipt_from_unacked_to_acked(self):
        for way in ("taken over", "after the connection broke"):
            with self.subTest(way):
                alice = self.client("?user=alice")
                stream = self.stream(default_report=ACKED)
                stream.send(*[{"deliver": deliver(str(n), user_id="alice", report_timeout=Seconds(30))} for n in range(3)])
                seen = [alice.message() for _ in range(3)]
                if way != "taken over":
                    alice.socket.socket.close()
                    eventually(lambda: not self.producer.list_sessions(user_id="alice").sessions, "the session is gone")
                # It has handled nothing, and has seen two of three.
                again = self.enter(JsonClient(self.herald.client_url + "?user=alice", {
                    "previous_session_id": alice.session_id,
                    "resume": [{"topic": "$user/alice", "position": seen[1]["position"]}]}))
                state = next(topic for topic in again.hello["topics"] if topic["topic"] == "$user/alice")
                self.assertTrue(state["recovered"])
                self.assertEqual(again.message()["text"], "2")
                again.request(ack={"$user/alice": seen[2]["offset"]})
                _, receipts = self.results_and_receipts(stream, 3)
                for receipt in receipts.values():
                    self.assert_receipt(receipt, 1, 1, 1)
                again.socket.close()

    def test_who_closed_for_good_is_disconnected_at_once(self):
        alice = self.client("?user=alice")
        stream = self.stream(default_report=ACKED)
        stream.send({"deliver": deliver(user_id="alice", report_timeout=Seconds(60))})
        alice.message()
        alice.socket.close()  # 1000
        _, receipts = self.results_and_receipts(stream, 1)
        self.assert_receipt(receipts[1], 1, 1, disconnected=1)

    # --- policies ---

    def deaf(self, topic):
        """A session on `topic` that reads nothing beyond its hello, and whose socket is full."""
        client = self.enter(raw_client(self.herald, "herald.v1.json", receive_buffer=4096))
        client.send_frame(1, json.dumps({"id": 1, "connect": {"resume": [{"topic": topic}]}}))
        hello = json.loads(client.wait_frame(1))["hello"]
        # Until something stays in the queue: the kernels have what they can.
        while self.producer.session(hello["session_id"]).queued_bytes < 16_000:
            self.producer.deliver("x" * 16_000, session_id=hello["session_id"])
        return client

    def read_all(self, client, until):
        """Frames up to the message whose text is `until`."""
        frames = []
        while True:
            frame = json.loads(client.wait_frame(1))
            frames.append(frame)
            if frame.get("message", {}).get("text") == until:
                return frames

    def test_drop_oldest_counts_exactly(self):
        client = self.deaf("ticks")
        stream = self.stream()
        oldest = policy(overflow=push_service_pb2.OVERFLOW_DROP_OLDEST)
        stream.send(*[{"deliver": deliver(f"{n} " + "y" * 1000, topic="ticks", report=WRITTEN, report_timeout=Seconds(30),
                                          policy=oldest)} for n in range(200)])
        stream.send({"deliver": deliver("end", topic="ticks", policy=oldest, report=WRITTEN, report_timeout=Seconds(30))})
        frames = []
        _, receipts = self.results_and_receipts(stream, 201, lambda: frames.extend(self.read_all(client, "end")))
        got = [int(frame["message"]["text"].split()[0]) for frame in frames
               if frame.get("message", {}).get("topic") == "ticks" and frame["message"]["text"] != "end"]
        for seq, receipt in receipts.items():
            if seq == 201 or seq - 1 in got:
                self.assert_receipt(receipt, 1, 1)
            else:
                self.assert_receipt(receipt, 1, 0, slow_consumer=1)
        self.assertGreater(len(got), 5)
        self.assertEqual(got, list(range(200 - len(got), 200)), "the newest, in order")
        gaps = [frame["gap"] for frame in frames if "gap" in frame and frame["gap"].get("topic") == "ticks"]
        self.assertEqual([gap["reason"] for gap in gaps], ["slow_consumer"])
        self.assertGreater(self.herald.metric("herald_dropped_total", reason="slow_consumer"), 0)

    def test_a_collapse_key_replaces_what_is_unsent(self):
        client = self.deaf("prices")
        stream = self.stream()
        stream.send(*[{"deliver": deliver(f"{key}={n}", topic="prices", report=WRITTEN, report_timeout=Seconds(30),
                                          policy=policy(collapse_key=key))} for n in range(50) for key in ("EUR", "USD")])
        stream.send({"deliver": deliver("end", topic="prices", report=WRITTEN, report_timeout=Seconds(30))})
        frames = []
        _, receipts = self.results_and_receipts(stream, 101, lambda: frames.extend(self.read_all(client, "end")))
        texts = [frame["message"]["text"] for frame in frames if frame.get("message", {}).get("topic") == "prices"]
        self.assertEqual(texts, ["EUR=49", "USD=49", "end"])
        for seq in range(1, 99):
            self.assert_receipt(receipts[seq], 1, 0, collapsed=1)
        for seq in (99, 100, 101):
            self.assert_receipt(receipts[seq], 1, 1)

    def test_what_has_expired_is_neither_sent_nor_replayed(self):
        client = self.deaf("news")
        stream = self.stream()
        stream.send({"deliver": deliver("stale", topic="news", report=WRITTEN, report_timeout=Seconds(30), policy=policy(ttl=Seconds(0.2)))},
                    {"deliver": deliver("fresh", topic="news", report=WRITTEN, report_timeout=Seconds(30), policy=policy(ttl=Seconds(300)))})
        results = stream.results(2)
        time.sleep(0.3)
        frames = self.read_all(client, "fresh")
        self.assertNotIn("stale", [frame.get("message", {}).get("text") for frame in frames])
        receipts = {item.seq: item for item in (stream.take(), stream.take())}
        self.assert_receipt(receipts[1], 1, 0, expired=1)
        self.assert_receipt(receipts[2], 1, 1)
        self.assertEqual([results[seq].positions[0].offset for seq in (1, 2)], [1, 2])
        history = self.producer.call(self.producer.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic="news"))
        self.assertEqual([entry.message.payload for entry in history.entries], [b"fresh"])

    def test_high_priority_overtakes_other_topics(self):
        client = self.deaf("slow")
        stream = self.stream()
        stream.send({"join": push_service_pb2.Join(target=to(topic="slow"), topics=["alarm"])},
                    *[{"deliver": deliver(str(n), topic="slow")} for n in range(5)],
                    {"deliver": deliver("fire", topic="alarm", policy=policy(priority=push_service_pb2.PRIORITY_HIGH))},
                    {"deliver": deliver("end", topic="slow", policy=policy(priority=push_service_pb2.PRIORITY_HIGH))})
        stream.results(8)
        texts = [frame["message"]["text"] for frame in self.read_all(client, "end") if frame.get("message", {}).get("topic")]
        self.assertEqual(texts, ["fire", "0", "1", "2", "3", "4", "end"])

    def test_without_a_policy_a_slow_consumer_is_closed(self):
        client = self.deaf("busy")
        stream = self.stream()
        stream.send(*[{"deliver": deliver(f"{n} " + "z" * 1000, topic="busy")} for n in range(80)])
        stream.results(80)
        eventually(lambda: self.herald.metric("herald_dropped_total", reason="slow_consumer") > 0, "dropped")
        # What was queued is let go at once, but for the frame on the wire.
        eventually(lambda: self.herald.metric("herald_queued_bytes") <= 16_200, "the queue's memory", 1)
        self.assertIn(client.wait_close()[0], (4413, 1006))


if __name__ == "__main__":
    unittest.main()
