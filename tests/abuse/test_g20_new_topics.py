"""G20: messages to ever new topics must not fill a replica: names of topics are memory too."""

import tempfile
import unittest
from pathlib import Path

import producers_file
from memory import MIB, Growth
from producer import Producer, Stream, deliver, push_service_pb2, session_service_pb2
from server_case import ServerTest

TOPICS = 150_000


class G20NewTopicsTest(ServerTest):
    def test_g20_messages_to_ever_new_topics(self):
        directory = Path(self.enter(tempfile.TemporaryDirectory()))
        producers = producers_file.write(
            directory / "producers",
            *(producers_file.entry(name, **producers_file.EVERYTHING) for name in ("hostile", "honest")))
        rules = directory / "herald.yaml"
        rules.write_text("topic_rules:\n- {pattern: '**', history_size: 10}\n")
        herald = self.start(producers, f"--config={rules}", "--max_memory_bytes=256MiB", threads=1)
        honest = self.enter(Producer(herald, producers_file.token_of("honest")))
        position = honest.deliver(topic="mine").positions[0]
        hostile = self.enter(Producer(herald, producers_file.token_of("hostile")))
        with Growth(herald) as growth:
            stream = self.enter(Stream(hostile.push.Push, hostile.metadata))
            results = 0
            for first in range(0, TOPICS, 500):
                request = push_service_pb2.PushRequest()
                for number in range(first, first + 500):
                    request.commands.add(seq=number + 1, deliver=deliver("x", topic=f"{number}/{'n' * 200}"))
                stream.write(request)
                while results < first - 2000:  # a few requests ahead
                    results += len(stream.take().results)
            while results < TOPICS:
                results += len(stream.take().results)
        self.assertLess(growth.bytes, 96 * MIB)
        self.assertGreater(herald.metric("herald_topics_forgotten_total"), TOPICS / 2)
        # Another producer's topic is where it was.
        request = session_service_pb2.GetHistoryRequest(topic="mine")
        history = honest.call(honest.sessions.GetHistory, request)
        self.assertEqual([entry.position.token for entry in history.entries], [position.token])


if __name__ == "__main__":
    unittest.main()
