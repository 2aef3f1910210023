"""NATS away, a replica cut off from it, and messages lost between them: sessions stay, and everything catches up."""

import threading
import time
import unittest

from fault_proxy import FaultProxy, NatsFilter
from harness import DEADLINE, eventually
from nats_case import CATCH_UP_SECONDS, UNAVAILABLE, NatsTest
from nats_server import NEW


class NatsAwayTest(NatsTest):
    def watch(self, replica, seconds=0.1):
        """Looks at the health pages until the returned function is called: that gives the answers, without repetitions."""
        ended, seen = threading.Event(), {"/healthz": [], "/readyz": []}

        def look():
            while not ended.wait(seconds):
                for path, answers in seen.items():
                    status = replica.http(path)[0]
                    if answers[-1:] != [status]:
                        answers.append(status)
        thread = threading.Thread(target=look, daemon=True)
        thread.start()

        def end():
            ended.set()
            thread.join()
            return seen
        self.addCleanup(ended.set)
        return end

    def assert_open(self, *clients):
        for client in clients:
            client.socket.ping().wait(DEADLINE)

    def test_sessions_stay_publishing_is_refused_and_all_goes_on_when_it_is_back(self):
        clients = [self.client(replica, "?user=alice&topics=log/a,live/a") for replica in (self.a, self.b)]
        self.publish(self.a, "before", topic="log/a")
        healthy = [self.watch(replica) for replica in (self.a, self.b)]
        self.nats.stop()
        for replica in (self.a, self.b):
            began = time.monotonic()
            eventually(lambda: self.publish(replica, "refused", topic="log/a")[0].code == UNAVAILABLE, "UNAVAILABLE")
            self.assertLess(time.monotonic() - began, 7)
            began = time.monotonic()
            results = [self.publish(replica, "refused", **target)[0] for target in ({"topic": "live/a"}, {"user_id": "alice"}, {"all": True})]
            self.assertEqual([result.code for result in results], [UNAVAILABLE] * 3)
            self.assertLess(time.monotonic() - began, 3, "it is known by now that NATS is away")
        time.sleep(4)  # past the probe's patience, and the clients' first pings
        self.assert_open(*clients)
        self.nats.restart()
        self.publish_until_taken(self.a, "after", topic="log/a")
        self.publish_until_taken(self.b, "last", topic="log/a")
        for client in clients:
            self.assertEqual([text for text in self.texts(client, 3) if text != "refused"], ["before", "after", "last"])
        for end in healthy:
            seen = end()
            self.assertEqual(seen["/healthz"], [200])
            self.assertEqual(seen["/readyz"], [200], "ready all the time: the sessions are served")

    def test_a_killed_server_is_like_one_that_was_stopped(self):
        client = self.client(self.b, "?topics=log/a")
        self.publish(self.a, "before", topic="log/a")
        self.nats.kill()
        eventually(lambda: self.publish(self.a, "refused", topic="log/a")[0].code == UNAVAILABLE, "UNAVAILABLE")
        self.nats.restart()
        self.publish_until_taken(self.a, "after", topic="log/a")
        self.assertEqual(self.texts(client, 2), ["before", "after"])

    def test_a_replica_that_was_cut_off_catches_up(self):
        for how in ("hold", "blackhole", "cut"):
            with self.subTest(how), FaultProxy(self.nats.nodes[0].addr) as link:
                cut_off = self.replica(f"cut-{how}", url=link.url)
                topic = f"log/{how}"
                client = self.client(cut_off, f"?topics={topic}")
                self.publish(self.a, "1", topic=topic)
                self.assertEqual(self.texts(client, 1), ["1"])
                link.cut(refuse=True) if how == "cut" else getattr(link, how)()
                missed = list(map(str, range(2, 202)))
                self.publish(self.a, *missed, topic=topic)
                time.sleep(2)
                self.assert_open(client)
                link.heal()
                began = time.monotonic()
                self.assertEqual(self.texts(client, 200), missed)
                self.assertLess(time.monotonic() - began, CATCH_UP_SECONDS)
                self.publish_until_taken(cut_off, "end", topic=topic)
                self.assertEqual(self.texts(client, 1), ["end"])

    def test_what_is_lost_on_the_way_is_read_from_the_stream(self):
        nats_filter = NatsFilter()
        link = self.enter(FaultProxy(self.nats.nodes[0].addr, nats=nats_filter))
        lossy = self.replica("lossy", url=link.url)
        client = self.client(lossy, "?topics=log/a")
        nats_filter.drop_every(3, "herald.l.>")
        texts = list(map(str, range(200)))
        self.publish(self.a, *texts, topic="log/a")
        self.assertEqual(self.texts(client, 200), texts)
        self.assertGreater(nats_filter.dropped, 50)

    def test_a_lost_tail_is_found(self):
        nats_filter = NatsFilter()
        link = self.enter(FaultProxy(self.nats.nodes[0].addr, nats=nats_filter))
        lossy = self.replica("lossy", url=link.url)
        client = self.client(lossy, "?topics=log/a")
        self.publish(self.a, "1", topic="log/a")
        self.assertEqual(self.texts(client, 1), ["1"])
        nats_filter.drop_every(1, "herald.l.>")
        self.publish(self.a, "2", "3", topic="log/a")
        eventually(lambda: nats_filter.dropped >= 2, "the loss")
        nats_filter.drop_none()
        began = time.monotonic()
        self.assertEqual(self.texts(client, 2), ["2", "3"], "though nothing newer comes")
        self.assertLess(time.monotonic() - began, CATCH_UP_SECONDS)


@unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
class NewServerNatsAwayTest(NatsAwayTest):
    binary = NEW


if __name__ == "__main__":
    unittest.main()
