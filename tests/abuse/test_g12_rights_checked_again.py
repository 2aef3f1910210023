"""G12: what a client may do ends when its token, its key or its user says so, and not only at the next connect.

The topic rules are the built-in ones, so that the same attacks run against older binaries.
"""

import contextlib
import json
import tempfile
import unittest
from datetime import timedelta
from pathlib import Path

import jwt

import tokens
from harness import DEADLINE, Herald, JsonClient, eventually
from producer import Producer, push_service_pb2, session_service_pb2, to
from tokens import claims, hs256
from wire import open_client, wait_close


class RightsTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def enter(self, context):
        return self.stack.enter_context(context)

    def start(self, *flags):
        return self.enter(Herald(f"--jwt_secret_file={tokens.write_secret(self.directory)}", *flags, dev=False))

    def client(self, herald, token):
        return self.enter(JsonClient(herald.client_url, {"token": token}))

    def refusal(self, herald, token):
        """The close code and the frames before it."""
        with open_client(herald) as connection:
            connection.send(json.dumps({"connect": {"token": token}}))
            code, _, frames = wait_close(connection)
            return code, [json.loads(frame) for frame in frames]

    def admitted(self, herald, token):
        with open_client(herald) as connection:
            connection.send(json.dumps({"connect": {"token": token}}))
            return "hello" in json.loads(connection.recv(DEADLINE))

    def test_g12_a_narrower_refresh_ends_subscriptions(self):
        herald = self.start()
        client = self.client(herald, hs256(allow=["secret/*", "news/*"], topics=["secret/assigned", "news/assigned"]))
        for topic in ("secret/a", "news/a"):
            self.assertIn("ok", client.request(subscribe={"topic": topic}))
        with Producer(herald) as producer:
            join = push_service_pb2.Join(target=to(session_id=client.session_id), topics=["secret/by-producer"])
            self.assertEqual(producer.send(join=join).matched, 1)
            self.assertIn("ok", client.request(refresh={"token": hs256(allow=["news/*"], topics=["news/assigned"])}))
            left = [client.wait(lambda frame: "unsubscribed" in frame)["unsubscribed"]["topic"] for _ in range(2)]
            self.assertEqual(sorted(left), ["secret/a", "secret/assigned"])
            matched = {topic: producer.deliver("x", topic=topic).matched
                       for topic in ("secret/a", "secret/assigned", "news/a", "news/assigned", "secret/by-producer")}
            self.assertEqual(matched, {"secret/a": 0, "secret/assigned": 0, "news/a": 1, "news/assigned": 1, "secret/by-producer": 1})
        self.assertEqual(sorted(client.message()["topic"] for _ in range(3)), ["news/a", "news/assigned", "secret/by-producer"])
        self.assertEqual(client.request(subscribe={"topic": "secret/a"})["error"]["code"], "PERMISSION_DENIED")

    def test_g12_a_subscribe_on_its_way_does_not_outlive_a_refresh(self):
        herald = self.start()
        client = self.client(herald, hs256(allow=["secret/*"]))
        for number in range(20):
            client.send({"id": 100 + number, "subscribe": {"topic": f"secret/{number}"}})
        client.send({"id": 200, "refresh": {"token": hs256()}})
        client.wait(lambda frame: frame.get("reply", {}).get("id") == 200)
        with Producer(herald) as producer:
            self.assertEqual([producer.deliver("x", topic=f"secret/{number}").matched for number in range(20)], [0] * 20)

    def test_g12_a_token_that_never_expires_is_refused(self):
        self.assertEqual(self.refusal(self.start(), hs256(lives=None))[0], 4401)

    def test_g12_sessions_of_a_removed_key_end(self):
        keys = {kid: tokens.make_key("ES256") for kid in ("old", "new")}
        members = {kid: tokens.jwk(key, "ES256", kid) for kid, key in keys.items()}
        path = tokens.write(self.directory / "jwks", json.dumps({"keys": list(members.values())}))
        herald = self.enter(Herald(f"--jwks_file={path}", dev=False))
        token = {kid: jwt.encode(claims(kid), key, algorithm="ES256", headers={"kid": kid}) for kid, key in keys.items()}
        stays, old = self.client(herald, token["new"]), [self.client(herald, token["old"]) for _ in range(5)]
        tokens.write(path, json.dumps({"keys": [members["new"]]}))
        for client in old:
            self.assertEqual(wait_close(client.socket)[0], 4401)
        self.assertEqual(self.refusal(herald, token["old"])[0], 4401)
        self.assertIn("ok", stays.request(ping={}))

    def test_g12_a_refresh_with_a_new_key_keeps_the_session(self):
        keys = {kid: tokens.make_key("ES256") for kid in ("old", "new")}
        members = {kid: tokens.jwk(key, "ES256", kid) for kid, key in keys.items()}
        path = tokens.write(self.directory / "jwks", json.dumps({"keys": list(members.values())}))
        herald = self.enter(Herald(f"--jwks_file={path}", dev=False))
        token = {kid: jwt.encode(claims(), key, algorithm="ES256", headers={"kid": kid}) for kid, key in keys.items()}
        moved, left = self.client(herald, token["old"]), self.client(herald, token["old"])
        self.assertIn("ok", moved.request(refresh={"token": token["new"]}))
        tokens.write(path, json.dumps({"keys": [members["new"]]}))
        self.assertEqual(wait_close(left.socket)[0], 4401)
        self.assertIn("ok", moved.request(ping={}))

    def disconnect(self, producer, ban_for, token_id="", **target):
        request = session_service_pb2.DisconnectRequest(target=to(**target), token_id=token_id)
        request.ban_for.FromTimedelta(timedelta(seconds=ban_for))
        return producer.call(producer.sessions.Disconnect, request).matched

    def test_g12_a_kicked_user_stays_away(self):
        herald = self.start()
        client, other = self.client(herald, hs256()), self.client(herald, hs256("bob"))
        with Producer(herald) as producer:
            self.assertEqual(self.disconnect(producer, 600, user_id="alice"), 1)
            code, _, frames = wait_close(client.socket)
            self.assertEqual(code, 4410)
            self.assertEqual(json.loads(frames[-1])["reconnect"]["delay"], "600s")
            code, frames = self.refusal(herald, hs256())
            self.assertEqual(code, 4403)
            self.assertGreater(float(frames[-1]["reconnect"]["delay"].rstrip("s")), 500)
            self.assertIn("ok", other.request(ping={}))
            self.assertEqual((herald.metric("herald_bans"), herald.metric("herald_tokens_refused_total", reason="banned")), (1, 1))
            self.disconnect(producer, 0, user_id="alice")
            self.assertTrue(self.client(herald, hs256()).session_id, "the ban was lifted")

    def test_g12_a_ban_ends(self):
        herald = self.start()
        with Producer(herald) as producer:
            self.disconnect(producer, 1, user_id="alice")
            self.assertEqual(self.refusal(herald, hs256())[0], 4403)
            eventually(lambda: self.admitted(herald, hs256()), "the ban is over")

    def test_g12_a_banned_token_ends_and_another_one_does_not(self):
        herald = self.start()
        leaked, good = (self.client(herald, hs256(jti=jti)) for jti in ("leaked", "good"))
        with Producer(herald) as producer:
            self.assertEqual(self.disconnect(producer, 600, token_id="leaked", all=True), 1)
            self.assertEqual(wait_close(leaked.socket)[0], 4410)
            self.assertEqual(self.refusal(herald, hs256(jti="leaked"))[0], 4401, "another token may do")
            self.assertTrue(self.client(herald, hs256(jti="other")).session_id)
            good.send({"id": 9, "refresh": {"token": hs256(jti="leaked")}})
            self.assertEqual(wait_close(good.socket)[0], 4401, "nor at a refresh")
            self.assertEqual(self.disconnect(producer, 600, token_id="mine", user_id="bob"), 0)
            self.assertTrue(self.client(herald, hs256(jti="mine")).session_id, "a ban of bob's token is none of alice's")


if __name__ == "__main__":
    unittest.main()
