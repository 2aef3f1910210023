"""All sessions lose their connections at once and come back together, each with ten messages to catch up on.

HERALD_STORM=19000 makes it as large as a process may have open files here; the suite runs a smaller one.
"""

import os
import time
import unittest

from fleet import Fleet, Spec
from harness import Herald, eventually
from producer import Producer, PushStream, deliver
from herald_client import as_json
from server_case import ServerTest

SESSIONS = int(os.environ.get("HERALD_STORM", 2000))
MISSED = 10  # half of them in a room, half to the user
ROOMS = 20


def position(hello, topic):
    return next(state for state in hello["topics"] if state["topic"] == topic)


class ResumeStormTest(ServerTest):
    def test_all_are_recovered(self):
        herald = self.enter(Herald("--ping_interval=10m", threads=2))
        producer = self.enter(Producer(herald))
        names = [f"s{number}" for number in range(SESSIONS)]
        queries = {name: f"?user={name}&topics=room/{number % ROOMS}" for number, name in enumerate(names)}
        with Fleet(herald) as fleet:
            hellos = fleet.open([Spec(name, queries[name]) for name in names], timeout=300)
        # Its process has ended, and with it all connections.
        eventually(lambda: herald.metric("herald_sessions") == 0, "all are gone", 60)
        with PushStream(producer) as stream:
            for n in range(MISSED // 2):
                commands = [{"deliver": deliver(message=as_json({"n": n}), topic=f"room/{room}")} for room in range(ROOMS)]
                commands += [{"deliver": deliver(message=as_json({"n": 100 + n}), user_id=name)} for name in names]
                for begin in range(0, len(commands), 1000):
                    stream.send(*commands[begin:begin + 1000])
            results = [stream.take() for _ in range(MISSED // 2 * (ROOMS + SESSIONS))]
            self.assertEqual({result.code for result in results}, {0})
        specs = []
        for number, name in enumerate(names):
            topics = ("$user/" + name, f"room/{number % ROOMS}")
            specs.append(Spec(name, f"?user={name}", resume={topic: position(hellos[name], topic)["position"] for topic in topics}))
        with Fleet(herald) as fleet:
            started = time.monotonic()
            hellos = fleet.open(specs, timeout=300)
            fleet.wait_messages(MISSED * SESSIONS)
            seconds = time.monotonic() - started
            received = fleet.collect()
        for number, name in enumerate(names):
            room, own = f"room/{number % ROOMS}", "$user/" + name
            self.assertEqual([position(hellos[name], topic)["recovered"] for topic in (room, own)], [True, True], name)
            self.assertEqual(list(received[name].numbers[room]), list(range(MISSED // 2)), name)
            self.assertEqual(list(received[name].numbers[own]), list(range(100, 100 + MISSED // 2)), name)
        print(f"{SESSIONS} sessions came back with {MISSED} messages each, all recovered, in {seconds:.1f} s")


if __name__ == "__main__":
    unittest.main()
