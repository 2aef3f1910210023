"""Clients' tokens against the real binary. Keys and tokens come from PyJWT, not from our own minter."""

import contextlib
import hashlib
import hmac
import json
import tempfile
import time
import unittest
from pathlib import Path

import jwt

import producers_file
import tokens
from harness import DEADLINE, Herald, JsonClient, eventually
from producer import Code, Producer, session_service_pb2
from tokens import claims, hs256, part
from wire import RawClient, open_client, wait_close

JSON = "herald.v1.json"
RULES = """
topic_rules:
  - {pattern: "open/*", client_subscribe: anyone, client_publish: anyone}
  - {pattern: "closed/*", client_subscribe: none}
  - {pattern: "**", client_subscribe: granted, client_publish: granted}
"""


class TokenTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def enter(self, context):
        return self.stack.enter_context(context)

    def start(self, *flags, **options):
        rules = tokens.write(self.directory / "rules.yaml", RULES)
        return self.enter(Herald(f"--config={rules}", *flags, dev=False, threads=1, **options))

    def start_hs256(self, *flags, **options):
        return self.start(f"--jwt_secret_file={tokens.write_secret(self.directory)}", *flags, **options)

    def start_public_key(self, algorithm, key):
        pem = tokens.write(self.directory / "public.pem", tokens.public_pem(key))
        return self.start(f"--jwt_public_key_file={pem}", f"--jwt_algorithm={algorithm}")

    def upgrade(self, herald, path="/ws", subprotocol=JSON, **headers):
        with RawClient(herald.client_addr) as client:
            return client.upgrade(path, subprotocol, **headers)

    def client(self, herald, token=None, query="", connect=None, **options):
        frame = dict(connect or {}) | ({"token": token} if token else {})
        return self.enter(JsonClient(herald.client_url + query, frame, **options))

    def assert_refused(self, herald, token, code=4401):
        """401 at the upgrade; `code` in a connect frame."""
        answer = self.upgrade(herald, Authorization=f"Bearer {token}")
        self.assertEqual((answer.status, "www-authenticate" in answer.headers), (401, True), answer)
        if token:
            self.assertNotIn(token, answer.body)
        with open_client(herald) as connection:
            connection.send(json.dumps({"connect": {"token": token}}))
            self.assertEqual(wait_close(connection)[0], code)


class AlgorithmTest(TokenTest):
    def check(self, herald, token):
        self.assertEqual(self.client(herald, token).hello["user_id"], "alice", "in a connect frame")
        self.assertEqual(self.upgrade(herald, Authorization=f"Bearer {token}").status, 101, "in a header")

    def test_hs256(self):
        herald = self.start_hs256()
        self.check(herald, hs256())
        self.assert_refused(herald, hs256(secret="another secret, and this one is long enough too"))

    def test_public_keys(self):
        for algorithm in ("RS256", "ES256", "EdDSA"):
            with self.subTest(algorithm):
                key, stranger = tokens.make_key(algorithm), tokens.make_key(algorithm)
                herald = self.start_public_key(algorithm, key)
                self.check(herald, jwt.encode(claims(), key, algorithm=algorithm))
                self.assert_refused(herald, jwt.encode(claims(), stranger, algorithm=algorithm))

    def test_key_set_with_all_of_them(self):
        keys = {algorithm: tokens.make_key(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
        members = [tokens.jwk(key, algorithm, f"key-{algorithm}") for algorithm, key in keys.items()]
        herald = self.start(f"--jwks_file={tokens.write(self.directory / 'jwks', json.dumps({'keys': members}))}")
        for algorithm, key in keys.items():
            self.check(herald, jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": f"key-{algorithm}"}))
            self.assert_refused(herald, jwt.encode(claims(), key, algorithm=algorithm))  # the keys have ids: `kid` is needed
            self.assert_refused(herald, jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": "another"}))

    def test_wrong_algorithms(self):
        rsa, ec = tokens.make_key("RS256"), tokens.make_key("ES256")
        herald = self.start_public_key("RS256", rsa)
        for algorithm in ("RS384", "RS512", "PS256"):
            self.assert_refused(herald, jwt.encode(claims(), rsa, algorithm=algorithm))
        self.assert_refused(herald, jwt.encode(claims(), ec, algorithm="ES256"))
        self.assert_refused(herald, hs256())
        long_secret = 2 * tokens.SECRET  # long enough for these, and the right one
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(self.directory, long_secret)}")
        for algorithm in ("HS384", "HS512"):
            self.assert_refused(herald, jwt.encode(claims(), long_secret, algorithm=algorithm))

    def test_none(self):
        for herald in (self.start_hs256(), self.start_public_key("RS256", tokens.make_key("RS256"))):
            for name in ("none", "None", "NONE", ""):
                unsigned = f"{part({'alg': name, 'typ': 'JWT'})}.{part(claims())}"
                for token in (unsigned + ".", unsigned + ".AAAA", unsigned):
                    self.assert_refused(herald, token)

    def test_a_public_key_is_no_hmac_secret(self):
        for algorithm in ("RS256", "ES256", "EdDSA"):
            key = tokens.make_key(algorithm)
            herald = self.start_public_key(algorithm, key)
            signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
            pem = tokens.public_pem(key)
            for secret in (pem, pem.rstrip(b"\n"), (self.directory / "public.pem").read_bytes()):
                forged = f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
                self.assert_refused(herald, forged)

    def test_tampered(self):
        herald = self.start_hs256()
        header, payload, signature = hs256().split(".")
        admin = part(claims("admin"))
        flipped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
        for token in (f"{header}.{admin}.{signature}", f"{header}.{payload}.{flipped}", f"{header}.{payload}.", f"{header}.{payload}",
                      f"{header}.{payload}.{signature}.", f"{header}.{payload}.{signature}=", f"{header}..{signature}", "...", "x"):
            with self.subTest(token[:20]):
                self.assert_refused(herald, token)

    def test_too_long(self):
        herald = self.start_hs256("--max_header_bytes=64KiB")
        self.assert_refused(herald, hs256(filler="x" * 9000))


class ClaimTest(TokenTest):
    def test_expired(self):
        herald = self.start_hs256()
        self.assert_refused(herald, hs256(lives=-60), code=4402)

    def test_expired_with_a_wrong_signature_is_not_called_expired(self):
        self.assert_refused(self.start_hs256(), hs256(lives=-60, secret="another secret, and this one is long enough too"), code=4401)

    def test_clocks_may_be_a_little_off(self):
        herald = self.start_hs256()
        self.assertTrue(self.client(herald, hs256(lives=-2)).session_id)
        self.assertTrue(self.client(herald, hs256(nbf=time.time() + 2)).session_id)

    def test_c4_without_exp(self):
        self.assert_refused(self.start_hs256(), hs256(lives=None))
        self.assertTrue(self.client(self.start_hs256("--nojwt_require_exp"), hs256(lives=None)).session_id)

    def test_c4_longest_lifetime(self):
        now = time.time()
        herald = self.start_hs256("--jwt_max_lifetime=1h", "--nojwt_require_exp")
        for good in ({"iat": now, "exp": now + 3600}, {"iat": now - 3000, "exp": now + 600}, {"exp": now + 3500}):
            self.assertTrue(self.client(herald, hs256(lives=None, **good)).session_id, good)
        for bad in ({"iat": now, "exp": now + 3700}, {"exp": now + 3700}, {"iat": now - 86_400, "exp": now + 600}, {}):
            with self.subTest(bad):
                self.assert_refused(herald, hs256(lives=None, **bad))
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="lifetime"), 6)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="no_expiry"), 2)

    def test_missing_or_bad_claims(self):
        herald = self.start_hs256()
        for bad in ({"exp": time.time() + 60}, {"sub": ""}, {"sub": 7}, {"sub": None}, {"sub": "a\nb"}, {"sub": "x" * 256},
                    {"sub": "alice", "exp": "tomorrow"}, {"sub": "alice", "exp": -1}, {"sub": "alice", "nbf": time.time() + 60},
                    {"sub": "alice", "topics": "news"}, {"sub": "alice", "topics": [1]}, {"sub": "alice", "allow": "news"},
                    {"sub": "alice", "labels": ["a"]}, {"sub": "alice", "labels": {"a": 1}}, {"sub": "alice", "labels": {"client/a": "b"}},
                    {"sub": "alice", "labels": {"a b": "c"}}):
            with self.subTest(bad):
                header = part({"alg": "HS256", "typ": "JWT"})
                signed = f"{header}.{part(bad)}"
                signature = part(hmac.new(tokens.SECRET.encode(), signed.encode(), hashlib.sha256).digest())
                self.assert_refused(herald, f"{signed}.{signature}")

    def test_a_user_id_that_makes_no_topic_is_refused(self):
        self.assert_refused(self.start_hs256(), hs256("x" * 250))
        self.assert_refused(self.start_hs256(), hs256("   "))
        self.assertEqual(self.client(self.start_hs256(), hs256("x" * 249)).hello["user_id"], "x" * 249)

    def test_audience_and_issuer(self):
        herald = self.start_hs256("--jwt_audience=herald", "--jwt_issuer=https://id.example")
        good = {"aud": "herald", "iss": "https://id.example"}
        self.assertTrue(self.client(herald, hs256(**good)).session_id)
        self.assertTrue(self.client(herald, hs256(**good | {"aud": ["other", "herald"]})).session_id)
        for bad in ({"aud": "other"}, {"aud": []}, {"iss": "https://evil.example"}):
            self.assert_refused(herald, hs256(**good | bad))
        self.assert_refused(herald, hs256(aud="herald"))
        self.assert_refused(herald, hs256(iss="https://id.example"))

    def test_topics_are_subscribed(self):
        herald = self.start_hs256()
        client = self.client(herald, hs256(topics=["orders/42", "closed/but-granted"]))
        self.assertEqual(sorted(topic["topic"] for topic in client.hello["topics"]),
                         ["$all", "$user/alice", "closed/but-granted", "orders/42"])
        with Producer(herald) as producer:
            self.assertEqual(producer.deliver("shipped", topic="orders/42").matched, 1)
        self.assertEqual(client.message()["text"], "shipped")

    def test_reserved_topics_cannot_be_granted(self):
        herald = self.start_hs256()
        for topic in ("$user/bob", "$all/x"):
            with open_client(herald) as connection:
                connection.send(json.dumps({"connect": {"token": hs256(topics=[topic])}}))
                self.assertEqual(wait_close(connection)[0], 4403)

    def outcome(self, client, kind, topic):
        frame = {"topic": topic} | ({"text": "x"} if kind == "publish" else {})
        reply = client.request(**{kind: frame})
        return reply["error"]["code"] if "error" in reply else "ok"

    def test_allow(self):
        herald = self.start_hs256()
        client = self.client(herald, hs256(allow=["news/*", "eu/**"]))
        for topic, expected in (("news/a", "ok"), ("news/a/b", "PERMISSION_DENIED"), ("eu/a/b", "ok"), ("other", "PERMISSION_DENIED"),
                                ("open/x", "ok"), ("closed/x", "PERMISSION_DENIED"), ("$user/bob", "INVALID_ARGUMENT")):
            self.assertEqual(self.outcome(client, "subscribe", topic), expected, topic)
        self.assertEqual([self.outcome(client, "publish", topic) for topic in ("news/a", "other")], ["ok", "PERMISSION_DENIED"])

    def test_allow_in_two_lists(self):
        client = self.client(self.start_hs256(), hs256(allow={"subscribe": ["in/*"], "publish": ["out/*"]}))
        self.assertEqual([self.outcome(client, kind, topic) for kind in ("subscribe", "publish") for topic in ("in/a", "out/a")],
                         ["ok", "PERMISSION_DENIED", "PERMISSION_DENIED", "ok"])

    def test_without_allow_only_open_topics(self):
        client = self.client(self.start_hs256(), hs256())
        self.assertEqual([self.outcome(client, "subscribe", topic) for topic in ("open/a", "news/a")], ["ok", "PERMISSION_DENIED"])

    def test_a_trusted_label_cannot_be_spoofed(self):
        herald = self.start_hs256()
        gold = self.client(herald, hs256("gold", labels={"tier": "gold"}), connect={"labels": {"tier": "iron"}})
        liar = self.client(herald, hs256("liar"), query="?labels=tier=gold",
                           connect={"labels": {"tier": "gold", "client/tier": "gold"}})
        with Producer(herald) as producer:
            self.assertEqual(dict(producer.session(gold.session_id).labels), {"tier": "gold", "client/tier": "iron"})
            self.assertEqual(dict(producer.session(liar.session_id).labels), {"client/tier": "gold", "client/client/tier": "gold"})
            self.assertEqual(producer.deliver("for gold", selector="tier=gold").matched, 1)
            self.assertEqual(producer.deliver("claimed", selector="client/tier=gold").matched, 1)
        self.assertEqual(gold.message()["text"], "for gold")
        self.assertEqual(liar.message()["text"], "claimed", "and not the other one")

    def test_the_url_makes_nobody_somebody(self):
        # `?user=` and `?labels=` are for --dev.
        herald = self.start("--allow_anonymous", "--enable_raw")
        self.enter(open_client(herald, None, query="?user=alice&labels=tier=gold"))
        self.assertNotIn("user_id", self.client(herald, query="?user=alice").hello)
        with Producer(herald) as producer:
            for session in producer.list_sessions().sessions:
                self.assertEqual((session.user_id, dict(session.labels)), ("", {}))


class WayTest(TokenTest):
    """The ways in which a token comes to the server."""

    def user(self, connection, connect="{}"):
        connection.send(f'{{"connect":{connect}}}')
        return json.loads(connection.recv(DEADLINE))["hello"]["user_id"]

    def test_header(self):
        herald = self.start_hs256("--enable_raw")
        for scheme in ("Bearer", "bearer"):
            connection = self.enter(open_client(herald, additional_headers={"Authorization": f"{scheme} {hs256()}"}))
            self.assertEqual(self.user(connection), "alice")
        self.enter(open_client(herald, None, additional_headers={"Authorization": f"Bearer {hs256('raw')}"}))
        with Producer(herald) as producer:
            self.assertEqual(producer.list_sessions(user_id="raw").total, 1)

    def test_subprotocol(self):
        herald = self.start_hs256("--enable_raw")
        connection = self.enter(open_client(herald, [JSON, f"bearer.{hs256()}"]))
        self.assertEqual(connection.subprotocol, JSON, "never the token")
        self.assertEqual(self.user(connection), "alice")
        self.assertEqual(self.upgrade(herald, subprotocol=f"{JSON}, bearer.{hs256(lives=-60)}").status, 401)
        self.assertEqual(self.upgrade(herald, subprotocol=f"{JSON}, bearer.").status, 401)

    def test_cookie(self):
        herald = self.start_hs256("--token_cookie=session")
        connection = self.enter(open_client(herald, additional_headers={"Cookie": f"a=b; session={hs256()}; c=d"}))
        self.assertEqual(self.user(connection), "alice")
        self.assertEqual(self.upgrade(herald, Cookie="session=nonsense").status, 401)
        answer = self.upgrade(herald, Cookie=f"session={hs256()}", Origin="https://evil.example")
        self.assertEqual(answer.status, 403, "a cookie comes with requests of any page: the origin decides")
        for cookie in (f"xsession={hs256()}", f"other={hs256()}"):
            self.assert_nobody(herald, additional_headers={"Cookie": cookie})

    def test_no_cookie_unless_it_is_named(self):
        self.assert_nobody(self.start_hs256(), additional_headers={"Cookie": f"session={hs256()}"})

    def test_query(self):
        herald = self.start_hs256("--allow_query_token")
        self.assertEqual(self.user(self.enter(open_client(herald, query=f"?token={hs256()}"))), "alice")
        self.assertEqual(self.upgrade(herald, "/ws?token=nonsense").status, 401)

    def test_no_query_unless_it_is_allowed(self):
        self.assert_nobody(self.start_hs256(), query=f"?token={hs256()}")

    def assert_nobody(self, herald, **options):
        """The token is not looked at, so the connect frame has to bring one."""
        connection = self.enter(open_client(herald, **options))
        connection.send('{"connect":{}}')
        self.assertEqual(wait_close(connection)[0], 4401)

    def test_connect_frame_is_stronger_than_the_upgrade(self):
        herald = self.start_hs256()
        connection = self.enter(open_client(herald, additional_headers={"Authorization": f"Bearer {hs256('one')}"}))
        self.assertEqual(self.user(connection, json.dumps({"token": hs256("two")})), "two")

    def test_anonymous_beside_tokens(self):
        herald = self.start_hs256("--allow_anonymous")
        self.assertNotIn("user_id", self.client(herald).hello)
        self.assertEqual(self.client(herald, hs256()).hello["user_id"], "alice")
        self.assert_refused(herald, hs256(secret="another secret, and this one is long enough too"))


class RefreshTest(TokenTest):
    def test_extends_a_session(self):
        herald = self.start_hs256()
        # About a second of the leeway is left to the first token.
        client, left_alone = (self.client(herald, hs256(lives=-4)) for _ in range(2))
        self.assertIn("ok", client.request(refresh={"token": hs256(lives=600)}))
        self.assertEqual(wait_close(left_alone.socket)[0], 4402)
        left_alone = self.client(herald, hs256(lives=-4))
        self.assertEqual(wait_close(left_alone.socket)[0], 4402)  # well past the first one's end
        self.assertIn("ok", client.request(ping={}))

    def test_changes_what_is_allowed(self):
        client = self.client(self.start_hs256(), hs256())
        self.assertEqual(client.request(subscribe={"topic": "news/a"})["error"]["code"], "PERMISSION_DENIED")
        self.assertIn("ok", client.request(refresh={"token": hs256(allow=["news/*"])}))
        self.assertIn("ok", client.request(subscribe={"topic": "news/a"}))

    def test_for_another_user_is_refused(self):
        client = self.client(self.start_hs256(), hs256())
        client.send({"id": 2, "refresh": {"token": hs256("bob", lives=600)}})
        code, reason, _ = wait_close(client.socket)
        self.assertEqual(code, 4401)
        self.assertRegex(reason, "user")

    def test_with_an_expired_token(self):
        client = self.client(self.start_hs256(), hs256())
        client.send({"id": 2, "refresh": {"token": hs256(lives=-60)}})
        self.assertEqual(wait_close(client.socket)[0], 4402)


class RotationTest(TokenTest):
    def accepted(self, herald, token):
        return self.upgrade(herald, Authorization=f"Bearer {token}").status == 101

    def test_key_set_is_read_again(self):
        old, new = tokens.make_key("ES256"), tokens.make_key("EdDSA")
        path = self.directory / "jwks"

        def publish(*members):
            tokens.write(path, json.dumps({"keys": list(members)}))

        publish(tokens.jwk(old, "ES256", "old"))
        herald = self.start(f"--jwks_file={path}")
        old_token = jwt.encode(claims(), old, algorithm="ES256", headers={"kid": "old"})
        new_token = jwt.encode(claims(), new, algorithm="EdDSA", headers={"kid": "new"})
        client = self.client(herald, old_token)
        self.assertFalse(self.accepted(herald, new_token))

        publish(tokens.jwk(old, "ES256", "old"), tokens.jwk(new, "EdDSA", "new"))
        eventually(lambda: self.accepted(herald, new_token), "the new key counts", timeout=3)
        self.assertTrue(self.accepted(herald, old_token), "both, for a while")

        publish(tokens.jwk(new, "EdDSA", "new"))
        eventually(lambda: not self.accepted(herald, old_token), "the old key is gone", timeout=3)
        self.assertTrue(self.accepted(herald, new_token))
        self.assert_refused(herald, old_token)
        self.assertIn("ok", client.request(ping={}), "the session that came with it stays")

    def test_a_broken_file_keeps_the_last_good_keys_and_is_logged(self):
        secret = tokens.write_secret(self.directory)
        herald = self.start(f"--jwt_secret_file={secret}")
        tokens.write(secret, "short")
        herald.wait_line("keys not reloaded")
        self.assertTrue(self.accepted(herald, hs256()))
        tokens.write(secret, "a wholly new secret that is long enough for HS256")
        eventually(lambda: self.accepted(herald, hs256(secret="a wholly new secret that is long enough for HS256")), timeout=3)
        self.assertFalse(self.accepted(herald, hs256()))
        self.assertEqual(len(herald.logs("keys not reloaded, the old ones stay")), 1, "said once")


class ProducerTest(TokenTest):
    def test_a_client_token_is_no_producer_token(self):
        herald = self.start_hs256(producers_file.write(
            Path(self.directory) / "producers", producers_file.entry("billing", "a-token-of-a-producer", **producers_file.EVERYTHING)))
        with Producer(herald, hs256()) as producer:
            code, _ = producer.refusal(producer.sessions.ListSessions, session_service_pb2.ListSessionsRequest())
            self.assertEqual(code, Code.UNAUTHENTICATED)
        self.assert_refused(herald, "a-token-of-a-producer")


if __name__ == "__main__":
    unittest.main()
