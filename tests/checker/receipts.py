"""Looks whether receipts claim more than the clients' logs can account for. Pure, like classify.py, whose log events it reads."""

from collections import defaultdict
from dataclasses import dataclass, field

from classify import Finding, personal_topic

OVERSTATED, MISSING = "receipt overstated", "receipt missing"
WRITTEN, ACKED = "written", "acked"


@dataclass
class Receipt:
    n: int  # the message
    level: str  # WRITTEN or ACKED
    matched: int = 0
    written: int = 0
    acked: int = 0
    dropped: dict = field(default_factory=dict)  # reason → sessions
    time: float = 0.0  # when the producer got it


class _Account:
    """What one client can answer for."""

    def __init__(self, user, events):
        self.got = set()  # (topic, n)
        self.acks = defaultdict(list)  # topic → (time, offset)
        self.subscribed = defaultdict(list)  # topic → [from, to]
        self.losses = []  # times at which something under way to it may have been lost
        self.ended = []  # times at which a connection ended that had been open
        self.ghosts = []  # times at which a connection ended of whose session, if there is one, the client does not know
        self.open = []  # [from, to]
        state, leaving = "", defaultdict(list)
        for time, kind, *what in events:
            if kind == "msg":
                self.got.add((what[0], what[2]))
            elif kind == "ack":
                for topic, offset in what[0].items():
                    self.acks[topic].append((time, int(offset)))
            elif kind == "sub":
                self.subscribed[what[0]].append([time, float("inf")])
            elif kind == "unsub" and self.subscribed[what[0]]:
                leaving[what[0]].append(self.subscribed[what[0]][-1])
            elif kind == "unsubok" and leaving[what[0]]:
                leaving[what[0]].pop(0)[1] = time  # it may have been asked for anew meanwhile
            elif kind == "state" and what[0] == "connecting" and not self.subscribed[personal_topic(user)]:
                for topic in (personal_topic(user), "$all"):
                    self.subscribed[topic].append([time, float("inf")])
            if kind == "state":
                if state == "connecting" and what[0] != "open":
                    self.ghosts.append(time)
                if state == "open" and what[0] != "open":
                    self.open[-1][1] = time
                    self.ended.append(time)
                state = what[0]
                if state == "open":
                    self.open.append([time, float("inf")])
            if kind in ("unsub", "unsubok", "close", "gap") or kind == "state" and what[0] != "open":
                self.losses.append(time)
            if kind == "close":
                self.losses.append(float("inf"))  # the server may learn of it much later

    def acked(self, topic, n, offset, until):
        return (topic, n) in self.got and any(time <= until and up_to >= offset for time, up_to in self.acks[topic])

    def acked_anew(self, topic, n, offset, begin, until):
        """Connections from `begin` on which acknowledged it too: each has a session of its own, and where another replica has what it
        counted before, none knows that it is the same client."""
        return (topic, n) in self.got and sum(any(since <= time <= min(end, until) and up_to >= offset for time, up_to in self.acks[topic])
                                              for since, end in self.open if since >= begin)

    def was_on(self, topic, begin, end):
        return any(since <= end and begin <= until for since, until in self.subscribed[topic])

    def ghosts_at(self, time):
        return sum(ended <= time for ended in self.ghosts)

    def lingering_at(self, time, seconds):
        """Connections that ended so short before that another replica may not know it yet."""
        return sum(time - seconds <= ended <= time for ended in self.ended)

    def may_have_lost(self, topic, begin, end):
        """Written to its socket and never seen by it: only if its connection, or its subscription, ended meanwhile or later."""
        connected = any(since <= begin <= until for since, until in self.open)
        return self.was_on(topic, begin, end) and (not connected or any(time >= begin for time in self.losses))


def check_receipts(messages, receipts, logs, users, awaited=(), linger=0.0):
    """Findings. `awaited`: numbers whose receipts must be there, since their streams ended in good order. `linger`: seconds after which a
    replica has closed a session whose client is at another one, without a word, at the latest; on one server the new one takes its place."""
    accounts = [_Account(users[client], events) for client, events in logs.items()]
    findings, seen = [], set()
    for receipt in receipts:
        message = messages[receipt.n]

        def overstated(text):
            findings.append(Finding(OVERSTATED, message.producer, ",".join(message.topics), f"{message.n}: {text}; {receipt}"))

        if receipt.n in seen:
            overstated("a second receipt")
        seen.add(receipt.n)
        reached = receipt.acked if receipt.level == ACKED else receipt.written
        dropped = sum(count for reason, count in receipt.dropped.items() if reason != "no_session")
        if receipt.matched != reached + dropped:
            overstated(f"{receipt.matched} matched, but {reached} reached and {dropped} dropped")
        if not receipt.acked <= receipt.written <= receipt.matched:
            overstated("not acked ≤ written ≤ matched")
        acked = written = matched = 0
        for topic in message.topics:
            for account in accounts:
                got = (topic, message.n) in account.got
                offset = message.offsets.get(topic, 0)
                acked += account.acked(topic, message.n, offset, receipt.time)
                acked += account.acked_anew(topic, message.n, offset, message.sent, receipt.time) if linger else 0
                ghosts = account.ghosts_at(receipt.time) + account.lingering_at(receipt.time, linger and linger + receipt.time - message.sent)
                written += (got or account.may_have_lost(topic, message.sent, receipt.time)) + ghosts
                matched += (got or account.was_on(topic, message.sent, receipt.time)) + ghosts
        if receipt.acked > acked:
            overstated(f"{receipt.acked} acked, {acked} by the clients' logs")
        if receipt.written > written:
            overstated(f"{receipt.written} written, at most {written} by the clients' logs")
        if receipt.matched > matched:
            overstated(f"{receipt.matched} matched, at most {matched} by the clients' logs")
    for n in sorted(set(awaited) - seen):
        findings.append(Finding(MISSING, messages[n].producer, ",".join(messages[n].topics), f"{n} has no receipt"))
    return findings
