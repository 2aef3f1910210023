"""When the browser SDK comes back and when it does not: close codes, advice, backoff, tokens.

Codes that the real server cannot be brought to, with a client that behaves, come from a peer that closes with them.
"""

import datetime
import json
import tempfile
import time
import unittest

import tokens
from harness import eventually
from producer import Producer
from sdk_case import Peer, SdkTest

RECONNECT_YES, RECONNECT_NO = 1, 2


class CloseCodeTest(SdkTest):
    def expect(self, client, code, comes_back):
        state = client.wait_state("waiting" if comes_back else "closed")
        self.assertEqual(state["code"], code)
        if comes_back:
            client.wait_state("open", 2)
        else:
            self.assertEqual(client.states()[-1], "closed")
        return state

    def test_codes_of_the_server(self):
        """Those a producer may close with; the table's third column."""
        herald = self.start_with_rules()
        for code, comes_back in {1000: False, 1001: True, 1012: True, 1013: True, 4400: False, 4401: False, 4402: False, 4403: False,
                                 4408: True, 4409: False, 4410: True, 4413: True, 4429: True}.items():
            with self.subTest(code):
                client = self.open_client(url=herald.client_url)
                client.do("session")
                session_id = client.wait("session")["id"]
                self.producer.disconnect(session_id=session_id, code=code, reason="so it is")
                state = self.expect(client, code, comes_back)
                self.assertEqual(state["reason"], "so it is")
                client.stop()

    def test_codes_of_a_protocol_gone_wrong(self):
        self.start_with_rules()
        for code in (1002, 1003, 1007, 1009):
            with self.subTest(code), Peer([code]) as peer:
                client = self.client(url=peer.url)
                self.expect(client, code, comes_back=False)
                client.stop()
                self.assertEqual(len(peer.connects), 1)

    def test_1009_of_the_server(self):
        herald = self.start_with_rules("--max_message_bytes=1KiB")
        client = self.open_client(url=herald.client_url)
        client.do("publish", "log/a", "x" * 100_000)
        self.expect(client, 1009, comes_back=False)
        self.assertEqual(client.wait("publish")["code"], "UNKNOWN")

    def test_a_slow_reader_comes_back_and_has_all_or_is_told(self):
        self.start_with_rules("--max_outbound_bytes_per_session=64KiB")
        client = self.open_client(topics=["log/a"])
        self.proxy.stall()
        with Producer(self.herald) as producer:
            for n in range(300):  # past what the kernel's buffers and the proxy hold
                producer.deliver(json.dumps({"n": n, "fill": "x" * 60_000}), topic="log/a")
                if self.herald.metric("herald_dropped_total", reason="slow_consumer"):
                    break
        self.proxy.flow()
        eventually(lambda: len(client.payloads()) == n + 1 or client.all("gap"), "all messages, or the word that some are missing")
        got = [json.loads(payload)["n"] for payload in client.payloads()]
        # One is missed if the one before was on its way already; if not, two, which are more than the queue may hold.
        if gaps := client.all("gap"):
            self.assertEqual([gap["reason"] for gap in gaps], ["limit"])
            self.assertIn(got, [list(range(n)), list(range(n - 1))])
        else:
            self.assertEqual(got, list(range(n + 1)))
        self.assertGreaterEqual(client.states().count("open"), 2, "it was closed")


class AdviceTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()
        self.session = 0

    def disconnect(self, client, **options):
        self.session += 1
        client.do("session")
        session_id = client.wait("session", count=self.session)["id"]
        self.producer.disconnect(session_id=session_id, **options)

    def test_the_delay_is_kept(self):
        client = self.open_client()
        self.disconnect(client, reconnect=RECONNECT_YES, delay=datetime.timedelta(seconds=1.5))
        waiting = client.wait_state("waiting")
        start = time.monotonic()
        self.assertGreaterEqual(waiting["delayMs"], 1500)
        self.assertLessEqual(waiting["delayMs"], 1500 + 50)
        client.wait_state("open", 2)
        self.assertGreater(time.monotonic() - start, 1.3)

    def test_advice_is_stronger_than_the_code(self):
        client = self.open_client()
        self.disconnect(client, code=4403, reconnect=RECONNECT_YES)
        client.wait_state("open", 2)
        self.disconnect(client, code=4408, reconnect=RECONNECT_NO)
        self.assertEqual(client.wait_state("closed")["code"], 4408)

    def test_never_is_never(self):
        client = self.open_client()
        self.disconnect(client, reconnect=RECONNECT_NO, reason="bye")
        self.assertEqual(client.wait_state("closed"), {"name": "closed", "code": 4410, "reason": "bye"})


class BackoffTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()

    def delays(self, client):
        return [state["delayMs"] for state in client.all("state") if state["name"] == "waiting"]

    def test_delays_grow_to_the_cap_and_are_spread_over_all_of_it(self):
        self.proxy.cut(refuse=True)
        client = self.client(options={"backoff": {"baseMs": 10, "capMs": 80}})
        client.wait_state("waiting", 43)
        delays = self.delays(client)[:43]
        for attempt, delay in enumerate(delays):
            self.assertLessEqual(delay, min(80, 10 * 2 ** attempt))
        at_cap = delays[3:]
        # Even ones miss one of these once in 100,000 runs.
        self.assertLess(min(at_cap), 30)
        self.assertGreater(max(at_cap), 50)
        self.assertTrue(22 < sum(at_cap) / len(at_cap) < 58, "about half of the cap")

    def test_a_connection_that_dies_at_once_does_not_begin_anew(self):
        client = self.client(options={"backoff": {"baseMs": 10, "capMs": 200}})
        for count in range(1, 15):
            client.wait_state("open", count)
            self.proxy.cut()
            client.wait_state("waiting", count)
        self.assertGreater(max(self.delays(client)), 40)

    def test_a_connection_that_has_lived_begins_anew(self):
        client = self.client(options={"backoff": {"baseMs": 10, "capMs": 10_000}, "stableMs": 0})
        for count in range(1, 15):
            client.wait_state("open", count)
            self.proxy.cut()
            client.wait_state("waiting", count)
        self.assertLessEqual(max(self.delays(client)), 10)

    def test_overload_is_given_more_time(self):
        for code, ceiling in ((1001, 10), (1013, 80), (4429, 80)):
            with self.subTest(code), Peer([code] * 20) as peer:
                client = self.client(url=peer.url, options={"backoff": {"baseMs": 10, "capMs": 1000}, "stableMs": 0})
                client.wait_state("waiting", 20)
                delays = self.delays(client)
                self.assertLessEqual(max(delays), ceiling)
                self.assertGreater(max(delays), ceiling / 3)
                client.stop()


class TokenTest(SdkTest):
    def setUp(self):
        super().setUp()
        directory = self.enter(tempfile.TemporaryDirectory())
        self.start_with_rules(f"--jwt_secret_file={tokens.write_secret(directory)}", dev=False)

    def test_a_fixed_token_that_is_refused_is_not_shown_again(self):
        client = self.client(options={"token": tokens.hs256(secret="another secret that is long enough for HS256")})
        self.assertEqual(client.wait_state("closed")["code"], 4401)
        client = self.client(options={"token": tokens.hs256(lives=1)})
        self.assertEqual(client.wait_state("closed")["code"], 4402)

    def test_4401_asks_for_another_token(self):
        bad, good = tokens.hs256(secret="another secret that is long enough for HS256"), tokens.hs256("alice")
        client = self.client(tokens=[bad, bad, good])
        client.wait_state("open")
        self.assertEqual(client.all("token"), [{}, {"refused": bad, "code": 4401}, {"refused": bad, "code": 4401}])
        self.assertEqual([frame["connect"]["token"] for frame in client.all("sent")], [bad, good], "not the refused one again")
        client.do("session")
        self.assertEqual(client.wait("session")["userId"], "alice")

    def test_4402_asks_for_another_token_and_nothing_is_missed(self):
        client = self.client(tokens=[tokens.hs256("alice", lives=1.9), tokens.hs256("alice")], topics=["log/a"])
        client.wait_state("open")
        self.assertEqual(client.wait_state("waiting")["code"], 4402)
        self.producer.deliver("meanwhile", user_id="alice")
        client.wait("message")
        self.assertEqual(client.payloads(), ["meanwhile"])

    def test_a_token_is_renewed_before_it_expires(self):
        client = self.client(tokens=[tokens.hs256("alice", lives=6), tokens.hs256("alice")])
        client.wait("sent", lambda frame: "refresh" in frame)
        time.sleep(7)  # past the first one's end and the leeway of clocks
        self.producer.deliver("still there", user_id="alice")
        client.wait("message")
        self.assertEqual(client.states(), ["connecting", "open"])

    def test_a_source_that_fails_is_asked_again(self):
        client = self.client(tokens=[None, None, tokens.hs256("alice")])
        client.wait_state("open")
        self.assertEqual(client.all("error"), ["no token today"] * 2)
        self.assertEqual(client.states(), ["connecting", "waiting"] * 2 + ["connecting", "open"])

    def test_another_user_or_fewer_topics_do_not_lock_out(self):
        """The server refuses a `connect` that names topics this token does not give."""
        client = self.client(tokens=[tokens.hs256("alice", topics=["closed/alice"]), tokens.hs256("bob")])
        client.wait_state("open")
        self.proxy.cut()
        client.wait_state("open", 2)
        client.do("session")
        self.assertEqual(client.wait("session")["userId"], "bob")
        self.assertEqual(sorted(client.wait("subscriptions")), ["$all", "$user/bob"])


if __name__ == "__main__":
    unittest.main()
