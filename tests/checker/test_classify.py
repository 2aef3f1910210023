"""The checker can tell: each class is provoked by logs made up for it."""

import unittest

from classify import AWAY, COLLAPSED, DELIVERED, DUPLICATE, NEEDLESS, PHANTOM, REORDERED, SIGNALLED, SILENT, Message, classify
from receipts import ACKED, MISSING, WRITTEN, OVERSTATED, Receipt, check_receipts

USERS = {"c": "ann", "d": "bob"}


def sent(*numbers, topic="a", history=True, keys={}, producer="p", **more):
    """Messages whose seq and, with history, offset is their number."""
    return {n: Message(n, producer, n, (topic,), key=keys.get(n, ""), sent=n, accepted=True, offsets={topic: n} if history else {}, **more)
            for n in numbers}


def got(*numbers, topic="a", history=True, at=100.0):
    return [(at + n / 100, "msg", topic, n if history else 0, n, 0) for n in numbers]


def on(topic="a", offset=0, time=0.0):
    return [(time, "sub", topic), (time, "state", "open"), (time, "start", topic, offset, False, 0)]


class ClassifyTest(unittest.TestCase):
    def check(self, expected, messages, log, other=(), **options):
        """The counts of all classes."""
        self.report = classify(messages, {"c": list(log), "d": list(other)}, USERS, **options)
        self.assertEqual(dict(self.report.counts), expected, "\n".join(map(str, self.report.findings)))

    # Topics with history

    def test_delivered(self):
        self.check({DELIVERED: 3}, sent(1, 2, 3), on() + got(1, 2, 3))

    def test_before_the_subscription_nothing_is_owed(self):
        self.check({DELIVERED: 1}, sent(1, 2, 3), on(offset=2) + got(3))

    def test_silent_loss_in_the_middle_and_at_the_end(self):
        self.check({DELIVERED: 2, SILENT: 1}, sent(1, 2, 3), on() + got(1, 3))
        self.check({DELIVERED: 2, SILENT: 1}, sent(1, 2, 3), on() + got(1, 2))
        self.check({SILENT: 3}, sent(1, 2, 3), on())

    def test_silent_loss_across_a_reconnect(self):
        cut = [(101, "state", "waiting"), (102, "state", "open"), (102, "start", "a", 3, True, 1)]
        self.check({DELIVERED: 3}, sent(1, 2, 3), on() + got(1) + cut + got(2, 3))
        self.check({DELIVERED: 2, SILENT: 1}, sent(1, 2, 3), on() + got(1) + cut + got(3))
        not_recovered = [(101, "state", "waiting"), (102, "state", "open"), (102, "start", "a", 2, False, 0)]
        self.check({DELIVERED: 2, SILENT: 1}, sent(1, 2, 3), on() + got(1) + not_recovered + got(3))

    def test_signalled_loss(self):
        gap = [(101, "gap", "a", "expired")]
        self.check({DELIVERED: 2, SIGNALLED: 1}, sent(1, 2, 3), on() + got(1) + gap + got(3))
        self.check({DELIVERED: 2, SIGNALLED: 1}, sent(1, 2, 3), on() + got(1, 2) + gap)

    def test_a_gap_excuses_only_what_lies_around_it(self):
        gap = [(101, "gap", "a", "expired")]
        self.check({DELIVERED: 3, SILENT: 1}, sent(1, 2, 3, 4), on() + got(1) + gap + got(2, 4))
        self.check({DELIVERED: 2, SILENT: 1}, sent(1, 2, 3), on() + [(101, "gap", "b", "expired")] + got(1, 3))

    def test_a_gap_that_need_not_be(self):
        log = on() + got(1) + [(101, "gap", "a", "epoch")] + got(3)
        self.check({DELIVERED: 2, SIGNALLED: 1, NEEDLESS: 1}, sent(1, 2, 3), log, needless=lambda topic, reason: reason == "epoch")

    def test_duplicate(self):
        self.check({DELIVERED: 2, DUPLICATE: 1}, sent(1, 2), on() + got(1, 1, 2))
        self.check({DELIVERED: 2, DUPLICATE: 1}, sent(1, 2), on() + got(1, 2, 1))

    def test_a_message_at_two_offsets_is_a_duplicate(self):
        self.check({DELIVERED: 2, DUPLICATE: 1}, sent(1, 2), on() + got(1, 2) + [(103, "msg", "a", 3, 1, 0)])

    def test_reordered(self):
        self.check({DELIVERED: 2, REORDERED: 1}, sent(1, 2, 3), on() + got(1, 3, 2))

    def test_reordered_by_the_broker(self):
        messages = sent(1, 2)
        messages[1].offsets, messages[2].offsets = {"a": 2}, {"a": 1}
        log = on() + [(101, "msg", "a", 1, 2, 0), (102, "msg", "a", 2, 1, 0)]
        self.check({DELIVERED: 2, REORDERED: 1}, messages, log)
        messages[2].producer = "q"  # of two producers any order will do
        self.check({DELIVERED: 2}, messages, log)

    def test_phantom(self):
        self.check({DELIVERED: 1, PHANTOM: 1}, sent(1), on() + got(1, 2))  # nobody sent it
        self.check({DELIVERED: 1, PHANTOM: 1}, sent(1) | sent(2, topic="b"), on() + got(1, 2))  # to another topic
        self.check({PHANTOM: 1}, sent(1), got(1))  # not subscribed
        self.check({DELIVERED: 1, PHANTOM: 1}, sent(1, 2), on() + got(1) + [(101, "unsub", "a")] + got(2))  # any more
        self.check({PHANTOM: 1, SILENT: 1}, sent(1), on() + [(101, "msg", "a", 7, 1, 0)])  # at another offset
        self.check({PHANTOM: 1, SILENT: 1}, sent(1, size=5), on() + got(1))  # with another payload
        refused = sent(1, 2)
        refused[2].accepted = False
        self.check({DELIVERED: 1, PHANTOM: 1}, refused, on() + got(1, 2))

    def test_personal_topics_are_for_their_users(self):
        messages = sent(1, topic="$user/ann")
        start = [(0, "start", "$user/ann", 0, False, 0)]
        self.check({DELIVERED: 1}, messages, start + got(1, topic="$user/ann"))
        self.check({PHANTOM: 1}, messages, [], got(1, topic="$user/ann"))
        self.check({SILENT: 1}, messages, start)

    def test_collapsed(self):
        keys = {1: "k", 2: "other", 3: "k"}
        self.check({DELIVERED: 2, COLLAPSED: 1}, sent(1, 2, 3, keys=keys), on() + got(2, 3))
        self.check({DELIVERED: 1, COLLAPSED: 1, SILENT: 1}, sent(1, 2, 3, keys=keys), on() + got(3))  # 2 has another key
        self.check({DELIVERED: 1, SILENT: 2}, sent(1, 2, 3, keys=keys), on() + got(2))  # nothing of k came

    def test_what_replaced_it_may_be_on_its_way_when_a_client_leaves(self):
        self.check({DELIVERED: 1, COLLAPSED: 1}, sent(1, 2, 3, keys={1: "k", 3: "k"}), on() + got(2) + [(103, "unsub", "a")])

    def test_after_it_left_nothing_is_owed(self):
        left = [(101, "unsub", "a"), (101, "unsubok", "a")]
        self.check({DELIVERED: 1}, sent(1, 2, 3), on() + got(1) + left)
        self.check({DELIVERED: 1}, sent(1, 2, 3), on() + got(1) + [(101, "close",)])
        self.check({DELIVERED: 2}, sent(1, 2, 3), on() + got(1) + left + on(offset=2, time=102) + got(3))
        self.check({DELIVERED: 1, SILENT: 1}, sent(1, 2, 3), on() + got(2) + left)

    # Topics without history

    def live(self, expected, log, numbers=(50, 60, 70), **more):
        self.check(expected, sent(*numbers, history=False), log, **more)

    def test_live_delivered_and_silent_loss(self):
        self.live({DELIVERED: 3}, on() + got(50, 60, 70, history=False))
        self.live({DELIVERED: 2, SILENT: 1}, on() + got(50, 70, history=False))
        self.live({DELIVERED: 1, SILENT: 2}, on() + got(70, history=False))
        self.live({DELIVERED: 1, SILENT: 2}, on() + got(50, history=False))
        self.live({SILENT: 3}, on())

    def test_live_before_the_first_that_came_nothing_is_owed_unless_it_was_sent_later(self):
        self.live({DELIVERED: 2}, on(time=55) + got(60, 70, history=False))
        self.live({DELIVERED: 1, SILENT: 1}, on(time=55) + got(70, history=False))
        # One that was under way when it began proves nothing about the next.
        self.live({DELIVERED: 2}, on(time=65) + got(50, 70, history=False))

    def test_live_what_is_missed_while_away(self):
        cut = [(55, "state", "waiting"), (65, "state", "open"), (65, "start", "a", 0, False, 0)]
        self.live({DELIVERED: 2, AWAY: 1}, on() + got(50, history=False, at=0) + cut + got(70, history=False))

    def test_live_duplicate_reordered_signalled(self):
        self.live({DELIVERED: 3, DUPLICATE: 1}, on() + got(50, 60, 60, 70, history=False))
        self.live({DELIVERED: 3, REORDERED: 1}, on() + got(60, 50, 70, history=False), numbers=(50, 60, 70))
        self.live({DELIVERED: 2, SIGNALLED: 1}, on() + got(50, history=False) + [(101, "gap", "a", "slow_consumer")] + got(70, history=False))

    def test_live_a_gap_tells_of_all_producers(self):
        messages = sent(50, 60, 70, history=False) | sent(51, 61, history=False, producer="q")
        log = on() + got(50, history=False) + [(101, "gap", "a", "slow_consumer")] + got(61, 70, history=False)
        self.check({DELIVERED: 3, SIGNALLED: 2}, messages, log)

    def test_live_two_clients_see_one_order(self):
        messages = sent(50, history=False) | sent(60, history=False, producer="q")
        one, other = got(50, 60, history=False), got(60, 50, history=False)
        self.check({DELIVERED: 4}, messages, on() + one, on() + one)
        self.check({DELIVERED: 4, REORDERED: 1}, messages, on() + one, on() + other)


class ReceiptsTest(unittest.TestCase):
    """A message that was sent at 1 and reported at 5."""

    def findings(self, receipt, *logs, awaited=(), messages=None, more=(), linger=0):
        receipts = [receipt, *more] if receipt else []
        logs = dict(zip("cd", logs))
        return [finding.kind for finding in check_receipts(messages or sent(1), receipts, logs, USERS, awaited, linger)]

    def receipt(self, level=ACKED, **counts):
        return Receipt(1, level, time=5.0, **counts)

    def test_what_the_logs_account_for(self):
        log = on() + got(1, at=2) + [(3, "ack", {"a": "1"})]
        self.assertEqual(self.findings(self.receipt(matched=1, written=1, acked=1), log), [])
        self.assertEqual(self.findings(self.receipt(matched=2, written=2, acked=1, dropped={"timeout": 1}), log, on() + got(1, at=2)), [])
        self.assertEqual(self.findings(self.receipt(dropped={"no_session": 1})), [])

    def test_acked_overstated(self):
        claim = self.receipt(matched=1, written=1, acked=1)
        self.assertEqual(self.findings(claim, on() + got(1, at=2)), [OVERSTATED])  # nobody has acknowledged
        self.assertEqual(self.findings(claim, on() + got(1, at=2) + [(3, "ack", {"b": "1"})]), [OVERSTATED])  # another topic
        self.assertEqual(self.findings(claim, on() + got(1, at=2) + [(6, "ack", {"a": "1"})]), [OVERSTATED])  # too late
        self.assertEqual(self.findings(claim, on() + got(2, at=2) + [(3, "ack", {"a": "2"})]), [OVERSTATED] * 2)  # had not got it

    def test_written_overstated(self):
        claim = self.receipt(WRITTEN, matched=1, written=1)
        self.assertEqual(self.findings(claim, on() + got(1, at=2)), [])
        self.assertEqual(self.findings(claim, on()), [OVERSTATED])
        # It may have been lost on its way, or gone to a session that its client had lost already.
        self.assertEqual(self.findings(claim, on() + [(2, "state", "waiting")]), [])
        self.assertEqual(self.findings(claim, on() + [(0.5, "state", "waiting")]), [])
        # Left before.
        self.assertEqual(self.findings(claim, on() + [(0.2, "unsub", "a"), (0.5, "unsubok", "a"), (2, "state", "waiting")]),
                         [OVERSTATED, OVERSTATED])
        # The server learns of it only later, and of the next subscription too.
        self.assertEqual(self.findings(claim, on() + [(0.5, "unsub", "a"), (0.6, "sub", "a"), (2, "unsubok", "a"), (2, "start", "a", 1, False, 0)]), [])

    def test_matched_overstated(self):
        self.assertEqual(self.findings(self.receipt(WRITTEN, matched=2, written=1, dropped={"timeout": 1}), on() + got(1, at=2)), [OVERSTATED])

    def test_a_session_that_another_replica_has_not_closed_yet(self):
        log = [(-2, "state", "open")] + [(-1, "state", "waiting")] + on() + got(1, at=2)
        claim = self.receipt(WRITTEN, matched=2, written=2)
        self.assertEqual(self.findings(claim, log), [OVERSTATED] * 2)
        self.assertEqual(self.findings(claim, log, linger=1), [OVERSTATED] * 2)
        self.assertEqual(self.findings(claim, log, linger=3), [])

    def test_a_session_that_goes_on_at_another_replica_behind_what_it_has_acknowledged(self):
        log = on() + got(1, at=2) + [(2.5, "ack", {"a": "1"}), (2.6, "state", "waiting"), (2.7, "state", "connecting"), (2.8, "state", "open")]
        claim = self.receipt(matched=2, written=2, acked=2)
        self.assertEqual(self.findings(claim, log, linger=3), [OVERSTATED])  # nothing was acknowledged there
        log += [(3, "ack", {"a": "1"})]
        self.assertEqual(self.findings(claim, log), [OVERSTATED] * 3)  # on one server the session takes its place
        self.assertEqual(self.findings(claim, log, linger=3), [])

    def test_the_books_must_balance(self):
        log = on() + got(1, at=2) + [(3, "ack", {"a": "1"})]
        other = on() + got(1, at=2)
        self.assertEqual(self.findings(self.receipt(matched=2, written=2, acked=1), log, other), [OVERSTATED])
        self.assertEqual(self.findings(self.receipt(WRITTEN, matched=1, written=1, dropped={"disconnected": 1}), log), [OVERSTATED])
        self.assertEqual(self.findings(self.receipt(matched=1, written=0, acked=1), log), [OVERSTATED])

    def test_one_receipt_and_no_more(self):
        log = on() + got(1, at=2)
        claim = self.receipt(WRITTEN, matched=1, written=1)
        self.assertEqual(self.findings(claim, log, more=[claim]), [OVERSTATED])

    def test_missing(self):
        self.assertEqual(self.findings(None, on(), awaited=[1]), [MISSING])


if __name__ == "__main__":
    unittest.main()
