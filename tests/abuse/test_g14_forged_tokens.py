"""G14: a forged token costs a bounded number of signatures, whatever the number of keys."""

import contextlib
import json
import tempfile
import unittest
from pathlib import Path

import jwt

import tokens
from harness import Herald, JsonClient, eventually
from tokens import claims
from wire import RawClient, open_client, wait_close

KEYS = 64
FORGED = 300


class ForgedTokenTest(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.directory = Path(self.enter(tempfile.TemporaryDirectory()))

    def enter(self, context):
        return self.stack.enter_context(context)

    def start_with_keys(self, keys, *flags, **options):
        members = [tokens.jwk(key, "ES256", kid) for kid, key in keys]
        path = tokens.write(self.directory / "jwks", json.dumps({"keys": members}))
        return self.enter(Herald(f"--jwks_file={path}", *flags, dev=False, **options))

    def close_of(self, herald, token):
        with open_client(herald) as connection:
            connection.send(json.dumps({"connect": {"token": token}}))
            return wait_close(connection)[:2]

    def test_g14_without_kid_no_key_with_an_id_is_tried(self):
        keys = [(f"k{number}", tokens.make_key("ES256")) for number in range(KEYS)]
        herald = self.start_with_keys(keys, "--token_failures_per_second_per_ip=0")
        genuine = jwt.encode(claims(), keys[40][1], algorithm="ES256", headers={"kid": "k40"})
        client = self.enter(JsonClient(herald.client_url, {"token": genuine}))
        # Even a genuine signature is not looked for: that is what a forger would make Herald do 64 times.
        code, reason = self.close_of(herald, jwt.encode(claims(), keys[40][1], algorithm="ES256"))
        self.assertEqual((code, "kid" in reason), (4401, True), reason)
        stranger = tokens.make_key("ES256")
        forged = jwt.encode(claims(), stranger, algorithm="ES256")
        for _ in range(FORGED):
            self.assertEqual(self.close_of(herald, forged)[0], 4401)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="unknown_key"), FORGED + 1)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="signature"), 0, "no signature was computed")
        self.assertIn("ok", client.request(ping={}))

    def test_g14_an_address_with_many_refused_tokens_is_not_checked_for_a_while(self):
        key = tokens.make_key("ES256")
        herald = self.start_with_keys([("k", key)], "--token_failures_per_second_per_ip=1")
        genuine = jwt.encode(claims(), key, algorithm="ES256", headers={"kid": "k"})
        forged = jwt.encode(claims(), tokens.make_key("ES256"), algorithm="ES256", headers={"kid": "k"})
        client = self.enter(JsonClient(herald.client_url, {"token": genuine}))
        checked = 0

        def until_refused():
            nonlocal checked
            with RawClient(herald.client_addr) as stranger:
                status = stranger.upgrade(subprotocol="herald.v1.json", Authorization=f"Bearer {forged}").status
            checked += status == 401
            return status == 429

        eventually(until_refused, "429 in the place of 401")
        self.assertLessEqual(checked, 30)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="signature"), checked)
        self.assertGreater(herald.metric("herald_connections_refused_total", reason="token_failures_per_ip"), 0)
        self.assertIn("ok", client.request(ping={}))  # who is in stays in
        # The bucket fills again, and a good token gets in.
        def gets_in():
            with RawClient(herald.client_addr) as honest:
                return honest.upgrade(subprotocol="herald.v1.json", Authorization=f"Bearer {genuine}").status == 101
        eventually(gets_in, "a good token gets in")

    def test_g14_cheap_checks_come_before_the_signature(self):
        key = tokens.make_key("ES256")
        herald = self.start_with_keys([("k", key)], "--jwt_audience=herald", "--jwt_issuer=https://id.example")
        stranger = tokens.make_key("ES256")
        good = {"aud": "herald", "iss": "https://id.example"}
        for reason, wrong in (("audience", good | {"aud": "other"}), ("issuer", good | {"iss": "https://evil.example"}),
                              ("no_expiry", good | {"lives": None})):
            forged = jwt.encode(claims(**wrong), stranger, algorithm="ES256", headers={"kid": "k"})
            self.assertEqual(self.close_of(herald, forged)[0], 4401)
            self.assertEqual(herald.metric("herald_tokens_refused_total", reason=reason), 1, reason)
        self.assertEqual(herald.metric("herald_tokens_refused_total", reason="signature"), 0)

    def test_g14_keys_that_fit_one_token_are_few(self):
        same = [("same", tokens.make_key("ES256")) for _ in range(5)]
        herald = self.start_with_keys(same, wait=False)
        self.assertNotEqual(herald.wait(), 0)
        self.assertIn("5 ES256 keys fit the same token, 4 are allowed", herald.output)
        herald = self.start_with_keys(same[:4])
        for _, key in same[:4]:
            token = jwt.encode(claims(), key, algorithm="ES256", headers={"kid": "same"})
            self.assertTrue(self.enter(JsonClient(herald.client_url, {"token": token})).session_id)


if __name__ == "__main__":
    unittest.main()
