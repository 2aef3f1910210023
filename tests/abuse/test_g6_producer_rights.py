"""G6: what a producer's credentials allow, and what they do not. Any token used to be able to do everything.

    HERALD_RIGHTS_ROUNDS=10000 HERALD_RIGHTS_SEED=7 python -m unittest -v test_g6_producer_rights
"""

import collections
import os
import random
import tempfile
import threading
import time
import unittest
from pathlib import Path

import grpc

import producers_file
from certificates import Authority
from harness import DEADLINE, JsonClient, eventually
from producer import END, Code, Producer, PushStream, Watch, admin_service_pb2, deliver
from producer import event_service_pb2, push_service_pb2, session_service_pb2, text, to
from producers_file import VERBS, entry, token_of
from server_case import ServerTest
from tokens import hs256, write_secret

PB = session_service_pb2
ROUNDS = int(os.environ.get("HERALD_RIGHTS_ROUNDS", 400))
SEED = int(os.environ.get("HERALD_RIGHTS_SEED", 1))
OPEN_TOPICS = "topic_rules:\n  - {pattern: '**', client_subscribe: anyone, client_publish: anyone, history_size: 50, history_ttl: 10m}\n"


def retry_delay(error):
    """The RetryInfo of a call that failed, in seconds; None if there is none."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return None
    from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/test.proto", package="google.rpc", syntax="proto3",
        dependency=["google/protobuf/any.proto", "google/protobuf/duration.proto"])
    status = file.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=5, label=1)
    status.field.add(name="message", number=2, type=9, label=1)
    status.field.add(name="details", number=3, type=11, label=3, type_name=".google.protobuf.Any")
    info = file.message_type.add(name="RetryInfo")
    info.field.add(name="retry_delay", number=1, type=11, label=1, type_name=".google.protobuf.Duration")
    pool.Add(file)
    classes = {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}")) for name in ("Status", "RetryInfo")}
    parsed = classes["Status"].FromString(details)
    assert parsed.code == error.code().value[0], parsed
    (detail,) = parsed.details
    assert detail.type_url == "type.googleapis.com/google.rpc.RetryInfo", detail
    delay = classes["RetryInfo"].FromString(detail.value).retry_delay
    return delay.seconds + delay.nanos / 1e9


class RightsCase(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))
        self.path = self.directory / "producers.yaml"

    def start_with(self, *entries, flags=(), **options):
        config = self.directory / "herald.yaml"
        config.write_text(OPEN_TOPICS)
        secret = write_secret(self.directory)
        self.herald = self.start(f"--config={config}", producers_file.write(self.path, *entries), f"--jwt_secret_file={secret}",
                                 *flags, **options)
        return self.herald

    def producer(self, name):
        return self.enter(Producer(self.herald, token_of(name)))

    def client(self, user=None, topics=()):
        client = self.enter(JsonClient(self.herald.client_url, {"token": hs256(user)} if user else {}))
        for topic in topics:
            assert "ok" in client.request(subscribe={"topic": topic}), topic
        return client

    def assert_denied(self, producer, right, **action):
        code, details = producer.send_refusal(**action)
        self.assertEqual(code, Code.PERMISSION_DENIED, f"{action}: {details}")
        self.assertIn(right, details)
        with PushStream(producer) as stream:  # the same in a stream, which goes on
            stream.send(action, {"deliver": deliver(topic="a/after")})
            results = stream.results(2)
        self.assertEqual(CODE(results[1]), Code.PERMISSION_DENIED, results[1])
        self.assertIn(right, results[1].detail)
        self.assertEqual(results[2].code, 0, results[2])

    def assert_call_denied(self, producer, right, method, request):
        code, details = producer.refusal(method, request)
        self.assertEqual(code, Code.PERMISSION_DENIED, f"{request}: {details}")
        self.assertIn(right, details)


def CODE(result):
    return next(code for code in Code if code.value[0] == result.code)


class VerbsTest(RightsCase):
    def test_g6_each_verb_allows_its_own_and_nothing_else(self):
        wide = {"topics": ["**"], "users": ["**"], "all": True, "selectors": True}
        self.start_with(*(entry(verb, may=[verb], **wide) for verb in VERBS))
        client = self.client("alice", ["a/1"])
        target = to(user_id="alice")
        calls = {
            "deliver": lambda p: p.deliver(topic="a/1"),
            "join": lambda p: p.send(join=push_service_pb2.Join(target=target, topics=["a/2"])),
            "disconnect": lambda p: p.send(disconnect=push_service_pb2.Disconnect(target=to(user_id="nobody"))),
            "labels": lambda p: p.send(set_labels=push_service_pb2.SetLabels(target=target, set={"a": "b"})),
            "query": lambda p: [p.call(p.sessions.ListSessions, PB.ListSessionsRequest()),
                                p.call(p.sessions.GetSession, PB.GetSessionRequest(session_id=client.session_id)),
                                p.call(p.sessions.GetPresence, PB.GetPresenceRequest(topic="a/1")),
                                p.call(p.sessions.GetHistory, PB.GetHistoryRequest(topic="a/1"))],
            "operate": lambda p: p.call(p.admin.Reload, admin_service_pb2.ReloadRequest()),
        }
        for name in VERBS:
            producer = self.producer(name)
            for verb, call in calls.items():
                with self.subTest(producer=name, call=verb):
                    if verb == name:
                        call(producer)
                        continue
                    with self.assertRaises(grpc.RpcError) as error:
                        call(producer)
                    self.assertEqual(error.exception.code(), Code.PERMISSION_DENIED)
                    self.assertIn(f"may lacks {verb}", error.exception.details())
            with Watch(producer) as watch:
                if name == "watch":
                    self.assertIsNotNone(watch.opened)
                else:
                    self.assertEqual(watch.end()[0], Code.PERMISSION_DENIED)
        # A drain, last: the others may not, and the server lives.
        for name in VERBS[:-1]:
            producer = self.producer(name)
            self.assert_call_denied(producer, "operate", producer.admin.Drain, admin_service_pb2.DrainRequest())
        self.assertEqual(self.herald.http("/readyz")[0], 200)
        lines = self.herald.logs("audit")
        self.assertEqual([(line["producer"], line["action"]) for line in lines], [("operate", "reload")])
        self.assertIn("127.0.0.1", lines[0]["peer"].replace("ipv4:", ""))

    def test_g6_totals_are_for_operators_and_those_who_see_everything(self):
        self.start_with(entry("narrow", may=["query"], topics=["a/**"], users=["**"]), entry("operator", may=["operate"]),
                        entry("wide", may=["query"], topics=["**"], users=["**"]))
        narrow, operator, wide = map(self.producer, ("narrow", "operator", "wide"))
        self.assert_call_denied(narrow, "totals", narrow.admin.GetInfo, admin_service_pb2.GetInfoRequest())
        for producer in (operator, wide):
            self.assertEqual(len(producer.call(producer.admin.GetInfo, admin_service_pb2.GetInfoRequest()).nodes), 1)


class TargetsTest(RightsCase):
    def start_two(self, **more):
        self.start_with(entry("a", may=["deliver", "join", "disconnect", "labels", "query", "watch"], topics=["a/**"], users=["a/**"], **more),
                        entry("b", may=["deliver", "join", "disconnect", "labels", "query", "watch"], topics=["b/**"], users=["b/**"], **more),
                        entry("root", **producers_file.EVERYTHING))
        return self.producer("a"), self.producer("b"), self.producer("root")

    def test_g6_deliveries_stay_within_the_patterns(self):
        a, _, _ = self.start_two()
        mine, theirs = self.client("a/u1", ["a/1", "b/1"]), self.client("b/u1", ["b/1"])
        refused = [("topics", {"topic": "b/1"}), ("topics", {"topics": ["a/1", "b/1"]}), ("users", {"user_id": "b/u1"}),
                   ("users", {"users": ["a/u1", "b/u1"]}), ("all", {"all": True}), ("selectors", {"selector": "!x"}),
                   ("users", {"topic": "$user/b/u1"}), ("users", {"topic": "$all"}), ("users", {"session_id": theirs.session_id}),
                   ("users", {"topic": "a/1", "except_users": ["b/u1"]})]
        for right, target in refused:
            with self.subTest(target):
                self.assert_denied(a, right, deliver=deliver("unwanted", **target))
        for target in ({"topic": "a/1"}, {"topics": ["a/1", "a/2"]}, {"user_id": "a/u1"}, {"users": ["a/u1", "a/u2"]},
                       {"session_id": mine.session_id}, {"topic": "a/1", "except_users": ["a/u2"]}):
            with self.subTest(target):
                self.assertEqual(a.deliver("wanted", **target).code, 0)
                self.assertEqual(mine.message()["text"], "wanted")
        for topics in ([], ["b/1"], ["a/1", "b/1"]):
            self.assert_call_denied(a, "topics" if topics else "all", a.push.Broadcast,
                                    push_service_pb2.BroadcastRequest(message=text("unwanted"), topics=topics))
        self.assertEqual(a.call(a.push.Broadcast, push_service_pb2.BroadcastRequest(message=text("wanted"), topics=["a/1"])).matched, 1)
        self.assertEqual(mine.message()["text"], "wanted")
        root = self.producer("root")
        root.deliver("marker", users=["a/u1", "b/u1"])
        self.assertEqual([mine.message()["text"], theirs.message()["text"]], ["marker", "marker"])

    def test_g6_changes_stay_within_the_patterns(self):
        a, _, root = self.start_two()
        mine, theirs, nobody = self.client("a/u1", ["a/1", "b/1"]), self.client("b/u1", ["a/1", "b/1"]), self.client(None, ["a/1"])
        targets = [("users", {"user_id": "b/u1"}), ("users", {"session_id": theirs.session_id}), ("users", {"session_id": nobody.session_id}),
                   ("topics", {"topic": "b/1"}), ("all", {"all": True}), ("selectors", {"selector": "!x"})]
        pb = push_service_pb2
        for right, target in targets:
            for action in ({"join": pb.Join(target=to(**target), topics=["a/9"])}, {"leave": pb.Leave(target=to(**target), topics=["a/1"])},
                           {"disconnect": pb.Disconnect(target=to(**target))},
                           {"set_labels": pb.SetLabels(target=to(**target), set={"owned": "yes"})}):
                with self.subTest(action):
                    self.assert_denied(a, right, **action)
        for action in ({"join": pb.Join(target=to(user_id="a/u1"), topics=["a/9", "b/9"])},
                       {"leave": pb.Leave(target=to(user_id="a/u1"), topics=["b/1"])}):
            self.assert_denied(a, "topics", **action)
        # Of the sessions on a topic only those of its users are changed.
        self.assertEqual(a.send(set_labels=pb.SetLabels(target=to(topic="a/1"), set={"by": "a"})).matched, 1)
        self.assertEqual(a.send(join=pb.Join(target=to(session_id=mine.session_id), topics=["a/9"])).matched, 1)
        found = {client.session_id: root.session(client.session_id) for client in (mine, theirs, nobody)}
        self.assertEqual(dict(found[mine.session_id].labels), {"by": "a"})
        self.assertIn("a/9", found[mine.session_id].topics)
        for client in (theirs, nobody):
            self.assertEqual(dict(found[client.session_id].labels), {})
            self.assertEqual(a.refusal(a.sessions.Disconnect, PB.DisconnectRequest(target=to(session_id=client.session_id)))[0],
                             Code.PERMISSION_DENIED)
        self.assertEqual(a.send(disconnect=pb.Disconnect(target=to(topic="a/1"))).matched, 1)
        self.assertEqual(len(root.list_sessions().sessions), 2)

    def test_g6_questions_show_only_what_is_allowed(self):
        a, _, root = self.start_two()
        mine, theirs, nobody = self.client("a/u1", ["a/1", "b/1"]), self.client("b/u1", ["a/1", "b/1"]), self.client(None, ["a/1"])
        for topic, user in (("a/1", "a/u1"), ("b/1", "b/u1")):
            root.deliver("kept", topic=topic)
            root.deliver("personal", user_id=user)
        listed = a.list_sessions()
        self.assertEqual(([s.session_id for s in listed.sessions], listed.total), ([mine.session_id], 1))
        self.assertEqual(list(listed.sessions[0].topics), ["a/1"])
        self.assertEqual(list(a.session(mine.session_id).topics), ["a/1"])
        self.assertEqual(a.list_sessions(selector="!x").total, 1)
        self.assertEqual(a.list_sessions(topic="a/1").total, 1)
        unknown = a.refusal(a.sessions.GetSession, PB.GetSessionRequest(session_id=mine.session_id[:-1] + "0123456789abcdef"[
            int(mine.session_id[-1], 16) - 1]))
        for client in (theirs, nobody):
            self.assertEqual(a.refusal(a.sessions.GetSession, PB.GetSessionRequest(session_id=client.session_id)), unknown)
        present = a.call(a.sessions.GetPresence, PB.GetPresenceRequest(topic="a/1", include_sessions=True))
        self.assertEqual((present.session_count, present.user_count, list(present.users)), (1, 1, ["a/u1"]))
        self.assertEqual([s.user_id for s in present.sessions], ["a/u1"])
        self.assertEqual(len(a.call(a.sessions.GetHistory, PB.GetHistoryRequest(topic="a/1")).entries), 1)
        self.assertEqual(len(a.call(a.sessions.GetHistory, PB.GetHistoryRequest(topic="$user/a/u1")).entries), 1)
        for right, topic in (("topics", "b/1"), ("users", "$user/b/u1"), ("users", "$all"), ("users", "$else")):
            self.assert_call_denied(a, right, a.sessions.GetHistory, PB.GetHistoryRequest(topic=topic))
            self.assert_call_denied(a, right, a.sessions.GetPresence, PB.GetPresenceRequest(topic=topic))
            self.assert_call_denied(a, right, a.sessions.ListSessions, PB.ListSessionsRequest(topic=topic))
        self.assert_call_denied(a, "users", a.sessions.ListSessions, PB.ListSessionsRequest(user_id="b/u1"))
        self.assertEqual(root.list_sessions().total, 3)

    def test_g6_events_show_only_what_is_allowed(self):
        a, b, _ = self.start_two()
        with Watch(a) as of_a, Watch(b) as of_b:
            for user, topics in (("b/u1", ["b/1", "a/1"]), ("a/u1", ["b/1", "a/1"])):
                client = self.client(user, topics)
                client.request(message={"text": f"from {user}"})
                client.socket.close()
            for watch, user, topic in ((of_a, "a/u1", "a/1"), (of_b, "b/u1", "b/1")):
                seen = []
                while not seen or seen[-1].kind != event_service_pb2.EVENT_KIND_SESSION_CLOSED:
                    seen.append(watch.take())
                self.assertEqual({event.user_id for event in seen}, {user})
                self.assertEqual({event.topic for event in seen} - {""}, {topic})
                self.assertEqual(watch.missed, 0)

    def test_g6_a_watch_group_belongs_to_its_producer(self):
        self.start_with(entry("one", may=["watch"], users=["**"], topics=["**"]), entry("two", may=["watch"], users=["**"], topics=["**"]))
        one, two = self.producer("one"), self.producer("two")
        with Watch(one, kinds=["client_message"], group="g") as first, Watch(two, kinds=["client_message"], group="g") as second:
            client = self.client("alice")
            for n in range(5):
                client.request(message={"text": str(n)})
            # Each group gets all of them: none is shared, and none is acknowledged by the other.
            events = [first.event("client_message") for _ in range(5)]
            second.ack(*(event.id for event in events))
            self.assertEqual([event.client_message.payload for event in events],
                             [second.event("client_message").client_message.payload for _ in range(5)])
        with Watch(one, kinds=["client_message"], group="g") as again:
            self.assertTrue(all(again.event("client_message").redelivered for _ in range(5)))

    def test_g6_producer_ids_and_keys_belong_to_the_name(self):
        a, b, _ = self.start_two()
        results = [producer.send(deliver=deliver("x", topic=topic, idempotency_key="k")) for producer, topic in
                   ((a, "a/1"), (b, "b/1"), (a, "a/1"))]
        self.assertEqual([(r.code, r.duplicate) for r in results], [(0, False), (0, False), (0, True)])
        for producer, topic, last in ((a, "a/1", 0), (b, "b/1", 0), (a, "a/1", 1)):
            with PushStream(producer, push_service_pb2.PushOpen(producer_id="p")) as stream:
                stream.send({"deliver": deliver("y", topic=topic)})
                stream.results(1)
                self.assertEqual(stream.opened.last_seq, last)

    def test_g6_a_refused_command_does_not_count_as_done(self):
        a, _, _ = self.start_two()
        opening = push_service_pb2.PushOpen(producer_id="p")
        with PushStream(a, opening) as stream:
            stream.send(*({"deliver": deliver("x", topic=topic)} for topic in ("a/1", "b/1", "a/1")))
            codes = [result.code for _, result in sorted(stream.results(3).items())]
        self.assertEqual(codes, [0, Code.PERMISSION_DENIED.value[0], 0])
        with PushStream(a, opening) as stream:
            stream.send({"deliver": deliver("x", topic="a/1")})
            stream.results(1)
            self.assertEqual(stream.opened.last_seq, 1)


class FileTest(RightsCase):
    def test_g6_a_change_of_the_file_counts_for_open_streams(self):
        self.start_with(entry("a", may=["deliver"], topics=["a/**"]), entry("b", may=["deliver", "watch"], topics=["b/**"], users=["**"]))
        a, b = self.producer("a"), self.producer("b")
        with PushStream(a) as of_a, PushStream(b) as of_b, Watch(b) as watch:
            for stream in (of_a, of_b):
                stream.send({"deliver": deliver(topic="a/1")})
            self.assertEqual([stream.results(1)[1].code for stream in (of_a, of_b)], [0, Code.PERMISSION_DENIED.value[0]])
            producers_file.write(self.path, entry("a", may=["deliver"], topics=["else"]))
            self.herald.wait_line('"rights changed"')
            line = self.herald.logs("audit")[-1]
            self.assertEqual((line["changed"], line["removed"], line["added"]), ("a", "b", ""))
            of_a.send({"deliver": deliver(topic="a/1")}, {"deliver": deliver(topic="else")})
            results = of_a.results(2)
            self.assertEqual((CODE(results[2]), CODE(results[3])), (Code.PERMISSION_DENIED, Code.OK))
            of_b.send({"deliver": deliver(topic="b/1")})
            self.assertEqual(of_b.end()[0], Code.UNAUTHENTICATED)
            self.client("alice")
            self.assertEqual(watch.end()[0], Code.UNAUTHENTICATED)

    def test_g6_a_bad_file_keeps_the_old_one(self):
        self.start_with(entry("a", may=["deliver"], topics=["a/**"]))
        a = self.producer("a")
        self.path.write_text("producers:\n  - name: a\n    tokens: [x]\n")
        self.herald.wait_line("producers not reloaded")
        error = self.herald.logs("producers not reloaded, the old ones stay")[-1]["error"]
        self.assertIn(f"{self.path}:3", error)
        self.assertIn("unknown key tokens", error)
        self.assertEqual(a.deliver(topic="a/1").code, 0)
        producers_file.write(self.path, entry("b", may=["deliver"], topics=["a/**"]))
        self.herald.wait_line('"rights changed"')
        self.assertEqual(a.send_refusal(deliver=deliver(topic="a/1"))[0], Code.UNAUTHENTICATED)
        self.assertEqual(self.producer("b").deliver(topic="a/1").code, 0)
        self.assertEqual(len(self.herald.logs("producers not reloaded, the old ones stay")), 1)

    def test_g6_counters_and_one_line_say_who_was_refused(self):
        self.start_with(entry("a", may=["deliver"], topics=["a/**"]))
        a = self.producer("a")
        for _ in range(3):
            a.send_refusal(deliver=deliver(topic="b"))
        a.deliver(topic="a")
        with Producer(self.herald, "no-token-of-anybody") as stranger:
            stranger.send_refusal(deliver=deliver(topic="a"))
        self.assertEqual(self.herald.metric("herald_producer_denied_total", producer="a", right="topics"), 3)
        self.assertEqual(self.herald.metric("herald_producer_commands_total", producer="a"), 4)
        self.assertEqual(self.herald.metric("herald_producer_unauthenticated_total"), 1)
        line = self.herald.logs("a producer is refused")[0]
        self.assertEqual((line["producer"], line["by"]), ("a", "topics"))

    def test_g17_a_file_that_everybody_may_read_is_named(self):
        producers_file.write(self.path, entry("a", may=["deliver"]))
        self.path.chmod(0o644)
        herald = self.start(f"--producers_file={self.path}")
        (line,) = [line for line in herald.logs() if "every user of this machine may read it" in line["msg"]]
        self.assertEqual(line["level"], "warn")

    def test_g17_heraldctl_makes_a_token_that_works_and_keeps_only_its_hash(self):
        self.start_with(entry("a", may=["deliver"], topics=["a/**"]))
        made = self.herald.ctl("producer", "add", "shop", "--may", "deliver", "--topics", "shop/**", "--file", self.path)
        (token,) = made.stdout.split()
        self.assertTrue(token.startswith("heraldp_"))
        self.assertNotIn(token, self.path.read_text())
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.herald.ctl("producer", "hash", input=token + "\n").stdout.strip(), producers_file.sha256(token))
        self.herald.wait_line('"rights changed"')
        with Producer(self.herald, token) as shop:
            self.assertEqual(shop.deliver(topic="shop/1").code, 0)
            self.assertEqual(shop.send_refusal(deliver=deliver(topic="a/1"))[0], Code.PERMISSION_DENIED)
        self.assertEqual(self.producer("a").deliver(topic="a/1").code, 0, "the others stay")
        twice = self.herald.ctl("producer", "add", "shop", "--may", "deliver", "--file", self.path, check=False)
        self.assertEqual(twice.returncode, 2)
        self.assertIn("producer shop is there twice", twice.stderr)


class CertificatesTest(RightsCase):
    def credentials(self, name, san="DNS:client.test"):
        cert, key = self.authority.issue(name, san)
        return grpc.ssl_channel_credentials(self.authority.pem(), Path(key).read_bytes(), Path(cert).read_bytes())

    def start_mtls(self, *entries):
        self.authority = Authority(self.enter(tempfile.TemporaryDirectory()))
        cert, key = self.authority.issue("server")
        flags = [f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}", f"--grpc_tls_client_ca_file={self.authority.cert}"]
        self.herald = self.start(*flags, *([producers_file.write(self.path, *entries)] if entries else []))

    def test_g6_a_certificate_names_its_producer(self):
        may = {"may": ["deliver"]}
        self.start_mtls({"name": "uri", "certificate": "spiffe://shop/orders", "topics": ["uri"], **may},
                        {"name": "dns", "certificate": "billing.shop.internal", "topics": ["dns"], **may},
                        {"name": "mail", "certificate": "ops@shop.example", "topics": ["mail"], **may},
                        {"name": "subject", "certificate": "CN=legacy", "topics": ["subject"], **may},
                        entry("token", topics=["token"], **may))
        for name, common_name, san in (("uri", "x", "URI:spiffe://shop/orders"), ("dns", "x", "DNS:billing.shop.internal"),
                                       ("mail", "x", "email:ops@shop.example"), ("subject", "legacy", "DNS:whatever.test")):
            with self.subTest(name), Producer(self.herald, credentials=self.credentials(common_name, san)) as producer:
                self.assertEqual(producer.deliver(topic=name).code, 0)
                code, details = producer.send_refusal(deliver=deliver(topic="token"))
                self.assertEqual(code, Code.PERMISSION_DENIED)
                self.assertIn(f'producer "{name}"', details)
        with Producer(self.herald, credentials=self.credentials("orders", "DNS:spiffe.shop")) as stranger:
            self.assertEqual(stranger.send_refusal(deliver=deliver(topic="uri"))[0], Code.UNAUTHENTICATED)
        with Producer(self.herald, token_of("token"), self.credentials("x")) as producer:
            self.assertEqual(producer.deliver(topic="token").code, 0)
        with Producer(self.herald, token_of("token"), self.credentials("y", "URI:spiffe://shop/orders")) as both:
            self.assertEqual(both.send_refusal(deliver=deliver(topic="token"))[0], Code.UNAUTHENTICATED)

    def test_g6_without_a_file_certificates_keep_producer_ids_apart(self):
        self.start_mtls()
        for san, duplicate in (("URI:spiffe://shop/a", False), ("URI:spiffe://shop/b", False), ("URI:spiffe://shop/a", True)):
            with Producer(self.herald, credentials=self.credentials("client", san)) as producer:
                with PushStream(producer, push_service_pb2.PushOpen(producer_id="p")) as stream:
                    stream.send({"deliver": deliver("x", topic="t")})
                    self.assertEqual(stream.results(1)[1].duplicate, duplicate)


class RatesTest(RightsCase):
    def test_g6_above_the_rate_commands_are_refused_and_the_stream_goes_on(self):
        self.start_with(entry("slow", may=["deliver"], topics=["**"], commands_per_second=20))
        slow = self.producer("slow")
        with PushStream(slow) as stream:
            stream.send(*({"deliver": deliver(topic="t")} for _ in range(200)))
            codes = collections.Counter(CODE(result) for result in stream.results(200).values())
            self.assertGreaterEqual(codes[Code.OK], 20)
            self.assertGreaterEqual(codes[Code.RESOURCE_EXHAUSTED], 150)
            stream.send({"deliver": deliver(topic="t")})  # is read once the producer is below its rate again
            self.assertEqual(CODE(stream.results(1)[201]), Code.OK)
        self.assertEqual(self.herald.metric("herald_producer_limited_total", producer="slow", limit="commands_per_second"),
                         codes[Code.RESOURCE_EXHAUSTED])

    def test_g6_a_unary_call_above_the_rate_says_when_to_retry(self):
        self.start_with(entry("slow", may=["deliver", "query"], topics=["**"], users=["**"], commands_per_second=1))
        slow = self.producer("slow")

        def call(method, request):
            for _ in range(20):
                try:
                    slow.call(method, request)
                except grpc.RpcError as error:
                    return error
            raise AssertionError("never refused")

        for method, request in ((slow.push.Send, push_service_pb2.SendRequest(command=push_service_pb2.Command(deliver=deliver(topic="t")))),
                                (slow.sessions.ListSessions, PB.ListSessionsRequest())):
            error = call(method, request)
            self.assertEqual(error.code(), Code.RESOURCE_EXHAUSTED)
            self.assertTrue(0 < retry_delay(error) <= 2, retry_delay(error))

    def test_g6_bytes_are_limited_too(self):
        self.start_with(entry("slow", may=["deliver"], topics=["**"], bytes_per_second=10_000))
        slow = self.producer("slow")
        with PushStream(slow) as stream:
            stream.send(*({"deliver": deliver("x" * 1000, topic="t")} for _ in range(50)))
            codes = collections.Counter(CODE(result) for result in stream.results(50).values())
        self.assertGreaterEqual(codes[Code.OK], 8)
        self.assertGreaterEqual(codes[Code.RESOURCE_EXHAUSTED], 30)

    def test_g6_one_producer_does_not_take_all_streams(self):
        self.start_with(entry("greedy", may=["deliver"], topics=["**"]), entry("few", may=["deliver"], topics=["**"], push_streams=2),
                        entry("other", may=["deliver"], topics=["**"]), flags=["--max_push_streams=8"])

        def opened(producer, count):
            streams = [self.enter(PushStream(producer, push_service_pb2.PushOpen())) for _ in range(count)]
            for stream in streams:
                stream.send({"deliver": deliver(topic="t")})
            return [stream.take() is not END for stream in streams]

        self.assertEqual(sum(opened(self.producer("greedy"), 8)), 4)
        self.assertEqual(sum(opened(self.producer("few"), 3)), 2)
        self.assertEqual(sum(opened(self.producer("other"), 2)), 2)
        self.assertEqual(self.herald.metric("herald_producer_limited_total", producer="greedy", limit="push_streams"), 4)

    def test_g6_a_flood_of_one_producer_leaves_the_other_alone(self):
        self.start_with(entry("flood", may=["deliver"], topics=["flood"], commands_per_second=2000),
                        entry("calm", may=["deliver"], topics=["calm"], commands_per_second=2000))
        flood, calm = self.producer("flood"), self.producer("calm")
        stop = threading.Event()
        batch = push_service_pb2.PushRequest(commands=[push_service_pb2.Command(deliver=deliver(topic="flood"))] * 200)

        def requests():
            while not stop.is_set():
                yield batch

        read = collections.Counter()

        def drive():
            try:
                for response in flood.push.Push(requests(), metadata=flood.metadata):
                    read.update(result.code for result in response.results)
            except grpc.RpcError:
                pass

        threads = [threading.Thread(target=drive, daemon=True) for _ in range(4)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: read[Code.RESOURCE_EXHAUSTED.value[0]] > 0, "the flood is above its rate")
            with PushStream(calm) as stream:
                for _ in range(20):
                    stream.send(*({"deliver": deliver(topic="calm")} for _ in range(20)))
                    self.assertEqual({result.code for result in (stream.take() for _ in range(20))}, {0})
        finally:
            stop.set()
            flood.channel.close()
            for thread in threads:
                thread.join(DEADLINE)
        seconds = time.monotonic() - began
        # Read no faster than its rate: the bucket of two seconds, and a request of each stream on top.
        self.assertLessEqual(sum(read.values()), 2000 * (seconds + 2) + 4 * 200 * 2)
        self.assertEqual(self.herald.metric("herald_producer_limited_total", producer="calm"), 0)


class RandomTest(RightsCase):
    """Two producers with rights that do not meet, and a generator of commands, questions and watches of each."""

    NAMES = ("a", "b")

    def test_g6_random_commands_cross_nothing(self):
        rng = random.Random(SEED)
        self.start_with(*(entry(name, may=[verb for verb in VERBS if verb not in ("operate", "handle")],
                                topics=[f"{name}/**", f"only-{name}"], users=[f"{name}/**"]) for name in self.NAMES),
                        entry("root", **producers_file.EVERYTHING), flags=["--max_outbound_bytes_per_session=64MiB",
                                                                           "--inbound_messages_per_second=1000000"])
        root = self.producer("root")
        users = [f"{name}/u{n}" for name in self.NAMES for n in range(3)]
        topics = [f"{name}/{n}" for name in self.NAMES for n in range(3)] + ["only-a", "only-b", "c", "a", "b"]
        clients = {user: self.client(user, ["a/0", "b/0"]) for user in users}
        owner = {client.session_id: user[0] for user, client in clients.items()}
        anonymous = self.client(None, ["a/0", "b/0"])
        owner[anonymous.session_id] = None
        kinds = collections.Counter()
        last_event = [0]

        def check_messages(client):
            """What has come so far was sent by a producer that may send it; then it is forgotten."""
            while client._kept:
                frame = client._kept.pop()
                if "message" in frame:
                    self.assertIn(frame["message"]["text"][0], "ab")

        def of_topic(topic):
            if topic.startswith("$user/"):
                return topic.removeprefix("$user/")[0]
            return {"a": "a", "b": "b", "only-a": "a", "only-b": "b"}.get(topic, topic[0] if "/" in topic else None)

        def target():
            kind = rng.choice(["topic", "topic", "topics", "user_id", "user_id", "users", "session_id", "all", "selector"])
            some = {"topic": lambda: rng.choice(topics), "topics": lambda: rng.sample(topics, 2), "user_id": lambda: rng.choice(users),
                    "users": lambda: rng.sample(users, 2), "session_id": lambda: rng.choice(list(owner)), "all": lambda: True,
                    "selector": lambda: "!x"}[kind]()
            return kind, some

        def owners(kind, value):
            """Who must own a target; None is nobody."""
            if kind == "topic":
                return {of_topic(value)}
            if kind == "topics":
                return {of_topic(topic) for topic in value}
            if kind == "user_id":
                return {value[0]}
            if kind == "users":
                return {user[0] for user in value}
            if kind == "session_id":
                return {owner[value]}
            return {None}

        def command(name, n):
            kind, value = target()
            needed = owners(kind, value)
            where = {kind: value}
            if rng.random() < 0.1:
                excepted = rng.choice(users)
                where["except_users"] = [excepted]
                needed.add(excepted[0])
            pb = push_service_pb2
            verb = rng.choice(["deliver", "deliver", "deliver", "join", "leave", "set_labels"])
            if verb == "deliver":
                made = deliver(f"{name}{n}", **where)
            elif verb == "set_labels":
                made = pb.SetLabels(target=to(**where), set={f"by-{name}": str(n)})
            else:
                topic = rng.choice(topics)
                needed.add(of_topic(topic))
                made = (pb.Join if verb == "join" else pb.Leave)(target=to(**where), topics=[topic])
            return {verb: made}, needed == {name}

        def push(name, producer, count):
            with PushStream(producer) as stream:
                sent = [command(name, n) for n in range(count)]
                stream.send(*(action for action, _ in sent))
                results = stream.results(count)
            first = min(results)
            for n, (action, allowed) in enumerate(sent):
                code = CODE(results[first + n])
                kinds["allowed" if allowed else "refused"] += 1
                (made,) = action.values()
                # A session that is excepted is as good as not there.
                excepted = allowed and made.target.session_id and made.target.except_users
                self.assertIn(code, (Code.OK, Code.NOT_FOUND) if excepted else (Code.OK,) if allowed else (Code.PERMISSION_DENIED,),
                              f"{name}: {action}: {results[first + n]}")

        def ask(name, producer):
            what = rng.randrange(5)
            if what == 0:
                answer = producer.list_sessions(page_size=rng.randrange(1, 9), **rng.choice(({}, {"selector": "!x"}, {"topic": f"{name}/0"})))
                self.assertLessEqual({owner[s.session_id] for s in answer.sessions}, {name})
                self.assertLessEqual({of_topic(t) for s in answer.sessions for t in s.topics}, {name})
                self.assertLessEqual(answer.total, 3)
            elif what == 1:
                session = rng.choice(list(owner))
                request = PB.GetSessionRequest(session_id=session)
                if owner[session] == name:
                    self.assertLessEqual({of_topic(t) for t in producer.call(producer.sessions.GetSession, request).session.topics}, {name})
                else:
                    self.assertEqual(producer.refusal(producer.sessions.GetSession, request)[0], Code.NOT_FOUND)
            else:
                topic = rng.choice(topics + [f"$user/{user}" for user in users] + ["$all"])
                method, request = ((producer.sessions.GetPresence, PB.GetPresenceRequest(topic=topic, include_sessions=True)) if what < 4
                                   else (producer.sessions.GetHistory, PB.GetHistoryRequest(topic=topic)))
                if topic != "$all" and of_topic(topic) == name:
                    answer = producer.call(method, request)
                    if what < 4:
                        self.assertLessEqual({owner[s.session_id] for s in answer.sessions}, {name})
                        self.assertLessEqual({user[0] for user in answer.users}, {name})
                        self.assertLessEqual(answer.session_count, 3)
                    else:
                        self.assertLessEqual({e.message.payload[:1].decode() for e in answer.entries}, {name})
                else:
                    self.assertEqual(producer.refusal(method, request)[0], Code.PERMISSION_DENIED)
            kinds["questions"] += 1

        def watch(name, producer):
            group = {"group": "shared"} if rng.random() < 0.5 else {}
            filters = {"topic_patterns": [rng.choice(["**", "a/**", "b/**"])]} if rng.random() < 0.3 else {}
            since = 0 if group else max(0, last_event[0] - 30)
            with Watch(producer, **group, **filters, since_event_id=since) as watching:
                last_event[0] = watching.opened.last_event_id
                user = rng.choice(users)
                clients[user].request(message={"text": "to the backends"})
                mine = next(u for u in users if u[0] == name)
                clients[mine].request(message={"text": "to the backends"})
                for one in {user, mine}:
                    check_messages(clients[one])
                while True:
                    event = watching.take()
                    self.assertIsNot(event, END)
                    self.assertEqual(event.user_id[:1], name, event)
                    self.assertIn(of_topic(event.topic) if event.topic else name, (name,), event)
                    if group:
                        watching.ack(event.id)
                    if event.kind == event_service_pb2.EVENT_KIND_CLIENT_MESSAGE and event.user_id == mine:
                        break
            kinds["watches"] += 1

        producers = {name: self.producer(name) for name in self.NAMES}
        commands_left = {name: ROUNDS for name in self.NAMES}
        for round_number in range(ROUNDS):
            for name, producer in producers.items():
                if round_number % 20 == 0:
                    count = min(20, commands_left[name])
                    commands_left[name] -= count
                    push(name, producer, count)
                ask(name, producer)
                if round_number < int(os.environ.get("HERALD_RIGHTS_WATCHES", max(20, ROUNDS if "HERALD_RIGHTS_ROUNDS" in os.environ else 20))):
                    watch(name, producer)
        self.assertGreater(kinds["allowed"], ROUNDS / 10)
        self.assertGreater(kinds["refused"], ROUNDS / 10)
        # No label of one producer is on a session of the other's users, and none on a session without a user.
        root.deliver("end", all=True)
        for user, client in clients.items():
            session = root.session(client.session_id)
            self.assertLessEqual({label for label in session.labels}, {f"by-{user[0]}"})
            while (message := client.message()).get("text") != "end":
                self.assertIn(message["text"][0], "ab")
        self.assertEqual(dict(root.session(anonymous.session_id).labels), {})
        print(f"seed {SEED}: {dict(kinds)}")


if __name__ == "__main__":
    unittest.main()
