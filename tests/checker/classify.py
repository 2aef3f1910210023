"""Says of every message what became of it at every client: a pure function of what producers sent and what clients logged.

A client's log is a list of events in the order in which they happened there, each `(time, kind, …)`:

    ("state", name)                 connecting, open, waiting, closed
    ("sub", topic), ("unsub", topic)                         the application asks
    ("start", topic, offset, recovered, since)               the server's answer: where the topic goes on. `since` is the offset asked for
    ("msg", topic, offset, n, size)                          a message reaches the application; offset 0: the topic keeps no history
    ("gap", topic, reason)                                   the application is told that something was lost
    ("ack", {topic: offset}), ("unsubok", topic), ("close",)

Times are seconds of one clock for clients and producers. They only matter for topics without history.

Classes. For topics with history a client owes an account of every accepted message between where its subscription began and the last
message that it got in it (or the end of the log, if it is still subscribed):

    delivered          once, in the order of the offsets
    signalled loss     not delivered, and a gap event came between the messages around it
    collapsed          not delivered, and a later one with its collapse key was
    silent loss        not delivered, and nothing said so
    duplicate          delivered again
    reordered          delivered after a later one of its topic, or given a position before an earlier command of its producer
    phantom            nobody sent it, or not like this, or not to this client

For topics without history the account is per connection: from the first message sent after the subscription began to the last
delivered of the same producer (or the end). What was missed while there was no connection is `away`.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field

DELIVERED, SIGNALLED, COLLAPSED, AWAY = "delivered", "signalled loss", "collapsed", "away"
SILENT, DUPLICATE, REORDERED, PHANTOM = "silent loss", "duplicate", "reordered", "phantom"
FALSE_RECOVERED = "false recovered"  # see loss.py
BAD = (SILENT, DUPLICATE, REORDERED, PHANTOM, FALSE_RECOVERED)
# The log held what was missing, so it need not have been given up: also a fault.
NEEDLESS = "needless loss"


@dataclass
class Message:
    n: int  # unique
    producer: str
    seq: int  # per producer, in the order in which it wants them to take effect
    topics: tuple
    key: str = ""  # collapse key
    size: int = 0
    sent: float = 0.0  # before it was first written
    accepted: bool = False
    retried: bool = False  # the broker refused or lost it at first; commands behind it may be before it then
    offsets: dict = field(default_factory=dict)  # topic → offset, for topics with history


@dataclass
class Finding:
    kind: str
    client: str
    topic: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.client} {self.topic}: {self.text}"


@dataclass
class Report:
    counts: Counter = field(default_factory=Counter)  # class → messages
    reasons: Counter = field(default_factory=Counter)  # of gap events
    findings: list = field(default_factory=list)  # everything that is in BAD, or needless

    def count(self, kind, client="", topic="", text="", times=1):
        self.counts[kind] += times
        if kind in BAD or kind == NEEDLESS:
            self.findings.append(Finding(kind, client, topic, text))


def personal_topic(user):
    return f"$user/{user}"


def classify(messages, logs, users, needless=lambda topic, reason: False):
    """`messages`: n → Message. `logs`: client → events. `users`: client → user. `needless(topic, reason)`: a gap that must not be."""
    report = Report()
    with_history, topics = {}, defaultdict(list)
    for message in messages.values():
        for topic in message.topics if message.accepted else ():
            topics[topic].append(message)
            if topic in message.offsets:
                with_history.setdefault(topic, {})[message.offsets[topic]] = message
    _check_positions(report, topics, with_history)
    orders = defaultdict(list)  # topic without history → each client's numbers in order
    for client, events in logs.items():
        reader = _Client(report, client, users[client], messages, topics, with_history, needless)
        for event in events:
            reader.read(*event)
        reader.end()
        for topic, followed in reader.followed.items():
            if isinstance(followed, _Live):
                orders[topic].append([n for segment in followed.segments for _, n, _ in segment.got])
    for topic, numbers in orders.items():
        if circle := _find_circle(numbers):
            report.count(REORDERED, "clients", topic, f"see {circle} in different orders")
    return report


def _check_positions(report, topics, with_history):
    """The commands of one producer take effect in order."""
    for topic in with_history:
        last = {}
        for message in sorted(topics[topic], key=lambda one: one.seq):
            if message.retried:
                continue
            offset = message.offsets.get(topic)
            if offset is None:
                report.count(PHANTOM, message.producer, topic, f"{message.n} was accepted and has no position")
            elif offset <= last.get(message.producer, 0):
                report.count(REORDERED, message.producer, topic, f"seq {message.seq} is at {offset}, an earlier seq behind it")
            else:
                last[message.producer] = offset


class _Client:
    """One client's log."""

    def __init__(self, report, name, user, messages, topics, with_history, needless):
        self.report, self.name, self.user, self.messages = report, name, user, messages
        self.topics, self.with_history, self.needless = topics, with_history, needless
        self.followed = {}
        self.wanted = {personal_topic(user), "$all"}
        self.closed = False

    def follow(self, topic):
        if topic not in self.followed:
            places = self.with_history.get(topic)
            self.followed[topic] = (_Logged(self, topic, places) if places is not None else _Live(self, topic))
        return self.followed[topic]

    def count(self, kind, topic, text="", times=1):
        self.report.count(kind, self.name, topic, text, times)

    def read(self, time, kind, *what):
        if kind == "msg":
            self.message(time, *what)
        elif kind == "start":
            self.follow(what[0]).start(time, *what[1:])
        elif kind == "sub":
            self.wanted.add(what[0])
            self.follow(what[0]).asked(time)
        elif kind == "unsub":
            self.wanted.discard(what[0])
            self.follow(what[0]).leave(time)
        elif kind == "gap":
            topic, reason = what
            self.report.reasons[reason] += 1
            if self.needless(topic, reason):
                self.count(NEEDLESS, topic, f"a gap, {reason}")
            self.follow(topic).gap()
        elif kind == "state" and what[0] != "open":
            for followed in self.followed.values():
                followed.down()
        elif kind == "close":
            self.closed = True

    def message(self, time, topic, offset, n, size):
        message = self.messages.get(n)
        bad = ("nobody sent it" if message is None else
               f"it was sent to {message.topics}" if topic not in message.topics else
               "it was refused" if not message.accepted else
               f"its offset is {message.offsets.get(topic, 0)}, not {offset}" if message.offsets.get(topic, 0) != offset else
               f"it has {message.size} bytes, not {size}" if message.size != size else
               "not subscribed" if topic not in self.wanted else None)
        followed = self.follow(topic)
        if n in followed.seen:
            return self.count(DUPLICATE, topic, f"{n} at {offset} again")
        if bad:
            return self.count(PHANTOM, topic, f"{n} at {offset}: {bad}")
        followed.seen.add(n)
        followed.deliver(time, offset, message)

    def end(self):
        for followed in self.followed.values():
            followed.end(still_there=not self.closed)


class _Logged:
    """A topic with history at one client."""

    def __init__(self, client, topic, places):
        self.client, self.topic, self.places = client, topic, places
        self.offsets = sorted(places)
        self.seen = set()
        self.following = False
        self.last = 0  # everything up to it is accounted for
        self.highest = 0  # delivered
        self.told = False  # of a loss, since the last message
        self.holes = {}  # offset → (signalled, the last offset that was delivered in its subscription)
        self.mine = []  # holes of this subscription
        self.by_key = {}  # the highest offset delivered of a collapse key

    def asked(self, time):
        pass

    def start(self, time, offset, recovered, since):
        if self.following:
            return  # after a reconnect: goes on where it was, or there is a gap event
        self.following, self.told = True, False
        self.last = since if recovered else offset

    def gap(self):
        self.told = True

    def down(self):
        pass

    def leave(self, time):
        self.following = False
        self.close_holes()

    def deliver(self, time, offset, message):
        if offset <= self.highest:
            self.holes.pop(offset, None)
            return self.client.count(REORDERED, self.topic, f"{message.n} at {offset} after {self.highest}")
        if self.following:
            self.pass_over(offset)
            self.last = offset
        self.highest = offset
        self.told = False
        if message.key:
            self.by_key[message.key] = offset
        self.client.count(DELIVERED, self.topic)

    def pass_over(self, until):
        """What lies between the last message and `until` has not come."""
        for offset in self.offsets[bisect_right(self.offsets, self.last):bisect_left(self.offsets, until)]:
            if self.places[offset].n not in self.seen:
                self.holes[offset] = (self.told, None)
                self.mine.append(offset)

    def close_holes(self):
        for offset in self.mine:
            if offset in self.holes:
                self.holes[offset] = (self.holes[offset][0], self.last)
        self.mine = []

    def end(self, still_there):
        if self.following and still_there:
            self.pass_over(float("inf"))
        elif self.following:
            self.close_holes()
        for offset, (signalled, ended_at) in self.holes.items():
            message = self.places[offset]
            if signalled:
                self.client.count(SIGNALLED, self.topic)
            elif message.key and self.collapsed(offset, message.key, ended_at):
                self.client.count(COLLAPSED, self.topic)
            else:
                self.client.count(SILENT, self.topic, f"{message.n} at {offset} never came")

    def collapsed(self, offset, key, ended_at):
        if self.by_key.get(key, 0) > offset:
            return True
        # The one that took its place may have been on its way when the client left.
        return ended_at is not None and any(self.places[other].key == key for other in self.offsets if other > ended_at)


@dataclass
class _Segment:
    """One connection's time on a topic."""

    began: float
    gaps: int  # there had been
    open: bool = True
    got: list = field(default_factory=list)  # (gap events before it, n, time)


class _Live:
    """A topic without history at one client."""

    def __init__(self, client, topic):
        self.client, self.topic = client, topic
        self.seen = set()
        self.segments = []
        self.gaps = 0
        self.wanted_from, self.wanted = None, []

    def asked(self, time):
        if self.wanted_from is None:
            self.wanted_from = time

    def start(self, time, offset, recovered, since):
        self.down()
        self.segments.append(_Segment(time, self.gaps))

    def gap(self):
        self.gaps += 1

    def down(self):
        if self.segments:
            self.segments[-1].open = False

    def leave(self, time):
        self.down()
        if self.wanted_from is not None:
            self.wanted.append((self.wanted_from, time))
            self.wanted_from = None

    def deliver(self, time, offset, message):
        if self.segments and self.segments[-1].open:
            self.segments[-1].got.append((self.gaps, message.n, time))
        self.client.count(DELIVERED, self.topic)

    def end(self, still_there):
        if not still_there:
            self.down()
        if self.wanted_from is not None:
            self.wanted.append((self.wanted_from, float("inf")))
        by_producer = defaultdict(list)
        for message in sorted(self.client.topics.get(self.topic, ()), key=lambda one: one.seq):
            by_producer[message.producer].append(message)
        accounted = set(self.seen)
        for segment in self.segments:
            for messages in by_producer.values():
                self.check(segment, messages, accounted)
        for message in self.client.topics.get(self.topic, ()):
            if message.n not in accounted and any(begin <= message.sent <= end for begin, end in self.wanted):
                self.client.count(AWAY, self.topic)

    def check(self, segment, messages, accounted):
        """One producer's messages on one connection."""
        place = {message.n: index for index, message in enumerate(messages)}
        got = [(gaps, place[n]) for gaps, n, _ in segment.got if n in place]
        due = next((index for index, message in enumerate(messages) if message.sent > segment.began), len(messages))
        gaps_before = segment.gaps
        last, newest = due - 1, -1  # up to where nothing is owed; what came last
        for gaps, index in got:
            if index <= newest:
                self.client.count(REORDERED, self.topic, f"{messages[index].n} after {messages[newest].n}")
                continue
            newest = index
            if index <= last:
                continue  # under way already when the subscription began; others around it may not have been
            self.miss(messages[last + 1:index], gaps != gaps_before, accounted)
            last, gaps_before = index, gaps
        if segment.open:
            self.miss(messages[last + 1:], self.gaps != gaps_before, accounted)

    def miss(self, messages, signalled, accounted):
        for message in messages:
            if message.n in accounted:
                continue
            accounted.add(message.n)
            if signalled:
                self.client.count(SIGNALLED, self.topic)
            else:
                self.client.count(SILENT, self.topic, f"{message.n} of {message.producer} never came, though connected")


def _find_circle(orders):
    """Numbers that different lists have in different orders; None if one order fits all."""
    after, before = defaultdict(set), Counter()
    for numbers in orders:
        for first, second in zip(numbers, numbers[1:]):
            if second not in after[first]:
                after[first].add(second)
                before[second] += 1
    ready = [n for n in after if before[n] == 0]
    while ready:
        for second in after[ready.pop()]:
            before[second] -= 1
            if before[second] == 0:
                ready.append(second)
    return sorted(n for n, count in before.items() if count > 0)[:10] or None
