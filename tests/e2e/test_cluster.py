"""Two replicas over one nats-server: what they do for each other (docs/cluster.md)."""

import re
import signal
import unittest

from harness import Herald, JsonClient, eventually
from nats_case import OK, NatsTest
from producer import Code, PushStream, Watch, admin_service_pb2, deliver, push_service_pb2, session_service_pb2, to

Join, Leave = push_service_pb2.Join, push_service_pb2.Leave


class ClusterTest(NatsTest):
    def setUp(self):
        super().setUp()
        self.at_a, self.at_b = self.producer(self.a), self.producer(self.b)

    def info(self, producer):
        return producer.call(producer.admin.GetInfo, admin_service_pb2.GetInfoRequest())


class CommandTest(ClusterTest):
    def test_a_session_is_reached_through_either_replica(self):
        client = self.client(self.b)
        self.assertEqual(self.at_a.deliver("hi", session_id=client.session_id).matched, 1)
        self.assertEqual(client.message()["text"], "hi")
        self.assertEqual(self.at_a.session(client.session_id).node, "b")
        self.assertEqual(self.at_a.send(join=Join(target=to(session_id=client.session_id), topics=["log/joined"])).matched, 1)
        self.at_a.deliver("there", topic="log/joined")
        self.assertEqual(client.message()["text"], "there")
        self.assertEqual(self.at_a.disconnect(code=4000, session_id=client.session_id).matched, 1)
        self.assertEqual(self.at_a.send_refusal(deliver=deliver(session_id=client.session_id))[0], Code.NOT_FOUND)

    def test_changes_and_selectors_meet_sessions_of_both(self):
        clients = [self.client(replica, "?user=alice&labels=platform=web") for replica in (self.a, self.b)]
        self.assertEqual(self.at_a.send(join=Join(target=to(user_id="alice"), topics=["log/x"])).matched, 2)
        self.assertEqual(self.at_b.deliver("all", selector="platform=web").matched, 2)
        for client in clients:
            self.assertEqual(client.message()["text"], "all")
        self.assertEqual(self.at_b.send(leave=Leave(target=to(topic="log/x"), topics=["log/x"])).matched, 2)

    def test_the_commands_of_a_stream_take_effect_in_order_on_both(self):
        clients = [self.client(replica) for replica in (self.a, self.b)]
        rounds = 30
        with PushStream(self.at_a) as stream:
            for n in range(rounds):
                stream.send({"join": Join(target=to(all=True), topics=["log/x", "live/x"])},
                            {"deliver": deliver(f"log {n}", topic="log/x")}, {"deliver": deliver(f"live {n}", topic="live/x")},
                            {"leave": Leave(target=to(all=True), topics=["log/x", "live/x"])})
            for seq, result in stream.results(4 * rounds).items():
                self.assertEqual(result.code, OK, f"{seq}: {result.detail}")
        for client in clients:
            got = [client.message()["text"] for _ in range(2 * rounds)]
            for kind in ("log", "live"):
                self.assertEqual([text for text in got if text.startswith(kind)], [f"{kind} {n}" for n in range(rounds)])

    def receipt(self, level, **target):
        with PushStream(self.at_a) as stream:
            stream.send({"deliver": deliver("hi", report=level, **target)})
            self.assertEqual(stream.results(1)[1].code, OK)
            return stream.take()

    def test_receipts_tell_of_the_sessions_of_both(self):
        far, near = self.client(self.b, "?user=alice&topics=live/a"), self.client(self.a, "?user=bob&topics=live/a")
        written, acked = push_service_pb2.REPORT_LEVEL_WRITTEN, push_service_pb2.REPORT_LEVEL_ACKED
        for matched, target in ((1, {"user_id": "alice"}), (2, {"all": True}), (2, {"topic": "live/a"})):
            with self.subTest(target):
                receipt = self.receipt(written, **target)
                self.assertEqual((receipt.matched, receipt.written, dict(receipt.dropped)), (matched, matched, {}))
        nobody = self.receipt(written, user_id="nobody")
        self.assertEqual((nobody.matched, dict(nobody.dropped)), (0, {"no_session": 1}))
        with PushStream(self.at_a) as stream:
            stream.send({"deliver": deliver("ack me", report=acked, user_id="alice")})
            message = far.wait(lambda frame: frame.get("message", {}).get("text") == "ack me")["message"]
            far.send({"ack": {message["topic"]: message["offset"]}})
            self.assertEqual(stream.results(1)[1].matched, 0)  # none at a
            receipt = stream.take()
            self.assertEqual((receipt.matched, receipt.written, receipt.acked), (1, 1, 1))
        self.assertEqual(near.message()["text"], "hi")

    def test_require_online_knows_of_the_other(self):
        self.client(self.b, "?user=alice")
        self.assertEqual(self.at_a.deliver(user_id="alice", require_online=True).code, OK)
        self.assertEqual(self.at_a.send_refusal(deliver=deliver(user_id="bob", require_online=True))[0], Code.NOT_FOUND)

    def test_a_replica_that_does_not_answer_is_named(self):
        client = self.client(self.b)
        self.b.signal(signal.SIGSTOP)
        try:
            code, details = self.at_a.send_refusal(deliver=deliver(session_id=client.session_id))
            self.assertEqual(code, Code.UNAVAILABLE)
            self.assertIn("node b", details)
            self.assertEqual(self.at_a.send_refusal(join=Join(target=to(all=True), topics=["log/x"]))[0], Code.UNAVAILABLE)
            self.assertEqual(list(self.info(self.at_a).unanswered_nodes), ["b"])
            status = self.a.ctl("status")
            self.assertRegex(status.stderr, r"these nodes did not answer: b")
            self.a.wait_line(r'"a replica is lost"')
            # Nobody waits for it any more, and it is still missing.
            self.assertEqual(self.at_a.send(join=Join(target=to(all=True), topics=["log/x"])).matched, 0)
            self.assertEqual(list(self.at_a.list_sessions().unanswered_nodes), ["b"])
        finally:
            self.b.signal(signal.SIGCONT)
        eventually(lambda: not self.info(self.at_a).unanswered_nodes, "b is back")
        self.assertEqual(self.at_a.deliver("again", session_id=client.session_id).code, OK)


class QuestionTest(ClusterTest):
    def test_status_sessions_and_presence_are_of_both(self):
        for n, replica in enumerate((self.a, self.b, self.b)):
            self.client(replica, f"?user=user{n % 2}&topics=log/room")
        self.assertEqual([(node.node, node.sessions) for node in self.info(self.at_b).nodes], [("a", 1), ("b", 2)])
        status = self.b.ctl("status").stdout
        self.assertRegex(status, r"(?m)^a +.*\n^b +")
        listed = self.at_a.list_sessions(page_size=2)
        self.assertEqual((len(listed.sessions), listed.total), (2, 3))
        more = self.at_a.list_sessions(page_size=2, page_token=listed.next_page_token)
        ids = [session.session_id for session in [*listed.sessions, *more.sessions]]
        self.assertEqual((len(ids), ids), (3, sorted(ids)))
        presence = self.at_a.call(self.at_a.sessions.GetPresence, session_service_pb2.GetPresenceRequest(topic="log/room"))
        self.assertEqual((presence.session_count, presence.user_count), (3, 2))


class NodeTest(ClusterTest):
    def test_a_name_that_is_taken_is_refused_in_one_line(self):
        second = self.enter(Herald(f"--config={self.rules}", "--broker=nats", f"--nats_url={self.nats.urls}", "--node_name=a", wait=False))
        self.assertNotEqual(second.wait(), 0)
        self.assertRegex(second.output, r"a live replica has the name a \(node_name\)")
        self.assertEqual([node.node for node in self.info(self.at_b).nodes], ["a", "b"])

    def test_one_that_ends_in_good_order_is_gone_at_once(self):
        self.assertEqual(self.b.stop(), 0)
        self.a.wait_line(r'"a replica has ended"')
        info = self.info(self.at_a)
        self.assertEqual(([node.node for node in info.nodes], list(info.unanswered_nodes)), (["a"], []))

    def test_a_session_that_is_resumed_elsewhere_is_ended(self):
        first = self.client(self.a, "?user=alice")
        other = self.client(self.a, "?user=bob")
        second = self.enter(JsonClient(self.b.client_url + "?user=alice", {"previous_session_id": first.session_id}))
        self.assertIn("ok", second.request(ping={}))
        eventually(lambda: self.at_b.list_sessions(user_id="alice").total == 1, "the first is ended")
        self.assertIn("ok", other.request(ping={}))


class EventTest(ClusterTest):
    def watch(self, producer, kinds=(), **open):
        return self.enter(Watch(producer, kinds, **open))

    def say(self, client, text):
        client.request(message={"text": text})

    def text(self, watch):
        return watch.event("client_message").client_message.payload.decode()

    def test_a_watcher_gets_the_events_of_both(self):
        watch = self.watch(self.at_a, ["client_message"])
        one, other = self.client(self.a), self.client(self.b)
        eventually(lambda: self.say(other, "ready?") or not watch.nothing(0.1), "b is watched")
        self.say(one, "from a")
        self.say(other, "from b")
        events = []
        while len(events) < 2:
            event = watch.event("client_message")
            if event.client_message.payload != b"ready?":
                events.append(event)
        self.assertEqual({(event.node, event.client_message.payload) for event in events}, {("a", b"from a"), ("b", b"from b")})
        self.assertLess(events[0].id, events[1].id)

    def test_what_a_killed_replica_had_not_acknowledged_goes_to_another(self):
        client = self.client(self.a)
        watch = self.watch(self.at_b, ["client_message"], group="workers")
        eventually(lambda: self.say(client, "ready?") or not watch.nothing(0.1), "a is watched")
        texts = [f"job {n}" for n in range(5)]
        for text in texts:
            self.say(client, text)
        seen = []
        while len(seen) < len(texts):
            event = watch.event("client_message")
            text = event.client_message.payload.decode()
            if text == "ready?" or text == "job 0":
                watch.ack(event.id)
            if text != "ready?":
                seen.append(text)
        self.assertEqual(seen, texts)
        lost = self.watch(self.at_a, ["node_lost"])
        self.b.kill()
        self.assertEqual(lost.event("node_lost").node_lost.node, "b")
        again = self.watch(self.at_a, ["client_message"], group="workers")
        redelivered = [again.event("client_message") for _ in texts[1:]]
        self.assertEqual([event.client_message.payload.decode() for event in redelivered], texts[1:])
        self.assertTrue(all(event.redelivered for event in redelivered))
        self.assertTrue(again.nothing(0.3))


class ProducerTest(ClusterTest):
    def test_a_producer_that_moves_is_told_what_is_a_duplicate(self):
        open_ = push_service_pb2.PushOpen(producer_id="p")
        client = self.client(self.b)
        commands = [{"deliver": deliver(f"{n}", session_id=client.session_id)} for n in range(3)]
        with PushStream(self.at_a, open_) as stream:
            stream.send(*commands)
            stream.results(3)
        with PushStream(self.at_b, open_) as stream:
            stream.send(*commands, {"deliver": deliver("new", session_id=client.session_id)})
            results = stream.results(4)
            self.assertEqual(stream.opened.last_seq, 3)
        self.assertEqual([results[seq].duplicate for seq in sorted(results)], [True, True, True, False])
        self.assertEqual([client.message()["text"] for _ in range(4)], ["0", "1", "2", "new"])


if __name__ == "__main__":
    unittest.main()
