"""What the tests of many replicas share: a nats-server for each test, replicas on it, and publishing as careful producers do."""

import tempfile
import time
from pathlib import Path

from harness import Herald, JsonClient, eventually
from nats_server import NatsCluster
from producer import Code, Producer, PushStream, deliver
from server_case import ServerTest

RULES = """\
topic_rules:
  - {pattern: "log/**", history_size: 1000, history_ttl: 10m, client_subscribe: anyone, client_publish: anyone}
  - {pattern: "live/**", client_subscribe: anyone, client_publish: anyone}
"""
OK, UNAVAILABLE = 0, Code.UNAVAILABLE.value[0]
CATCH_UP_SECONDS = 10  # after NATS is back


class NatsTest(ServerTest):
    binary = None  # of nats-server
    start_replicas = True

    def setUp(self):
        super().setUp()
        folder = Path(self.enter(tempfile.TemporaryDirectory(prefix="herald-test-")))
        self.rules = folder / "herald.yaml"
        self.rules.write_text(RULES)
        self.nats = self.enter(NatsCluster(binary=self.binary))
        if self.start_replicas:
            self.a, self.b = self.replica("a"), self.replica("b")

    def replica(self, name, *flags, url=None, **options):
        return self.enter(Herald(f"--config={self.rules}", "--broker=nats", f"--nats_url={url or self.nats.urls}", f"--node_name={name}",
                                 *flags, **options))

    def producer(self, replica):
        return self.enter(Producer(replica))

    def client(self, replica, query="", resume=None):
        frame = {"resume": [{"topic": topic, "position": position} for topic, position in (resume or {}).items()]}
        return self.enter(JsonClient(replica.client_url + query, frame))

    def texts(self, client, count, topic=None):
        """Of the next `count` messages."""
        made = []
        while len(made) < count:
            message = client.message()
            if topic in (None, message["topic"]):
                made.append(message["text"])
        return made

    def publish(self, replica, *texts, **target):
        """All at once, in order; their results."""
        with Producer(replica) as producer, PushStream(producer) as stream:
            stream.send(*({"deliver": deliver(text, **target)} for text in texts))
            found = stream.results(len(texts))
            return [found[seq] for seq in sorted(found)]

    def publish_until_taken(self, replica, text, **target):
        """As producers do: again while the answer is UNAVAILABLE. Seconds that it took."""
        began, last = time.monotonic(), []

        def attempt():
            last[:] = self.publish(replica, text, **target)
            self.assertIn(last[0].code, (OK, UNAVAILABLE), last[0].detail)
            return last[0].code == OK
        try:
            eventually(attempt, f"{text} taken", 2 * CATCH_UP_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}\n{self.nats.nodes[0].output[-2000:]}\n{replica.output[-2000:]}") from None
        return time.monotonic() - began
