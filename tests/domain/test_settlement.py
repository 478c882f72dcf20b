"""
Check settlement: which day, which buckets, in how many parts, and what a bust takes back.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger.domain.amounts import render
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import Fee, QuarantineResolved, TradeBusted, TradeCorrected
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import CalendarPublished, Cycle, InstrumentAmended, InstrumentDefined
from ledger.domain.events.settlement import (
    AllocationLine,
    AllocationReversed,
    ExecutionRef,
    SettlementFailed,
    TradeAllocated,
    TradeSettled,
)
from ledger.domain.fold import DuplicateFact
from ledger.domain.ladder import Rung, ladder
from ledger.errors import RuleBroken
from tests.domain.books import Books, check_invariants
from tests.domain.equities import CYCLES, DAY, DUE, all_balances, buckets, market, settled, trade
from tests.domain.forgetful import ForgetfulBooks

BUST = TradeBusted(exec_id="X", exec_ref="E", venue="N", trade_date=DAY, reason="r")


def failed(name: str = "S", **more: object) -> SettlementFailed:
    given: dict[str, object] = {"trade_date": DAY, "exec_id": "E", "date": DUE, "new_intended_date": "2024-08-12",
                                "reason": "short"}  # fmt: skip
    return SettlementFailed(settlement_id=name, venue="N", leg="securities", **{**given, **more})  # type: ignore[arg-type]


def rungs(books: Books) -> list[Rung]:
    state = books.state
    scales = {row.asset: row.scale for row in state.assets.rows.values()}
    tables = [
        list(table.rows.values())
        for table in (state.executions, state.settlement_fails, state.movements, state.allocations)
    ]
    found = ladder(*tables, scales)  # type: ignore[arg-type]
    # A database returns rows in no order of their own.
    assert found == ladder(*(rows[::-1] for rows in tables), scales)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("traded", "due"),
    [
        ("2017-09-05", "2017-09-07"),  # the first day of T+2: both days settled on the 7th, as they did
        ("2017-09-01", "2017-09-07"),  # T+3, over Labor Day
        ("2024-05-23", "2024-05-28"),  # T+2, over Memorial Day
        ("2024-05-24", "2024-05-29"),  # T+2, over Memorial Day and the day of the change
        ("2024-05-28", "2024-05-29"),  # the first day of T+1: both days settled on the 29th, as they did
        ("2024-07-03", "2024-07-05"),  # T+1, over Independence Day
        ("2024-08-09", "2024-08-12"),  # T+1, over a weekend
    ],
)
def test_a_trade_settles_by_the_cycle_of_its_product_on_its_day(traded: str, due: str) -> None:
    """US equities went from T+3 to T+2 on 2017-09-05 and to T+1 on 2024-05-28; a trade keeps the cycle of its day."""
    books = market()
    outcome = books.give(trade(trade_date=traded))
    assert msgspec.json.decode(outcome.derived)["settle_date"] == due


def test_without_a_cycle_for_its_product_an_instrument_has_its_own() -> None:
    """Before the first cycle of the calendar, or without a product, the instrument's own five days count."""
    books = market()
    outcome = books.give(trade(trade_date="1995-06-01"))
    assert msgspec.json.decode(outcome.derived)["settle_date"] == "1995-06-08"
    books.give(InstrumentAmended(instrument="XYZ.N", effective_from=DAY, product="bond"))
    outcome = books.give(trade("E2"))
    assert msgspec.json.decode(outcome.derived)["settle_date"] == "2024-08-15"


def test_a_new_version_of_a_calendar_moves_later_trades_alone() -> None:
    """What is recorded stays; a later trade follows the cycles published last, and T+0 settles with the trade."""
    books = market()
    books.give(trade("E1"))
    cycles = (*CYCLES, Cycle(product="us_equity", days=0, effective_from="2024-08-01"))
    books.give(CalendarPublished(calendar="us", calendar_version=2, cycles=cycles))
    outcome = books.give(trade("E2"))
    assert msgspec.json.decode(outcome.derived)["settle_date"] == DAY
    assert buckets(books) == ("98999", "-1001")
    books.replayed()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (CalendarPublished(calendar="us", calendar_version=2, cycles=(CYCLES[0], CYCLES[0])), "two cycles"),
        (CalendarPublished(calendar="us", calendar_version=2, cycles=(
            Cycle(product="p", days=31, effective_from=DAY),)), "0 to 30"),
        (InstrumentDefined(instrument="I", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="1", lot="1",
                           settlement_cycle=1, product="p", venue="N"), "without a calendar"),
    ],
)  # fmt: skip
def test_cycles_that_mean_nothing_are_refused(event: Event, words: str) -> None:
    """A product has one cycle a day, of a month at most, and is looked up in a calendar."""
    with pytest.raises(RuleBroken, match=words):
        market().give(event)


def test_another_settle_date_needs_a_reason_and_waits_for_it() -> None:
    """I14: without a reason it is quarantined; with one it stands, but never before the trade date."""
    books = market()
    assert books.give(trade(settle_date="2024-08-20")).rule == "settle_date"
    assert books.give(trade(settle_date="2024-08-07", settle_date_reason="r")).rule == "settle_date"
    assert books.give(trade(settle_date=DAY, settle_date_reason="cash trade")).rule is None
    assert buckets(books) == ("100000", "-1001")


def test_settlement_moves_both_legs_and_the_fee_on_both_sides() -> None:
    """The table of double entry, then delivery versus payment: all that was unsettled is settled, everywhere."""
    books = market()
    before = all_balances(books)
    books.give(trade())
    unsettled = {key: value for key, value in all_balances(books).items() if key[2] == "unsettled"}
    assert {(a, s): render(v) for (a, s, _), v in unsettled.items()} == {
        ("A", "XYZ"): "100", ("A", "USD"): "-1001", ("~clearing.N", "XYZ"): "-100", ("~clearing.N", "USD"): "1000",
        ("~fees", "USD"): "1",
    }  # fmt: skip
    outcome = books.give(settled())
    assert (outcome.stream, msgspec.json.decode(outcome.derived)["amount"]) == ("account/A", "1000")
    after = all_balances(books)
    assert not [key for key in after if key[2] == "unsettled"]
    for (account, asset, _), value in unsettled.items():
        assert after[account, asset, "settled"] == before.get((account, asset, "settled"), 0) + value
    check_invariants(books.state)
    books.replayed()


def test_parts_add_up_to_the_last_digit() -> None:
    """Three thirds of 100.00 and of a fee of 1.00: the last part takes what rounding left."""
    books = market(share_scale=2)
    books.give(trade(qty="3", price="33.333333333333333333", gross="100"))
    for name, amount in (("S1", "33.33"), ("S2", "33.34"), ("S3", "33.33")):
        outcome = books.give(settled(name, qty="1", partial=name != "S3"))
        assert msgspec.json.decode(outcome.derived)["amount"] == amount
        check_invariants(books.state)
    assert buckets(books) == ("99899", "0")
    books.replayed()


def test_an_agent_may_round_its_own_way_and_the_last_part_is_what_is_left() -> None:
    """33.34 for a third of 100 is the share rounded up; 33.35 is not; nor is anything but the rest for the last."""
    books = market(share_scale=2)
    books.give(trade(qty="3", price="33.333333333333333333", gross="100", fee="0"))
    assert books.give(settled("S1", qty="1", amount="33.35", partial=True)).rule == "settlement_amount"
    assert books.give(settled("S1", qty="1", amount="33.34", partial=True)).rule is None
    assert books.give(settled("S2", qty="2", amount="66.67")).rule == "settlement_amount"
    assert books.give(settled("S2", qty="2", amount="66.66")).rule is None
    assert buckets(books) == ("99900", "0")


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (settled(exec_id="none"), "unknown_ref"),
        (settled(exec_id="OLD"), "stale_ref"),
        (settled(exec_id="BUSTED"), "stale_ref"),
        (settled(exec_id="BUST"), "ref_is_bust"),
        (settled(qty="101"), "over_settlement"),
        (settled(qty="99"), "not_whole"),
        (settled(qty="0"), "quantity"),
        (settled(qty="0.5", partial=True), "excess_scale"),
        (settled(amount="1000.01"), "settlement_amount"),
        (settled(amount="1000.001"), "excess_scale"),
        (settled(date="2024-08-07"), "settled_before_trade"),
        (settled(exec_id=None), "settles_what"),
        (settled(trade_date=None), "settles_what"),
        (settled(net=(ExecutionRef(trade_date=DAY, exec_id="E"),)), "settles_what"),
        (failed(exec_id="none"), "unknown_ref"),
        (failed(new_intended_date=DAY), "new_intended_date"),
    ],
)
def test_a_settlement_that_cannot_be_is_quarantined(event: Event, rule: str) -> None:
    """It moves nothing, is kept whole, and replays."""
    books = market()
    books.give(trade())
    books.give(trade("OLD"))
    corrected = dict(msgspec.structs.asdict(trade("NEW", price="11")), exec_ref="OLD")
    books.give(TradeCorrected(**corrected))  # type: ignore[arg-type]
    books.give(trade("BUSTED"))
    books.give(TradeBusted(exec_id="BUST", exec_ref="BUSTED", venue="N", trade_date=DAY, reason="r"))
    before = all_balances(books)
    assert books.give(event).rule == rule
    assert all_balances(books) == before
    books.replayed()


def test_what_has_too_many_decimals_is_named() -> None:
    """The amount, as it was given."""
    books = market()
    books.give(trade())
    said = books.give(settled(amount="1000.001")).detail
    assert said is not None
    assert "found amount 1000.001 USD; expected at most 2 decimals" in said


def test_a_settlement_said_twice_is_one_and_an_id_is_used_once() -> None:
    """Redelivery is a duplicate; another settlement under the id, or of a trade that has settled, waits."""
    books = market()
    books.give(trade())
    books.give(settled(qty="40", partial=True))
    with pytest.raises(DuplicateFact) as found:
        books.give(settled(qty="40", partial=True))
    assert found.value.seq == len(books.stored)
    assert books.give(settled(qty="60")).rule == "settlement_id_reused"
    books.give(settled("S2", qty="60"))
    assert books.give(settled("S3", qty="1")).rule == "over_settlement"
    assert books.give(failed("S2")).rule == "settled_before"


@pytest.mark.parametrize("part", ["0", "1", "40", "100"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_bust_takes_out_of_each_bucket_what_the_trade_put_in(part: str, side: str) -> None:
    """Whether none, some or all of it has settled, the books are after the bust as they were before the trade."""
    books = market(share_scale=2)
    before = all_balances(books)
    books.give(trade(side=side, qty="100", price="0.333333", gross="33.33", fee="0.07"))
    if part != "0":
        books.give(settled(qty=part, partial=True))
    books.give(BUST)
    assert all_balances(books) == before
    check_invariants(books.state)
    books.replayed()


def test_a_correction_of_a_settled_trade_starts_unsettled() -> None:
    """What had settled goes back, bucket by bucket, and the new version waits for a settlement of its own."""
    books = market()
    books.give(trade())
    books.give(settled(qty="40", partial=True))
    corrected = dict(msgspec.structs.asdict(trade("F", qty="90")), exec_ref="E")
    books.give(TradeCorrected(**corrected))  # type: ignore[arg-type]
    assert buckets(books) == ("100000", "-901")
    assert buckets(books, asset="XYZ") == ("0", "90")
    assert books.give(settled("S2", qty="60")).rule == "stale_ref"
    books.give(settled("S3", "F", "90"))
    assert buckets(books) == ("99099", "0")
    check_invariants(books.state)
    books.replayed()


def test_several_trades_settle_net_in_one_event() -> None:
    """Bought 100 and sold 30, part of it settled before: what is left of both settles, and the net must be right."""
    books = market()
    books.give(trade("E1", qty="100", price="10"))
    books.give(trade("E2", side="sell", qty="30", price="11"))
    books.give(settled("S0", "E1", "20", partial=True))
    net = (ExecutionRef(trade_date=DAY, exec_id="E1"), ExecutionRef(trade_date=DAY, exec_id="E2"))

    def event(qty: str, amount: str | None) -> TradeSettled:
        return TradeSettled(settlement_id="N", venue="N", net=net, qty=qty, amount=amount, date=DUE)

    assert books.give(event("70", None)).rule == "net_quantity"
    assert books.give(event("50", "471")).rule == "settlement_amount"
    assert books.give(event("50", "470")).rule is None
    assert buckets(books) == ("99328", "0")
    assert buckets(books, asset="XYZ") == ("70", "0")
    other = trade("E3", account="B")
    books.give(other)
    assert books.give(event("1", None)).rule == "settlement_id_reused"
    mixed = TradeSettled(settlement_id="M", venue="N", qty="1", date=DUE,
                         net=(net[0], ExecutionRef(trade_date=DAY, exec_id="E3")))  # fmt: skip
    assert books.give(mixed).rule == "net_mismatch"
    check_invariants(books.state)
    books.replayed()


def test_a_failed_settlement_moves_nothing_and_is_tried_again() -> None:
    """Fails of different days are different facts; the same day's is a duplicate; then it settles under its id."""
    books = market()
    books.give(trade())
    before = all_balances(books)
    books.give(failed())
    with pytest.raises(DuplicateFact):
        books.give(failed())
    assert books.give(failed(reason="other")).rule == "settlement_id_reused"
    books.give(failed(date="2024-08-12", new_intended_date="2024-08-13"))
    assert all_balances(books) == before
    assert [(r.date, r.asset, render(r.due), render(r.failed)) for r in rungs(books)] == [
        ("2024-08-09", "USD", "0", "-1001"), ("2024-08-09", "XYZ", "0", "100"),
        ("2024-08-12", "USD", "0", "-1001"), ("2024-08-12", "XYZ", "0", "100"),
        ("2024-08-13", "USD", "-1001", "0"), ("2024-08-13", "XYZ", "100", "0"),
    ]  # fmt: skip
    books.give(settled(date="2024-08-13"))
    last = [r for r in rungs(books) if r.date == "2024-08-13"]
    assert [(r.asset, render(r.due), render(r.settled)) for r in last] == [("USD", "0", "-1001"), ("XYZ", "0", "100")]
    books.replayed()


MONDAY = "2024-08-12"


@pytest.mark.parametrize("name", ["S", "S2"])
def test_a_fail_that_is_told_after_its_trade_has_settled_is_of_the_quantity_it_gives(name: str) -> None:
    """Friday's fail comes after Monday's settlement, under its id or another: Friday has it, all else stays."""
    books = market()
    books.give(trade())
    books.give(settled(date=MONDAY))
    before, stands = all_balances(books), [x for x in rungs(books) if x.date == MONDAY]
    waits = books.give(failed(name))
    assert (waits.rule, "`qty`" in str(waits.detail)) == ("settled_before" if name == "S" else "over_settlement", True)
    made = books.give(failed(name, qty="100"))
    assert made.rule is None
    assert [(x.date, x.asset, render(x.due), render(x.failed)) for x in rungs(books) if x.date != MONDAY] == [
        (DUE, "USD", "0", "-1001"), (DUE, "XYZ", "0", "100"),
    ]  # fmt: skip
    assert (all_balances(books), [x for x in rungs(books) if x.date == MONDAY]) == (before, stands)
    accepted = QuarantineResolved(ref=len(books.stored) - 1, resolution="accepted", accepted_seq=len(books.stored),
                                  proposed_by="p", approved_by="q")  # fmt: skip
    books.give(accepted)
    check_invariants(books.state)
    books.replayed()


def test_told_in_either_order_a_fail_and_what_settled_after_it_are_the_same() -> None:
    """In parts too: 100 failed on Friday, of which 40 settled on Monday; and what is left waits for the day it said."""
    found = []
    for late in (False, True):
        books = market()
        books.give(trade(fees=(Fee(kind="stamp", asset="EUR", amount="3"),)))
        steps = [failed("F", new_intended_date="2024-08-14"), settled("S", qty="40", partial=True, date=MONDAY)]
        if late:
            steps = [steps[1], failed("F", qty="100", new_intended_date="2024-08-14")]
        for event in steps:
            assert books.give(event).rule is None
        found.append((rungs(books), all_balances(books)))
        books.replayed()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"qty": "60"}, "quantity"),
        ({"qty": "99"}, "quantity"),
        ({"qty": "100"}, None),
        ({"qty": "101"}, "quantity"),
        ({"qty": "60.5"}, "excess_scale"),
        ({"qty": "59", "date": MONDAY}, "quantity"),
        ({"qty": "60", "date": MONDAY}, None),
        ({"qty": "75", "date": MONDAY}, None),
        ({"qty": "100", "date": MONDAY}, None),
        ({"date": MONDAY}, None),
        ({}, "settled_before"),
        ({"settlement_id": "S"}, "settled_before"),
        ({"qty": "100", "settlement_id": "S", "date": "2024-08-13", "new_intended_date": "2024-08-13"},
         "settled_before"),
    ],
)  # fmt: skip
def test_what_failed_is_what_was_left_between_the_begin_and_the_end_of_its_day(
    more: dict[str, str], rule: str | None
) -> None:
    """
    40 of 100 have settled on Monday: on Friday all was left, on Monday 60 at least. A settlement that was done failed
    on no day after it.
    """
    books = market()
    books.give(trade())
    books.give(settled("S", qty="40", partial=True, date=MONDAY))
    given = {"name": more.get("settlement_id", "F"), **{key: x for key, x in more.items() if key != "settlement_id"}}
    assert books.give(failed(**given)).rule == rule
    books.replayed()


@pytest.mark.parametrize(
    ("date", "qty", "rule"),
    [
        (DUE, "100", None),
        (DUE, "60", None),
        (DUE, "59", "quantity"),
        (MONDAY, "100", "quantity"),
        (MONDAY, "60", None),
        (MONDAY, "1", "quantity"),
        (MONDAY, None, "over_settlement"),
        ("2024-08-13", "60", None),
        ("2024-08-13", "1", None),
        ("2024-08-14", "60", "over_settlement"),
        ("2024-08-14", "0", "over_settlement"),
    ],
)
@pytest.mark.parametrize("told", [(0, 1), (1, 0)])
def test_no_more_failed_than_was_left_by_then(
    told: tuple[int, int], date: str, qty: str | None, rule: str | None
) -> None:
    """40 settled on Friday and 60 on Tuesday, told in either order: under whichever id, Wednesday had nothing left."""
    books = market()
    books.give(trade())
    parts = [settled("S1", qty="40", partial=True), settled("S2", qty="60", partial=True, date="2024-08-13")]
    books.set_day("2024-08-14")
    for place in told:
        assert books.give(parts[place]).rule is None
    before = rungs(books)
    assert books.give(failed("F", qty=qty, date=date, new_intended_date="2024-08-15")).rule == rule
    if rule is not None:
        assert rungs(books) == before
    books.replayed()


@pytest.mark.parametrize("closed", ["", MONDAY, "2024-08-13"])
def test_whether_a_fail_comes_after_its_settlement_is_by_the_days_it_gave(closed: str) -> None:
    """40 settled on Friday, told on Wednesday: whatever is closed by then, they had on Monday, and 60 had not."""
    books = market()
    books.give(trade())
    books.set_day("2024-08-14")
    if closed:
        books.give(PeriodClosed(through=closed))
    assert books.give(settled("S", qty="40", partial=True)).rule is None
    again = {"date": MONDAY, "new_intended_date": "2024-08-15"}
    waits = books.give(failed("S", qty="60", **again))
    assert (waits.rule, "settled on 2024-08-09" in str(waits.detail)) == ("settled_before", True)
    assert books.give(failed("S", qty="100", new_intended_date=MONDAY)).rule is None
    assert books.give(failed("F", qty="60", **again)).rule is None
    assert [render(x.failed) for x in rungs(books) if x.asset == "XYZ" and x.failed] == ["100", "60"]
    # Of two days of which both were closed when it was told, nothing says which one was its own.
    books.give(settled("S2", qty="60", date="2024-08-13"))
    assert books.give(failed("S", qty="60", **again)).rule == (None if closed == "2024-08-13" else "settled_before")
    books.replayed()


@pytest.mark.parametrize(
    ("name", "date", "rule"),
    [
        ("S1", DUE, None),
        ("S1", MONDAY, "settled_before"),
        ("S1", "2024-08-13", "settled_before"),
        ("S2", MONDAY, None),
        ("S2", "2024-08-13", "settled_before"),
        ("F", MONDAY, None),
        ("F", "2024-08-13", None),
        ("S3", "2024-08-13", None),
    ],
)
@pytest.mark.parametrize("closed", ["", MONDAY])
def test_a_settlement_that_was_done_failed_on_no_day_after_its_own(
    closed: str, name: str, date: str, rule: str | None
) -> None:
    """40 settled on Friday, 40 on Monday and 20 on Tuesday: what one is of is no reason to believe it of another."""
    books = market()
    books.give(trade())
    books.set_day("2024-08-14")
    if closed:
        books.give(PeriodClosed(through=closed))
    for part, day, qty in (("S1", DUE, "40"), ("S2", MONDAY, "40"), ("S3", "2024-08-13", "20")):
        assert books.give(settled(part, qty=qty, partial=True, date=day)).rule is None
    left = {DUE: "100", MONDAY: "60", "2024-08-13": "20"}[date]
    told = books.give(failed(name, qty=left, date=date, new_intended_date="2024-08-15"))
    if closed and (name, date) == ("S1", MONDAY):
        # Which of the closed days the settlement gave, nothing says.
        rule = None
    assert told.rule == rule
    books.replayed()


@pytest.mark.parametrize(
    ("part", "least"), [("100", "more than 0, at most 100"), ("40", "at least 60, which its end left, at most 100")]
)
def test_what_may_have_failed_is_said_as_it_is(part: str, least: str) -> None:
    """Of what has settled as a whole on the day, its end left nothing."""
    books = market()
    books.give(trade())
    books.give(settled("S", qty=part, partial=part != "100"))
    assert least in str(books.give(failed("F", qty="0")).detail)


def test_a_fail_told_after_a_part_of_what_failed_settled_says_how_much_was_left() -> None:
    """Without a quantity it waits, of one execution and of several, and says what to give; then it is accepted."""
    books = market()
    for name in ("E1", "E2"):
        books.give(trade(name))
    books.give(settled("S", "E1", "40", partial=True, date=MONDAY))
    waits = books.give(failed("F", exec_id="E1"))
    words = "'E1' of 2024-08-08, of which 40 settled on days after it; expected one of what waits, or `qty`: how much"
    assert (waits.rule, words in str(waits.detail)) == ("settled_before", True)
    net = tuple(ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E1", "E2"))
    waits = books.give(failed("N", trade_date=None, exec_id=None, net=net))
    assert (waits.rule, "`qty` of each execution" in str(waits.detail)) == ("settled_before", True)
    for name in ("E1", "E2"):
        assert books.give(failed(f"F-{name}", exec_id=name, qty="100")).rule is None
    assert [render(x.failed) for x in rungs(books) if x.date == DUE] == ["-2002", "200"]
    books.replayed()


@pytest.mark.parametrize("as_a_whole", [True, False])
def test_what_failed_of_several_that_have_settled_is_told_of_each(as_a_whole: bool) -> None:
    """How much of which was left, a net says nothing of; it is accepted as the one that is told under its id."""
    books = market()
    net = tuple(ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E1", "E2"))
    for name in ("E1", "E2"):
        books.give(trade(name))
    if as_a_whole:
        books.give(TradeSettled(settlement_id="N", venue="N", net=net, qty="200", date=MONDAY))
    else:
        books.give(settled("S", "E1", date=MONDAY))
    several = {"trade_date": None, "exec_id": None, "net": net}
    waits = books.give(failed("N", **several))
    ref, rule = len(books.stored), "settled_before" if as_a_whole else "over_settlement"
    words = "tell the first under 'N', as which this one is then accepted, and the others under ids of their own"
    assert (waits.rule, words in str(waits.detail)) == (rule, True)
    wrong = books.give(failed("N", qty="200", **several))
    assert (wrong.rule, words in str(wrong.detail)) == ("settles_what", True)
    for name, execution in (("N", "E1"), ("N-2", "E2")):
        assert books.give(failed(name, exec_id=execution, qty="100")).rule is None
    assert [render(x.failed) for x in rungs(books) if x.date == DUE] == ["-2002", "200"]
    accepted = QuarantineResolved(ref=ref, resolution="accepted", accepted_seq=len(books.stored) - 1,
                                  proposed_by="p", approved_by="q")  # fmt: skip
    assert books.give(accepted).rule is None
    books.replayed()


@pytest.mark.parametrize("kind", [Books, ForgetfulBooks])
def test_the_rest_of_what_settled_in_part_fails_under_an_id_of_its_own(kind: type[Books]) -> None:
    """Whether memory has kept the part or not: the id is that of a settlement that was done."""
    books = market(kind=kind)
    books.give(trade())
    books.give(settled("S", qty="40", partial=True))
    assert books.give(failed("S")).rule == "settled_before"
    assert books.give(failed("S", qty="100")).rule is None
    assert books.give(failed("S2")).rule is None
    books.replayed()


@pytest.mark.parametrize(
    ("first", "second", "qty", "cash"),
    [
        ({}, {}, "100", "-1001"),
        ({}, {"exec_id": "E2"}, "110", "-1211"),
        ({"qty": "60", "date": MONDAY}, {"qty": "100", "date": MONDAY}, "100", "-1001"),
        ({"qty": "100", "date": MONDAY}, {"date": MONDAY}, "100", "-1001"),
    ],
    ids=["told by two", "of the correction too", "what was left at its end, then when it began", "the other way round"],
)
def test_a_trade_fails_once_a_day_whoever_tells_it(
    first: dict[str, str], second: dict[str, str], qty: str, cash: str
) -> None:
    """
    A venue and a depository, each under an id of its own, tell one fail, whichever version of the trade they name. What
    was left in the evening is of what was left in the morning.
    """
    books = market()
    books.give(trade())
    if "date" in first:
        assert books.give(settled("P", qty="40", partial=True, date=MONDAY)).rule is None
    assert books.give(failed("S1", **first)).rule is None
    if "exec_id" in second:
        corrected = dict(msgspec.structs.asdict(trade("E2", qty="110", price="11")), exec_ref="E")
        assert books.give(TradeCorrected(**corrected)).rule is None  # type: ignore[arg-type]
    assert books.give(failed("S2", **second)).rule is None
    assert [(x.asset, render(x.failed)) for x in rungs(books) if x.failed] == [("USD", cash), ("XYZ", qty)]
    books.replayed()


def test_a_net_fail_and_those_of_its_trades_are_one() -> None:
    """With the fees in other assets, once each; another day's is another fail."""
    books = market()
    for name in ("E1", "E2"):
        books.give(trade(name, fees=(Fee(kind="stamp", asset="EUR", amount="3"),)))
    net = tuple(ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E1", "E2"))
    assert books.give(failed("N", trade_date=None, exec_id=None, net=net)).rule is None
    assert books.give(failed("F", exec_id="E1")).rule is None
    assert books.give(failed("F", exec_id="E2", date=MONDAY)).rule is None
    assert [(x.date, x.asset, render(x.failed)) for x in rungs(books) if x.failed] == [
        (DUE, "EUR", "-6"), (DUE, "USD", "-2000"), (DUE, "XYZ", "200"),
        (MONDAY, "EUR", "-3"), (MONDAY, "USD", "-1000"), (MONDAY, "XYZ", "100"),
    ]  # fmt: skip


def test_the_ladder_says_what_is_due_what_settled_and_what_failed() -> None:
    """By day, account and asset, as the account sees it; cash is due with its fees."""
    books = market()
    books.give(trade("E1", qty="100", price="10"))
    books.give(trade("E2", side="sell", qty="30", price="11"))
    books.give(trade("E3", account="B", trade_date=DUE))
    books.give(settled("S", "E1", "40", partial=True))
    found = [(r.date, r.account, r.asset, render(r.due), render(r.settled)) for r in rungs(books)]
    assert found == [
        (DUE, "A", "USD", "-271.6", "-400.4"), (DUE, "A", "XYZ", "30", "40"),
        ("2024-08-12", "B", "USD", "-1001", "0"), ("2024-08-12", "B", "XYZ", "100", "0"),
    ]  # fmt: skip


def test_the_newest_fail_says_when_it_is_tried_again_whenever_it_is_told() -> None:
    """One of an earlier day that is told late does not bring the day back."""
    books = market()
    books.give(trade())
    for day, again in (("2024-08-12", "2024-08-14"), (DUE, "2024-08-12")):
        failed = SettlementFailed(
            settlement_id="S", venue="N", trade_date=DAY, exec_id="E", date=day, leg="cash", reason="r",
            new_intended_date=again,
        )  # fmt: skip
        assert books.give(failed).rule is None
    assert [(x.date, x.asset) for x in rungs(books) if x.due] == [("2024-08-14", "USD"), ("2024-08-14", "XYZ")]


def test_a_fee_in_another_asset_fails_with_its_trade() -> None:
    """It is due, fails and is due again as the rest is."""
    books = market()
    books.give(trade(fees=(Fee(kind="stamp", asset="EUR", amount="3"),)))
    failed = SettlementFailed(
        settlement_id="S", venue="N", trade_date=DAY, exec_id="E", date=DUE, leg="cash", reason="r",
        new_intended_date="2024-08-12",
    )  # fmt: skip
    assert books.give(failed).rule is None
    found = [(x.date, x.asset, render(x.due), render(x.failed)) for x in rungs(books)]
    assert found == [
        (DUE, "EUR", "0", "-3"), (DUE, "USD", "0", "-1000"), (DUE, "XYZ", "0", "100"),
        ("2024-08-12", "EUR", "-3", "0"), ("2024-08-12", "USD", "-1000", "0"), ("2024-08-12", "XYZ", "100", "0"),
    ]  # fmt: skip
    books.replayed()


def test_what_failed_is_tried_again_on_its_day_by_whoever_it_was_given_to() -> None:
    """Of a block whose parts failed the lines are due when the last is tried; a line that fails has its own day."""
    books = market()
    for name in ("E1", "E2"):
        books.give(trade(name, account="BLOCK", fee="0"))
    books.give(failed("S1", exec_id="E1", new_intended_date="2024-08-20"))
    books.give(failed("S2", exec_id="E2", new_intended_date="2024-08-19"))
    lines = tuple(AllocationLine(account=x, qty="100", price="10") for x in ("A", "B"))
    made = TradeAllocated(allocation_id="AL", venue="N", trade_date=DAY, exec_ids=("E1", "E2"), lines=lines)
    books.give(made)

    def due() -> list[tuple[str, str]]:
        return [(x.date, x.account) for x in rungs(books) if x.due and x.asset == "XYZ"]

    assert due() == [("2024-08-20", "A"), ("2024-08-20", "B")]
    books.give(failed("S3", exec_id="AL.2", date="2024-08-16", new_intended_date="2024-08-17"))
    assert due() == [("2024-08-17", "B"), ("2024-08-20", "A")]
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    assert due() == [("2024-08-19", "BLOCK"), ("2024-08-20", "BLOCK")]


def waits(books: Books) -> list[tuple[str, str]]:
    """Return (day, account) on which shares are due."""
    return [(x.date, x.account) for x in rungs(books) if x.due and x.asset == "XYZ"]


def corrected(name: str, ref: str, **more: str) -> TradeCorrected:
    return TradeCorrected(
        exec_id=name, exec_ref=ref, venue="N", account=more.pop("account", "A"), instrument="XYZ.N", side="buy",
        qty="100", price="10", trade_date=DAY, fees=(Fee(kind="commission", asset="USD", amount="2"),), **more,
    )  # fmt: skip


def allocated(name: str, *exec_ids: str, accounts: tuple[str, ...] = ("A",), qty: str = "100") -> TradeAllocated:
    lines = tuple(AllocationLine(account=x, qty=qty, price="10") for x in accounts)
    return TradeAllocated(allocation_id=name, venue="N", trade_date=DAY, exec_ids=exec_ids, lines=lines)


def test_a_trade_that_failed_and_is_corrected_waits_for_the_day_it_is_tried_again() -> None:
    """So does the correction of a correction; once a version fails itself, its own day counts."""
    books = market()
    books.give(trade())
    books.give(failed("S1", new_intended_date="2024-08-14"))
    books.give(corrected("C1", "E"))
    assert waits(books) == [("2024-08-14", "A")]
    books.give(failed("S2", exec_id="C1", date="2024-08-12", new_intended_date="2024-08-13"))
    books.give(corrected("C2", "C1"))
    assert waits(books) == [("2024-08-13", "A")]


def test_a_correction_that_gives_a_later_day_to_settle_on_waits_for_that() -> None:
    """What failed was to settle before; a day that was over when it failed says nothing."""
    for given, day in (("2024-08-12", "2024-08-12"), (DUE, "2024-08-14"), (DAY, "2024-08-14")):
        books = market()
        books.give(trade())
        books.give(failed(new_intended_date="2024-08-14"))
        assert books.give(corrected("C", "E", settle_date=given, settle_date_reason="r")).rule is None
        assert waits(books) == [(day, "A")]


def test_a_block_that_failed_is_tried_again_on_its_day_corrected_and_allocated() -> None:
    """The lines are of the version that took the place of the one that failed."""
    books = market()
    books.give(trade(account="BLOCK"))
    books.give(failed(new_intended_date="2024-08-14"))
    books.give(corrected("C", "E", account="BLOCK"))
    books.give(allocated("AL", "C"))
    assert waits(books) == [("2024-08-14", "A")]


def test_what_failed_as_lines_is_tried_again_on_the_last_of_their_days_once_it_is_the_blocks_again() -> None:
    """Also corrected, or allocated anew; what fails after that says when by itself."""
    books = market()
    books.give(trade(account="BLOCK"))
    books.give(allocated("AL", "E", accounts=("A", "B"), qty="50"))
    books.give(failed("S1", exec_id="AL.1", new_intended_date="2024-08-15"))
    books.give(failed("S2", exec_id="AL.2", new_intended_date="2024-08-14"))
    books.give(AllocationReversed(allocation_id="AL", reason="r"))
    assert waits(books) == [("2024-08-15", "BLOCK")]
    books.give(corrected("C", "E", account="BLOCK"))
    assert waits(books) == [("2024-08-15", "BLOCK")]
    books.give(allocated("AL2", "C"))
    assert waits(books) == [("2024-08-15", "A")]
    books.give(AllocationReversed(allocation_id="AL2", reason="r"))
    books.give(failed("S3", exec_id="C", date="2024-08-12", new_intended_date="2024-08-13"))
    assert waits(books) == [("2024-08-13", "BLOCK")]


def test_a_venue_may_round_the_gross_its_own_way() -> None:
    """3 at 33.335 is 100.005: a gross of 100.00 and of 100.01 are both that, 100.02 is not."""
    for gross, rule in (("100", None), ("100.01", None), ("100.02", "gross"), ("99.99", "gross")):
        books = market()
        assert books.give(trade(qty="3", price="33.335", gross=gross)).rule == rule


def test_a_fee_in_the_asset_and_a_rebate_settle_with_the_trade() -> None:
    """Fees of any asset and sign follow the quantity, at their own asset's decimals."""
    books = market(share_scale=2)
    fees = (Fee(kind="stamp", asset="XYZ", amount="0.05"), Fee(kind="rebate", asset="USD", amount="-0.25"))
    books.give(trade(qty="100", price="1", fees=fees))
    books.give(settled("S1", qty="33", partial=True))
    assert buckets(books) == ("99967.08", "-66.83")
    assert buckets(books, asset="XYZ") == ("32.98", "66.97")
    books.give(settled("S2", qty="67"))
    assert buckets(books, asset="XYZ") == ("99.95", "0")
    assert buckets(books) == ("99900.25", "0")
    books.replayed()
