"""Two replicas over one nats-server: one order and one history for both."""

import json
import threading
import unittest

from websockets.sync.client import connect

from fault_proxy import FaultProxy
from harness import CLIENT_OPTIONS, DEADLINE
from nats_case import OK, NatsTest
from nats_server import NEW
from producer import Code, Producer, PushStream, deliver, push_service_pb2, session_service_pb2


class TwoReplicasTest(NatsTest):
    def test_a_message_reaches_sessions_of_both(self):
        clients = [self.client(replica, "?user=alice&topics=log/a,live/a") for replica in (self.a, self.b)]
        producer = self.producer(self.a)
        for target in ({"user_id": "alice"}, {"topic": "log/a"}, {"topic": "live/a"}, {"all": True}):
            self.assertEqual(producer.deliver(str(target), **target).code, OK)
            for client in clients:
                message = client.message()
                self.assertEqual((message["text"], message["topic"]),
                                 (str(target), target.get("topic") or ("$all" if "all" in target else "$user/alice")))

    def test_what_a_client_publishes_reaches_the_other_replica(self):
        one, other = self.client(self.a, "?topics=log/a,live/a"), self.client(self.b, "?topics=log/a,live/a")
        for topic in ("log/a", "live/a"):
            self.assertIn("ok", one.request(publish={"topic": topic, "text": topic}))
            message = other.message()
            self.assertEqual((message["text"], message["topic"]), (topic, topic))

    def test_both_publish_and_all_see_one_order(self):
        clients = [self.client(replica, "?topics=log/a") for replica in (self.a, self.a, self.b, self.b)]
        texts = {replica: [f"{name}{n}" for n in range(150)] for name, replica in (("a", self.a), ("b", self.b))}
        threads = [threading.Thread(target=self.publish, args=(replica, *mine), kwargs={"topic": "log/a"}) for replica, mine in texts.items()]
        for thread in threads:
            thread.start()
        seen = [self.texts(client, 300) for client in clients]
        for thread in threads:
            thread.join()
        self.assertEqual(seen[1:], seen[:-1])
        for mine in texts.values():
            self.assertEqual([text for text in seen[0] if text in mine], mine)

    def test_resumes_at_the_other_replica(self):
        client = self.client(self.a, "?topics=log/a")
        self.publish(self.a, "1", "2", topic="log/a")
        position = [client.message() for _ in range(2)][-1]["position"]
        client.socket.close()
        self.publish(self.b, "3", "4", topic="log/a")
        with self.client(self.b, "?topics=log/a", {"log/a": position}) as again:
            state = next(one for one in again.hello["topics"] if one["topic"] == "log/a")
            self.assertTrue(state.get("recovered"), state)
            self.publish(self.a, "5", topic="log/a")
            self.assertEqual(self.texts(again, 3), ["3", "4", "5"])

    def test_hello_and_what_was_missed_come_before_what_is_new(self):
        # What NATS answers for one topic comes long after what it answers for another.
        link = self.enter(FaultProxy(self.nats.nodes[0].addr))
        slow = self.replica("slow", url=link.url)
        link.down.bytes_per_second = 400_000
        for attempt in range(3):
            topics = [f"log/{attempt}/{n}" for n in range(60)]
            positions = {topic: self.publish(self.a, "0", topic=topic)[0].positions[0].token for topic in topics}
            self.publish(self.a, "missed", topics={"topics": topics})
            ended = threading.Event()
            load = threading.Thread(target=self.publish_until, args=(ended, topics))
            load.start()
            try:
                with connect(f"{slow.client_url}?topics={','.join(topics)}", subprotocols=["herald.v1.json"],
                             **(CLIENT_OPTIONS | {"close_timeout": 0.2})) as client:
                    resume = [{"topic": topic, "position": position} for topic, position in positions.items()]
                    client.send(json.dumps({"id": 1, "connect": {"resume": resume}}))
                    self.assert_in_order([json.loads(client.recv(DEADLINE)) for _ in range(100)])
            finally:
                ended.set()
                load.join()

    def publish_until(self, ended, topics):
        for n in range(500):
            if ended.wait(0.1):
                return
            self.publish(self.a, str(n), topics={"topics": topics})

    def assert_in_order(self, frames):
        self.assertIn("hello", frames[0], frames[0])
        offsets = {}
        for message in (frame["message"] for frame in frames[1:]):
            self.assertGreater(int(message["offset"]), offsets.get(message["topic"], 0), message)
            if message["topic"] not in offsets:
                self.assertEqual(message["text"], "missed")
            offsets[message["topic"]] = int(message["offset"])

    def test_positions_and_history_are_the_same_at_both(self):
        clients = [self.client(replica, "?topics=log/a") for replica in (self.a, self.b)]
        results = self.publish(self.a, "1", "2", "3", topic="log/a")
        for result in results:
            at = {(message["offset"], message["position"]) for message in (client.message() for client in clients)}
            self.assertEqual(at, {(str(result.positions[0].offset), result.positions[0].token)})
        for replica in (self.a, self.b):
            with Producer(replica) as producer:
                answer = producer.call(producer.sessions.GetHistory, session_service_pb2.GetHistoryRequest(topic="log/a", limit=10))
                self.assertEqual([entry.message.payload for entry in answer.entries], [b"1", b"2", b"3"])

    def test_history_is_there_after_both_have_ended(self):
        client = self.client(self.a, "?topics=log/a")
        self.publish(self.a, "1", "2", topic="log/a")
        position = client.message()["position"]
        for replica in (self.a, self.b):
            self.assertEqual(replica.stop(), 0)
        with self.client(self.replica("c"), "?topics=log/a", {"log/a": position}) as again:
            self.assertEqual(self.texts(again, 1), ["2"])

    def test_a_command_is_carried_out_once_whichever_replica_it_is_sent_to_again(self):
        client = self.client(self.a, "?topics=log/a")
        open_ = push_service_pb2.PushOpen(producer_id="p")
        results = []
        for replica in (self.a, self.b):
            with Producer(replica) as producer, PushStream(producer, open_) as stream:
                stream.send({"deliver": deliver("once", topic="log/a")})
                results.append(stream.results(1)[1])
        self.assertEqual([(result.code, result.duplicate) for result in results], [(OK, False), (OK, True)])
        self.assertEqual(results[0].positions, results[1].positions)
        self.publish(self.a, "next", topic="log/a")
        self.assertEqual(self.texts(client, 2), ["once", "next"])
        with Producer(self.b) as producer, PushStream(producer, open_) as stream:
            stream.send({"deliver": deliver("something else", topic="log/a")})
            self.assertEqual(stream.results(1)[1].code, Code.ALREADY_EXISTS.value[0])

    def test_a_replica_that_is_killed_takes_nothing_along(self):
        clients = [self.client(replica, "?topics=log/a") for replica in (self.a, self.b)]
        self.publish(self.a, *map(str, range(50)), topic="log/a")
        self.a.kill()
        self.assertEqual(self.texts(clients[1], 50), list(map(str, range(50))))
        self.publish(self.b, "on", topic="log/a")
        self.assertEqual(self.texts(clients[1], 1), ["on"])


@unittest.skipUnless(NEW.exists(), "no nats-server 2.12: scripts/install-deps nats")
class NewServerTwoReplicasTest(TwoReplicasTest):
    binary = NEW


if __name__ == "__main__":
    unittest.main()
