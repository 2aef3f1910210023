"""Bans over several replicas: whichever one is asked, all keep the user away, and those that come later too."""

import json
from datetime import timedelta
import unittest

import tokens
from harness import DEADLINE, eventually
from nats_case import NatsTest
from producer import session_service_pb2, to
from tokens import hs256
from wire import open_client, wait_close


class BanTest(NatsTest):
    start_replicas = False

    def setUp(self):
        super().setUp()
        self.secret = tokens.write_secret(self.rules.parent)
        self.a, self.b = self.start("a"), self.start("b")

    def start(self, name):
        return self.replica(name, f"--jwt_secret_file={self.secret}", dev=False, threads=1)

    def connect(self, replica, token):
        """A connection, and its first frame."""
        connection = self.enter(open_client(replica))
        connection.send(json.dumps({"connect": {"token": token}}))
        return connection, json.loads(connection.recv(DEADLINE))

    def assert_banned(self, replica, token, code=4403):
        connection = self.enter(open_client(replica))
        connection.send(json.dumps({"connect": {"token": token}}))
        self.assertEqual(wait_close(connection)[0], code)

    def ban(self, replica, seconds, token_id="", **target):
        producer = self.producer(replica)
        request = session_service_pb2.DisconnectRequest(target=to(**target), token_id=token_id)
        request.ban_for.FromTimedelta(timedelta(seconds=seconds))
        return producer.call(producer.sessions.Disconnect, request).matched

    def test_g12_all_replicas_keep_a_banned_user_away(self):
        sessions = [self.connect(replica, hs256())[0] for replica in (self.a, self.b)]
        self.assertEqual(self.ban(self.a, 600, user_id="alice"), 2)
        self.assertEqual([wait_close(session)[0] for session in sessions], [4410, 4410])
        for replica in (self.a, self.b):
            self.assert_banned(replica, hs256())
        self.assertIn("hello", self.connect(self.b, hs256("bob"))[1])
        self.ban(self.b, 0, user_id="alice")
        for replica in (self.a, self.b):
            self.assertIn("hello", self.connect(replica, hs256())[1], "lifted on both")

    def test_g12_a_banned_token_is_refused_by_all_replicas(self):
        leaked = self.connect(self.b, hs256(jti="leaked"))[0]
        self.assertEqual(self.ban(self.a, 600, token_id="leaked", all=True), 1)
        self.assertEqual(wait_close(leaked)[0], 4410)
        for replica in (self.a, self.b):
            self.assert_banned(replica, hs256(jti="leaked"), 4401)
            self.assertIn("hello", self.connect(replica, hs256(jti="another"))[1])

    def test_g12_a_replica_that_starts_later_knows_the_bans(self):
        self.ban(self.a, 600, user_id="alice")
        late = self.start("late")
        self.assert_banned(late, hs256())
        self.a.stop()
        self.b.stop()
        last = self.start("last")  # learns them from the one that learnt them
        self.assert_banned(last, hs256())
        eventually(lambda: last.metric("herald_bans") == 1, "the ban in the metric")


if __name__ == "__main__":
    unittest.main()
