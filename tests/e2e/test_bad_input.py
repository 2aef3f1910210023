"""What producers are told when they send what they may not, row by row of "Bad input", against the real binary."""

import datetime
import signal
import unittest

import grpc

from harness import DEADLINE, eventually
from producer import (END, Code, PushStream, Watch, admin_service_pb2, common_pb2, deliver, event_service_pb2, push_service_pb2,
                      session_service_pb2, text, to)
from service_case import ServiceTest
from wire import raw_client

Join, Leave = push_service_pb2.Join, push_service_pb2.Leave
Disconnect, SetLabels = push_service_pb2.Disconnect, push_service_pb2.SetLabels
LONG_TOPIC, LONG_USER = "x" * 256, "x" * 250


class InvalidArgumentTest(ServiceTest):
    flags = ()

    # Two targets at once cannot be said: `Target.to` and `Command.action` are oneofs, and the last one on the wire wins.

    def test_unset_target(self):
        for action in ({"deliver": push_service_pb2.Deliver(message=text("x"))}, {"deliver": deliver()}, {"deliver": deliver(all=False)},
                       {"join": Join(topics=["a"])}, {"leave": Leave(topics=["a"])}, {"disconnect": Disconnect()},
                       {"set_labels": SetLabels(set={"a": "b"})}):
            with self.subTest(action):
                self.assert_invalid("target", **action)

    def test_unset_action(self):
        self.assert_invalid("action")

    def test_empty_names(self):
        for target, field in (({"session_id": ""}, "target.session_id"), ({"user_id": ""}, "target.user_id"),
                              ({"topic": ""}, "target.topic"), ({"selector": ""}, "target.selector"),
                              ({"users": common_pb2.Target.Users()}, "target.users"),
                              ({"users": common_pb2.Target.Users(user_ids=["a", ""])}, "target.users"),
                              ({"topics": common_pb2.Target.Topics()}, "target.topics"),
                              ({"topics": common_pb2.Target.Topics(topics=["a", ""])}, "target.topics"),
                              ({"all": True, "except_users": [""]}, "target.except_users"),
                              ({"all": True, "except_sessions": [""]}, "target.except_sessions")):
            with self.subTest(field=field):
                self.assert_invalid(field, deliver=deliver(**target))

    def test_over_long_names(self):
        for target, field in (({"user_id": LONG_USER}, "target.user_id"), ({"topic": LONG_TOPIC}, "target.topic"),
                              ({"selector": "a=" + "x" * 1100}, "target.selector"),
                              ({"users": common_pb2.Target.Users(user_ids=["a", LONG_USER])}, "target.users"),
                              ({"topics": common_pb2.Target.Topics(topics=["a", LONG_TOPIC])}, "target.topics"),
                              ({"all": True, "except_users": [LONG_USER]}, "target.except_users")):
            with self.subTest(field=field):
                self.assert_invalid(field, deliver=deliver(**target))
        self.assertEqual(self.producer.deliver(topic="x" * 255).code, 0)
        self.assertEqual(self.producer.deliver(user_id="x" * 249).code, 0)

    def test_too_many_names(self):
        names = [str(number) for number in range(10_001)]
        self.assert_invalid("target.users", deliver=deliver(users=common_pb2.Target.Users(user_ids=names)))
        self.assert_invalid("target.topics", deliver=deliver(topics=common_pb2.Target.Topics(topics=names)))
        self.assert_invalid("target.except_users", deliver=deliver(all=True, except_users=names[:1001]))
        self.assert_invalid("topics", join=Join(target=to(all=True), topics=names[:129]))

    def test_bad_characters(self):
        for name in ("a\nb", "a\0b", "\x7f", "   "):
            self.assert_invalid("target.topic", deliver=deliver(topic=name))
            self.assert_invalid("target.user_id", deliver=deliver(user_id=name))

    def test_reserved_topics(self):
        for name in ("$all", "$user/alice", "$", "$new"):
            self.assert_invalid("target.topic", deliver=deliver(topic=name))
            self.assert_invalid("target.topics", deliver=deliver(topics=common_pb2.Target.Topics(topics=["a", name])))
            self.assert_invalid("topics", join=Join(target=to(all=True), topics=["a", name]))
            self.assert_invalid("topics", leave=Leave(target=to(all=True), topics=[name]))
            request = push_service_pb2.BroadcastRequest(message=text("x"), topics=["a", name])
            self.assertEqual(self.producer.refusal(self.producer.push.Broadcast, request)[0], Code.INVALID_ARGUMENT)

    def test_join_and_leave_without_topics(self):
        self.assert_invalid("topics", join=Join(target=to(all=True)))
        self.assert_invalid("topics", leave=Leave(target=to(all=True)))
        self.assert_invalid("topics", join=Join(target=to(all=True), topics=[""]))
        self.assert_invalid("topics", join=Join(target=to(all=True), topics=[LONG_TOPIC]))

    def test_message(self):
        for field, message in {
            "message.payload": text("x" * (64 * 1024 + 1)),
            "message.id": common_pb2.Message(id="x" * 129),
            "message.event": common_pb2.Message(event="x" * 256),
            "message.content_type": common_pb2.Message(content_type="text/" + "x" * 300),
            "message.attributes": common_pb2.Message(attributes={"a": "x" * 1025}),
        }.items():
            with self.subTest(field):
                self.assert_invalid(field, deliver=deliver(message=message, topic="a"))
                request = push_service_pb2.BroadcastRequest(message=message)
                code, details = self.producer.refusal(self.producer.push.Broadcast, request)
                self.assertEqual((code, field in details), (Code.INVALID_ARGUMENT, True), details)
        for message in (common_pb2.Message(attributes={"x" * 1025: ""}), common_pb2.Message(attributes={"": "x"}),
                        common_pb2.Message(attributes={str(number): "" for number in range(33)})):
            self.assert_invalid("message.attributes", deliver=deliver(message=message, topic="a"))
        self.assert_invalid(["message.payload", "message.content_type"], deliver=deliver(
            message=common_pb2.Message(payload=b"{", content_type="application/json"), topic="a"))
        self.assertEqual(self.producer.deliver("x" * 64 * 1024, topic="a").code, 0, "the largest that is allowed")

    def test_bad_selector(self):
        for selector in ("a in", "a in ()", "=b", "a=b,", "a b", "a in (b", "a>1", "!", "ü=1"):
            with self.subTest(selector):
                self.assert_invalid("target.selector", deliver=deliver(selector=selector))
        code, details = self.producer.refusal(self.producer.sessions.ListSessions,
                                              session_service_pb2.ListSessionsRequest(selector="a in"))
        self.assertEqual((code, "selector" in details), (Code.INVALID_ARGUMENT, True), details)

    def test_bad_label(self):
        for labels in ({"": "x"}, {"a b": "x"}, {"a": "x y"}, {"a": "x" * 64}, {"x" * 64: "a"}, {"client/a": "x"}):
            with self.subTest(labels):
                self.assert_invalid("set", set_labels=SetLabels(target=to(all=True), set=labels))
        self.assert_invalid("set", set_labels=SetLabels(target=to(all=True)))
        for key in ("", "a b", "x" * 64, "client/a"):
            with self.subTest(remove=key):
                self.assert_invalid("remove", set_labels=SetLabels(target=to(all=True), remove=[key]))

    def test_bad_session_id(self):
        for text_ in ("x", "node-00", "node-00-" + "0" * 31, "node-zz-" + "0" * 32, "-00-" + "0" * 32, "n" * 129):
            with self.subTest(text_):
                self.assert_invalid("target.session_id", deliver=deliver(session_id=text_))
                self.assert_invalid("target.except_sessions", deliver=deliver(all=True, except_sessions=[text_]))
                code, details = self.producer.refusal(self.producer.sessions.GetSession,
                                                      session_service_pb2.GetSessionRequest(session_id=text_))
                self.assertEqual((code, "session_id" in details), (Code.INVALID_ARGUMENT, True), details)

    def test_disconnect(self):
        self.assert_invalid("code", disconnect=Disconnect(target=to(all=True), code=1006))
        self.assert_invalid("reason", disconnect=Disconnect(target=to(all=True), reason="x" * 124))
        delay = Disconnect(target=to(all=True))
        delay.reconnect_delay.seconds = -1
        self.assert_invalid("reconnect_delay", disconnect=delay)

    def test_session_service(self):
        sessions, pb = self.producer.sessions, session_service_pb2
        for method, request, field in (
                (sessions.ListSessions, pb.ListSessionsRequest(user_id=LONG_USER), "user_id"),
                (sessions.ListSessions, pb.ListSessionsRequest(topic=LONG_TOPIC), "topic"),
                (sessions.ListSessions, pb.ListSessionsRequest(page_size=1001), "page_size"),
                (sessions.ListSessions, pb.ListSessionsRequest(page_token="%%%"), "page_token"),
                (sessions.GetSession, pb.GetSessionRequest(), "session_id"),
                (sessions.GetPresence, pb.GetPresenceRequest(), "topic"),
                (sessions.GetPresence, pb.GetPresenceRequest(topic="a", limit=10_001), "limit"),
                (sessions.GetHistory, pb.GetHistoryRequest(), "topic"),
                (sessions.GetHistory, pb.GetHistoryRequest(topic=LONG_TOPIC), "topic"),
                (sessions.GetHistory, pb.GetHistoryRequest(topic="a", limit=1001), "limit"),
                (sessions.GetHistory, pb.GetHistoryRequest(topic="a", since="nonsense"), "since"),
                (sessions.Join, pb.JoinRequest(target=to(all=True)), "topics"),
                (sessions.Join, pb.JoinRequest(topics=["a"]), "target"),
                (sessions.SetLabels, pb.SetLabelsRequest(target=to(all=True), set={"a b": "c"}), "set"),
                (sessions.Disconnect, pb.DisconnectRequest(target=to(all=True), code=7), "code")):
            with self.subTest(f"{request}"):
                code, details = self.producer.refusal(method, request)
                self.assertEqual((code, field in details), (Code.INVALID_ARGUMENT, True), details)

    def test_watch(self):
        for open, field in (({"topic_patterns": ["a*"]}, "topic_patterns"), ({"topic_patterns": [""]}, "topic_patterns"),
                            ({"group": "x" * 129}, "group"), ({"max_in_flight": 65_537}, "max_in_flight")):
            with self.subTest(field):
                code, details = self.enter(Watch(self.producer, **open)).end()
                self.assertEqual((code, field in details), (Code.INVALID_ARGUMENT, True), details)
        for request in (event_service_pb2.WatchRequest(ack_ids=[1]),
                        event_service_pb2.WatchRequest(open=event_service_pb2.WatchOpen(kinds=[99]))):
            with self.assertRaises(grpc.RpcError) as error:
                list(self.producer.events.Watch(iter([request]), timeout=DEADLINE))
            self.assertEqual(error.exception.code(), Code.INVALID_ARGUMENT)
        twice = event_service_pb2.WatchRequest(open=event_service_pb2.WatchOpen())
        watch = self.enter(Watch(self.producer))
        watch.write(twice)
        self.assertEqual(watch.end()[0], Code.INVALID_ARGUMENT)

    def test_idempotency_names(self):
        self.assert_invalid("idempotency_key", deliver=deliver(topic="a", idempotency_key="x" * 129))
        self.assertEqual(self.producer.deliver(topic="a", idempotency_key="ü" * 64).code, 0, "128 bytes")
        stream = self.enter(PushStream(self.producer, push_service_pb2.PushOpen(producer_id="x" * 129)))
        code, details = stream.end()
        self.assertEqual((code, "open.producer_id" in details), (Code.INVALID_ARGUMENT, True), details)
        stream = self.enter(PushStream(self.producer, push_service_pb2.PushOpen(producer_id="x" * 128)))
        stream.send({"deliver": deliver(topic="a")})
        self.assertEqual(stream.results(1)[1].code, 0)

    def test_push_open_twice_and_too_many_commands_end_the_stream(self):
        stream = self.enter(PushStream(self.producer, push_service_pb2.PushOpen()))
        stream.write(push_service_pb2.PushRequest(open=push_service_pb2.PushOpen()))
        code, details = stream.end()
        self.assertEqual((code, "open" in details), (Code.INVALID_ARGUMENT, True), details)
        self.assertTrue(stream.opened.node)
        stream = self.enter(PushStream(self.producer))
        stream.send(*[{"deliver": deliver(topic="a")}] * 4097)
        code, details = stream.end()
        self.assertEqual((code, "commands" in details), (Code.INVALID_ARGUMENT, True), details)

    def test_a_bad_command_in_the_middle_fails_alone(self):
        client = self.client("?topics=news")
        with PushStream(self.producer) as stream:
            stream.send({"deliver": deliver("1", topic="news")}, {"deliver": deliver("no", topic="")}, {},
                        {"deliver": deliver("2", topic="news")}, {"join": Join(target=to(all=True), topics=["$all"])},
                        {"deliver": deliver("3", topic="news")})
            results = stream.results(6)
        self.assertEqual([results[seq].code for seq in range(1, 7)], [0, 3, 3, 0, 3, 0])
        self.assertEqual([client.message()["text"] for _ in range(3)], ["1", "2", "3"])

    def test_nothing_half_done_stays_behind(self):
        client = self.client("?topics=first")
        self.assert_invalid("topics", join=Join(target=to(session_id=client.session_id), topics=["good", "$bad", "fine"]))
        self.assert_invalid("topics", leave=Leave(target=to(session_id=client.session_id), topics=["first", ""]))
        self.assertEqual(self.topics_of(client), ["first"])
        self.assert_invalid("set", set_labels=SetLabels(target=to(session_id=client.session_id), set={"good": "1", "b d": "2"}))
        self.assertEqual(dict(self.producer.session(client.session_id).labels), {})
        self.assert_invalid("target.topics", deliver=deliver(topics=common_pb2.Target.Topics(topics=["first", "$bad"])))
        self.assert_invalid("message.payload", deliver=deliver("x" * 70_000, topic="first"))
        self.assert_silence(client)
        history = self.producer.call(self.producer.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic="first"))
        self.assertEqual(len(history.entries), 0)

    def test_nothing_half_done_over_the_limit_of_labels(self):
        client = self.client()
        self.producer.send(set_labels=SetLabels(target=to(session_id=client.session_id), set={f"k{n}": "" for n in range(31)}))
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "labels", set_labels=SetLabels(
            target=to(session_id=client.session_id), set={"new1": "", "new2": "", "k0": "changed"}, remove=[]))
        labels = self.producer.session(client.session_id).labels
        self.assertEqual((len(labels), labels["k0"]), (31, ""))


class OtherCodesTest(ServiceTest):
    flags = ("--max_topics_per_session=4",)

    # PERMISSION_DENIED comes with the finer access rules of producers: nothing that a producer may send is forbidden to it before.

    def test_unknown_session_is_not_found(self):
        gone = self.client()
        known = gone.session_id
        gone.socket.close()
        eventually(lambda: self.producer.list_sessions().total == 0, "the session has gone")
        elsewhere = "elsewhere-00-" + "0" * 32
        for session_id in (known, elsewhere, known[:-1] + ("0" if known[-1] != "0" else "1")):
            target = to(session_id=session_id)
            for action in ({"deliver": deliver(session_id=session_id)}, {"join": Join(target=target, topics=["a"])},
                           {"leave": Leave(target=target, topics=["a"])}, {"disconnect": Disconnect(target=target)},
                           {"set_labels": SetLabels(target=target, set={"a": "b"})}):
                self.assert_refused(Code.NOT_FOUND, "session", **action)
            code, _ = self.producer.refusal(self.producer.sessions.GetSession,
                                            session_service_pb2.GetSessionRequest(session_id=session_id))
            self.assertEqual(code, Code.NOT_FOUND)

    def test_nobody_there_is_an_ordinary_result(self):
        for target in ({"user_id": "nobody"}, {"topic": "nothing"}, {"selector": "a=b"}, {"users": common_pb2.Target.Users(user_ids=["x"])}):
            result = self.producer.deliver(**target)
            self.assertEqual((result.code, result.matched), (0, 0))
            self.assertTrue(result.message_id)

    def test_require_online(self):
        for target in ({"user_id": "alice"}, {"topic": "news"}, {"selector": "platform=web"},
                       {"users": common_pb2.Target.Users(user_ids=["alice", "bob"])},
                       {"user_id": "alice", "except_users": ["bob"]}):
            with self.subTest(target):
                self.assert_refused(Code.NOT_FOUND, "nobody", deliver=deliver(require_online=True, **target))
        history = self.producer.call(self.producer.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic="$user/alice"))
        self.assertEqual(len(history.entries), 0, "what nobody was there for is not kept either")
        alice = self.client("?user=alice&topics=news&labels=platform=web")
        for target in ({"user_id": "alice"}, {"topic": "news"}, {"selector": "platform=web"}, {"all": True},
                       {"session_id": alice.session_id}):
            result = self.producer.send(deliver=deliver(require_online=True, **target))
            self.assertEqual((result.code, result.matched), (0, 1), target)
            alice.message()
        self.assert_refused(Code.NOT_FOUND, "nobody", deliver=deliver(require_online=True, user_id="alice", except_users=["alice"]))

    def test_topics_of_one_session_are_limited(self):
        client = self.client()
        self.producer.send(join=Join(target=to(session_id=client.session_id), topics=["a", "b", "c"]))
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "max_topics_per_session",
                            join=Join(target=to(session_id=client.session_id), topics=["d", "e"]))
        self.assertEqual(self.topics_of(client), ["a", "b", "c"], "nothing half-done")
        self.producer.send(join=Join(target=to(session_id=client.session_id), topics=["a", "d"]))
        self.assertEqual(self.topics_of(client), ["a", "b", "c", "d"])
        reply = client.request(subscribe={"topic": "e"})
        self.assertEqual(reply["error"]["code"], "RESOURCE_EXHAUSTED")

    def test_drain_over_too_long(self):
        request = admin_service_pb2.DrainRequest()
        for seconds in (-1, 3601):
            request.over.seconds = seconds
            code, details = self.producer.refusal(self.producer.admin.Drain, request)
            self.assertEqual((code, "over" in details), (Code.INVALID_ARGUMENT, True), details)

    def test_policies_and_reports(self):
        policy = push_service_pb2.Policy
        no_ttl, long_ttl = policy(), policy()
        no_ttl.ttl.seconds = 0
        long_ttl.ttl.seconds = 366 * 86_400 + 1
        for field, options in {
            "policy.ttl": {"policy": no_ttl}, "policy.ttl ": {"policy": long_ttl},
            "policy.priority": {"policy": policy(priority=7)}, "policy.overflow": {"policy": policy(overflow=7)},
            "policy.collapse_key": {"policy": policy(collapse_key="k" * 129)}, "report": {"report": 7},
        }.items():
            with self.subTest(field):
                self.assert_invalid(field.strip(), deliver=deliver(topic="news", **options))
        self.assertEqual(self.client().request(ack={"": "1"})["error"]["code"], "INVALID_ARGUMENT")

    def test_and_nothing_else_is(self):
        client = self.client("?user=alice")
        target, pb = to(session_id=client.session_id), session_service_pb2
        policy = push_service_pb2.Policy(skip_history=True, priority=push_service_pb2.PRIORITY_HIGH, collapse_key="k",
                                         overflow=push_service_pb2.OVERFLOW_DROP_OLDEST)
        policy.ttl.seconds = 1
        for action in ({"deliver": deliver(user_id="alice", policy=policy, report=push_service_pb2.REPORT_LEVEL_WRITTEN,
                                           report_timeout=datetime.timedelta(seconds=1))},
                       {"join": Join(target=target, topics=["a"])}, {"leave": Leave(target=target, topics=["a"])},
                       {"set_labels": SetLabels(target=target, set={"a": "b"}, remove=["c"])}):
            self.assertEqual(self.producer.send(**action).code, 0)
        services = self.producer.sessions
        for method, request in (
                (services.ListSessions, pb.ListSessionsRequest()), (services.GetSession, pb.GetSessionRequest(session_id=client.session_id)),
                (services.Join, pb.JoinRequest(target=target, topics=["a"])), (services.Leave, pb.LeaveRequest(target=target, topics=["a"])),
                (services.SetLabels, pb.SetLabelsRequest(target=target, set={"a": "b"})), (services.GetPresence, pb.GetPresenceRequest(topic="a")),
                (services.GetHistory, pb.GetHistoryRequest(topic="a")), (services.Disconnect, pb.DisconnectRequest(target=target)),
                (self.producer.push.Broadcast, push_service_pb2.BroadcastRequest(message=text("x"))),
                (self.producer.admin.GetInfo, admin_service_pb2.GetInfoRequest())):
            self.producer.call(method, request)

    def test_get_info(self):
        self.client("?user=alice&topics=news")
        info = self.producer.call(self.producer.admin.GetInfo, admin_service_pb2.GetInfoRequest())
        self.assertEqual((info.broker, [node.node for node in info.nodes]), ("memory", [info.node]))
        node = info.nodes[0]
        self.assertEqual((node.shards, node.sessions, node.users, node.draining), (2, 1, 1, False))
        self.assertGreater(node.resident_bytes, 1_000_000)
        self.assertTrue(node.version and node.uptime.ToNanoseconds() > 0)


class FullTest(ServiceTest):
    def test_push_streams(self):
        self.start("--max_push_streams=1")
        first = self.enter(PushStream(self.producer, push_service_pb2.PushOpen()))
        first.send({"deliver": deliver(topic="a")})
        first.results(1)
        second = self.enter(PushStream(self.producer))
        code, details = second.end()
        self.assertEqual((code, "max_push_streams" in details), (Code.RESOURCE_EXHAUSTED, True), details)
        first.send({"deliver": deliver(topic="a")})
        self.assertEqual(first.results(1)[2].code, 0, "the first goes on")
        first.half_close()
        self.assertEqual(first.end()[0], Code.OK)

        def again():
            with PushStream(self.producer) as stream:
                stream.send({"deliver": deliver(topic="a")})
                return stream.take() is not END
        eventually(again, "its place is free")

    def test_memory(self):
        self.start("--max_memory_bytes=1MiB")

        def refused():
            try:
                self.producer.deliver(topic="a")
            except grpc.RpcError as error:
                return error
        error = eventually(refused, "the limit is seen")
        self.assertEqual((error.code(), "max_memory_bytes" in error.details()), (Code.RESOURCE_EXHAUSTED, True), error.details())

    def test_draining(self):
        herald = self.start(threads=1)
        stays = self.enter(raw_client(herald))  # does not answer its close: keeps the drain going
        push, watch = self.enter(PushStream(self.producer)), self.enter(Watch(self.producer))
        push.send({"deliver": deliver(topic="a")})
        push.results(1)
        herald.signal(signal.SIGTERM)
        self.assertEqual(push.end()[0], Code.UNAVAILABLE)
        self.assertEqual(watch.end()[0], Code.UNAVAILABLE)
        self.assertEqual(stays.wait_close()[0], 1012)
        code, _ = self.producer.send_refusal(deliver=deliver(topic="a"))
        self.assertEqual(code, Code.UNAVAILABLE)
        self.assertEqual(herald.wait(), 0)

    def test_draining_sends_the_results_first(self):
        herald = self.start(threads=1)
        push = self.enter(PushStream(self.producer))
        push.send(*[{"deliver": deliver(topic="a")}] * 1000)
        first = push.take()  # all have been read by the server
        herald.signal(signal.SIGTERM)
        self.assertEqual(len({first.seq, *push.results(999)}), 1000)
        self.assertEqual(push.end()[0], Code.UNAVAILABLE)
        self.assertEqual(herald.wait(), 0)


if __name__ == "__main__":
    unittest.main()
