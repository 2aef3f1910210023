"""SessionService against the real binary."""

import unittest

from harness import JsonClient, eventually
from producer import common_pb2, deliver, push_service_pb2, session_service_pb2, to
from service_case import ServiceTest
from wire import wait_close


class SessionServiceTest(ServiceTest):
    flags = ()

    def setUp(self):
        super().setUp()
        eventually(lambda: self.producer.list_sessions().total == 0, "the sessions of other tests have gone")

    def ids(self, **filters):
        return [session.session_id for session in self.producer.list_sessions(**filters).sessions]

    def test_get(self):
        client = self.client("?user=alice&topics=b,a&labels=platform=web")
        client.request(ping={})
        session = self.producer.session(client.session_id)
        self.assertEqual((session.session_id, session.user_id, session.protocol), (client.session_id, "alice", session_service_pb2.PROTOCOL_JSON))
        self.assertEqual(dict(session.labels), {"platform": "web"})
        self.assertEqual(sorted(session.topics), ["a", "b"], "without $all and $user/alice")
        self.assertRegex(session.remote_address, r"^127\.0\.0\.1:\d+$")
        self.assertIn("websockets", session.user_agent)
        self.assertEqual(session.messages_in, 2)
        self.assertGreater(session.bytes_in, 20)
        self.assertGreater(session.opened_at.seconds, 1_700_000_000)
        self.producer.deliver("12345", session_id=client.session_id)
        client.message()
        later = self.producer.session(client.session_id)
        self.assertEqual(later.messages_out, session.messages_out + 1)
        self.assertGreater(later.bytes_out, session.bytes_out + 5)
        self.assertEqual((later.queued_bytes, later.dropped), (0, 0))

    def test_protocols(self):
        self.enter(self.herald.raw_client())
        self.assertEqual([session.protocol for session in self.producer.list_sessions().sessions], [session_service_pb2.PROTOCOL_RAW])

    def test_list_with_filters(self):
        alice = [self.client("?user=alice&topics=news&labels=platform=web") for _ in range(2)]
        bob = self.client("?user=bob&topics=news&labels=platform=ios")
        nobody = self.client()
        everyone = sorted(client.session_id for client in (*alice, bob, nobody))
        for filters, expected in (({}, everyone), ({"user_id": "alice"}, sorted(c.session_id for c in alice)), ({"user_id": "carol"}, []),
                                  ({"topic": "news"}, sorted(c.session_id for c in (*alice, bob))), ({"topic": "$all"}, everyone),
                                  ({"topic": "$user/bob"}, [bob.session_id]), ({"topic": "other"}, []),
                                  ({"selector": "platform=ios"}, [bob.session_id]), ({"selector": "!platform"}, [nobody.session_id]),
                                  ({"user_id": "bob", "selector": "platform=web"}, []),
                                  ({"user_id": "bob", "topic": "news", "selector": "platform"}, [bob.session_id])):
            with self.subTest(filters):
                self.assertEqual(self.ids(**filters), expected)
                self.assertEqual(self.producer.list_sessions(**filters).total, len(expected))

    def test_list_in_pages(self):
        clients = [self.client("?topics=paged") for _ in range(7)]
        pages, token = [], ""
        while True:
            response = self.producer.list_sessions(topic="paged", page_size=3, page_token=token)
            self.assertEqual(response.total, 7)
            pages.append([session.session_id for session in response.sessions])
            token = response.next_page_token
            if not token:
                break
        self.assertEqual([len(page) for page in pages], [3, 3, 1])
        self.assertEqual(sum(pages, []), sorted(client.session_id for client in clients))
        self.assertEqual(self.producer.list_sessions(page_size=7).next_page_token, "", "no empty page after the last")

    def test_join_and_leave(self):
        client, other = self.client("?user=alice"), self.client("?user=bob")
        pb = session_service_pb2
        self.assertEqual(self.producer.call(self.producer.sessions.Join, pb.JoinRequest(target=to(user_id="alice"), topics=["a", "b", "a"])).matched, 1)
        self.assertEqual(self.topics_of(client), ["a", "b"])
        self.assertEqual(self.producer.deliver("joined", topic="b").matched, 1)
        self.assertEqual(client.message()["text"], "joined")
        self.assertEqual(self.producer.call(self.producer.sessions.Join, pb.JoinRequest(target=to(all=True), topics=["a"])).matched, 2)
        self.assertEqual((self.topics_of(client), self.topics_of(other)), (["a", "b"], ["a"]))
        target = to(all=True, except_users=["bob"])
        self.assertEqual(self.producer.call(self.producer.sessions.Leave, pb.LeaveRequest(target=target, topics=["a", "never"])).matched, 1)
        self.assertEqual((self.topics_of(client), self.topics_of(other)), (["b"], ["a"]))
        self.assertEqual(self.producer.deliver("left", topic="a").matched, 1)
        self.assertEqual(other.message()["text"], "left")
        self.assert_silence(client)

    def test_labels(self):
        client = self.enter(JsonClient(self.herald.client_url + "?labels=tier=gold", {"labels": {"tier": "platinum"}}))
        request = session_service_pb2.SetLabelsRequest(target=to(session_id=client.session_id), set={"a": "1", "b": "2"}, remove=["none"])
        self.assertEqual(self.producer.call(self.producer.sessions.SetLabels, request).matched, 1)
        self.assertEqual(dict(self.producer.session(client.session_id).labels),
                         {"tier": "gold", "client/tier": "platinum", "a": "1", "b": "2"})
        request = session_service_pb2.SetLabelsRequest(target=to(selector="a=1"), set={"a": "3"}, remove=["b", "tier"])
        self.assertEqual(self.producer.call(self.producer.sessions.SetLabels, request).matched, 1)
        self.assertEqual(dict(self.producer.session(client.session_id).labels), {"client/tier": "platinum", "a": "3"})

    def test_disconnect(self):
        clients = [self.client("?user=alice") for _ in range(3)]
        other = self.client("?user=bob")
        self.assertEqual(self.producer.disconnect(user_id="alice", except_sessions=[clients[0].session_id]).matched, 2)
        for client in clients[1:]:
            self.assertEqual(wait_close(client.socket)[0], 4410)
        self.assert_silence(clients[0], other)
        self.assertEqual(self.producer.disconnect(user_id="carol").matched, 0)

    def test_presence(self):
        for user in ("alice", "bob", "alice"):
            self.client(f"?user={user}&topics=room")
        nobody = self.client("?topics=room")
        self.client("?user=carol")

        def presence(**options):
            return self.producer.call(self.producer.sessions.GetPresence, session_service_pb2.GetPresenceRequest(**options))

        found = presence(topic="room")
        self.assertEqual((found.session_count, found.user_count, list(found.users), len(found.sessions)), (4, 2, ["alice", "bob"], 0))
        found = presence(topic="room", include_sessions=True)
        self.assertEqual(sorted(session.user_id for session in found.sessions), ["", "alice", "alice", "bob"])
        self.assertIn(nobody.session_id, [session.session_id for session in found.sessions])
        found = presence(topic="room", include_sessions=True, limit=1)
        self.assertEqual((found.session_count, found.user_count, list(found.users), len(found.sessions)), (4, 2, ["alice"], 1))
        self.assertEqual(presence(topic="$all").session_count, 5)
        self.assertEqual(presence(topic="$user/alice").session_count, 2)
        found = presence(topic="empty")
        self.assertEqual((found.session_count, found.user_count), (0, 0))

    def history(self, topic, **options):
        return self.producer.call(self.producer.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic=topic, **options))

    def test_history(self):
        sent = [self.producer.send(deliver=deliver(message=common_pb2.Message(
            payload=b'{"n":%d}' % n, event="counted", attributes={"n": str(n)}), topic="log")) for n in range(5)]
        found = self.history("log")
        self.assertTrue(found.complete)
        self.assertEqual([entry.message.payload for entry in found.entries], [b'{"n":%d}' % n for n in range(5)])
        self.assertEqual([entry.message.id for entry in found.entries], [result.message_id for result in sent])
        first = found.entries[0]
        self.assertEqual((first.message.event, first.message.content_type, dict(first.message.attributes)),
                         ("counted", "application/json", {"n": "0"}))
        self.assertEqual([entry.position.offset for entry in found.entries], sorted({entry.position.offset for entry in found.entries}))
        self.assertEqual([entry.position for entry in found.entries], [result.positions[0] for result in sent])
        self.assertEqual(found.current, found.entries[-1].position)
        self.assertGreater(first.accepted_at.seconds, 1_700_000_000)

        self.assertEqual([entry.message.payload for entry in self.history("log", limit=2).entries], [b'{"n":0}', b'{"n":1}'])
        self.assertEqual([entry.message.payload for entry in self.history("log", limit=2, reverse=True).entries], [b'{"n":4}', b'{"n":3}'])
        since = found.entries[1].position.token
        self.assertEqual([entry.message.payload for entry in self.history("log", since=since).entries],
                         [b'{"n":2}', b'{"n":3}', b'{"n":4}'])
        self.assertEqual([entry.message.payload for entry in self.history("log", since=since, reverse=True, limit=1).entries], [b'{"n":4}'])
        end = self.history("log", since=found.current.token)
        self.assertEqual((len(end.entries), end.complete, end.current), (0, True, found.current))

    def test_history_that_is_gone_is_said_to_be_incomplete(self):
        first = self.producer.deliver("first", topic="short").positions[0]
        for number in range(120):  # --dev keeps 100
            self.producer.deliver(str(number), topic="short")
        found = self.history("short", since=first.token, limit=1000)
        self.assertFalse(found.complete)
        self.assertEqual(len(found.entries), 100)
        other = self.history("other-log", since=first.token)
        self.assertFalse(other.complete)

    def test_history_of_a_client_and_without_history(self):
        client = self.client("?topics=chat")
        client.request(publish={"topic": "chat", "text": "hello"})
        entry = self.history("chat").entries[0]
        self.assertEqual((entry.message.payload, entry.sender_session_id), (b"hello", client.session_id))
        skipped = self.producer.send(deliver=deliver(topic="chat", policy=push_service_pb2.Policy(skip_history=True)))
        self.assertEqual(len(skipped.positions), 0)
        excepted = self.producer.deliver("live only", topic="chat", except_users=["x"])
        self.assertEqual(len(excepted.positions), 0)
        self.assertEqual(len(self.history("chat").entries), 1)

    def test_history_of_personal_and_broadcast_topics(self):
        self.producer.deliver("for dora", user_id="dora")
        self.assertEqual([entry.message.payload for entry in self.history("$user/dora").entries], [b"for dora"])
        self.producer.deliver("for all", all=True)
        self.assertEqual(self.history("$all", reverse=True, limit=1).entries[0].message.payload, b"for all")


if __name__ == "__main__":
    unittest.main()
