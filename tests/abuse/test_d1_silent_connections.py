"""D1: at a limit of 1,024 open files, 1,300 connections that say nothing. Operators, producers and clients go on."""

import os
import unittest

from harness import eventually
from producer import Producer
from server_case import ServerTest
from strangers import Crowd, get, raise_open_files


class SilentConnectionsTest(ServerTest):
    def test_d1_connections_that_say_nothing_stop_nobody(self):
        raise_open_files()
        herald = self.start("--handshake_timeout=60s", open_files=1024)
        with Producer(herald) as producer, Crowd(herald.client_addr) as crowd:
            crowd.connect(1300)
            for _ in range(20):
                self.assertEqual(herald.http("/healthz")[0], 200)
                self.assertEqual(herald.http("/readyz")[0], 200)
                producer.deliver("still here", topic="news")
            # A new gRPC connection, a client from another address, and one from the same.
            with Producer(herald) as second:
                second.deliver("still here", topic="news")
            eventually(lambda: get(herald.client_addr, "/herald.js", "127.0.0.2") == "HTTP/1.1 200 OK", "another address gets in")
            eventually(lambda: get(herald.client_addr, "/herald.js") == "HTTP/1.1 200 OK", "the same address gets in")
            with herald.json_client("?topics=news") as client:
                producer.deliver("to a session", topic="news")
                self.assertEqual(client.message()["text"], "to a session")
            # It sheds by its own budget, so accept(2) never fails; told once a second, and counted.
            self.assertEqual(herald.metric("herald_accept_errors_total"), 0)
            self.assertGreater(herald.metric("herald_connections_refused_total") + herald.metric("herald_connections_evicted_total"), 0)
            eventually(lambda: herald.logs("client connections refused or closed for want of room"), "the log line")
            self.assertLess(herald.metric("herald_connections"), 1024)
        eventually(lambda: herald.metric("herald_connections", state="unauthenticated") <= 1, "all are given back")

    def test_d1_refused_clients_that_stay_connected_stop_nobody(self):
        raise_open_files()
        herald = self.start(open_files=1024)
        with Crowd(herald.client_addr) as crowd:
            for wave in range(2):
                crowd.connect(1100)
                crowd.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
                crowd.answers(2)
                # They have their answer and stay; what they hold is bounded.
                self.assertLess(len(os.listdir(f"/proc/{herald.pid}/fd")), 1024 - 64)
                self.assertEqual(herald.http("/healthz")[0], 200)
                eventually(lambda: get(herald.client_addr, "/herald.js", f"127.0.0.{wave + 2}") == "HTTP/1.1 200 OK",
                           "another address gets in")
        self.assertEqual(herald.metric("herald_accept_errors_total"), 0)


if __name__ == "__main__":
    unittest.main()
