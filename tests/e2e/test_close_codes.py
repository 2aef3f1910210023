"""Herald's own close codes, 4400 to 4429, provoked against the real binary.

A test's name begins with `test_<code>_`; the last test holds these names, and those of test_close_codes_rfc.py,
against the table of docs/client-protocol.md.
"""

import contextlib
import datetime
import json
import re
import unittest

import test_close_codes_rfc  # noqa: F401, its names count for the table
import tokens
from close_case import CloseTest
from harness import DEADLINE, ROOT, Herald, JsonClient
from producer import Code, Producer, PushStream, Watch, common_pb2, to
from wire import TEXT, RawClient, open_client, raw_client

TABLE = ROOT / "docs" / "client-protocol.md"


class FrameTest(CloseTest):
    """4400: one server for all."""

    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def assert_refused(self, *frames, reason=""):
        connection = self.enter(open_client(self.herald))
        for frame in frames:
            connection.send(frame)
        self.assert_closed(connection, 4400, reason)

    def test_4400_malformed(self):
        for text in ("", "{", "nonsense", "[]", "1", '"connect"', '{"id":1,"connect":{}} {}', '{"id":1,"connect":{}',
                     '{"id":"x","connect":{}}', '{"id":-1,"connect":{}}', '{"id":4294967296,"connect":{}}',
                     '{"id":1,"connect":[]}', '{"id":1,"connect":{"token":1}}', '{"id":1,"connect":{"labels":{"a":1}}}',
                     '{"id":1,"connect":{"resume":{}}}', '{"id":1,"connect":{"resume":[1]}}', "null", "[" * 10_000):
            with self.subTest(text[:60]):
                self.assert_refused(text)

    def test_4400_malformed_after_connect(self):
        for text in ("{", '{"subscribe":"news"}', '{"publish":{"topic":"a","data":}}', '{"publish":{"topic":"a","text":"x","data":1}}',
                     '{"message":{"bytes":"%%%"}}', '{"ack":{"news":"x"}}', '{"ack":{"news":-1}}', '{"unsubscribe":{"topic":7}}'):
            with self.subTest(text):
                self.assert_refused('{"id":1,"connect":{}}', text)

    def test_4400_malformed_proto(self):
        connection = self.enter(open_client(self.herald, "herald.v1.proto"))
        connection.send(b"\xff\xff\xff")
        self.assert_closed(connection, 4400)

    def test_4400_unknown_kind(self):
        self.assert_refused('{"id":1,"dance":{}}')
        self.assert_refused('{"id":1,"connect":{}}', '{"id":2,"dance":{}}', reason="dance")

    def test_4400_no_kind_or_several(self):
        self.assert_refused('{"id":1}')
        self.assert_refused("{}")
        self.assert_refused('{"id":1,"connect":{},"ping":{}}')
        connection = self.enter(open_client(self.herald, "herald.v1.proto"))
        connection.send(b"")  # an empty ClientFrame
        self.assert_closed(connection, 4400)

    def test_4400_frame_before_connect(self):
        self.assert_refused('{"id":1,"ping":{}}', reason="connect")
        self.assert_refused('{"id":1,"subscribe":{"topic":"news"}}', reason="connect")

    def test_4400_second_connect(self):
        self.assert_refused('{"id":1,"connect":{}}', '{"id":2,"connect":{}}', reason="connect")

    def test_4400_bad_label(self):
        self.assert_refused('{"id":1,"connect":{"labels":{"plat form":"web"}}}', reason="label")
        self.assert_refused(json.dumps({"connect": {"labels": {"a": "x" * 64}}}), reason="label")

    def test_4400_bad_topic_or_position_to_resume(self):
        self.assert_refused('{"connect":{"resume":[{"topic":"$user/bob"}]}}', reason="(reserved|topic)")
        self.assert_refused('{"connect":{"resume":[{"topic":""}]}}', reason="topic")
        self.assert_refused('{"connect":{"resume":[{"topic":"news","position":"nonsense"}]}}', reason="position")

    def test_unknown_fields_are_ignored(self):
        connection = self.enter(open_client(self.herald))
        connection.send('{"id":1,"connect":{"since":3,"labels":{},"more":{"a":[1,{}]}}}')
        self.assertIn("hello", json.loads(connection.recv(DEADLINE)))


class TokenTest(CloseTest):
    def setUp(self):
        super().setUp()
        self.herald = self.start_with_tokens(threads=1)

    def connect(self, **connect):
        connection = self.enter(open_client(self.herald))
        connection.send(json.dumps({"id": 1, "connect": connect}))
        return connection

    def test_4401_no_token(self):
        self.assert_closed(self.connect(), 4401, "token")

    def test_4401_bad_token(self):
        for token in ("nonsense", tokens.hs256(secret="another secret, and this one is long enough too"), "a.b.c"):
            self.assert_closed(self.connect(token=token), 4401, "token")

    def test_4401_as_http_401_for_a_bad_header(self):
        with RawClient(self.herald.client_addr) as client:
            answer = client.upgrade(subprotocol="herald.v1.json", Authorization="Bearer nonsense")
        self.assertEqual(answer.status, 401)
        self.assertIn("www-authenticate", answer.headers)

    def test_4401_refresh_with_a_bad_token(self):
        client = self.enter(JsonClient(self.herald.client_url, {"token": tokens.hs256()}))
        client.send({"id": 2, "refresh": {"token": "nonsense"}})
        self.assert_closed(client.socket, 4401)

    def test_4402_token_expires_while_connected(self):
        # Accepted for five seconds after `exp`, for clocks that are off: this one has about a second left.
        client = self.enter(JsonClient(self.herald.client_url, {"token": tokens.hs256(lives=-4)}))
        self.assert_closed(client.socket, 4402, "expired")

    def test_4402_expired_token_in_connect(self):
        self.assert_closed(self.connect(token=tokens.hs256(lives=-60)), 4402, "expired")

    def test_4403_topic_of_the_resume_list(self):
        connection = self.connect(token=tokens.hs256(), resume=[{"topic": "secret"}])
        self.assert_closed(connection, 4403, "secret")

    def test_4403_topic_of_the_url(self):
        connection = self.enter(open_client(self.herald, query="?topics=secret"))
        connection.send(json.dumps({"connect": {"token": tokens.hs256(allow=["news/*"])}}))
        self.assert_closed(connection, 4403, "secret")

    def test_4403_leaves_the_previous_session_alone(self):
        client = self.enter(JsonClient(self.herald.client_url, {"token": tokens.hs256()}))
        self.assert_closed(self.connect(token=tokens.hs256(), resume=[{"topic": "secret"}],
                                        previous_session_id=client.session_id), 4403)
        self.assertIn("ok", client.request(ping={}), "a refused connection takes nothing over")


class TimeoutTest(CloseTest):
    def test_4408_no_connect_in_time(self):
        herald = self.start("--connect_timeout=300ms")
        for subprotocol in ("herald.v1.json", "herald.v1.proto"):
            self.assert_closed(self.enter(open_client(herald, subprotocol)), 4408, "connect")

    def test_4408_is_not_for_raw_clients_or_those_that_connected(self):
        herald = self.start("--connect_timeout=300ms")
        raw, client = self.enter(herald.raw_client()), self.enter(herald.json_client())
        self.assert_closed(self.enter(open_client(herald)), 4408)  # the same time has passed for these
        with Producer(herald) as producer:
            producer.deliver("still there", all=True)
        self.assertEqual(raw.recv(DEADLINE), "still there")
        self.assertEqual(client.message()["text"], "still there")

    def test_4408_no_pong(self):
        herald = self.start("--ping_interval=200ms", "--pong_timeout=300ms")
        for subprotocol in ("herald.v1.json", None):
            client = self.enter(raw_client(herald, subprotocol))  # never answers a ping
            if subprotocol:
                client.send_frame(TEXT, '{"connect":{}}')
            client.wait_frame(9)
            self.assertEqual(client.wait_close(), (4408, "no pong in time"))

    def test_4408_is_not_for_clients_that_answer(self):
        herald = self.start("--ping_interval=200ms", "--pong_timeout=300ms")
        client, silent = self.enter(herald.raw_client()), self.enter(raw_client(herald))
        self.assertEqual(silent.wait_close()[0], 4408)
        silent = self.enter(raw_client(herald))
        self.assertEqual(silent.wait_close()[0], 4408)
        with Producer(herald) as producer:
            producer.deliver("still there", all=True)
        self.assertEqual(client.recv(DEADLINE), "still there")


class TakeOverTest(CloseTest):
    def test_4409_previous_session_on_another_connection(self):
        herald = self.start(threads=2)
        for _ in range(4):  # on either shard
            first = self.enter(herald.json_client("?user=alice"))
            second = self.enter(
                JsonClient(herald.client_url + "?user=alice", {"previous_session_id": first.session_id}))
            self.assert_closed(first.socket, 4409)
            self.assertNotEqual(second.session_id, first.session_id)
            self.assertIn("ok", second.request(ping={}))

    def test_4409_is_not_for_sessions_without_a_user(self):
        # Nothing tells that the new client was the old one: others know the id too.
        herald = self.start()
        first = self.enter(herald.json_client())
        self.enter(JsonClient(herald.client_url, {"previous_session_id": first.session_id}))
        self.assertIn("ok", first.request(ping={}))

    def test_4409_is_not_for_ids_that_are_gone_or_wrong(self):
        herald = self.start()
        for previous in ("nonsense", "elsewhere-00-" + "0" * 32):
            client = self.enter(JsonClient(herald.client_url, {"previous_session_id": previous}))
            self.assertIn("ok", client.request(ping={}))

    def test_4409_is_not_at_the_will_of_another_user(self):
        # The ids of sessions are no secret: messages that clients publish carry the sender's.
        herald = self.start()
        alice = self.enter(herald.json_client("?user=alice&topics=room"))
        mallory = self.enter(herald.json_client("?user=mallory&topics=room"))
        alice.request(publish={"topic": "room", "text": "hello"})
        sender = mallory.message()["sender"]
        self.assertEqual(sender, alice.session_id)
        self.enter(JsonClient(herald.client_url + "?user=mallory", {"previous_session_id": sender}))
        self.assertIn("ok", alice.request(ping={}))


class ProducerTest(CloseTest):
    def setUp(self):
        super().setUp()
        self.herald = self.start(threads=1)
        self.producer = self.enter(Producer(self.herald))

    def test_4410_disconnected_by_a_producer(self):
        client = self.enter(self.herald.json_client())
        self.assertEqual(self.producer.disconnect(session_id=client.session_id).matched, 1)
        self.assertEqual(self.assert_closed(client.socket, 4410), [], "no advice was given")

    def test_4410_with_reconnect_advice(self):
        for reconnect, never in ((common_pb2.RECONNECT_YES, False), (common_pb2.RECONNECT_NO, True)):
            client = self.enter(self.herald.json_client())
            self.producer.disconnect(reason="upkeep", reconnect=reconnect, delay=datetime.timedelta(seconds=1.5),
                                     session_id=client.session_id)
            frames = [json.loads(frame) for frame in self.assert_closed(client.socket, 4410, "^upkeep$")]
            self.assertEqual(len(frames), 1)
            advice = frames[0]["reconnect"]
            self.assertEqual(advice.get("never", False), never)
            self.assertEqual(advice["reason"], "upkeep")
            self.assertEqual(advice["delay"], "1.500s")

    def test_4410_after_what_was_sent_before(self):
        client = self.enter(self.herald.json_client("?user=alice"))
        with PushStream(self.producer) as stream:
            stream.send(*[{"deliver": {"target": to(user_id="alice"), "message": {"payload": b"%d" % n}}} for n in range(50)],
                        {"disconnect": {"target": to(user_id="alice")}})
            stream.results(51)
        frames = [json.loads(frame) for frame in self.assert_closed(client.socket, 4410)]
        self.assertEqual([frame["message"]["data"] for frame in frames], list(range(50)))

    def test_4410_is_the_default_and_other_codes_are_free_or_refused(self):
        client = self.enter(self.herald.raw_client())
        session = self.producer.list_sessions().sessions[0].session_id
        for code in (999, 1002, 1005, 1006, 1007, 1009, 1011, 3000, 3999, 5000):
            with self.assertRaisesRegex(Exception, "code") as refused:
                self.producer.disconnect(code=code, session_id=session)
            self.assertEqual(refused.exception.code(), Code.INVALID_ARGUMENT)
        self.producer.disconnect(code=4999, session_id=session)
        self.assert_closed(client, 4999)


class SlowConsumerTest(CloseTest):
    def test_4413_a_reader_that_stops(self):
        herald = self.start("--max_outbound_bytes_per_session=512KiB", threads=1)  # more than a burst of eight
        producer = self.enter(Producer(herald))
        watch = self.enter(Watch(producer, ["session_closed"]))
        slow = self.enter(raw_client(herald, receive_buffer=4096))
        quick = self.enter(herald.raw_client())
        # Until the kernel's buffers are full, too, whatever their size.
        payload = "x" * 32 * 1024
        sent = 0
        with PushStream(producer) as stream:
            while self.herald_sessions(producer) == 2:
                stream.send(*[{"deliver": {"target": to(all=True), "message": {"payload": payload.encode()}}}] * 8)
                stream.results(8) if sent == 0 else [stream.take() for _ in range(8)]
                sent += 8
                for _ in range(8):
                    self.assertEqual(len(quick.recv(DEADLINE)), len(payload))
                self.assertLess(sent, 10_000)
        self.assertEqual(slow.wait_close()[0], 4413)
        closed = watch.event("session_closed").session_closed
        self.assertEqual(closed.code, 4413)
        self.assertGreater(closed.dropped["slow_consumer"], 0, "never dropped without being counted")
        self.assertGreater(herald.metric("herald_dropped_total", reason="slow_consumer"), 0)
        producer.deliver("others go on", all=True)
        self.assertEqual(quick.recv(DEADLINE), "others go on")

    def herald_sessions(self, producer):
        return producer.list_sessions().total


class TooManyTest(CloseTest):
    def test_4429_too_many_frames(self):
        herald = self.start("--inbound_messages_per_second=5")
        for subprotocol in ("herald.v1.json", None):
            connection = self.enter(open_client(herald, subprotocol))
            for _ in range(1 + 30):
                with contextlib.suppress(Exception):  # closed while we send is fine
                    connection.send('{"connect":{}}' if _ == 0 else '{"ping":{}}')
            self.assert_closed(connection, 4429)

    def test_4429_is_not_for_a_burst_of_twice_as_many(self):
        herald = self.start("--inbound_messages_per_second=20")
        client = self.enter(herald.json_client())
        for number in range(39):
            client.send({"id": 100 + number, "ping": {}})
        client.wait(lambda frame: frame.get("reply", {}).get("id") == 138)

    def test_4429_too_many_sessions_of_one_user(self):
        herald = self.start("--max_sessions_per_user=2", threads=2)
        kept = [self.enter(herald.json_client("?user=alice")) for _ in range(2)]
        for _ in range(3):
            connection = self.enter(open_client(herald, query="?user=alice"))
            connection.send('{"id":1,"connect":{}}')
            self.assertEqual(self.assert_closed(connection, 4429, "sessions"), [], "not even a hello")
        for client in kept:
            self.assertIn("ok", client.request(ping={}), "the old ones stay")
        self.enter(herald.json_client("?user=bob"))
        # Anonymous sessions are nobody's.
        for _ in range(4):
            self.enter(herald.json_client())

    def test_4429_a_place_that_is_given_back_can_be_taken(self):
        herald = self.start("--max_sessions_per_user=1")
        first = self.enter(herald.json_client("?user=alice"))
        connection = self.enter(open_client(herald, query="?user=alice"))
        connection.send('{"id":1,"connect":{}}')
        self.assert_closed(connection, 4429)
        first.socket.close()
        with Producer(herald) as producer:
            self.assertEqual(producer.list_sessions(user_id="alice").total, 0)
        self.enter(herald.json_client("?user=alice"))


class TableTest(unittest.TestCase):
    def test_the_table_and_these_tests_name_the_same_codes(self):
        rows = re.findall(r"^\| (\d{4}[^|]*)\|([^|]*)\|([^|]*)\|$", TABLE.read_text(), re.MULTILINE)
        self.assertGreater(len(rows), 10, "the table has not been found")
        # A row may name a second code in its text: `4401 | no or bad token; 4402 token expired`.
        written = {code for first, when, _ in rows for code in re.findall(r"\b(?:1\d{3}|4\d{3})\b", first + when)}
        for _, when, reconnect in rows:
            self.assertTrue(when.strip() and reconnect.strip())
        tested = {match[1] for case in CloseTest.__subclasses__() for name in dir(case)
                  if (match := re.match(r"test_(\d{4})_", name))}
        self.assertEqual(written - tested, set(), "in the table, without a test")
        self.assertEqual(tested - written, set(), "tested, and not in the table")


if __name__ == "__main__":
    unittest.main()
