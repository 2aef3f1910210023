"""A running server takes another configuration, whole or not at all, and drops no session for it."""

import signal
import tempfile
import time
import unittest
from pathlib import Path

import jwt
from websockets.exceptions import InvalidStatus

import producers_file
from harness import eventually
from producer import Code, Producer, admin_service_pb2, deliver, push_service_pb2, to
from server_case import ServerTest
from wire import wait_close

RULES = """
topic_rules:
  - {pattern: "open/*", client_subscribe: anyone, client_publish: anyone, history_size: %d}
  - {pattern: "**", client_subscribe: %s}
"""
SECRET, OTHER_SECRET = "s" * 40, "t" * 40


class ReloadTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))
        self.config = self.directory / "herald.yaml"

    def write(self, name, text):
        (self.directory / name).write_text(text)
        return self.directory / name

    def start_with(self, text, *flags, **options):
        self.config.write_text(text)
        return self.start(f"--config={self.config}", *flags, **options)

    def test_rules_and_limits_by_signal(self):
        herald = self.start_with("max_message_bytes: 1KiB\nmax_topics_per_session: 2\n" + RULES % (10, "none"))
        client = self.enter(herald.json_client("?topics=open/a"))
        self.assertEqual(client.request(subscribe={"topic": "shut"})["error"]["code"], "PERMISSION_DENIED")
        self.assertEqual(client.request(publish={"topic": "open/a", "text": "x" * 2000})["error"]["code"], "INVALID_ARGUMENT")
        self.config.write_text("max_message_bytes: 8KiB\nmax_topics_per_session: 3\nthreads: 7\n" + RULES % (10, "anyone"))
        herald.signal(signal.SIGHUP)
        herald.wait_line("configuration reloaded")
        record = herald.logs("configuration reloaded")[-1]
        self.assertEqual((record["changed"], record["needs_restart"]),
                         ("max_message_bytes, max_topics_per_session, topic_rules", ""), "threads is set by a flag")
        self.assertIn("ok", client.request(subscribe={"topic": "shut"}), "the session is still there")
        self.assertIn("ok", client.request(publish={"topic": "open/a", "text": "x" * 2000}))
        self.assertIn("ok", client.request(subscribe={"topic": "third"}))
        self.assertIn("error", client.request(subscribe={"topic": "fourth"}))
        with Producer(herald) as producer:
            self.assertEqual(producer.send(deliver=deliver("x" * 5000, topic="open/a")).matched, 1)
        self.assertEqual(len(client.message()["text"]), 5000)

    def test_c5_sessions_leave_what_a_changed_rule_closes(self):
        herald = self.start_with(RULES % (10, "anyone"))
        client, raw = self.enter(herald.json_client("?topics=shut,open/a")), self.enter(herald.raw_client("?topics=shut,open/a"))
        joined = self.enter(herald.json_client("?topics=open/a"))
        with Producer(herald) as producer:
            producer.send(join=push_service_pb2.Join(target=to(session_id=joined.session_id), topics=["shut"]))
            self.assertEqual(producer.deliver("before", topic="shut").matched, 3)
            self.config.write_text(RULES % (10, "user"))
            self.assertEqual(herald.ctl("reload").stdout, "changed  topic_rules\n")
            left = client.wait(lambda frame: "unsubscribed" in frame)["unsubscribed"]
            self.assertEqual(left, {"topic": "shut", "reason": "not_allowed"})
            eventually(lambda: producer.deliver("after", topic="shut").matched == 1, "only the producer's Join is left")
            self.assertEqual(producer.deliver("open", topic="open/a").matched, 3)
        self.assertEqual([client.message()["text"] for _ in range(2)], ["before", "open"])
        self.assertEqual([raw.recv(20), raw.recv(20)], ["before", "open"])
        self.assertEqual(joined.message()["text"], "before")
        refused = client.request(subscribe={"topic": "shut"})["error"]
        self.assertEqual((refused["code"], refused["message"].startswith("sign in: ")), ("PERMISSION_DENIED", True), refused)

    def test_history_of_a_topic_may_shrink_and_go(self):
        herald = self.start_with(RULES % (10, "none"))
        client = self.enter(herald.json_client("?topics=open/a"))
        with Producer(herald) as producer:
            for n in range(5):
                producer.deliver(str(n), topic="open/a")
            positions = [client.message()["position"] for _ in range(5)]
            self.config.write_text(RULES % (2, "none"))
            self.assertEqual(herald.ctl("reload").stdout, "changed  topic_rules\n")
            resume = lambda position: {"resume": [{"topic": "open/a", "position": position}]}  # noqa: E731
            late = self.enter(herald.json_client(connect_frame=resume(positions[2])))
            self.assertEqual([late.message()["text"] for _ in range(2)], ["3", "4"])
            early = self.enter(herald.json_client(connect_frame=resume(positions[0])))
            state = next(topic for topic in early.hello["topics"] if topic["topic"] == "open/a")
            self.assertEqual((state["recovered"], state["reason"]), (False, "expired"))
            self.config.write_text(RULES % (0, "none"))
            herald.ctl("reload")
            producer.deliver("not kept", topic="open/a")
            self.assertNotIn("position", client.message())
            self.config.write_text(RULES % (10, "none"))
            herald.ctl("reload")
            again = self.enter(herald.json_client(connect_frame=resume(positions[4])))
            state = next(topic for topic in again.hello["topics"] if topic["topic"] == "open/a")
            self.assertFalse(state["recovered"], "what was not kept was missed")

    def test_a_bad_file_changes_nothing(self):
        herald = self.start_with("max_message_bytes: 1KiB\n")
        client = self.enter(herald.json_client())
        for text, wrong in (("max_message_bytes: 2KiB\nmax_sesions: 1\n", "max_sesions"), ("max_message_bytes: 2KiB\n  x", "herald.yaml"),
                            ("max_message_bytes: 2KiB\njwt_secret_file: /nowhere\n", "/nowhere"),
                            ("max_message_bytes: 2KiB\nproducers_file: /nowhere\n", "/nowhere")):
            with self.subTest(text), Producer(herald) as producer:
                self.config.write_text(text)
                code, details = producer.refusal(producer.admin.Reload, admin_service_pb2.ReloadRequest())
                self.assertEqual((code, wrong in details, "\n" in details), (Code.FAILED_PRECONDITION, True, False), details)
                done = herald.ctl("reload", check=False)
                self.assertEqual((done.returncode, wrong in done.stderr), (1, True), done.stderr)
                eventually(lambda: any(wrong in record["error"] for record in
                                       herald.logs("configuration not reloaded, the old one stays")), "the log says so")
                code, details = producer.send_refusal(deliver=deliver("x" * 2000, all=True))
                self.assertEqual((code, "1024" in details), (Code.INVALID_ARGUMENT, True), details)
        self.assertIn("ok", client.request(ping={}))
        self.config.unlink()
        self.assertEqual(herald.ctl("reload", check=False).returncode, 1)

    def test_origins(self):
        herald = self.start_with("allowed_origins: https://a.example\n")
        client = self.enter(herald.json_client(origin="https://a.example"))
        with self.assertRaises(InvalidStatus):
            herald.json_client(origin="https://b.example")
        self.config.write_text("allowed_origins: https://b.example\n")
        self.assertEqual(herald.ctl("reload").stdout, "changed  allowed_origins\n")
        self.enter(herald.json_client(origin="https://b.example"))
        with self.assertRaises(InvalidStatus):
            herald.json_client(origin="https://a.example")
        self.assertIn("ok", client.request(ping={}))

    def test_keys(self):
        first, second = self.write("first", SECRET), self.write("second", OTHER_SECRET)
        herald = self.start_with(f"jwt_secret_file: {first}\ninsecure_grpc: true\n", dev=False)
        by = {secret: {"token": jwt.encode({"sub": "alice", "exp": time.time() + 600}, secret, "HS256")} for secret in (SECRET, OTHER_SECRET)}
        client = self.enter(herald.json_client(connect_frame=by[SECRET]))
        with self.assertRaises(Exception):
            herald.json_client(connect_frame=by[OTHER_SECRET])
        self.config.write_text(f"jwt_secret_file: {second}\ninsecure_grpc: true\n")
        self.assertEqual(herald.ctl("reload").stdout, "changed  jwt_secret_file\n")
        self.assertEqual(self.enter(herald.json_client(connect_frame=by[OTHER_SECRET])).hello["user_id"], "alice")
        with self.assertRaises(Exception):
            herald.json_client(connect_frame=by[SECRET])
        self.assertEqual(wait_close(client.socket)[0], 4401, "its key is gone")

    def test_producers(self):
        everything = producers_file.EVERYTHING
        path = Path(self.write("producers", ""))
        producers_file.write(path, producers_file.entry("a", **everything))
        herald = self.start_with(f"producers_file: {path}\n")
        a, b = (self.enter(Producer(herald, token=producers_file.token_of(name))) for name in "ab")
        a.deliver("x", all=True)
        self.assertEqual(b.send_refusal(deliver=deliver(all=True))[0], Code.UNAUTHENTICATED)
        # Two names for one change: the poll may have been first, and then the reload has nothing to do.
        producers_file.write(path, producers_file.entry("a", **everything), producers_file.entry("b", **everything))
        answer = a.call(a.admin.Reload, admin_service_pb2.ReloadRequest())
        self.assertIn(list(answer.changed), (["producers_file"], []))
        b.deliver("x", all=True)
        producers_file.write(path, producers_file.entry("b", **everything))
        self.assertIn(list(b.call(b.admin.Reload, admin_service_pb2.ReloadRequest()).changed), (["producers_file"], []))
        b.deliver("x", all=True)
        self.assertEqual(a.send_refusal(deliver=deliver(all=True))[0], Code.UNAUTHENTICATED)
        self.assertEqual(a.refusal(a.admin.Reload, admin_service_pb2.ReloadRequest())[0], Code.UNAUTHENTICATED)
        self.assertEqual(a.refusal(a.admin.Drain, admin_service_pb2.DrainRequest())[0], Code.UNAUTHENTICATED)

    def test_what_needs_a_restart_is_named(self):
        herald = self.start_with("event_buffer_size: 100\n")
        self.config.write_text("event_buffer_size: 200\nbroker: memory\ncompression: true\nmax_sessions: 7\n")
        for changed in ("max_sessions", "nothing"):
            self.assertEqual(herald.ctl("reload").stdout, f"changed  {changed}\nneeds a restart  compression, event_buffer_size\n")

    def test_max_sessions(self):
        herald = self.start_with("max_sessions: 2\n")
        clients = [self.enter(herald.json_client()) for _ in range(2)]
        with self.assertRaises(InvalidStatus):
            herald.json_client()
        # A new limit by address counts the sessions that are there.
        self.config.write_text("max_sessions: 4\nmax_sessions_per_ip: 3\n")
        herald.ctl("reload")
        clients.append(self.enter(herald.json_client()))
        with self.assertRaises(InvalidStatus):
            herald.json_client()
        self.config.write_text("max_sessions: 1\n")
        herald.ctl("reload")
        for client in clients:
            self.assertIn("ok", client.request(ping={}), "nobody is turned out")


if __name__ == "__main__":
    unittest.main()
