"""Keys, topic rules and refusals of clients: what counts, what is logged, and what a token grants."""

import json
import unittest

import jwt

import tokens
from harness import Herald, eventually
from producer import Producer
from test_jwt import TokenTest
from tokens import claims, hs256
from wire import open_client, wait_close

WRONG = "another secret, and this one is long enough too"


class KeyTest(TokenTest):
    def start_jwks(self, text):
        return self.start(f"--jwks_file={tokens.write(self.directory / 'jwks', text)}")

    def test_c1_an_unusable_key_is_skipped(self):
        key = tokens.make_key("ES256")
        weak = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak"}
        keys = [weak, tokens.jwk(key, "ES256", "good")]
        herald = self.start_jwks(json.dumps({"keys": keys}))
        token = jwt.encode(claims(), key, algorithm="ES256", headers={"kid": "good"})
        self.assertEqual(self.client(herald, token).hello["user_id"], "alice")
        notes = [record["note"] for record in herald.logs("client keys")]
        self.assertEqual(len(notes), 1, notes)
        self.assertRegex(notes[0], r"jwks: key 1: .*bits.*skipped")

    def test_c1_a_key_set_without_a_usable_key_is_refused(self):
        path = tokens.write(self.directory / "jwks", json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}))
        herald = self.start(f"--jwks_file={path}", wait=False)
        self.assertNotEqual(herald.wait(), 0)
        self.assertRegex(herald.output, "none of the 1 keys can be used; key 1: ")

    def test_c2_a_byte_order_mark_before_a_key_set(self):
        key = tokens.make_key("ES256")
        herald = self.start_jwks("\ufeff" + json.dumps({"keys": [tokens.jwk(key, "ES256", "good")]}))
        token = jwt.encode(claims(), key, algorithm="ES256", headers={"kid": "good"})
        self.assertEqual(self.client(herald, token).hello["user_id"], "alice")

    def test_c2_a_byte_order_mark_before_a_secret_is_told(self):
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(self.directory, chr(0xfeff) + tokens.SECRET)}")
        self.assertRegex(herald.logs("client keys")[0]["note"], "secret: begins with a byte-order mark")
        self.assert_refused(herald, hs256())

    def test_c2_a_line_end_behind_the_secret_does_not_count(self):
        for end in ("\n", "\r\n"):
            herald = self.start(f"--jwt_secret_file={tokens.write_secret(self.directory, tokens.SECRET + end)}")
            self.assertTrue(self.client(herald, hs256()).session_id)


class RefusalTest(TokenTest):
    def test_c3_refused_tokens_are_counted_and_logged(self):
        herald = self.start_hs256()
        bad = hs256(secret=WRONG)
        self.assert_refused(herald, bad)  # at the upgrade, and in `connect`
        self.assert_refused(herald, hs256(lives=-60), code=4402)
        with open_client(herald) as connection:
            connection.send('{"connect":{}}')
            self.assertEqual(wait_close(connection)[0], 4401)
        counts = {reason: herald.metric("herald_tokens_refused_total", reason=reason) for reason in ("signature", "expired", "missing")}
        self.assertEqual(counts, {"signature": 2, "expired": 2, "missing": 1})
        closes = {code: herald.metric("herald_closes_total", code=code) for code in ("4401", "4402")}
        self.assertEqual(closes, {"4401": 2, "4402": 1})
        line = herald.logs("token refused")[0]
        self.assertEqual((line["reason"], line["address"], line["level"]), ("token signature is wrong", "127.0.0.1", "warn"))
        self.assertNotIn(bad, herald.output)

    def test_c3_at_most_one_line_a_second(self):
        herald = self.start_hs256()
        for _ in range(40):
            with open_client(herald) as connection:
                connection.send('{"connect":{}}')
                wait_close(connection)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="missing"), 40)
        first, last = (record["time"] for record in (herald.logs("token refused")[0], herald.logs("token refused")[-1]))
        self.assertLess(len(herald.logs("token refused")), 40)
        seconds = {record["time"][:19] for record in herald.logs("token refused")}
        self.assertLessEqual(len(herald.logs("token refused")), len(seconds) + 1, (first, last))

    def test_c3_refused_origins_are_counted_and_logged(self):
        herald = self.start_hs256()
        self.assertEqual(self.upgrade(herald, Origin="https://evil.example").status, 403)
        self.assertEqual(herald.metric("herald_http_refused_total", reason="origin", status="403"), 1)
        line = eventually(lambda: herald.logs("requests refused on the client port"), "the log line")[0]
        self.assertIn("https://evil.example", line["detail"])

    def test_c3_closes_by_code(self):
        herald = self.start_hs256()
        client = self.client(herald, hs256())
        client.socket.close(1000)
        with Producer(herald) as producer:
            other, mine = self.client(herald, hs256("bob")), self.client(herald, hs256("eve"))
            producer.disconnect(user_id="bob")
            producer.disconnect(user_id="eve", code=4999)
        self.assertEqual([wait_close(one.socket)[0] for one in (other, mine)], [4410, 4999])
        for code in ("1000", "4410", "other"):
            eventually(lambda: herald.metric("herald_closes_total", code=code) == 1, code)


class GrantTest(TokenTest):
    def outcome(self, client, kind, topic):
        reply = client.request(**{kind: {"topic": topic} | ({"text": "x"} if kind == "publish" else {})})
        return reply["error"]["message"] if "error" in reply else "ok"

    def start_rules(self, *flags):
        rules = tokens.write(self.directory / "more.yaml", """
topic_rules:
  - {pattern: "user/*", client_subscribe: user, client_publish: user}
  - {pattern: "anyone/*", client_subscribe: anyone, client_publish: anyone}
  - {pattern: "none/*", client_subscribe: none}
  - {pattern: "granted/*", client_subscribe: granted, client_publish: granted}
""")
        return self.start_hs256(f"--config={rules}", *flags)

    def test_c5_the_words_of_a_rule(self):
        herald = self.start_rules("--allow_anonymous")
        anonymous, alice = self.client(herald), self.client(herald, hs256())
        granted = self.client(herald, hs256("bob", allow=["granted/*"]))
        for kind in ("subscribe", "publish"):
            for client, topic, expected in (
                    (anonymous, "anyone/a", "^ok$"), (anonymous, "user/a", "^sign in: "), (anonymous, "granted/a", "^sign in: "),
                    (anonymous, "none/a", "rule does not let clients"), (alice, "user/a", "^ok$"), (alice, "none/a", "rule does not let clients"),
                    (alice, "granted/a", "the token does not grant"), (granted, "granted/a", "^ok$")):
                with self.subTest(kind=kind, topic=topic):
                    self.assertRegex(self.outcome(client, kind, topic), expected)

    def test_c5_by_default_subscribing_is_granted_and_publishing_is_not(self):
        client = self.client(self.start_rules(), hs256(allow=["other"]))
        self.assertEqual(self.outcome(client, "subscribe", "other"), "ok")
        self.assertRegex(self.outcome(client, "publish", "other"), "rule does not let clients")

    def test_c5_topics_of_the_token_count_as_granted_for_subscribing(self):
        client = self.client(self.start_rules(), hs256(topics=["granted/mine"]))
        self.assertIn("ok", client.request(unsubscribe={"topic": "granted/mine"}))
        self.assertEqual(self.outcome(client, "subscribe", "granted/mine"), "ok")
        self.assertRegex(self.outcome(client, "subscribe", "granted/other"), "the token does not grant")
        self.assertRegex(self.outcome(client, "publish", "granted/mine"), "the token does not grant")

    def test_c5_the_old_words_are_refused_at_the_start(self):
        for word in ("token", "any"):
            rules = tokens.write(self.directory / "old.yaml", f"topic_rules:\n  - {{pattern: a, client_subscribe: {word}}}\n")
            herald = self.start_hs256(f"--config={rules}", wait=False)
            self.assertNotEqual(herald.wait(), 0)
            self.assertIn("none|granted|user|anyone", herald.output)


class DevTest(TokenTest):
    def test_a2_noallow_anonymous_counts_with_dev(self):
        secret = tokens.write_secret(self.directory)
        herald = self.enter(Herald(f"--jwt_secret_file={secret}", "--noallow_anonymous", threads=1))
        for query in ("", "?user=alice"):
            with open_client(herald, query=query) as connection:
                connection.send('{"connect":{}}')
                self.assertEqual(wait_close(connection)[0], 4401, query)
            self.assertEqual(self.upgrade(herald, "/ws" + query, subprotocol=None).status, 401, "raw")
        self.assertEqual(self.client(herald, hs256()).hello["user_id"], "alice")

    def test_a2_anonymous_clients_of_dev_stay(self):
        herald = self.enter(Herald(threads=1))
        self.assertEqual(self.client(herald, query="?user=alice").hello["user_id"], "alice")
        self.assertNotIn("user_id", self.client(herald).hello)


if __name__ == "__main__":
    unittest.main()
