"""G16: a web page whose own name points to this server (DNS rebinding) sends that name as Host and as Origin."""

import unittest

from server_case import ServerTest
from wire import RawClient

EVIL = "evil.example"


class DnsRebindingTest(ServerTest):
    def upgrade(self, herald, host, **changes):
        with RawClient(herald.client_addr) as client:
            return client.upgrade(Host=host, Origin=f"http://{host}", **changes)

    def get(self, herald, host, path):
        with RawClient(herald.client_addr) as client:
            return client.request(path=path, headers={"Host": host})

    def test_dev_answers_loopback_names_only(self):
        herald = self.start(threads=1)
        port = herald.client_addr.rsplit(":", 1)[1]
        for host in (EVIL, f"{EVIL}:{port}", f"localhost.{EVIL}:{port}", f"127.0.0.1.{EVIL}", "192.168.0.1", "[2001:db8::1]"):
            answer = self.upgrade(herald, host)
            self.assertEqual(answer.status, 421, host)
            self.assertIn("allowed_hosts", answer.body, "names the setting")
            for path in ("/", "/herald.js", "/nothing"):
                self.assertEqual(self.get(herald, host, path).status, 421, (host, path))
        for host in (f"localhost:{port}", "LOCALHOST", f"127.0.0.1:{port}", "127.1.2.3", f"[::1]:{port}", f"app.localhost:{port}"):
            self.assertEqual(self.upgrade(herald, host).status, 101, host)
        self.assertEqual(herald.metric("herald_http_refused_total", status="421", reason="host"), 24)

    def test_the_target_cannot_name_another_host_than_the_check_sees(self):
        herald = self.start(threads=1)
        with RawClient(herald.client_addr) as client:
            self.assertEqual(client.upgrade(f"http://{EVIL}/ws", Host="localhost", Origin=f"http://{EVIL}").status, 421)

    def test_hosts_are_a_setting(self):
        herald = self.start("--allowed_hosts=push.example.com,loopback", threads=1)
        self.assertEqual(self.upgrade(herald, "Push.example.com:8443").status, 101)
        self.assertEqual(self.upgrade(herald, "localhost").status, 101)
        self.assertEqual(self.upgrade(herald, EVIL).status, 421)
        for flags, dev in ((("--allowed_hosts=",), True), (("--allow_anonymous", "--enable_raw"), False)):
            herald = self.start(*flags, dev=dev, threads=1)
            self.assertEqual(self.upgrade(herald, EVIL).status, 101, "an empty list: any")


if __name__ == "__main__":
    unittest.main()
