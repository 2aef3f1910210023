"""That loss.py can tell: each way to be silent about a store that lost messages is found, and an honest client is not."""

import unittest

from classify import DELIVERED, DUPLICATE, FALSE_RECOVERED, NEEDLESS, PHANTOM, REORDERED, SILENT, Message
from loss import AGAIN, STORE_LOST, Place, classify_loss

T, CUT = "log/t", 100.0
BEFORE, LOST, AFTER = (1, 2, 3), (4, 5), (6, 7, 8)


def token(epoch, offset, n):
    return f"{epoch}.{offset}.{n}"


def places(epoch=1, first=4):
    """Five messages before; after it the offsets of the two that were lost are given again, or, in another epoch, all of them."""
    return ([Place(n, T, 1, n, token(1, n, n), 10.0 + n) for n in BEFORE + LOST] +
            [Place(n, T, epoch, first + index, token(epoch, first + index, n), 200.0 + n) for index, n in enumerate(AFTER)])


ROLLED_BACK = {(1, 1), (2, 2), (3, 3), (6, 4), (7, 5), (8, 6)}
DELETED = {(6, 1), (7, 2), (8, 3)}
START = (1.0, "start", T, 0, True, "")


def got(*pairs, time=50.0):
    return [(time, "msg", T, offset, n, 5) for n, offset in pairs]


def gap(reason="rollback"):
    return [(150.0, "gap", T, reason)]


class LossTest(unittest.TestCase):
    def judge(self, events, stored=ROLLED_BACK, made=None, closed=False):
        messages = {n: Message(n, "p", n, (T,)) for n in range(1, 9)}
        events = [START, *events] + ([(300.0, "close")] if closed else [])
        return classify_loss(messages, {"c": events}, places() if made is None else made, stored, CUT)

    def assert_good(self, report, **counts):
        self.assertEqual([str(one) for one in report.findings], [])
        self.assertEqual(report.counts[STORE_LOST], counts.pop("lost", 2))
        for kind, count in counts.items():
            self.assertEqual(report.counts[{"delivered": DELIVERED, "again": AGAIN}[kind]], count)

    def assert_bad(self, report, kind):
        self.assertEqual({one.kind for one in report.findings}, {kind})

    EARLY = got((1, 1), (2, 2), (3, 3), (4, 4), (5, 5))
    LATE = got((6, 4), (7, 5), (8, 6), time=250.0)

    def test_told_before_what_came_after(self):
        self.assert_good(self.judge(self.EARLY + gap() + self.LATE), delivered=8)

    def test_one_that_has_only_what_survived_need_not_be_told(self):
        self.assert_good(self.judge(got((1, 1), (2, 2), (3, 3)) + self.LATE), delivered=6)

    def test_a_new_epoch(self):
        late = got((6, 1), (7, 2), (8, 3), time=250.0)
        self.assert_good(self.judge(self.EARLY + gap("epoch") + late, DELETED, places(2, 1)), delivered=8, lost=5)

    def test_closed_before_it_was_told(self):
        self.assert_good(self.judge(self.EARLY, closed=True), delivered=5)

    def test_not_told_and_the_new_ones_taken_for_repeats(self):
        self.assert_bad(self.judge(self.EARLY + got((8, 6), time=250.0)), SILENT)

    def test_not_told_and_nothing_more(self):
        self.assert_bad(self.judge(self.EARLY), SILENT)

    def test_told_and_then_something_is_missing(self):
        self.assert_bad(self.judge(self.EARLY + gap() + got((6, 4), (8, 6), time=250.0)), SILENT)
        self.assert_bad(self.judge(self.EARLY + gap() + got((6, 4), (7, 5), time=250.0)), SILENT)

    def test_missing_before_the_loss(self):
        self.assert_bad(self.judge(got((1, 1), (3, 3)) + gap() + self.LATE), SILENT)

    def test_a_new_epoch_not_told(self):
        late = got((6, 1), (7, 2), (8, 3), time=250.0)
        self.assertEqual({one.kind for one in self.judge(got((1, 1)) + late, DELETED, places(2, 1)).findings}, {REORDERED, SILENT})
        self.assert_bad(self.judge(late[:1], DELETED, places(2, 1)), SILENT)

    def test_a_new_epoch_whose_offsets_go_on(self):
        made, stored = places(2, 10), {(6, 10), (7, 11), (8, 12)}
        late = got((6, 10), (7, 11), (8, 12), time=250.0)
        self.assert_good(self.judge(self.EARLY + gap("epoch") + late, stored, made), delivered=8, lost=5)
        self.assert_bad(self.judge(self.EARLY + late, stored, made), SILENT)

    def test_a_resume_from_what_was_lost(self):
        def resumed(at):
            return [(at, "start", T, 5, True, token(1, 5, 5))]

        self.assertIn(FALSE_RECOVERED, self.judge(self.EARLY + resumed(210.0) + gap() + self.LATE).counts)
        # Before the loss, and between it and the first message that is missing: that has to be told then.
        for at in (60.0, 160.0):
            self.assert_good(self.judge(self.EARLY + resumed(at) + gap() + self.LATE))
            self.assert_bad(self.judge(self.EARLY + resumed(at)), SILENT)

    def test_a_resume_that_was_refused_goes_on_where_it_was_told(self):
        start = [(160.0, "start", T, 4, False, token(1, 5, 5))]
        self.assert_good(self.judge(self.EARLY + start + gap() + got((7, 5), (8, 6), time=250.0)))
        self.assert_bad(self.judge(self.EARLY + start + gap() + got((8, 6), time=250.0)), SILENT)

    def test_lost_with_its_result_and_sent_again(self):
        made = [place for place in places() if place.n != 5] + [Place(5, T, 1, 7, token(1, 7, 5), 210.0)]
        stored = ROLLED_BACK | {(5, 7)}
        self.assert_good(self.judge(self.EARLY + gap() + self.LATE + got((5, 7), time=260.0), stored, made), lost=1, again=1)

    def test_a0_a_store_that_went_back_twice(self):
        # 9 and 10 took the offsets of 4 and 5, and were lost as well.
        messages = {n: Message(n, "p", n, (T,)) for n in range(1, 11)}
        made = places() + [Place(n, T, 1, offset, token(1, offset, n), 110.0 + n) for n, offset in ((9, 4), (10, 5))]
        between = got((9, 4), (10, 5), time=140.0)

        def judge(events):
            return classify_loss(messages, {"c": [START, *events]}, made, ROLLED_BACK, CUT)

        self.assert_good(judge(self.EARLY + gap() + self.LATE), lost=4)
        self.assert_good(judge(self.EARLY + gap() + between + gap() + self.LATE), lost=4)
        self.assert_bad(judge(self.EARLY + gap() + between[:1] + self.LATE[1:]), SILENT)
        self.assert_bad(judge(self.EARLY[:4] + between[1:] + gap() + self.LATE), SILENT)

    def test_duplicates_phantoms_and_order(self):
        self.assert_bad(self.judge(self.EARLY + self.EARLY[-1:] + gap() + self.LATE), DUPLICATE)
        self.assert_bad(self.judge(self.EARLY + got((99, 9)) + gap() + self.LATE), PHANTOM)
        swapped = got((1, 1), (3, 3), (2, 2), (4, 4), (5, 5))
        self.assertIn(REORDERED, {one.kind for one in self.judge(swapped + gap() + self.LATE).findings})

    def test_a_gap_where_nothing_was_lost(self):
        made = [place for place in places() if place.n in BEFORE]
        self.assert_bad(self.judge(got((1, 1), (2, 2)) + gap() + got((3, 3)), {(1, 1), (2, 2), (3, 3)}, made), NEEDLESS)


if __name__ == "__main__":
    unittest.main()
