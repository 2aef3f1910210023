"""A running server takes another configuration, whole or not at all, and drops no session for it."""

import signal
import tempfile
import unittest
from pathlib import Path

import jwt
from websockets.exceptions import InvalidStatus

from harness import eventually
from producer import Code, Producer, admin_service_pb2, deliver
from server_case import ServerTest

RULES = """
topic_rules:
  - {pattern: "open/*", client_subscribe: any, client_publish: any, history_size: %d}
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
        self.config.write_text("max_message_bytes: 8KiB\nmax_topics_per_session: 3\nthreads: 7\n" + RULES % (10, "any"))
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
                            ("max_message_bytes: 2KiB\nproducer_tokens_file: /nowhere\n", "/nowhere")):
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
        by = {secret: {"token": jwt.encode({"sub": "alice"}, secret, "HS256")} for secret in (SECRET, OTHER_SECRET)}
        client = self.enter(herald.json_client(connect_frame=by[SECRET]))
        with self.assertRaises(Exception):
            herald.json_client(connect_frame=by[OTHER_SECRET])
        self.config.write_text(f"jwt_secret_file: {second}\ninsecure_grpc: true\n")
        self.assertEqual(herald.ctl("reload").stdout, "changed  jwt_secret_file\n")
        self.assertEqual(self.enter(herald.json_client(connect_frame=by[OTHER_SECRET])).hello["user_id"], "alice")
        with self.assertRaises(Exception):
            herald.json_client(connect_frame=by[SECRET])
        self.assertIn("ok", client.request(ping={}), "who is in stays in")

    def test_producer_tokens(self):
        tokens = self.write("tokens", "a " + "a" * 20 + "\n")
        herald = self.start_with(f"producer_tokens_file: {tokens}\n")
        a, b = self.enter(Producer(herald, token="a" * 20)), self.enter(Producer(herald, token="b" * 20))
        a.deliver("x", all=True)
        self.assertEqual(b.send_refusal(deliver=deliver(all=True))[0], Code.UNAUTHENTICATED)
        tokens.write_text("b " + "b" * 20 + "\n")
        answer = a.call(a.admin.Reload, admin_service_pb2.ReloadRequest())
        self.assertEqual(list(answer.changed), ["producer_tokens_file"])
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
