"""
Check what has settled, and what waits, on each day around splits that are told after the settlement, or before it.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from ledger.domain.amounts import UNIT, render
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import TradeBusted
from ledger.domain.events.settlement import AllocationReversed, ExecutionRef, TradeSettled
from tests.domain.books import Books
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.domain.test_allocation import BOTH, allocated, block
from tests.domain.test_paid_in_shares import bought, firm
from tests.reading.days import pnl
from tests.reading.test_known_settlement import (
    LAST,
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    check_stated,
    has,
    known,
    now,
    rungs,
    told,
)

DAYS = (DAY, DUE, MONDAY, TUESDAY, WEDNESDAY)


def split(ex_date: str, num: int, den: int = 1, name: str | None = None) -> SplitApplied:
    return SplitApplied(ca_id=name or ex_date, instrument="XYZ.N", ratio_num=num, ratio_den=den, ex_date=ex_date,
                        rounding="down")  # fmt: skip


def check_days(books: Books, *expected: tuple[str, str]) -> None:
    """Hold what is told of each day, by every read, to what A has (settled, unsettled) of the shares by then."""
    assert tuple(has(known(books, day)) for day in DAYS) == expected
    for day in DAYS:
        check_stated(books, known(books, day), day)
    assert known(books, LAST).rows("balances") == now(books).rows("balances")
    assert rungs(known(books, LAST)) == rungs(now(books))
    assert "A" in {row.account for row in pnl(books)}


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (DUE, (("0", "100"), ("40", "60"), ("80", "120"), ("240", "360"), ("240", "360"))),
        (MONDAY, (("0", "100"), ("0", "100"), ("80", "120"), ("240", "360"), ("240", "360"))),
        (TUESDAY, (("0", "100"), ("0", "100"), ("0", "200"), ("240", "360"), ("240", "360"))),
        (WEDNESDAY, (("0", "100"), ("0", "100"), ("0", "200"), ("0", "600"), ("240", "360"))),
    ],
)
@pytest.mark.parametrize("told_first", ["splits", "settlement", "first split"])
def test_each_day_has_what_had_settled_in_its_own_shares(told_first: str, date: str, expected: Any) -> None:
    """Forty of a hundred settle on some day; the shares split two for one on Monday and three for one on Tuesday."""
    settling = settled(qty="40", partial=True, date=date)
    steps = {
        "splits": [split(MONDAY, 2), split(TUESDAY, 3), settling],
        "settlement": [settling, split(MONDAY, 2), split(TUESDAY, 3)],
        "first split": [split(MONDAY, 2), settling, split(TUESDAY, 3)],
    }[told_first]
    books = told((DAY, trade(fee="0")), *((WEDNESDAY, step) for step in steps))
    check_days(books, *expected)
    # The venue's side is as it was traded.
    for day in DAYS:
        assert has(known(books, day), "~clearing.N") == (("-40", "-60") if day >= date else ("0", "-100"))


def test_splits_that_undo_each_other_move_what_settled_between_them() -> None:
    """As many shares as before settle in the end, and twice as many on the day on which there were twice as many."""
    both = (split(MONDAY, 2), split(TUESDAY, 1, 2))
    late = settled(qty="40", partial=True, date=MONDAY)
    books = told((DAY, trade(fee="0")), *((WEDNESDAY, step) for step in (*both, late)))
    check_days(books, ("0", "100"), ("0", "100"), ("80", "120"), ("40", "60"), ("40", "60"))


@pytest.mark.parametrize("split_last", [False, True])
def test_who_had_sold_all_waits_in_the_shares_of_the_day(split_last: bool) -> None:
    """The purchase settles on Friday, the sale on Tuesday: the split is told before both settlements, or after them."""
    settlements = [
        settled(date=DUE),
        settled("S2", "F", trade_date=DUE, date=TUESDAY),
    ]
    steps = [*settlements, split(MONDAY, 2)] if split_last else [split(MONDAY, 2), *settlements]
    sale = trade("F", side="sell", fee="0", trade_date=DUE)
    books = told((DAY, trade(fee="0")), (DUE, sale), *((WEDNESDAY, step) for step in steps))
    check_days(books, ("0", "100"), ("100", "-100"), ("200", "-200"), ("0", "0"), ("0", "0"))


@pytest.mark.parametrize("together", [False, True])
def test_what_was_undone_before_the_split_had_nothing_that_waited(together: bool) -> None:
    """It had settled on Wednesday, was busted, and Monday's split told last; another that settled with it waited."""
    names = [ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E", "F")]
    settling = [settled("S", "E", date=WEDNESDAY), settled("S2", "F", qty="10", date=WEDNESDAY)]
    if together:
        settling = [TradeSettled(settlement_id="S", venue="N", net=tuple(names), qty="110", date=WEDNESDAY)]
    bust = TradeBusted(exec_id="b", exec_ref="E", venue="N", trade_date=DAY, reason="r", reopens_order=False)
    first = (trade(fee="0"), trade("F", qty="10", fee="0"))
    books = told(*((DAY, one) for one in first), *((WEDNESDAY, one) for one in (*settling, bust, split(MONDAY, 2))))
    check_days(books, ("0", "10"), ("0", "10"), ("0", "20"), ("0", "20"), ("20", "0"))


def test_what_was_reversed_before_the_split_had_nothing_that_waited() -> None:
    """A line of an allocation had settled on Wednesday; the allocation was reversed, and Monday's split told last."""
    steps = (settled("S", "AL.1", "60", date=WEDNESDAY), AllocationReversed(allocation_id="AL", reason="r"))
    last = ((WEDNESDAY, step) for step in (*steps, split(MONDAY, 2)))
    books = told((DAY, allocated(*BOTH)), *last, books=block())
    check_days(books, ("1000", "0"), ("1000", "0"), *[("2000", "0")] * 3)


def test_what_is_left_of_a_trade_settles_with_others_after_a_part_of_it() -> None:
    """The part had come over in new shares; of those that settled with the rest one is busted before a second split."""
    steps = [
        settled("S1", "E", "40", partial=True, date=MONDAY),
        trade("F", qty="10", fee="0", trade_date=MONDAY),
        TradeSettled(
            settlement_id="S2", venue="N", qty="70", date=WEDNESDAY,
            net=(ExecutionRef(trade_date=DAY, exec_id="E"), ExecutionRef(trade_date=MONDAY, exec_id="F")),
        ),
        TradeBusted(exec_id="b", exec_ref="F", venue="N", trade_date=MONDAY, reason="r", reopens_order=False),
        split(TUESDAY, 3),
    ]  # fmt: skip
    books = told((DAY, trade(fee="0")), *((WEDNESDAY, step) for step in (split(MONDAY, 2), *steps)))
    check_days(books, ("0", "100"), ("0", "100"), ("80", "120"), ("240", "360"), ("600", "0"))


def test_small_parts_are_rounded_as_one() -> None:
    """Three of three waited on Monday, when they came to one and a half: each part alone would come to nothing."""
    parts = [settled(f"S{n}", qty="1", partial=n < 3, date=WEDNESDAY) for n in (1, 2, 3)]
    books = told((DAY, trade(qty="3", fee="0")), *((WEDNESDAY, one) for one in (*parts, split(MONDAY, 1, 2))))
    check_days(books, ("0", "3"), ("0", "3"), ("0", "1"), ("0", "1"), ("1", "0"))


class Told:
    """
    Trades that settle in parts around splits, all told late in any order, and a reckoning of what there was each day.
    """

    def __init__(self, dice: Random) -> None:
        self.books = market(share_scale=12)
        self.trades: list[dict[str, Any]] = []
        self.splits: list[tuple[int, int, Fraction]] = []
        """Seq, day and ratio of each."""
        today = 0
        for number in range(40):
            today = min(today + (dice.random() < 0.25), len(self.DAYS) - 1)
            self.books.set_day(self.DAYS[today])
            kind = dice.choice((self.trade, self.trade, self.settle, self.settle, self.settle, self.split))
            kind(dice, f"n{number}", max(0, today - dice.randrange(3)))

    DAYS = tuple(f"2024-08-{day:02}" for day in range(5, 16))

    def given(self, event: Any) -> int | None:
        """Return the seq at which *event* was taken, if it was."""
        return len(self.books.stored) if self.books.give(event).rule is None else None

    def trade(self, dice: Random, name: str, day: int) -> None:
        side, qty = dice.choice(("buy", "sell")), dice.randrange(1, 9)
        seq = self.given(trade(name, side, str(qty), fee="0", trade_date=self.DAYS[day]))
        if seq is not None:
            own = qty if side == "buy" else -qty
            self.trades.append({"name": name, "seq": seq, "day": day, "qty": own, "left": Fraction(1), "parts": []})

    def settle(self, dice: Random, name: str, day: int) -> None:
        waiting = [x for x in self.trades if x["left"]]
        if waiting:
            of = dice.choice(waiting)
            part, day = of["left"] / dice.choice((1, 2)), max(day, of["day"])
            qty = render(int(abs(of["qty"]) * part * UNIT))
            event = settled(name, of["name"], qty, partial=part < of["left"], trade_date=self.DAYS[of["day"]],
                            date=self.DAYS[day])  # fmt: skip
            if self.given(event) is not None:
                of["left"] -= part
                of["parts"].append((day, part))

    def split(self, dice: Random, name: str, day: int) -> None:
        num, den = dice.choice(((2, 1), (1, 2), (5, 2)))
        seq = self.given(split(self.DAYS[day], num, den, name))
        if seq is not None:
            self.splits.append((seq, day, Fraction(num, den)))

    def on(self, day: int) -> tuple[Fraction, Fraction]:
        """Return (settled, unsettled): of each trade what it is in the shares of the day, by the parts of it."""
        found = [Fraction(0), Fraction(0)]
        for one in self.trades:
            came, became = one["day"], Fraction(one["qty"])
            for seq, of, ratio in self.splits:
                came = min(came, of) if one["seq"] < seq else max(came, of)
                became *= ratio if one["seq"] < seq and of <= day else 1
            done = sum((part for at, part in one["parts"] if max(at, came) <= day), Fraction(0))
            if came <= day:
                found[0] += became * done
                found[1] += became * (1 - done)
        return found[0], found[1]


@pytest.mark.parametrize("seed", range(6))
def test_each_day_has_what_a_reckoning_trade_by_trade_says(seed: int) -> None:
    """Whatever was told when, a trade is its shares times the ratios of the splits since, settled part by part."""
    several = 0
    for number in range(10):
        made = Told(Random(seed * 1000 + number))
        several += len(made.splits) > 1
        for place, day in enumerate(made.DAYS):
            (row,) = known(made.books, day).rows("balances", account="A", asset="XYZ") or [None]
            if row is not None:
                assert (Fraction(row.settled, UNIT), Fraction(row.unsettled, UNIT)) == made.on(place), (number, day)
    assert several


@pytest.mark.parametrize("together", [True, False])
def test_what_settles_before_its_trades_count_settles_with_them_in_new_shares(together: bool) -> None:
    """Two trades of a closed day, paid in XYZ, count for Tuesday; they settled on Monday, and XYZ split before."""
    names = [ExecutionRef(trade_date=DAY, exec_id=name) for name in "EF"]
    apart = [settled(f"S{x.exec_id}", x.exec_id, "10", date=MONDAY) for x in names]
    settling = [TradeSettled(settlement_id="S", venue="N", net=tuple(names), qty="20", date=MONDAY)]
    books = told(
        (TUESDAY, PeriodClosed(through=DAY)), (TUESDAY, bought("E")), (TUESDAY, bought("F")),
        *((WEDNESDAY, step) for step in (split(DUE, 2), *(settling if together else apart))), books=firm(),
    )  # fmt: skip
    for day, shares in ((DAY, "200"), (DUE, "400"), (MONDAY, "400"), (TUESDAY, "0"), (WEDNESDAY, "0")):
        assert has(known(books, day)) == (shares, "0")
        check_stated(books, known(books, day), day)
    assert known(books, LAST).rows("balances") == now(books).rows("balances")
