"""One round: clients and producers on a server, the faults between them, the healing at the end, and what became of every message.

The seed decides who does what, and when it is tried; how the threads and sockets of the processes meet is different each time.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from classify import Report, classify, personal_topic
from clients import View, until
from network import Network
from producers import Outbox, Truth
from receipts import ACKED, WRITTEN, check_receipts

RULES = """\
topic_rules:
  - {pattern: "log/**", history_size: 2000, history_ttl: 1m, client_subscribe: anyone}
  - {pattern: "short/**", history_size: 5, history_ttl: 1m, client_subscribe: anyone}
  - {pattern: "drop/**", history_size: 2000, history_ttl: 10s, client_subscribe: anyone, overflow: drop_oldest}
  - {pattern: "coll/**", history_size: 2000, history_ttl: 1m, client_subscribe: anyone}
  - {pattern: "storm/**", history_size: 5000, history_ttl: 10s, client_subscribe: anyone}
  - {pattern: "live/**", client_subscribe: anyone}
  - {pattern: "tick/**", client_subscribe: anyone, overflow: drop_oldest}
  - {pattern: "$user/**", history_size: 2000, history_ttl: 1m}
"""
FLAGS = ("--max_outbound_bytes_per_session=256KiB", "--inbound_messages_per_second=1000", "--ping_interval=1s", "--pong_timeout=3s")
KEYS = ("EUR", "USD", "JPY")
HEAVY_BYTES = 56_000  # 90 of them are more than the kernel takes for a socket that nobody reads, and more than a session's queue
HEAVY_MESSAGES = 90
STORM_MESSAGES = 1500
VICTIM_RECEIVE_BUFFER = 65536  # with much less, TCP itself takes seconds to get going again
HEAL_SECONDS = 30
MARKER_SECONDS = 3
MARKER_TRIES = 5


def needless(topic, reason):
    """A gap that nothing here can be the cause of: the log has not been lost, and only `short/…` may forget so soon."""
    return reason in ("epoch", "rollback", "refused") or (reason == "expired" and not topic.startswith("short/"))


@dataclass
class Settings:
    seconds: float = 1.2  # of trouble
    producers: int = 3
    commands: int = 90  # a producer
    faults: bool = True
    receipt_timeout: float = 1.0


@dataclass
class Outcome:
    number: int
    seed: str
    report: Report = field(default_factory=Report)
    problems: list = field(default_factory=list)  # findings on receipts, and what the round itself could not do
    messages: int = 0
    repeats: int = 0  # commands that were answered as duplicates
    dropped_by_sdk: int = 0  # messages that came twice over the wire
    receipts: int = 0
    acked: int = 0
    streams: int = 0
    connections: int = 0
    faults: int = 0
    ends: Counter = field(default_factory=Counter)  # of connections, by close code
    logs: dict = field(default_factory=dict)
    truth: Truth = None

    @property
    def good(self):
        return not self.report.findings and not self.problems


class Participant:
    """One place for a client: the network before it, its user, and the lives (instances of the SDK) that it has had."""

    def __init__(self, round_, name, user, topics, receive_buffer=0):
        self.round, self.name, self.user, self.topics = round_, name, user, topics
        self.network = Network(round_.pick_client, receive_buffer)
        self.view = None
        self.lives = 0

    async def open(self, everything):
        await self.network.open()
        self.begin(self.topics if everything else self.round.random.sample(self.topics, self.round.random.randint(1, len(self.topics))))

    def begin(self, topics):
        self.lives += 1
        random_ = self.round.random
        name = f"{self.name}.{self.lives}"
        self.view = View(self.round.clients, name, [personal_topic(self.user)])
        self.round.users[name] = self.user
        self.round.clients.tell(name, "new", {
            "url": f"ws://{self.network.addr}/ws?user={self.user}", "useWs": random_.random() < 0.5,
            "options": {"backoff": {"baseMs": 20, "capMs": 150}, "timeoutMs": 1500, "maxQueued": 1000},
            "staleness": 0.5 if self.round.settings.faults else 0, "seed": random_.getrandbits(31)})
        for topic in topics:
            self.view.sub(topic)

    async def trouble(self, until_):
        """One thing after the other."""
        r, network = self.round.random, self.network
        things = {self.churn: 8, self.cut: 3, self.fin: 1, self.stall: 2, self.crawl: 1, self.orphan: 2, self.leave: 1, self.replace: 1}
        while time.monotonic() < until_:
            await asyncio.sleep(r.uniform(0.01, 0.15))
            thing = r.choices(list(things), list(things.values()))[0]
            self.round.outcome.faults += thing != self.churn
            await thing(r, network)

    async def churn(self, r, network):
        topic = r.choice(self.topics)
        if topic in self.view.wanted:
            self.view.unsub(topic)
            if r.random() < 0.5:
                self.view.sub(topic)
        else:
            self.view.sub(topic)

    async def cut(self, r, network):
        network.cut()

    async def fin(self, r, network):
        network.half_close(r.randrange(2))

    async def stall(self, r, network):
        network.stall()
        await asyncio.sleep(r.uniform(0.02, 0.3))
        if r.random() < 0.3:
            network.cut()
        network.flow()

    async def crawl(self, r, network):
        await network.crawl(r.uniform(0.1, 0.4))

    async def orphan(self, r, network):
        network.orphan()

    async def leave(self, r, network):
        self.round.clients.tell(self.view.name, "leave")
        await asyncio.sleep(r.uniform(0, 0.1))
        self.round.clients.tell(self.view.name, "connect")

    async def replace(self, r, network):
        wanted = [topic for topic in self.view.wanted if not topic.startswith("$")]
        self.round.clients.tell(self.view.name, "close")
        self.begin(wanted)


class Round:
    def __init__(self, number, seed, clients, heralds, numbers, settings):
        self.number, self.settings, self.clients = number, settings, clients
        self.random = random.Random(f"{seed}/{number}")
        self.outcome = Outcome(number, f"{seed}")
        self.truth = self.outcome.truth = Truth(numbers)
        self.users = {}
        self._heralds = heralds
        self.heavy = settings.faults and number % 3 == 0
        self.stormy = settings.faults and number % 3 == 1

    def pick_client(self):
        self.outcome.connections += 1
        return self.random.choice(self._heralds).client_addr

    async def play(self):
        name = f"r{self.number}"
        r = self.random
        logs = [f"log/{name}/a", f"log/{name}/b"]
        short, drop, coll, live, tick = (f"{kind}/{name}" for kind in ("short", "drop", "coll", "live", "tick"))
        everything = [*logs, short, coll, live, tick]
        users = [f"{name}-{who}" for who in ("ann", "bob", "eve")]
        participants = [Participant(self, f"{name}.{user[-3:]}{tab}", user, everything) for user in users for tab in "12"]
        if self.heavy:
            # One loses old messages, the other its connection.
            participants += [Participant(self, f"{name}.vic", f"{name}-vic", [drop, coll, tick], VICTIM_RECEIVE_BUFFER),
                             Participant(self, f"{name}.big", f"{name}-big", [drop, *everything], VICTIM_RECEIVE_BUFFER)]
        if self.stormy:
            participants += [Participant(self, f"{name}.sto{tab}", f"{name}-sto", [f"storm/{name}"]) for tab in "12"]
        calm = participants[6:]
        producers = [await self.producer(f"{name}-p{index}") for index in range(self.settings.producers)]
        for outbox, _ in producers:
            self.plan(outbox, everything, users)
        special = await self.producer(f"{name}-special")
        if self.heavy:
            self.plan_heavy(special[0], drop, coll, tick)
        if self.stormy:
            for _ in range(STORM_MESSAGES):
                special[0].add(topics=[f"storm/{name}"], size=1)
        marker = await self.producer(f"{name}-marker")
        for participant in participants:
            await participant.open(everything=participant in calm)
        self.expect(await until(lambda: all(one.view.steady for one in participants), HEAL_SECONDS), "the clients did not all get on")

        ends = time.monotonic() + self.settings.seconds
        tasks = [outbox.run(self.kills()) for outbox, _ in producers]
        if self.heavy:
            tasks.append(self.overwhelm(calm, special[0]))
        if self.stormy:
            tasks.append(self.storm(calm, special[0]))
        if self.settings.faults:
            tasks += [one.trouble(ends) for one in participants if one not in calm]
        for problem in await asyncio.gather(*tasks, return_exceptions=True):
            self.expect(problem is None, f"{type(problem).__name__}: {problem}")

        await self.heal(participants, marker[0])
        await asyncio.sleep(0.05)
        for participant in participants:
            await self.clients.sync(participant.view.name)
        self.judge(participants)
        for participant in participants:
            self.clients.tell(participant.view.name, "close")
            await self.clients.sync(participant.view.name)
            participant.network.close()
        for _, network in [*producers, marker, special]:
            network.close()
        for one in self.users:
            stats = [event for event in self.clients.logs[one] if event[1] == "stats"]
            self.outcome.dropped_by_sdk += sum(event[2] - event[3] for event in stats)
            self.outcome.ends.update(event[3] for event in self.clients.logs[one] if event[1] == "state" and event[2] in ("waiting", "closed"))
            self.outcome.logs[one] = self.clients.logs[one]
            self.clients.forget(one)
        return self.outcome

    def expect(self, good, text):
        if not good:
            self.outcome.problems.append(text)

    async def producer(self, producer_id):
        herald = self.random.choice(self._heralds)  # the same for all its streams: a retry elsewhere is another command
        network = await Network(lambda: herald.grpc_addr).open()
        return Outbox(self.truth, producer_id, network, self.random.getrandbits(64)), network

    def plan(self, outbox, topics, users):
        r = self.random
        pause = self.settings.seconds / self.settings.commands
        for _ in range(self.settings.commands):
            report = r.choices(("", WRITTEN, ACKED), (6, 2, 2))[0]
            more = {"size": r.choice((5, 40, 400)), "pause": r.uniform(0, 2 * pause), "timeout": self.settings.receipt_timeout}
            if r.random() < 0.3:
                outbox.add(users=r.sample(users, r.choice((1, 1, 1, 2))), report=report, **more)
                continue
            chosen = r.sample(topics, r.choice((1, 1, 1, 1, 2)))
            if any(topic.startswith(("live", "tick")) for topic in chosen) and report == ACKED:
                report = WRITTEN  # there is no history to acknowledge in
            key = r.choice(KEYS) if all(topic.startswith("coll") for topic in chosen) else ""
            outbox.add(topics=chosen, key=key, report=report, **more)

    def plan_heavy(self, outbox, drop, coll, tick):
        for index in range(HEAVY_MESSAGES):
            outbox.add(topics=[drop], size=HEAVY_BYTES, report=WRITTEN if index % 5 == 0 else "", timeout=self.settings.receipt_timeout)
        for index in range(60):
            # More than the queue holds, so that some go; and prices that replace each other.
            outbox.add(topics=[drop if index % 3 else tick], size=9000, pause=0.002)
            outbox.add(topics=[coll], key=self.random.choice(KEYS), size=100, report=self.random.choice(("", WRITTEN)),
                       timeout=self.settings.receipt_timeout)

    def kills(self):
        if not self.settings.faults:
            return []
        return [self.random.randint(1, self.settings.commands // 2) for _ in range(self.random.randint(1, 4))]

    async def overwhelm(self, victims, outbox):
        """Slow readers: they stop before the flood and go on after it."""
        for victim in victims:
            victim.network.stall()
        await outbox.run()
        await asyncio.sleep(self.random.uniform(0, 0.1))
        for victim in victims:
            self.outcome.faults += 1
            if self.random.random() < 0.2:
                victim.network.cut()
            victim.network.flow()

    async def storm(self, stormers, outbox):
        """Subscriptions that begin amid a flood of their topic: each has to begin at one message and miss none after it."""
        flood = asyncio.create_task(outbox.run())
        while not flood.done():
            for one in stormers:
                for topic in one.topics:
                    one.view.unsub(topic)
                    one.view.sub(topic)
            await asyncio.sleep(self.random.uniform(0.002, 0.006))
        await flood

    async def heal(self, participants, outbox):
        """No more faults; then the last message of each topic, until it is with everybody who is on it."""
        for participant in participants:
            participant.network.flow()
        topics = sorted({topic for one in participants for topic in one.view.wanted if not topic.startswith("$")})
        users = sorted({one.user for one in participants})
        lacking = participants
        for _ in range(MARKER_TRIES):
            if not await until(lambda: all(one.view.steady for one in participants), HEAL_SECONDS):
                stuck = {one.view.name: (one.view.state, sorted(one.view.wanted - one.view.on)) for one in participants if not one.view.steady}
                return self.expect(False, f"not connected again after {HEAL_SECONDS} s: {stuck}")
            markers = {outbox.add(topics=[topic]): topic for topic in topics} | {outbox.add(users=[user]): personal_topic(user) for user in users}
            await outbox.run()
            wanted = {one: {n for n, topic in markers.items() if topic in one.view.wanted} for one in participants}
            await until(lambda: all(numbers <= one.view.numbers for one, numbers in wanted.items()), MARKER_SECONDS)
            lacking = {one.view.name: [markers[n] for n in numbers - one.view.numbers]
                       for one, numbers in wanted.items() if not numbers <= one.view.numbers}
            if not lacking:
                return
        self.expect(False, f"the last messages did not come: {lacking}")

    def judge(self, participants):
        for participant in participants:
            participant.network.drop_orphans()
        logs = {name: self.readable(self.clients.logs[name]) for name in self.users}
        self.outcome.report = classify(self.truth.messages, logs, self.users, needless)
        self.outcome.problems += map(str, check_receipts(self.truth.messages, self.truth.receipts, logs, self.users, self.truth.awaited))
        self.outcome.problems += self.truth.problems
        self.outcome.messages = len(self.truth.messages)
        self.outcome.repeats, self.outcome.streams = self.truth.repeats, self.truth.streams
        self.outcome.receipts = len(self.truth.receipts)
        self.outcome.acked = sum(receipt.acked for receipt in self.truth.receipts)

    def readable(self, events):
        """With offsets in the place of opaque positions."""
        for event in events:
            if event[1] == "start" and event[6]:
                self.truth.positions[event[6]] = event[3]
        made = []
        for event in events:
            if event[1] == "start":
                moment, kind, topic, offset, recovered, since, _, _ = event
                if since and recovered and since not in self.truth.positions:
                    self.expect(False, f"a position that nobody was given: {event}")
                event = (moment, kind, topic, offset, recovered, self.truth.positions.get(since, 0))
            elif event[1] == "error":
                self.expect(False, f"an error event of the SDK: {event}")
            made.append(event)
        return made
