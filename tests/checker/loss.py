"""What clients made of a store that lost messages: it was deleted, or went back in time. Pure, like classify.py, whose log events it reads.

Then acknowledged messages may be gone, and offsets may be given a second time, but never silently. A topic's log has two lives, before and
after; what survived is in both. A store that goes back once more meanwhile adds lives between: each begins where an offset is given again. What a client got between two moments at which it was told of a loss is a *segment*: it has to be a piece of
one life, whole and in order, and what it got last has to be of the second life, up to its end. So a client that has what was lost, or waits
behind it, must have been told before it gets what came after; and a resume from what was lost must not be answered `recovered: true` once there is
a message that it misses: one of the second life. (Before that nothing is missing. The replica may not know yet, and has to tell when it does.)
"""

from collections import defaultdict
from dataclasses import dataclass, field

from classify import DELIVERED, DUPLICATE, FALSE_RECOVERED, NEEDLESS, PHANTOM, REORDERED, SIGNALLED, SILENT, Report

AGAIN = "again after a loss"  # a message that was lost before its producer had the result, and sent again
STORE_LOST = "lost by the store"


@dataclass
class Place:
    """An accepted message in a log, as its producer was told."""

    n: int
    topic: str
    epoch: int
    offset: int
    token: str
    time: float  # when


@dataclass
class Lives:
    """Of one topic's log."""

    before: dict = field(default_factory=dict)  # offset → n
    between: list = field(default_factory=list)  # of dicts like these
    after: dict = field(default_factory=dict)
    lost: set = field(default_factory=set)  # (offset, n) of `before` and `between`
    lost_tokens: set = field(default_factory=set)
    began_anew: float = float("inf")  # when the first message of the second life was accepted


def lives_of(places, stored, cut):
    """topic → Lives. `stored`: (n, offset) that the store holds at the end. `cut`: when it was lost; results that came later, or name
    another epoch than the topic had, are of the second life, or of one between."""
    made, epochs = defaultdict(Lives), {}
    places = sorted(places, key=lambda one: one.time)
    lost_later, begins = _between(places, stored, cut)
    for place in places:
        lives, first = made[place.topic], epochs.setdefault(place.topic, place.epoch)
        there = (place.n, place.offset) in stored
        if place.time > cut and (there or place.epoch != first):
            lives.after[place.offset] = place.n
            lives.began_anew = min(lives.began_anew, place.time)
            continue
        life = lives.before
        for number in range(lost_later.get((place.n, place.topic), 0)):
            if number == len(lives.between):
                lives.between.append({offset: n for offset, n in life.items() if offset < begins[place.epoch, number + 1]})
            life = lives.between[number]
        life[place.offset] = place.n
        if there:
            lives.after[place.offset] = place.n
        else:
            lives.lost.add((place.offset, place.n))
            lives.lost_tokens.add(place.token)
    return made


def _between(places, stored, cut):
    """(n, topic) → how many times the stream had given its offsets again when it was accepted; (epoch, times) → from which offset on.
    An epoch is one stream's, so each of its offsets is one message's unless the stream went back."""
    given, times, which, begins = defaultdict(list), defaultdict(int), {}, {}
    for place in places:
        others = given[place.epoch, place.offset]
        if place.n not in others:
            others.append(place.n)
        if place.time <= cut or (place.n, place.offset) in stored:
            continue
        times[place.epoch] = max(times[place.epoch], others.index(place.n))
        which[place.n, place.topic] = number = times[place.epoch]
        begins[place.epoch, number] = min(begins.get((place.epoch, number), place.offset), place.offset)
    return which, begins


def classify_loss(messages, logs, places, stored, cut):
    """`messages`: n → Message. `logs`: client → events, whose `start` has the token asked for in the place of `since`."""
    report = Report()
    lives = lives_of(places, stored, cut)
    for topic, one in lives.items():
        report.count(STORE_LOST, topic=topic, times=len(one.lost))
    offsets = {place.token: place.offset for place in places}
    for client, events in logs.items():
        topics, closed = {}, False
        for time, kind, *what in events:
            if kind == "close":
                closed = True
            elif kind in ("start", "gap", "msg", "unsub"):
                topic = what[0]
                if topic not in topics:
                    topics[topic] = _Followed(report, client, topic, lives[topic], messages, offsets)
                getattr(topics[topic], kind)(time, *what[1:])
        for followed in topics.values():
            followed.end(closed)
    return report


class _Followed:
    """One topic at one client."""

    def __init__(self, report, client, topic, lives, messages, offsets):
        self.report, self.client, self.topic, self.lives, self.messages, self.offsets = report, client, topic, lives, messages, offsets
        self.following = False
        self.begin = None  # offset behind which the segment begins; None: at its first message
        self.next_begin = None
        self.got = []  # (offset, n) of the segment
        self.places = defaultdict(set)  # n → offsets at which it came

    def count(self, kind, text="", times=1):
        self.report.count(kind, self.client, self.topic, text, times)

    def start(self, time, offset, recovered, since):
        if recovered and time > self.lives.began_anew and since in self.lives.lost_tokens:
            self.count(FALSE_RECOVERED, f"resumed behind offset {self.offsets[since]}, which the store has lost")
        begin = self.offsets.get(since, offset) if recovered else offset
        if self.following:
            self.next_begin = None if recovered else begin  # its gap event comes next
            return
        self.following, self.begin, self.got = True, begin, []

    def gap(self, time, reason):
        self.report.reasons[reason] += 1
        if self.lives.before and not self.lives.lost:
            self.count(NEEDLESS, f"a gap, {reason}, though nothing was lost")
        self.judge(final=False)
        self.count(SIGNALLED)
        self.begin, self.next_begin, self.got = self.next_begin, None, []

    def unsub(self, time):
        self.judge(final=False)
        self.following, self.begin, self.got = False, None, []

    def msg(self, time, offset, n, size):
        message = self.messages.get(n)
        if message is None or self.topic not in message.topics:
            return self.count(PHANTOM, f"{n} at {offset}")
        if not offset:
            return self.count(PHANTOM, f"{n} has no offset")
        if any(n == other for _, other in self.got):
            return self.count(DUPLICATE, f"{n} at {offset} again")
        if self.got and offset <= self.got[-1][0]:
            return self.count(REORDERED, f"{n} at {offset} after {self.got[-1][0]}")
        self.count(AGAIN if self.places[n] else DELIVERED)
        self.places[n].add(offset)
        self.got.append((offset, n))
        if n not in (self.lives.before.get(offset), self.lives.after.get(offset)):
            self.lives.before.setdefault(offset, n)  # lost with the result that would have told

    def end(self, closed):
        if self.following:
            self.judge(final=not closed)

    def judge(self, final):
        """The segment that ends here."""
        if not self.got and (not final or self.begin is None):
            return
        lives = [("after", self.lives.after)]
        if not final:
            lives = [("before", self.lives.before), *(("between", life) for life in self.lives.between), *lives]
        best = min((self.faults(log, name, final) for name, log in lives), key=len)
        for text in best:
            self.count(SILENT, text)

    def faults(self, log, name, final):
        last = max(log, default=0) if final else self.got[-1][0]
        first = self.begin if self.begin is not None else self.got[0][0] - 1
        made = [f"{n} at {offset} is not in the log {name} the loss, and there was no gap before what followed"
                for offset, n in self.got if log.get(offset) != n]
        return made + [f"{n} at {offset} never came, of the log {name} the loss" for offset, n in log.items()
                       if first < offset <= last and offset not in self.places[n]]

