"""The browser SDK under Node, against the real binary behind a proxy that cuts and stalls."""

import unittest

from sdk_case import SdkTest


class ResumeTest(SdkTest):
    def setUp(self):
        super().setUp()
        self.start_with_rules()

    def test_after_a_cut_all_that_was_missed_comes_in_order_and_once(self):
        client = self.open_client(topics=["log/a", "log/b"])
        self.push("log/a", range(10))
        client.wait("message", lambda message: message["data"] == {"n": 9})
        self.proxy.cut(refuse=True)
        client.wait_state("waiting")
        self.push("log/a", range(10, 510))
        self.push("log/b", range(3))
        self.proxy.allow()
        client.wait_state("open", 2)
        self.push("log/a", range(510, 520))
        client.wait("message", lambda message: message["data"] == {"n": 519})
        self.assertEqual(client.payloads("log/a"), [{"n": number} for number in range(520)])
        self.assertEqual(client.payloads("log/b"), [{"n": number} for number in range(3)])
        self.assertEqual(client.all("gap"), [])


if __name__ == "__main__":
    unittest.main()
