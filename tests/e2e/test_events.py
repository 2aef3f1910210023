"""EventService against the real binary."""

import json
import unittest

from harness import eventually
from producer import Watch, push_service_pb2, to
from service_case import ServiceTest

Join = push_service_pb2.Join


class WatchTest(ServiceTest):
    flags = ()

    def watch(self, kinds=(), **open):
        return self.enter(Watch(self.producer, kinds, **open))

    def message(self, client, payload, topic=""):
        client.send({"message": {"text": payload, **({"topic": topic} if topic else {})}})

    def payloads(self, watch, count):
        return [watch.event("client_message").client_message.payload.decode() for _ in range(count)]

    def test_all_kinds(self):
        watch = self.watch()
        client = self.enter(self.herald.json_client("?user=alice&labels=platform=web"))
        opened = watch.event("session_opened")
        self.assertEqual((opened.session_id, opened.user_id, opened.node), (client.session_id, "alice", client.hello["node"]))
        self.assertEqual(dict(opened.session_opened.labels), {"platform": "web"})
        self.assertRegex(opened.session_opened.remote_address, r"^127\.0\.0\.1:\d+$")
        self.assertIn("websockets", opened.session_opened.user_agent)
        client.request(subscribe={"topic": "news"})
        self.assertEqual(watch.event("subscribed").topic, "news")
        client.request(message={"event": "clicked", "topic": "news", "data": {"x": 1}})
        said = watch.event("client_message")
        self.assertEqual((said.topic, said.client_message.event, said.client_message.content_type), ("news", "clicked", "application/json"))
        self.assertEqual(json.loads(said.client_message.payload), {"x": 1})
        client.request(unsubscribe={"topic": "news"})
        self.assertEqual(watch.event("unsubscribed").topic, "news")
        self.producer.send(join=Join(target=to(user_id="alice"), topics=["joined"]))
        self.assertEqual(watch.event("subscribed").topic, "joined")
        client.socket.close(1000, "bye")
        self.assertEqual(watch.event("unsubscribed").topic, "joined")
        closed = watch.event("session_closed")
        self.assertEqual((closed.session_closed.code, closed.session_closed.reason), (1000, "bye"))
        self.assertEqual((closed.session_id, closed.session_closed.messages_in), (client.session_id, 4))
        self.assertGreater(closed.session_closed.duration.ToNanoseconds(), 0)
        self.assertGreater(closed.session_closed.bytes_out, 0)
        ids = [event.id for event in (opened, said, closed)]
        self.assertEqual(ids, sorted(set(ids)), "increasing")

    def test_kinds_are_chosen(self):
        watch = self.watch(["client_message"])
        client = self.client("?topics=news")
        self.message(client, "one")
        self.assertEqual(self.payloads(watch, 1), ["one"])

    def test_topic_patterns(self):
        watch = self.watch(["subscribed", "client_message"], topic_patterns=["orders/*", "eu/**"])
        client = self.client()
        for topic in ("orders/1", "orders/1/items", "other", "eu/a/b", "orders"):
            client.request(subscribe={"topic": topic})
        self.message(client, "in", "orders/7")
        self.message(client, "out", "other")
        self.message(client, "no topic always passes")
        self.assertEqual([watch.event("subscribed").topic for _ in range(2)], ["orders/1", "eu/a/b"])
        self.assertEqual(self.payloads(watch, 2), ["in", "no topic always passes"])

    def test_without_a_group_everyone_gets_all(self):
        watches = [self.watch(["client_message"]) for _ in range(3)]
        client = self.client()
        for number in range(10):
            self.message(client, str(number))
        for watch in watches:
            self.assertEqual(self.payloads(watch, 10), [str(number) for number in range(10)])

    def test_a_group_shares(self):
        one, two = (self.watch(["client_message"], group="shared", max_in_flight=5) for _ in range(2))
        client = self.client()
        for number in range(10):
            self.message(client, str(number))
        got = self.payloads(one, 5), self.payloads(two, 5)  # each has as many as it may hold
        self.assertEqual(sorted(got[0] + got[1]), [str(number) for number in range(10)], "each once")

    def test_in_flight_events_are_limited_until_acknowledged(self):
        watch = self.watch(["client_message"], group="careful", max_in_flight=2)
        everything = self.watch(["client_message"])
        client = self.client()
        for number in range(5):
            self.message(client, str(number))
        self.payloads(everything, 5)  # so all five are there
        first, second = (watch.event("client_message") for _ in range(2))
        self.assertTrue(watch._arrived.empty(), "two are out, and no more may be")
        watch.ack(first.id)
        third = watch.event("client_message")
        self.assertEqual(third.client_message.payload, b"2")
        watch.ack(second.id, third.id)
        self.assertEqual(self.payloads(watch, 2), ["3", "4"])

    def test_what_a_killed_watcher_had_not_acknowledged_goes_to_another(self):
        client = self.client()
        killed = self.watch(["client_message"], group="workers", max_in_flight=6)
        for number in range(8):
            self.message(client, str(number))
        events = [killed.event("client_message") for _ in range(6)]
        killed.ack(events[0].id, events[1].id)
        events += [killed.event("client_message") for _ in range(2)]  # there is room for these: it was acknowledged
        self.assertFalse(any(event.redelivered for event in events))
        killed.kill()
        other = self.watch(["client_message"], group="workers")
        again = [other.event("client_message") for _ in range(6)]
        self.assertEqual([event.id for event in again], [event.id for event in events[2:]])
        self.assertEqual([event.client_message.payload for event in again], [str(number).encode() for number in range(2, 8)])
        self.assertTrue(all(event.redelivered for event in again))
        self.message(client, "new")
        self.assertFalse(other.event("client_message").redelivered)

    def test_and_at_once_to_one_that_is_there(self):
        client = self.client()
        one = self.watch(["client_message"], group="pair", max_in_flight=1)
        two = self.watch(["client_message"], group="pair", max_in_flight=1)
        self.message(client, "a"), self.message(client, "b")
        one.event("client_message")
        lost = two.event("client_message")
        watchers = self.herald.metric("herald_watchers")
        two.kill()
        eventually(lambda: self.herald.metric("herald_watchers") < watchers, "Herald knows that it is gone")
        self.message(client, "c")
        one.ack(lost.id)  # not its own: no effect
        one.ack(lost.id - 1, lost.id + 1)
        again = one.event("client_message")
        self.assertEqual((again.id, again.redelivered), (lost.id, True))

    def test_a_group_without_watchers_keeps_its_place(self):
        client = self.client()
        first = self.watch(["client_message"], group="restarting", max_in_flight=1)
        self.message(client, "a")
        first.ack(first.event("client_message").id)
        self.message(client, "b")
        first.event("client_message")  # there is room for it: "a" was acknowledged
        first.kill()
        witness = self.watch(["client_message"])
        self.message(client, "c")
        self.payloads(witness, 1)
        second = self.watch(["client_message"], group="restarting")
        again, new = second.event("client_message"), second.event("client_message")
        self.assertEqual((again.client_message.payload, again.redelivered), (b"b", True))
        self.assertEqual((new.client_message.payload, new.redelivered), (b"c", False))

    def test_replay_since_an_id(self):
        watch = self.watch(["client_message"])
        client = self.client()
        for number in range(5):
            self.message(client, str(number))
        events = [watch.event("client_message") for _ in range(5)]
        replay = self.watch(["client_message"], since_event_id=events[1].id)
        self.assertEqual(self.payloads(replay, 3), ["2", "3", "4"])
        self.assertEqual(replay.opened.last_event_id, events[-1].id)
        self.message(client, "live")
        self.assertEqual(self.payloads(replay, 1), ["live"])
        self.assertEqual(replay.missed, 0)

    def test_half_closing_does_not_end_a_watch(self):
        watch = self.watch(["client_message"])
        watch.half_close()
        self.message(self.client(), "still")
        self.assertEqual(self.payloads(watch, 1), ["still"])


class SmallBufferTest(ServiceTest):
    flags = ("--event_buffer_size=16",)

    def test_one_that_fell_out_of_the_buffer_is_told_how_many_it_missed(self):
        watch = self.enter(Watch(self.producer, ["client_message"]))
        client = self.client()
        first_id = None
        for number in range(60):  # slow enough to see all
            client.request(message={"text": str(number)})
            event = watch.event("client_message")
            first_id = first_id or event.id
        late = self.enter(Watch(self.producer, ["client_message"], since_event_id=first_id))
        got = [late.event("client_message") for _ in range(16)]
        self.assertEqual([event.client_message.payload for event in got], [str(number).encode() for number in range(44, 60)])
        self.assertEqual(late.missed, 43, "1 to 43")
        self.assertEqual(watch.missed, 0)


if __name__ == "__main__":
    unittest.main()
