"""
Check what moves money without a trade: conversions, holds to their end, cash of every kind, and second persons.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import fold
from ledger.domain.amounts import UNIT, render
from ledger.domain.events.cash import (
    AssetAmount,
    CashMoved,
    FeeCharged,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
    Leg,
    Posting,
)
from ledger.domain.events.control import ControlsSet
from ledger.domain.events.executions import QuarantineResolved
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountLimitsSet, AccountOpened, AssetDefined
from ledger.domain.events.settlement import AllocationReversed
from ledger.domain.fold import Context, DuplicateFact
from ledger.errors import InsufficientFunds, LedgerError, RuleBroken, Unbalanced
from tests.domain.books import Books, check_invariants
from tests.domain.equities import DAY, all_balances, buckets, market, settled

HOUR = 3_600 * 10**9


def convert(fx_id: str = "F", sold: str = "1000", bought: str = "917.4", rate: str = "0.9174", **more: object) -> Event:
    given = {"spread": "0.0026", "value_date": "2024-08-12", "sold_asset": "USD", "bought_asset": "EUR", **more}
    return FxConverted(
        fx_id=fx_id, account="A", sold=AssetAmount(asset=given.pop("sold_asset"), amount=sold),  # type: ignore[arg-type]
        bought=AssetAmount(asset=given.pop("bought_asset"), amount=bought), rate=rate, **given,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_conversion_is_four_legs_through_two_clearing_accounts() -> None:
    """What was sold and what was bought each have their other side; what was kept of the rate is stored beside them."""
    books = market()
    outcome = books.give(convert())
    derived = msgspec.json.decode(outcome.derived)
    assert derived["postings"] == [
        ["A", "USD", "settled", "-1000"], ["~fx_clearing.USD", "USD", "settled", "1000"],
        ["~fx_clearing.EUR", "EUR", "settled", "-917.4"], ["A", "EUR", "settled", "917.4"],
    ]  # fmt: skip
    assert derived["spread_amount"] == "2.6"
    assert (outcome.stream, outcome.effective_on) == ("account/A", 19947)
    check_invariants(books.state)
    books.replayed()


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        (convert(bought="917.41"), "rate"),
        (convert(bought="917.39"), "rate"),
        (convert(sold="0"), "amount"),
        (convert(bought="-1"), "amount"),
        (convert(sold="0.001", bought="1"), "excess_scale"),
        (convert(bought_asset="USD"), "fx_assets"),
        (convert(bought_asset="DOGE"), "unknown_asset"),
    ],
)
def test_a_conversion_that_is_not_at_its_rate_is_quarantined(event: Event, rule: str) -> None:
    """Amounts are positive, of two assets, in their decimals, and go with the rate to less than one unit."""
    books = market()
    before = all_balances(books)
    assert books.give(event).rule == rule
    assert all_balances(books) == before
    books.replayed()


def test_a_conversion_is_recorded_once_and_reversed_exactly() -> None:
    """Said again it is a duplicate, said otherwise it waits; reversed by its kind and id, nothing is left of it."""
    books = market()
    before = all_balances(books)
    books.give(convert())
    with pytest.raises(DuplicateFact):
        books.give(convert())
    assert books.give(convert(sold="2000", bought="1834.8")).rule == "fx_id_reused"
    outcome = books.give(JournalReversed(journal_id="R", reverses_kind="fx", reverses="F", reason="wrong account"))
    assert outcome.effective_on == 19947
    assert all_balances(books) == before
    books.replayed()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**12), st.integers(1, 10**30), st.integers(0, 18), st.integers(-1, 1))
def test_a_rate_is_right_to_less_than_one_unit_at_any_scale(sold: int, rate: int, scale: int, off: int) -> None:
    """Rounded down or up is the rate; beyond that it is quarantined; what is taken is posted to the last digit."""
    books = Books()
    books.give(AssetDefined(asset="S", kind="crypto", scale=0, name="s"))
    books.give(AssetDefined(asset="B", kind="crypto", scale=scale, name="b"))
    books.give(AccountOpened(account="A", owner="o", kind="margin", base_asset="S"))
    exact = Fraction(sold * rate, UNIT)
    one = Fraction(1, 10**scale)
    bought = (exact // one + off) * one
    event = FxConverted(
        fx_id="F", account="A", sold=AssetAmount(asset="S", amount=sold), rate=render(rate), value_date=DAY,
        bought=AssetAmount(asset="B", amount=render(int(bought * UNIT))),
    )  # fmt: skip
    good = bought > 0 and abs(bought - exact) < one
    assert (books.give(event).rule is None) == good
    if good:
        assert Fraction(books.state.balances.rows["A", "B"].settled, UNIT) == bought
        check_invariants(books.state)


def at(books: Books, event: Event, time: int) -> fold.Outcome:
    """Give an event that occurred *time* ns after the others."""
    return fold.record(books.state, event, Context(1000, books.clock + time + 1, books.clock + time))


def test_a_hold_of_several_legs_is_released_in_parts_captured_and_expires() -> None:
    """I19: never more than was placed comes back; a capture names what took it; only time lets a hold expire."""
    books = market()
    legs = (Leg(account="A", asset="USD", amount="100"), Leg(account="B", asset="USD", amount="50"))
    with pytest.raises(RuleBroken, match="has passed"):
        books.give(HoldPlaced(hold_id="H", legs=legs, expires_at=books.clock))
    books.give(HoldPlaced(hold_id="H", legs=legs, expires_at=books.clock + HOUR, ref="O-17"))
    assert buckets(books, "B") == ("99950", "0")
    part = (Leg(account="A", asset="USD", amount="60"),)
    with pytest.raises(RuleBroken, match="without ref"):
        books.give(HoldReleased(hold_id="H", amounts=part, reason="captured"))
    books.give(HoldReleased(hold_id="H", amounts=part, reason="captured", ref="F"))
    books.give(FeeCharged(fee_id="F", account="A", kind="k", asset="USD", amount="60", ref="H"))
    with pytest.raises(RuleBroken, match="at most 40"):
        books.give(HoldReleased(hold_id="H", amounts=part, reason="void"))
    with pytest.raises(RuleBroken, match="at most 0"):
        books.give(HoldReleased(hold_id="H", amounts=(Leg(account="C", asset="USD", amount="1"),), reason="void"))
    with pytest.raises(RuleBroken, match="expires at"):
        at(books, HoldReleased(hold_id="H", reason="expired"), HOUR - 1)
    with pytest.raises(RuleBroken, match="expires at"):
        books.give(HoldReleased(hold_id="H", reason="expired"), occurred_at=books.clock + HOUR)
    at(books, HoldReleased(hold_id="H", reason="expired"), HOUR)
    with pytest.raises(RuleBroken, match="expected one that is open"):
        at(books, HoldReleased(hold_id="H", reason="expired"), HOUR)
    assert [buckets(books, x) for x in "AB"] == [("99940", "0"), ("100000", "0")]
    books.give(HoldPlaced(hold_id="I", legs=legs))
    with pytest.raises(RuleBroken, match="expires never"):
        at(books, HoldReleased(hold_id="I", reason="expired"), HOUR)


@pytest.mark.parametrize(
    ("kind", "amount", "other", "rule"),
    [
        ("deposit", "5", "~external", None), ("deposit", "-5", "", "amount"), ("withdrawal", "-5", "~external", None),
        ("withdrawal", "5", "", "amount"), ("interest", "5", "~interest", None), ("interest", "-5", "~interest", None),
        ("funding", "-5", "~funding", None), ("tax", "-5", "~tax", None), ("tax", "5", "~tax", None),
        ("tax", "0", "", "amount"), ("tax", "0.001", "", "excess_scale"),
    ],
)  # fmt: skip
def test_cash_of_every_kind_has_its_other_side(kind: str, amount: str, other: str, rule: str | None) -> None:
    """Interest, funding and tax collect apart from what came in and went out, and each reverses exactly."""
    books = market()
    before = all_balances(books)
    event = CashMoved(movement_id="M", account="A", asset="USD", amount=amount, kind=kind, value_date="2024-08-01")  # type: ignore[arg-type]
    outcome = books.give(event)
    assert outcome.rule == rule
    if rule is None:
        assert outcome.effective_on == 19936
        after = all_balances(books)
        moved = after[other, "USD", "settled"] - before.get((other, "USD", "settled"), 0)
        assert render(-moved) == amount
        assert after["A", "USD", "settled"] - before["A", "USD", "settled"] == -moved
        books.give(JournalReversed(journal_id="R", reverses_kind="cash", reverses="M", reason="r"))
    assert all_balances(books) == before
    books.replayed()


def test_a_margin_account_may_owe_down_to_its_floor() -> None:
    """A floor below zero is for margin accounts; a fee may take the account to it and no further, a rebate mends it."""
    books = market("100")
    books.give(AccountOpened(account="M", owner="o", kind="margin", base_asset="USD"))
    books.give(AccountLimitsSet(account="M", asset="USD", floor="-50.5"))
    books.give(FeeCharged(fee_id="1", account="M", kind="k", asset="USD", amount="50.5"))
    with pytest.raises(InsufficientFunds, match=r"floor is -50\.5"):
        books.give(FeeCharged(fee_id="2", account="M", kind="k", asset="USD", amount="0.01"))
    books.give(CashMoved(movement_id="i", account="M", asset="USD", amount="-1", kind="interest", value_date=DAY))
    row = books.state.balances.get("M", "USD")
    assert row is not None
    assert (render(row.settled), row.breached) == ("-51.5", True)
    books.give(FeeCharged(fee_id="3", account="M", kind="rebate", asset="USD", amount="-1"))
    row = books.state.balances.get("M", "USD")
    assert row is not None
    assert (render(row.settled), row.breached) == ("-50.5", False)
    books.replayed()


JOURNAL = tuple(
    Posting(account=a, asset="USD", bucket="settled", amount=v) for a, v in (("A", "-1"), ("~suspense", "1"))
)


def test_a_journal_opens_no_account_by_a_typing_mistake() -> None:
    """The ledger's own accounts are those it books to, and suspense; any venue may have its own."""
    books = market()
    for name, account in enumerate(("~suspence", "~clearing", "~clearing.", "~Fees", "~")):
        legs = tuple(msgspec.structs.replace(x, account="A" if x.account == "A" else account) for x in JOURNAL)
        with pytest.raises(
            RuleBroken, match=rf"unknown_account\): R2: found account '{account}'; expected .*~suspense"
        ):
            books.give(JournalPosted(journal_id=f"J{name}", postings=legs, memo="m"))
    legs = tuple(msgspec.structs.replace(x, account="A" if x.account == "A" else "~clearing.NEW") for x in JOURNAL)
    books.give(JournalPosted(journal_id="J", postings=legs, memo="m"))
    books.replayed()


def controlled(*actions: str, by: str | None = None) -> ControlsSet:
    return ControlsSet(second_person=actions, reason="policy 7", proposed_by="ann", approved_by=by)  # type: ignore[arg-type]


def persons(proposed_by: str | None, approved_by: str | None) -> list[Event]:
    """Return one event of each kind that may need a second person."""
    named = {"proposed_by": proposed_by, "approved_by": approved_by}
    return [
        QuarantineResolved(ref=12, resolution="discarded", proposed_by=proposed_by or "ann", approved_by=approved_by),
        JournalPosted(journal_id="J", postings=JOURNAL, memo="m", **named),  # type: ignore[arg-type]
        JournalReversed(journal_id="R", reverses_kind="cash", reverses="A-USD", reason="r", **named),  # type: ignore[arg-type]
        AllocationReversed(allocation_id="none", reason="r", **named),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("name", ["Ann", "ANN", " ann", "ann ", "a nn", "  Ann  "])
@pytest.mark.parametrize("place", range(4))
def test_a_name_spelled_otherwise_is_no_second_person(place: int, name: str) -> None:
    """Capitals and spaces make nobody someone else, whichever of the two names has them."""
    books = market()
    books.give(controlled("resolution", "journal", "reversal"))
    for proposer, approver in (("ann", name), (name, "ann")):
        with pytest.raises(RuleBroken, match=r"second_person.* someone else"):
            books.give(persons(proposer, approver)[place])
    with pytest.raises(RuleBroken, match="second_person"):
        books.give(controlled(by=name))
    with pytest.raises(RuleBroken, match="second_person"):
        books.give(persons("ann", " ")[place])
    books.replayed()


@pytest.mark.parametrize("place", range(4))
def test_what_needs_a_second_person_is_refused_without_one(place: int) -> None:
    """Nobody, or the proposer, or nobody's approver will not do; two persons will, and both are in the chain."""
    books = market()
    while len(books.stored) < 12:
        books.give(settled())
    books.give(controlled("resolution", "journal", "reversal"))
    for proposer, approver, words in (
        ("ann", None, "second person"), ("ann", "ann", "someone else"), (None, "bob", "proposed_by"),
    ):  # fmt: skip
        event = persons(proposer, approver)[place]
        if place or proposer is not None:
            with pytest.raises(RuleBroken, match=words):
                books.give(event)
    event = persons("ann", "bob")[place]
    if place == 3:
        with pytest.raises(RuleBroken, match="unknown_allocation"):
            books.give(event)
    else:
        given = msgspec.json.decode(books.give(event).given)
        assert (given["proposed_by"], given["approved_by"]) == ("ann", "bob")
    books.replayed()


def test_controls_are_loosened_by_two_only() -> None:
    """What is on stays on until two agree to the change; what is off needs nobody."""
    books = market()
    post = JournalPosted(journal_id="J", postings=JOURNAL, memo="m")
    books.give(controlled("reversal"))
    books.give(post)
    for wrong in (controlled(), controlled(by="ann"), controlled("journal", "reversal")):
        with pytest.raises(LedgerError, match="second_person"):
            books.give(wrong)
    books.give(controlled("journal", by="bob"))
    with pytest.raises(RuleBroken, match="second person"):
        books.give(msgspec.structs.replace(post, journal_id="K"))
    books.give(JournalReversed(journal_id="R", reverses_kind="journal", reverses="J", reason="r"))
    books.give(controlled(by="bob"))
    books.give(msgspec.structs.replace(post, journal_id="K"))
    assert {row.action: row.second_person for row in books.state.controls.rows.values()} == {
        "reversal": False, "journal": False,
    }  # fmt: skip
    books.replayed()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((("A", "1"), ("B", "-2")), r"found \{'USD': '-1'\}; expected 0 of each asset"),
        ((("A", "0"), ("B", "0")), "found a posting of 0 USD to A; leave it out"),
    ],
)
def test_a_journal_out_of_balance_is_refused_by_its_name(lines: tuple[tuple[str, str], ...], words: str) -> None:
    """Which journal it is, which invariant it breaks, and by how much."""
    books = market()
    postings = tuple(Posting(account=x, asset="USD", bucket="settled", amount=n) for x, n in lines)
    with pytest.raises(Unbalanced, match=rf"^JournalPosted 'J' refused \(postings\): I7: .*{words}"):
        books.give(JournalPosted(journal_id="J", postings=postings, memo="m"))
