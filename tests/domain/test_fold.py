"""
Check the fold: what is refused, what is quarantined, and what the books look like after.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from ledger.domain import fold, registry
from ledger.domain.events.cash import (
    CashMoved,
    FeeCharged,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
    Leg,
    Posting,
)
from ledger.domain.events.control import (
    BreakResolution,
    ChainCreated,
    ControlsSet,
    Difference,
    ReconciliationRecorded,
)
from ledger.domain.events.executions import (
    Fee,
    QuarantineResolved,
    TradeBusted,
    TradeCorrected,
)
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDoneForDay,
    OrderRejected,
    OrderReplaced,
    OrderRestated,
    ReplaceRequested,
)
from ledger.domain.events.reference import AccountLimitsSet, AccountOpened, AccountStatusSet, InstrumentDefined
from ledger.domain.fold import Context, DuplicateFact
from ledger.errors import InsufficientFunds, LedgerError, RuleBroken, Unbalanced
from tests.domain.books import DAY, amount, balance, check_invariants, opened, order, status, trade


def test_a_buy_is_held_for_filled_and_paid_to_the_last_digit() -> None:
    """The hold is price x quantity, a fill releases its share, the fee is on top, and the books balance."""
    books = opened()
    books.give(order(qty="0.02", price="100.5"))
    assert balance(books, "USDT") == (amount("997.99"), amount("2.01"))
    books.give(trade(qty="0.01", price="100.25", fees=[Fee(kind="commission", asset="USDT", amount="0.1")]))
    assert status(books) == "PARTIALLY_FILLED"
    assert balance(books, "USDT") == (amount("997.8925"), amount("1.005"))
    books.give(OrderCanceled(order_id="O"))
    assert balance(books, "USDT") == (amount("998.8975"), 0)
    assert balance(books, "BTC") == (amount("1.01"), 0)
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (order(qty="0.5", price="2000.01"), InsufficientFunds, "floor"),
        (order(side="sell", qty="1.001"), InsufficientFunds, "BTC"),
        (order(qty="0"), RuleBroken, "above 0"),
        (order(qty="0.0001"), RuleBroken, "multiple of 0.001"),
        (order(price="100.001"), RuleBroken, "multiple of 0.01"),
        (FeeCharged(fee_id="f", account="A", kind="x", asset="USDT", amount="1000.01"), InsufficientFunds, "floor"),
        (FeeCharged(fee_id="f", account="A", kind="x", asset="USDT", amount="0.000000001"), RuleBroken, "decimals"),
        (FeeCharged(fee_id="f", account="nobody", kind="x", asset="USDT", amount="1"), RuleBroken, "nobody"),
        (AccountOpened(account="~me", owner="o", kind="cash", base_asset="USDT"), RuleBroken, "begin with '~'"),
        (AccountStatusSet(account="A", status="closed", reason="x"), RuleBroken, "still has BTC, USDT"),
        (AccountLimitsSet(account="A", asset="USDT", floor="-1"), RuleBroken, "at most 0"),
        (
            InstrumentDefined(
                instrument="SELF",
                asset="USDT",
                quote_asset="USDT",
                settle_asset="USDT",
                tick="1",
                lot="1",
                settlement_cycle=0,
                venue="V",
            ),
            RuleBroken,
            "'SELF' quoted in its own asset 'USDT'",
        ),
        (ChainCreated(origin="x", format_version=1, keys=()), RuleBroken, "expected it at 1"),
        (CancelRequested(order_id="none", cl_ord_id="n", orig_cl_ord_id="o"), RuleBroken, "does not know"),
    ],
)
def test_a_command_that_breaks_a_rule_is_refused_and_leaves_no_trace(
    event: Event, error: type[LedgerError], words: str
) -> None:
    """Every refusal names what was found, and the state is as it was."""
    books = opened()
    before = dict(books.state.all_rows())
    mark = books.state.begin()
    with pytest.raises(error, match=words):
        books.give(event)
    assert books.state.changes(mark) == []
    assert dict(books.state.all_rows()) == before


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (trade(order_id="none"), "unknown_order"),
        (trade(qty="0.02"), "overfill"),
        (trade(side="sell"), "order_mismatch"),
        (trade(gross="2"), "gross"),
        (trade(settle_date="2024-08-12"), "settle_date"),
        (trade(fees=[Fee(kind="c", asset="DOGE", amount="1")]), "unknown_asset"),
        (TradeBusted(exec_id="B", exec_ref="none", venue="V", trade_date=DAY, reason="r"), "unknown_ref"),
        (OrderAccepted(order_id="none", venue="V"), "unknown_order"),
        (OrderReplaced(order_id="O", cl_ord_id="x", orig_cl_ord_id="y", qty="1"), "not_pending"),
        (CancelRejected(order_id="O", cl_ord_id="x", reason="r"), "not_pending"),
    ],
)
def test_a_fact_that_breaks_a_rule_is_quarantined_whole_and_moves_nothing(event: Event, rule: str) -> None:
    """The original is kept so that it reads back equal; balances and orders do not move; it replays."""
    books = opened()
    books.give(order())
    mark = books.state.begin()
    outcome = books.give(event)
    assert (outcome.event_type, outcome.rule) == ("FactQuarantined", rule)
    assert {change.table for change in books.state.changes(mark)} == {"quarantine", "streams"}
    kept = registry.decode_given(outcome.event_type, 1, outcome.given)
    assert fold.original_of(kept) == event
    books.replayed()
    seq = len(books.stored)
    books.give(QuarantineResolved(ref=seq, resolution="discarded", proposed_by="ops"))
    with pytest.raises(RuleBroken, match="no quarantined fact"):
        books.give(QuarantineResolved(ref=seq, resolution="discarded", proposed_by="ops"))


def test_the_same_fact_again_is_a_duplicate_and_other_content_is_quarantined() -> None:
    """An execution id names one execution: said again it is the same, said otherwise it waits."""
    books = opened()
    books.give(order())
    books.give(trade())
    with pytest.raises(DuplicateFact) as duplicate:
        books.give(trade())
    assert duplicate.value.seq == len(books.stored)
    assert books.give(trade(price="101")).rule == "exec_id_reused"


def test_in_a_group_the_same_fact_again_waits_as_a_duplicate() -> None:
    """The facts beside it are new; it is kept with the place of the first, and moves nothing."""
    books = opened()
    books.give(order())
    books.give(trade())
    first, mark = len(books.stored), books.state.begin()
    made = fold.record(books.state, trade(), Context(first + 1, books.clock, books.clock), alone=False)
    assert (made.rule, made.detail) == ("duplicate_fact", f"R1: recorded before, at seq {first}")
    assert {change.table for change in books.state.changes(mark)} == {"quarantine", "streams"}


def test_a_fact_that_waits_says_which_amount_has_too_many_decimals() -> None:
    """As it was given, beside what the asset keeps."""
    books = opened()
    books.give(order())
    made = books.give(trade(gross="1.000000001"))
    assert (made.rule, made.detail) == (
        "excess_scale",
        "I20: found gross 1.000000001 USDT; expected at most 8 decimals",
    )


def test_status_follows_the_facts_by_precedence() -> None:
    """Fills arrive while a cancel is pending; the rejected cancel shows what is left: filled."""
    books = opened()
    books.give(order())
    assert status(books) == "PENDING_NEW"
    books.give(OrderAccepted(order_id="O", venue="V"))
    assert status(books) == "NEW"
    books.give(CancelRequested(order_id="O", cl_ord_id="x", orig_cl_ord_id="c-O"))
    books.give(trade())
    assert status(books) == "PENDING_CANCEL"
    books.give(CancelRejected(order_id="O", cl_ord_id="x", reason="too late"))
    assert status(books) == "FILLED"
    books.give(ReplaceRequested(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", new_qty="0.02"))
    assert status(books) == "PENDING_REPLACE"
    books.give(OrderReplaced(order_id="O", cl_ord_id="y", orig_cl_ord_id="c-O", qty="0.02"))
    assert status(books) == "PARTIALLY_FILLED"
    assert balance(books, "USDT") == (amount("998"), amount("1"))
    books.give(OrderDoneForDay(order_id="O"))
    assert status(books) == "DONE_FOR_DAY"
    books.give(OrderRestated(order_id="O", reason="new_day"))
    books.give(OrderReplaced(order_id="O", cl_ord_id="z", orig_cl_ord_id="y", qty="0.001"))
    assert status(books) == "FILLED"
    assert balance(books, "USDT") == (amount("999"), 0)
    check_invariants(books.state)
    books.replayed()


def test_a_fill_after_the_cancel_is_late_and_before_the_acceptance_implies_it() -> None:
    """What traded traded: a late fill is marked, and an early one accepts the order."""
    books = opened()
    books.give(order())
    books.give(trade("E1", qty="0.004"))
    assert status(books) == "PARTIALLY_FILLED"
    books.give(OrderCanceled(order_id="O", unsolicited=True))
    late = books.give(trade("E2", qty="0.004"))
    assert msgspec.json.decode(late.derived)["late"] is True
    assert status(books) == "CANCELED"
    books.give(order("P"))
    books.give(OrderRejected(order_id="P", reason_code="r"))
    assert status(books, "P") == "REJECTED"
    assert books.give(trade("E3", order_id="P")).rule == "order_rejected"
    check_invariants(books.state)


def test_corrections_and_busts_undo_exactly_and_only_the_latest_version() -> None:
    """After a bust the books are as if the trade had not been; a superseded version cannot be touched again."""
    books = opened()
    books.give(order(qty="0.02"))
    before = {asset: balance(books, asset) for asset in ("USDT", "BTC")}
    books.give(trade("E1", fees=[Fee(kind="c", asset="USDT", amount="0.5")]))
    corrected = dict(msgspec.structs.asdict(trade("E2", qty="0.02", price="99")), exec_ref="E1")
    books.give(TradeCorrected(**corrected))  # type: ignore[arg-type]
    assert status(books) == "FILLED"
    check_invariants(books.state)
    assert (
        books.give(TradeBusted(exec_id="X", exec_ref="E1", venue="V", trade_date=DAY, reason="r")).rule == "stale_ref"
    )
    books.give(TradeBusted(exec_id="E3", exec_ref="E2", venue="V", trade_date=DAY, reason="r"))
    assert {asset: balance(books, asset) for asset in ("USDT", "BTC")} == before
    assert status(books) == "NEW"
    check_invariants(books.state)
    books.replayed()


def test_positions_flip_through_zero_and_cost_nothing_when_flat() -> None:
    """A sale through zero closes the long and opens the short; closing that leaves no cost behind."""
    books = opened()
    books.give(trade("1", None, "buy", "0.03", "100.01"))
    books.give(trade("2", None, "sell", "0.05", "103.33"))
    position = books.state.positions.get("A", "BTCUSDT")
    assert position is not None
    assert (position.qty, position.cost) == (-amount("0.02"), -amount("2.0666"))
    assert position.realised == amount("0.0996")
    books.give(trade("3", None, "buy", "0.02", "99.99"))
    check_invariants(books.state)


def test_holds_fees_and_journals_move_what_is_available_and_reverse_exactly() -> None:
    """A hold is released in parts, a journal balances or is refused, and a reversal happens once."""
    books = opened()
    books.give(HoldPlaced(hold_id="h", legs=(Leg(account="A", asset="USDT", amount="999.5"),)))
    with pytest.raises(InsufficientFunds):
        books.give(FeeCharged(fee_id="f", account="A", kind="k", asset="USDT", amount="0.51"))
    part = (Leg(account="A", asset="USDT", amount="0.5"),)
    books.give(HoldReleased(hold_id="h", amounts=part, reason="captured", ref="f"))
    books.give(FeeCharged(fee_id="f", account="A", kind="k", asset="USDT", amount="0.51"))
    books.give(HoldReleased(hold_id="h", reason="void"))
    with pytest.raises(RuleBroken, match="expected one that is open"):
        books.give(HoldReleased(hold_id="h", reason="void"))
    wrong = (Posting(account="A", asset="USDT", bucket="settled", amount="-1"),
             Posting(account="~suspense", asset="USDT", bucket="settled", amount="2"))  # fmt: skip
    with pytest.raises(Unbalanced, match="USDT"):
        books.give(JournalPosted(journal_id="j", postings=wrong, memo="m"))
    books.give(JournalReversed(journal_id="r", reverses_kind="fee", reverses="f", reason="waived"))
    assert [fold.stream_version(books.state, f"journal/{name}") for name in ("r", "none")] == [1, 0]
    with pytest.raises(RuleBroken, match="was reversed"):
        books.give(JournalReversed(journal_id="s", reverses_kind="fee", reverses="f", reason="again"))
    assert balance(books, "USDT") == (amount("1000"), 0)
    books.replayed()


def test_a_break_opens_changes_and_ends() -> None:
    """The breaks of a source are those named last."""
    books = opened()

    def reconcile(*breaks: Difference) -> None:
        books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=1, breaks=breaks))

    reconcile(Difference(key="A:USDT", ledger="1", external="2"))
    reconcile(Difference(key="A:USDT", ledger="1", external="3"), Difference(key="A:BTC", ledger="1", external="0"))
    reconcile()
    assert all(row.closed_seq == len(books.stored) for row in books.state.breaks.rows.values())
    assert len(books.state.breaks.rows) == 2


def test_a_break_that_is_said_again_is_as_of_the_newest_statement_that_says_so() -> None:
    """Only one that stands as it did is; what is named wrongly is refused, and nothing that says nothing new is."""
    books = opened()
    one, other = (Difference(key=key, ledger="1", external="2") for key in ("A:USDT", "A:BTC"))

    def reconcile(as_of: int, *repeated: str, breaks: tuple[Difference, ...] = (one, other)) -> None:
        books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=as_of, matched=1, breaks=breaks,
                                          repeated=repeated))  # fmt: skip

    changed = msgspec.structs.replace(one, external="3")
    with pytest.raises(RuleBroken, match="no_such_break"):
        reconcile(1, "A:USDT")
    reconcile(1)
    for keys, breaks in (
        (("A:USDT", "A:USDT"), (one, other)), (("A:USDT",), (changed, other)), (("A:USDT",), (other,)),
        (("A:EUR",), (one, other)),
    ):  # fmt: skip
        with pytest.raises(RuleBroken, match="no_such_break"):
            reconcile(5, *keys, breaks=breaks)
    reconcile(5, "A:USDT")
    reconcile(3, "A:USDT")
    assert {row.key: (row.as_of, row.opened_seq) for row in books.state.breaks.rows.values()} == {
        "A:USDT": (5, len(books.stored) - 2), "A:BTC": (1, len(books.stored) - 2),
    }  # fmt: skip
    books.replayed()


def test_a_break_that_has_ended_is_as_of_the_newest_statement_that_says_it_again() -> None:
    """It stays ended; what the same event opens, or what agrees, is not said again."""
    books = opened()
    one, other = (Difference(key=key, ledger="1", external="2") for key in ("A:USDT", "A:BTC"))

    def reconcile(as_of: int, *repeated: str, breaks: tuple[Difference, ...] = (other,), **more: Any) -> None:
        books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=as_of, matched=1, breaks=breaks,
                                          repeated=repeated, **more))  # fmt: skip

    reconcile(2, breaks=(one, other))
    said = BreakResolution(key="A:USDT", how="theirs", reason="r", proposed_by="ann")
    with pytest.raises(RuleBroken, match="no_such_break"):
        reconcile(2, "A:USDT", resolved=(said,))
    reconcile(2, resolved=(said,))
    closed = len(books.stored)
    for repeated, more in (
        (("A:USDT", "A:USDT"), {}), (("A:USDT",), {"breaks": (one, other)}), (("A:USDT",), {"lapsed": ("A:USDT",)}),
    ):  # fmt: skip
        with pytest.raises(RuleBroken, match="no_such_break"):
            reconcile(5, *repeated, **more)
    for as_of in (5, 3):
        reconcile(as_of, "A:USDT")
        assert {row.key: (row.as_of, row.closed_seq) for row in books.state.breaks.rows.values()} == {
            "A:USDT": (5, closed), "A:BTC": (2, None),
        }  # fmt: skip
    books.replayed()


def test_a_decision_on_a_break_needs_a_second_person_where_the_chain_asks_for_one() -> None:
    """And counts without one where it does not; the break is then decided, by whom and how."""
    books = opened()
    breaks = (Difference(key="A:USDT", ledger="1", external="2"), Difference(key="A:BTC", ledger="1", external="0"))
    books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=1, breaks=breaks))

    def decide(key: str, approved_by: str | None, left: tuple[Difference, ...]) -> None:
        said = BreakResolution(key=key, how="theirs", reason="r", proposed_by="ann", approved_by=approved_by)
        books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=1, breaks=left,
                                          resolved=(said,)))  # fmt: skip

    decide("A:USDT", None, breaks[1:])
    books.give(ControlsSet(second_person=("resolution",), reason="p", proposed_by="ann"))
    for approver, words in ((None, "a resolution needs a second person"), ("ann", "someone else")):
        with pytest.raises(RuleBroken, match=words):
            decide("A:BTC", approver, ())
    decide("A:BTC", "bob", ())
    assert not [row for row in books.state.breaks.rows.values() if row.closed_seq is None]
    books.replayed()


def test_a_break_is_adjusted_by_an_event_that_is_there() -> None:
    """Not by the reconciliation itself, nor by one to come; and with the seq of it, and only then."""
    books = opened()
    breaks = (Difference(key="A:USDT", ledger="1", external="2"),)
    books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=1, breaks=breaks))

    def adjust(ref: int | None, how: Literal["adjusted", "theirs"] = "adjusted") -> None:
        said = BreakResolution(key="A:USDT", how=how, reason="r", ref=ref, proposed_by="ann")
        books.give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=1, resolved=(said,)))

    following = len(books.stored) + 1
    for ref in (0, following, following + 1, None):
        with pytest.raises(RuleBroken, match="ref"):
            adjust(ref)
    with pytest.raises(RuleBroken, match="ref"):
        adjust(1, "theirs")
    adjust(following - 1)
    assert [row.closed_seq for row in books.state.breaks.rows.values()] == [following]


def test_what_was_asked_is_told_with_how_it_was_written() -> None:
    """Of a quarantined fact it is the fact, and the quarantine is kept beside it."""
    books = opened()
    for event in (order(), trade(order_id="none")):
        stored = books.give(event)
        asked, written = fold.asked(stored.event_type, stored.schema_version, stored.given)
        assert asked == event
        assert written.version == event.SCHEMA_VERSION
        assert registry.decode_given(type(event).__name__, written.version, written.given) == event
        kept = registry.decode_given(stored.event_type, stored.schema_version, stored.given)
        assert written.kept == (None if kept == event else (kept, stored.schema_version, stored.given))


def test_an_event_in_other_bytes_than_the_canonical_ones_is_no_event_of_the_fold() -> None:
    """A blank more says the same, and has another hash: it was not written by this program."""
    books, before = opened(), opened().state
    stored = books.give(order())
    found = fold.replay(
        before, stored.event_type, stored.schema_version, b" " + stored.given, stored.derived,
        (stored.stream, stored.stream_version, stored.effective_on), books.contexts[-1],
    )  # fmt: skip
    assert found == [fold.Mismatch("payload", "canonical bytes", "other bytes of the same event")]
    assert before.orders.get("O") is None


def test_a_fact_may_breach_the_floor_and_then_only_what_mends_it_is_allowed() -> None:
    """A withdrawal that took too much is recorded and flagged; then a rebate is welcome and a fee is refused."""
    books = opened()
    books.give(CashMoved(movement_id="w", account="A", asset="USDT", amount="-1005", kind="withdrawal", value_date=DAY))
    row = books.state.balances.get("A", "USDT")
    assert row is not None
    assert row.breached
    with pytest.raises(InsufficientFunds):
        books.give(FeeCharged(fee_id="f", account="A", kind="k", asset="USDT", amount="0.00000001"))
    books.give(FeeCharged(fee_id="f", account="A", kind="k", asset="USDT", amount="-3"))
    books.give(FeeCharged(fee_id="g", account="A", kind="k", asset="USDT", amount="-2"))
    row = books.state.balances.get("A", "USDT")
    assert row is not None
    assert (row.settled, row.breached) == (0, False)
    check_invariants(books.state)
    books.replayed()
