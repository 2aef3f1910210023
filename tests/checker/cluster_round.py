"""One round on a cluster: clients and producers at all replicas under steady load, one fault, and what became of every message.

Clients and producers move: they lose their connections now and then, and go on at whatever replica takes them.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field

from classify import classify, personal_topic
from clients import until
from loss import classify_loss
from network import Network
from producers import Outbox, Truth
from receipts import ACKED, WRITTEN, check_receipts
from scenario import HEAL_SECONDS, Outcome, Participant
from steady import SteadyOutbox

RULES = """\
topic_rules:
  - {pattern: "log/**", history_size: 5000, history_ttl: 10m, client_subscribe: anyone}
  - {pattern: "$user/**", history_size: 5000, history_ttl: 10m}
  - {pattern: "$all", history_size: 5000, history_ttl: 10m}
"""
FLAGS = ("--ping_interval=1s", "--pong_timeout=3s", "--inbound_messages_per_second=1000", "--drain_seconds=2",
         "--max_outbound_bytes_per_session=8MiB")
RECOVERY_SECONDS = 10  # after healing: what the cluster has, on a machine of its own
SETTLE_SECONDS = 40  # how long is waited to see how long it takes
MARKER_SECONDS = 0.25
WARM_SECONDS = 1.5
LINGER_SECONDS = 5.0  # ping_interval, pong_timeout and a little
NOWHERE = "127.0.0.1:9"  # refuses


@dataclass
class Load:
    rate: float = 25.0  # commands a second and producer
    producers: int = 3
    users: int = 3  # with two clients each
    topics: int = 6
    stay: float = 4.0  # seconds on one replica, about
    reports: bool = True
    faults: bool = True  # what Participant asks for


@dataclass
class ClusterOutcome(Outcome):
    fault: str = ""
    notes: list = field(default_factory=list)
    recovery: float = 0.0  # seconds from healing until everybody had what was sent after it; 0: not looked at
    stored: int = 0


class Mover(Participant):
    """A client whose connection is lost now and then, in one way or another."""

    def begin(self, topics):
        super().begin(topics)
        self.view.wanted.add("$all")

    async def trouble(self, until_):
        r, network, stay = self.round.random, self.network, self.round.load.stay
        while time.monotonic() < until_():
            await asyncio.sleep(r.uniform(0.5, 1.5) * stay)
            if time.monotonic() < until_():
                self.round.outcome.faults += 1
                await r.choice((self.cut, self.cut, self.fin, self.orphan, self.stall, self.leave))(r, network)


class ClusterRound:
    def __init__(self, name, number, seed, clients, cluster, numbers, load, fault, seconds, recovery=RECOVERY_SECONDS):
        """`recovery`: seconds after healing within which all has to be as before."""
        self._recovery = recovery
        self.number, self.clients, self.cluster, self.load = number, clients, cluster, load
        self.settings = load
        self.random = random.Random(f"{seed}/{name}/{number}")
        self.name = f"{name}-{number}"
        self.fault, self.seconds = fault, seconds
        self.outcome = ClusterOutcome(number, f"{seed}", fault=name)
        self.truth = self.outcome.truth = Truth(numbers)
        self.users = {}
        self.topics = [f"log/{self.name}/{index}" for index in range(load.topics)]
        self.people = [f"{self.name}-u{index}" for index in range(load.users)]
        self.participants = [Mover(self, f"{user}.{tab}", user, self.topics) for user in self.people for tab in "12"]
        self.producers = []
        self.done = None  # what the fault says of itself
        self.stored = set()

    def pick_client(self):
        self.outcome.connections += 1
        return self.pick().client_addr or NOWHERE

    def pick_producer(self):
        return self.pick().grpc_addr or NOWHERE

    def pick(self):
        return self.random.choice(self.cluster.up or self.cluster.replicas)

    def expect(self, good, text):
        if not good:
            self.outcome.problems.append(text)

    async def play(self):
        try:
            await self.begin()
            await self.trouble()
            await self.end()
        finally:
            for participant in self.participants:
                participant.network.close()
            for _, network in self.producers:
                network.close()
        return self.outcome

    async def begin(self):
        load = self.load
        for participant in self.participants:
            await participant.open(everything=True)
        self.expect(await until(self.steady, HEAL_SECONDS), "the clients did not all get on")
        for index in range(load.producers):
            network = await Network(self.pick_producer).open()
            outbox = SteadyOutbox(self.truth, f"{self.name}-p{index}", network, self.random.getrandbits(64), self.plan, load.rate, load.stay)
            self.producers.append((outbox, network))
        network = await Network(self.pick_producer).open()
        self.marker = SteadyOutbox(self.truth, f"{self.name}-marker", network, self.random.getrandbits(64), lambda _: None, 1, 60)
        self.producers.append((self.marker, network))

    def steady(self):
        return all(one.view.steady for one in self.participants)

    def plan(self, outbox):
        r = self.random
        report = r.choices(("", WRITTEN, ACKED), (8, 1, 1))[0] if self.load.reports else ""
        more = {"size": r.choice((5, 40, 400)), "report": report}
        kind = r.random()
        if kind < 0.05:
            outbox.add(everyone=True, **more)
        elif kind < 0.3:
            outbox.add(users=r.sample(self.people, r.choice((1, 1, 2))), **more)
        else:
            outbox.add(topics=r.sample(self.topics, r.choice((1, 1, 1, 2))), **more)

    async def trouble(self):
        """The fault under load, and how long it takes until everything is as before."""
        quiet = float("inf")
        running = [asyncio.create_task(outbox.run_steadily()) for outbox, _ in self.producers]
        moving = [asyncio.create_task(one.trouble(lambda: quiet)) for one in self.participants]
        try:
            await asyncio.sleep(WARM_SECONDS)
            done = self.done = await asyncio.to_thread(self.fault, self.cluster, self.random, self.seconds)
            quiet = done.healed  # nobody loses a connection any more: what is measured is how the cluster recovers
            self.outcome.notes, self.outcome.problems = done.notes, self.outcome.problems + done.problems
            for participant in self.participants:
                participant.network.flow()
            await self.recover(done.healed)
        finally:
            for task in moving:
                task.cancel()
            for outbox, _ in self.producers:
                outbox.stop()
            finished, stuck = await asyncio.wait(running, timeout=SETTLE_SECONDS)
            for task in stuck:
                task.cancel()
            left = {outbox._id: outbox.waiting for outbox, _ in self.producers if outbox.waiting}
            self.expect(not stuck, f"commands without a result {SETTLE_SECONDS} s after the last: {left}")
            for task in finished:
                self.expect(not task.exception(), f"a producer failed: {task.exception()!r}")

    async def recover(self, healed):
        """Markers to everybody, again and again, until everybody has all of one lot and nobody waits for results."""
        lots = []
        ends = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < ends:
            lots.append(self.mark())
            came = await until(lambda: self.recovered(lots), MARKER_SECONDS)
            if came:
                self.outcome.recovery = time.monotonic() - healed
                self.expect(self.outcome.recovery <= self._recovery, f"recovered only {self.outcome.recovery:.1f} s after healing")
                return
        self.expect(False, f"not recovered {SETTLE_SECONDS} s after healing: {self.missing(lots[-2])}")

    def mark(self):
        """One message to each topic, to each user and to all: number → topic."""
        return ({self.marker.add(everyone=True, size=1): "$all"} |
                {self.marker.add(topics=[topic], size=1): topic for topic in self.topics} |
                {self.marker.add(users=[user], size=1): personal_topic(user) for user in self.people})

    def recovered(self, lots):
        return self.steady() and any(all(self.has(one, lot) for one in self.participants) for lot in lots) and all(
            outbox.waiting < 50 for outbox, _ in self.producers)

    @staticmethod
    def has(participant, lot):
        view = participant.view
        return all(n in view.numbers for n, topic in lot.items() if topic in view.wanted)

    def missing(self, lot):
        lacking = {one.view.name: (one.view.state, sorted(one.view.wanted - one.view.on), [topic for n, topic in lot.items()
                   if topic in one.view.wanted and n not in one.view.numbers]) for one in self.participants}
        waiting = {outbox._id: outbox.waiting for outbox, _ in self.producers}
        return f"{ {name: what for name, what in lacking.items() if what[1] or what[2] or what[0] != 'open'} } waiting {waiting}"

    async def end(self):
        """The last message of each topic, to everybody; then the accounts."""
        last = Outbox(self.truth, f"{self.name}-last", self.producers[-1][1], self.random.getrandbits(64))
        last.add(everyone=True)
        for topic in self.topics:
            last.add(topics=[topic])
        for user in self.people:
            last.add(users=[user])
        wanted = {n: message.topics[0] for n, message in self.truth.messages.items() if message.producer == f"{self.name}-last"}
        try:
            await asyncio.wait_for(last.run(), 20)
        except (AssertionError, asyncio.TimeoutError) as error:
            self.expect(False, f"the last messages were not taken: {error!r}")
        came = await until(lambda: all(self.has(one, wanted) for one in self.participants), 10)
        self.expect(came, f"the last messages did not come: {'' if came else self.missing(wanted)}")
        await asyncio.sleep(0.2)
        for participant in self.participants:
            participant.network.drop_orphans()
            await self.clients.sync(participant.view.name)
        if self.cluster.nats:
            self.stored = await asyncio.to_thread(self.cluster.stored)
            self.outcome.stored = len(self.stored)
        self.judge()
        for participant in self.participants:
            self.clients.tell(participant.view.name, "close")
            await self.clients.sync(participant.view.name)
        for name in self.users:
            self.outcome.ends.update(event[3] for event in self.clients.logs[name] if event[1] == "state" and event[2] in ("waiting", "closed"))
            self.outcome.logs[name] = self.clients.logs[name]
            self.clients.forget(name)

    def judge(self):
        outcome, truth = self.outcome, self.truth
        logs = {name: self.clients.logs[name] for name in self.users}
        for events in logs.values():
            outcome.problems += [f"an error event of the SDK: {event}" for event in events if event[1] == "error"]
        offsets = dict(truth.positions)
        for events in logs.values():
            offsets.update({event[6]: event[3] for event in events if event[1] == "start" and event[6]})
        if self.done and self.done.store_lost:
            tokens = {name: [event[:6] if event[1] == "start" else event for event in events] for name, events in logs.items()}
            outcome.report = classify_loss(truth.messages, tokens, truth.places, self.stored, self.done.store_lost)
        else:
            plain = {name: [(*event[:5], offsets.get(event[5], 0)) if event[1] == "start" else event for event in events]
                     for name, events in logs.items()}
            outcome.report = classify(truth.messages, plain, self.users, lambda topic, reason: True)
            if self.cluster.nats:
                gone = [f"{place.n} of {place.topic} at {place.offset}" for place in truth.places if (place.n, place.offset) not in self.stored]
                self.expect(not gone, f"{len(gone)} acknowledged messages are not in the store: {gone[:5]}")
        outcome.problems += map(str, check_receipts(truth.messages, truth.receipts, logs, self.users, truth.awaited, LINGER_SECONDS))
        outcome.problems += truth.problems
        outcome.problems += self.cluster.check()
        outcome.messages, outcome.repeats, outcome.streams = len(truth.messages), truth.repeats, truth.streams
        outcome.receipts, outcome.acked = len(truth.receipts), sum(receipt.acked for receipt in truth.receipts)
