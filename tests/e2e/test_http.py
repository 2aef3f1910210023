"""Every HTTP answer before the upgrade, and the admin port, against the real binary."""

import signal
import tempfile
import unittest

from prometheus_client.parser import text_string_to_metric_families

import tokens
from harness import DEADLINE, Herald, eventually
from producer import Producer
from server_case import ServerTest
from wire import RawClient, raw_client, request_text, upgrade_headers

JSON = "herald.v1.json"


class HttpTest(ServerTest):
    def client(self, herald):
        return self.enter(RawClient(herald.client_addr))

    def upgrade(self, herald, path="/ws", subprotocol=JSON, **headers):
        with RawClient(herald.client_addr) as client:
            return client.upgrade(path, subprotocol, **headers)

    def assert_refused(self, answer, status, **headers):
        """`status` with a reason in words, the headers given, and the connection is closed after it."""
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.body.strip(), "a reason in words")
        self.assertIn("close", answer.headers["connection"].lower())
        for name, pattern in headers.items():
            self.assertRegex(answer.headers.get(name.replace("_", "-"), ""), pattern)


class UpgradeTest(HttpTest):
    """One server for what no setting is needed for."""

    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def send(self, data):
        with RawClient(self.herald.client_addr) as client:
            client.send(data)
            return client.response()

    def test_101(self):
        with RawClient(self.herald.client_addr) as client:
            answer = client.upgrade(subprotocol=JSON, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 §1.3")
        self.assertEqual(answer.headers["sec-websocket-protocol"], JSON)

    def test_101_chooses_among_the_subprotocols(self):
        for offer, chosen in (("herald.v1.proto", "herald.v1.proto"), ("other, herald.v1.json", "herald.v1.json"),
                              ("herald.v1.json, herald.v1.proto", "herald.v1.json"), (None, None)):
            answer = self.upgrade(self.herald, subprotocol=offer)
            self.assertEqual((answer.status, answer.headers.get("sec-websocket-protocol")), (101, chosen), offer)

    def test_101_is_not_hindered_by_case_or_company(self):
        answer = self.upgrade(self.herald, Connection="keep-alive, uPGRADE", Upgrade="WebSocket")
        self.assertEqual(answer.status, 101)

    def test_400_malformed(self):
        for data in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /ws HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                     b"GET /ws HTTP/1.1\r\nHost localhost\r\n\r\n", b"GET /ws HTTP/1.1\r\nHo st: x\r\n\r\n"):
            with self.subTest(data):
                self.assert_refused(self.send(data), 400)

    def test_400_http_1_0_or_no_host(self):
        headers = upgrade_headers(JSON)
        self.assert_refused(self.send(request_text(version="HTTP/1.0", headers=headers)), 400)
        self.assert_refused(self.upgrade(self.herald, Host=None), 400)

    def test_400_bad_key(self):
        for key in (None, "", "short", "x" * 24, "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSEh"):
            with self.subTest(key):
                self.assert_refused(self.upgrade(self.herald, Sec_WebSocket_Key=key), 400)

    def test_400_unknown_subprotocol(self):
        for offer in ("herald.v2.json", "graphql-ws", "other, bearer.x"):
            answer = self.upgrade(self.herald, subprotocol=offer)
            self.assert_refused(answer, 400)
            self.assertIn(JSON, answer.body, "says what there is")

    def test_400_bad_topics_in_the_url(self):
        for query in ("?topics=$all", "?topics=%00", "?topics=" + "x" * 256, "?topics=a%zz"):
            self.assert_refused(self.upgrade(self.herald, "/ws" + query), 400)
        self.assert_refused(self.upgrade(self.herald, "/ws?topics=" + ",".join(map(str, range(129)))), 400)

    def test_403_origin(self):
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "localhost"):
            self.assert_refused(self.upgrade(self.herald, Origin=origin), 403)
        for origin in ("http://localhost", "https://LOCALHOST", None):
            self.assertEqual(self.upgrade(self.herald, Origin=origin).status, 101, origin)
        self.assertEqual(self.upgrade(self.herald, Host="localhost:8080", Origin="http://localhost:8080").status, 101)
        self.assert_refused(self.upgrade(self.herald, Host="localhost:8080", Origin="http://localhost:9090"), 403)

    def test_404(self):
        for path in ("/nothing", "/ws/", "/ws/more", "/WS", "/../etc/passwd", "/metrics", "/readyz"):
            with self.subTest(path), RawClient(self.herald.client_addr) as client:
                self.assert_refused(client.request(path=path), 404)

    def test_405_with_allow(self):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            with self.subTest(method), RawClient(self.herald.client_addr) as client:
                self.assert_refused(client.request(method, headers=upgrade_headers(JSON)), 405, allow="GET")

    def test_405_on_a_page(self):
        with RawClient(self.herald.client_addr) as client:
            self.assert_refused(client.request("POST", "/"), 405, allow="GET")

    def test_426_not_an_upgrade(self):
        for headers in ({"Connection": None}, {"Upgrade": None}, {"Upgrade": "h2c"}, {"Connection": "close"}):
            with self.subTest(headers):
                self.assert_refused(self.upgrade(self.herald, **headers), 426, upgrade="^websocket$", sec_websocket_version="^13$",
                                    connection="Upgrade")

    def test_426_wrong_version(self):
        for version in (None, "8", "12", "14", "13, 8", "x"):
            with self.subTest(version):
                self.assert_refused(self.upgrade(self.herald, Sec_WebSocket_Version=version), 426, upgrade="^websocket$",
                                    sec_websocket_version="^13$")

    def test_431(self):
        self.assert_refused(self.upgrade(self.herald, X_Long="x" * 9000), 431)
        self.assert_refused(self.upgrade(self.herald, path="/ws?topics=" + "x" * 9000), 431)
        self.assertEqual(self.upgrade(self.herald, X_Long="x" * 7000).status, 101)

    def test_refusals_are_counted(self):
        before = self.herald.metric("herald_http_refused_total")
        self.upgrade(self.herald, Origin="https://evil.example")
        self.assertEqual(self.herald.metric("herald_http_refused_total"), before + 1)

    def test_a_refusal_leaves_nothing_behind(self):
        before = self.herald.metric("herald_sessions_opened_total")
        for _ in range(20):
            self.upgrade(self.herald, Origin="https://evil.example")
        self.assertEqual(self.herald.metric("herald_sessions_opened_total"), before)


class SettingsTest(HttpTest):
    def test_400_raw_off(self):
        herald = self.start("--allow_anonymous", dev=False)
        answer = self.upgrade(herald, subprotocol=None)
        self.assert_refused(answer, 400)
        self.assertRegex(answer.body, "enable_raw")
        self.assertEqual(self.upgrade(herald).status, 101)

    def test_401_with_www_authenticate(self):
        directory = self.enter(tempfile.TemporaryDirectory())
        herald = self.start(f"--jwt_secret_file={tokens.write_secret(directory)}", "--enable_raw", dev=False)
        self.assert_refused(self.upgrade(herald, Authorization="Bearer nonsense"), 401, www_authenticate="Bearer")
        self.assert_refused(self.upgrade(herald, subprotocol=f"{JSON}, bearer.nonsense"), 401)
        self.assert_refused(self.upgrade(herald, subprotocol=None), 401)  # raw clients have no connect frame to bring one in
        self.assertEqual(self.upgrade(herald).status, 101, "may still bring its token in the connect frame")
        self.assertEqual(self.upgrade(herald, subprotocol=None, Authorization=f"Bearer {tokens.hs256()}").status, 101)

    def test_403_only_listed_origins(self):
        herald = self.start("--allowed_origins=https://a.example,https://b.example:8443")
        for origin in ("https://a.example", "https://b.example:8443", None):
            self.assertEqual(self.upgrade(herald, Origin=origin).status, 101, origin)
        for origin in ("http://a.example", "https://b.example", "http://localhost", "https://a.example.evil"):
            self.assert_refused(self.upgrade(herald, Origin=origin), 403)

    def test_404_without_the_demo(self):
        herald = self.start("--allow_anonymous", dev=False)
        with RawClient(herald.client_addr) as client:
            self.assert_refused(client.request(path="/"), 404)

    def test_200_the_browser_sdk_with_and_without_the_demo(self):
        for flags, dev in (((), True), (("--allow_anonymous",), False)):
            herald = self.start(*flags, dev=dev)
            base = f"http://{herald.client_addr}"
            status, body, headers = herald.http("/herald.js", base, {"Origin": "https://elsewhere.example"})
            self.assertEqual(status, 200)
            self.assertIn("herald.v1.json", body)
            self.assertEqual({name: headers.get(name) for name in ("Content-Type", "Cache-Control", "Access-Control-Allow-Origin",
                                                                   "Cross-Origin-Resource-Policy", "X-Content-Type-Options")},
                             {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=300, must-revalidate",
                              "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
                              "X-Content-Type-Options": "nosniff"})
            status, body, again = herald.http("/herald.js?v=1", base, {"If-None-Match": headers["ETag"]})
            self.assertEqual((status, body, again["ETag"], again["Access-Control-Allow-Origin"]), (304, "", headers["ETag"], "*"))
            self.assertEqual(herald.http("/herald.js", base, method="HEAD")[:2], (200, ""))
            self.assertEqual(herald.http("/herald.js", base, method="POST")[0], 405)

    def test_408_header_not_complete_in_time(self):
        herald = self.start("--handshake_timeout=300ms")
        for data in (b"", b"GET /ws HTT", b"GET /ws HTTP/1.1\r\nHost: localhost\r\n"):
            client = self.client(herald)
            client.send(data)
            self.assert_refused(client.response(), 408)
            with self.assertRaises(EOFError):
                client.read(1)

    def test_429_too_many_from_one_address(self):
        herald = self.start("--max_sessions_per_ip=2")
        clients = [raw_client(herald), self.enter(raw_client(herald))]
        self.assert_refused(self.upgrade(herald), 429, retry_after=r"^\d+$")
        clients[0].socket.close()
        eventually(lambda: self.upgrade(herald).status == 101, "a place that is given back can be taken")

    def test_431_by_setting(self):
        herald = self.start("--max_header_bytes=512")
        self.assert_refused(self.upgrade(herald, X_Long="x" * 512), 431)
        self.assertEqual(self.upgrade(herald).status, 101)

    def test_503_full(self):
        herald = self.start("--max_sessions=2")
        clients = [raw_client(herald), self.enter(raw_client(herald))]
        self.assert_refused(self.upgrade(herald), 503, retry_after=r"^\d+$")
        clients[0].socket.close()
        eventually(lambda: self.upgrade(herald).status == 101, "a place that is given back can be taken")

    def test_503_too_many_handshakes_a_second(self):
        herald = self.start("--handshakes_per_second=3")
        answers = [self.upgrade(herald) for _ in range(10)]
        refused = [answer for answer in answers if answer.status != 101]
        self.assertTrue(3 <= 10 - len(refused) < 10, answers)
        for answer in refused:
            self.assert_refused(answer, 503, retry_after=r"^\d+$")

    def test_503_no_memory(self):
        herald = self.start("--max_memory_bytes=1MiB")
        eventually(lambda: self.upgrade(herald).status == 503, "the limit is seen")
        self.assert_refused(self.upgrade(herald), 503, retry_after=r"^\d+$")

    def test_503_draining(self):
        herald = self.start(threads=1)
        stays = self.enter(raw_client(herald))  # does not answer its close: keeps the drain going
        waiting = self.client(herald)
        request = request_text(headers=upgrade_headers(JSON))
        waiting.send(request[:20])
        self.upgrade(herald)  # one thread takes connections in order: `waiting` has been taken, too
        herald.signal(signal.SIGTERM)
        self.assertEqual(stays.wait_close()[0], 1012)
        waiting.send(request[20:])
        self.assert_refused(waiting.response(), 503, retry_after=r"^\d+$")
        self.assertEqual(herald.wait(), 0)


class AdminTest(HttpTest):
    @classmethod
    def setUpClass(cls):
        cls.herald = Herald(threads=1)
        cls.addClassCleanup(cls.herald.stop)

    def test_healthz_and_readyz(self):
        for path in ("/healthz", "/readyz", "/readyz?verbose"):
            self.assertEqual(self.herald.http(path)[0], 200, path)

    def test_404_and_405(self):
        for path in ("/", "/ws", "/healthz/", "/debug"):
            self.assertEqual(self.herald.http(path)[0], 404, path)
        status, _, headers = self.herald.http("/metrics", method="POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_head(self):
        status, body, headers = self.herald.http("/metrics", method="HEAD")
        self.assertEqual((status, body), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 0)

    def test_metrics_are_prometheus_text(self):
        client = self.enter(self.herald.json_client("?user=alice-of-the-metrics&topics=topic-of-the-metrics"))
        with Producer(self.herald) as producer:
            producer.deliver(topic="topic-of-the-metrics")
            producer.deliver(user_id="alice-of-the-metrics")
        client.message(), client.message()
        status, text, headers = self.herald.http("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertGreater(len(families), 15)
        samples = 0
        for name, family in families.items():
            self.assertTrue(name.startswith("herald_"), name)
            self.assertTrue(family.documentation, f"{name} has no help")
            self.assertIn(family.type, ("counter", "gauge", "histogram"), name)
            for sample in family.samples:
                samples += 1
                self.assertFalse({"topic", "user", "user_id", "session", "session_id"} & sample.labels.keys(), sample)
                if family.type == "counter":
                    self.assertTrue(sample.name.endswith("_total"), sample)
        self.assertNotIn("of-the-metrics", text, "no topic and no user")
        self.assertLess(samples, 500, "bounded cardinality")

    def test_metrics_follow_what_happens(self):
        metric = self.herald.metric
        before = {name: metric(name) for name in ("herald_commands_total", "herald_deliveries_total", "herald_sessions_opened_total")}
        with self.herald.json_client() as client, Producer(self.herald) as producer:
            self.assertEqual(metric("herald_sessions"), len(producer.list_sessions().sessions))
            producer.deliver("one", session_id=client.session_id)
            client.message()
        self.assertEqual({name: metric(name) - value for name, value in before.items()}, dict.fromkeys(before, 1))
        eventually(lambda: metric("herald_sessions") == 0, "the session has gone")

    def test_the_probe_behind_readyz_is_not_counted(self):
        with Herald(threads=2) as herald:
            drains = herald.metric("herald_shard_drains_total")
            eventually(lambda: herald.metric("herald_shard_drains_total") >= drains + 2, "a probe has passed")
            families = text_string_to_metric_families(herald.http("/metrics")[1])
            values = {sample.name: sample.value for family in families for sample in family.samples}
        names = ("herald_deliveries_total", "herald_sent_bytes_total", "herald_topics", "herald_sessions", "herald_users", "herald_commands_total")
        self.assertEqual({name: values[name] for name in names}, dict.fromkeys(names, 0))

    def test_dropped_reasons_are_all_there_from_the_start(self):
        family = {family.name: family for family in text_string_to_metric_families(self.herald.http("/metrics")[1])}["herald_dropped"]
        self.assertEqual({sample.labels["reason"] for sample in family.samples if sample.name.endswith("_total")},
                         {"no_session", "slow_consumer", "expired", "collapsed", "disconnected", "timeout"})

    def test_503_not_ready_while_draining(self):
        herald = self.start(threads=1)
        stays = self.enter(raw_client(herald))  # does not answer its close: keeps the drain going
        herald.signal(signal.SIGTERM)
        stays.wait_close()
        status, body, _ = herald.http("/readyz")
        self.assertEqual((status, body.strip()), (503, "draining"))
        self.assertEqual(herald.http("/healthz")[0], 200, "alive, though")
        self.assertEqual(herald.wait(DEADLINE), 0)


if __name__ == "__main__":
    unittest.main()
