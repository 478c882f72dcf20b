"""
Check what a statement is held against, from rows alone.
"""

from __future__ import annotations

import sys

import msgspec
import pytest

from ledger.domain.events.cash import CashMoved
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import Fee, TradeCorrected
from ledger.domain.events.reference import AssetDefined
from ledger.domain.events.settlement import AllocationLine, TradeAllocated
from ledger.domain.rows import Break
from ledger.reading.sources import Folded
from ledger.reconciliation import comparison, keys, statement
from ledger.reconciliation.comparison import Decision
from ledger.reconciliation.ours import Ours, first_names
from tests.domain import equities
from tests.domain.books import Books


def ours(books: Books) -> Ours:
    """Return the ledger's side as it is in *books*, by what it is called now."""
    state, source = books.state, Folded(books.state, len(books.stored), [])
    return Ours(
        frozenset(row.account for row in state.accounts.rows.values()),
        {row.asset: row.kind for row in state.assets.rows.values()},
        first_names(state.instruments.rows.values()),
        source.rows("balances"), source.rows("positions"), source.rows("executions"),
    )  # fmt: skip


@pytest.mark.parametrize("names", [("ABC.N",), ("ZZZ.N",), ("ABC.N", "ZZZ.N"), ("ZZZ.N", "ABC.N")])
def test_a_position_is_found_under_its_newest_name_however_names_sort(names: tuple[str, ...]) -> None:
    """As of a time, the books have a row by each of its names; the statement's 100 agrees, and 0 does not."""
    books, old = equities.market(), "XYZ.N"
    books.give(equities.trade("E", fee="0"))
    for new in names:
        books.give(InstrumentRenamed(ca_id=new, old=old, new=new, effective=equities.DAY))
        old = new
    for qty, matched in (("100", 1), ("0", 0)):
        text = f"account,instrument,qty,cost\nA,{old},{qty},1000\n"
        told = statement.read("p.csv", text.encode(), statement.Told("bank", "2024-08-12T20:00:00Z"))
        found = comparison.compare(told, ours(books), [], {})
        assert found.matched == matched + 1
        assert [(x.ledger, x.external) for x in found.standing] == [("100", qty)] * (1 - matched)


CASH = {
    "settled": "account,asset,settled\nA,USD,5000\n",
    "total": "account,asset,total\nA,USD,5000\n",
    "both": "account,asset,total,settled\nA,USD,5000,5000\n",
}


@pytest.mark.parametrize("shares", ["0", "100"])
@pytest.mark.parametrize("cash", ["settled", "total", "both"])
@pytest.mark.parametrize("broken", ["settled", "held", "total"])
def test_a_list_of_cash_says_nothing_of_a_security(broken: str, cash: str, shares: str) -> None:
    """It opens no break of one, ends and changes none, lets no decision lapse, and none of it counts as matched."""
    books = equities.market(usd="5000", shares=shares)
    told = statement.read("s.csv", CASH[cash].encode(), statement.Told("bank", equities.DAY))
    before = {"held": ("0", "7")}.get(broken, (shares, "90"))
    key, decided = f"balance:A:XYZ:{broken}", "balance:A:XYZ:available"
    rows = [
        Break("bank", key, *before, told.as_of, 5, None), Break("bank", decided, shares, "80", told.as_of, 5, 6)
    ]  # fmt: skip
    found = comparison.compare(told, ours(books), rows, {decided: Decision(shares, "80")})
    assert {x.key: (x.ledger, x.external) for x in found.standing} == {key: before}
    assert (found.lapsed, found.matched) == ((), CASH[cash].count("5000"))


@pytest.mark.parametrize(
    ("shares", "rows", "standing"),
    [
        # What a list that has a security leaves out of its account, it says there is none of: as of money.
        ("100", "A,USD,5000\nA,ABC,7\n", {"balance:A:XYZ:total": ("100", "0")}),
        ("100", "A,ABC,0\n", {"balance:A:XYZ:total": ("100", "0"), "balance:A:USD:total": ("5000", "0")}),
        ("0", "A,USD,5000\nA,ABC,7\n", {}),
        # The account of another one's securities, or none: a list of its cash.
        ("100", "A,USD,5000\nB,USD,5000\nB,XYZ,100\n", None),
        ("0", "A,USD,5000\n", None),
    ],
)
def test_a_list_with_a_security_of_an_account_leaves_out_what_is_not_there(
    shares: str, rows: str, standing: dict[str, tuple[str, str]] | None
) -> None:
    """So a holding that is missing there breaks, and what was decided of one lapses where neither side has any."""
    books = equities.market(usd="5000", shares=shares)
    for event in (
        AssetDefined(asset="ABC", kind="security", scale=0, name="x"),
        CashMoved(movement_id="abc", account="A", asset="ABC", amount="7", kind="deposit", value_date=equities.DAY),
    ):  # fmt: skip
        assert books.give(event).rule is None
    told = statement.read("s.csv", ("account,asset,total\n" + rows).encode(), statement.Told("bank", equities.DAY))
    key, left = "balance:A:XYZ:total", ours(books)
    decided = Break("bank", key, shares, "5", told.as_of, 5, 6)
    found = comparison.compare(told, left, [decided], {key: Decision(shares, "5")})
    agrees = standing is not None and key not in standing
    assert found.lapsed == ((key,) if agrees else ())
    others = {x.key: (x.ledger, x.external) for x in found.standing if x.key != "balance:A:ABC:total"}
    assert others == (standing or {})
    still = comparison.compare(told, left, [msgspec.structs.replace(decided, closed_seq=None)], {})
    assert {x.key: (x.ledger, x.external) for x in still.standing}.get(key) == (
        (shares, "5") if standing is None else standing.get(key)
    )


TRADES = "venue,trade_date,exec_id,account,instrument,side,qty,price\n"
ROW = f"N,{equities.DAY},%s,A,XYZ.N,buy,100,%s\n"
TRADE = f"trade:A:N:{equities.DAY}"


def corrected(new: str, old: str, fee: str) -> TradeCorrected:
    """Return a correction of the fee alone: all else is as it was."""
    return TradeCorrected(exec_id=new, exec_ref=old, trade_date=equities.DAY, venue="N", account="A",
                          instrument="XYZ.N", side="buy", qty="100", price="10",
                          fees=(Fee(kind="commission", asset="USD", amount=fee),))  # fmt: skip


@pytest.mark.parametrize("decided", ["E1", "E2"])
@pytest.mark.parametrize("stated", ["E1", "E2", "E3"])
def test_of_two_breaks_of_one_figure_none_ends_while_it_differs(decided: str, stated: str) -> None:
    """One of them is decided, one is open, and the statement says the same by whichever id: both stay what they are."""
    books = equities.market()
    for event in (equities.trade("E1"), corrected("E2", "E1", "2"), corrected("E3", "E2", "3")):
        assert books.give(event).rule is None
    rows = [
        Break("bank", f"{TRADE}:{name}:price", "10", "11", 1, 5, 6 if name == decided else None)
        for name in ("E1", "E2")
    ]  # fmt: skip
    known = {f"{TRADE}:{decided}:price": Decision("10", "11")}
    for price, accepted in (("11", tuple(known)), ("10", ())):
        told = statement.read("t.csv", (TRADES + ROW % (stated, price)).encode(), statement.Told("bank", equities.DAY))
        found = comparison.compare(told, ours(books), rows, known)
        assert (found.accepted, found.lapsed) == (accepted, tuple(known) if price == "10" else ())
        assert [x.key for x in found.standing] == [x.key for x in rows if x.closed_seq is None and price == "11"]
        # What stands, its side, quantity, price, instrument and account agree: each counts once.
        assert found.matched == (5 if price == "11" else 6)


def test_a_decision_goes_on_when_the_trade_has_another_version_and_both_sides_say_the_same() -> None:
    """The issuer lacks the trade, whose fee is corrected; or it has the old version and the new one."""
    books = equities.market()
    for event in (equities.trade("F"), equities.trade("E1"), corrected("E2", "E1", "2")):
        assert books.give(event).rule is None
    told = "buy 100 XYZ.N at 10"
    double = {f"{TRADE}:E1": ("no longer counts since E1 was replaced or busted", "buy 100 XYZ.N at 11")}
    for key, values, rows, others in (
        (f"{TRADE}:E1", (told, "missing"), "", {}),
        (f"{TRADE}:E1:price", ("10", "11"), ROW % ("E1", "11") + ROW % ("E2", "11"), double),
    ):
        text = TRADES + ROW % ("F", "10") + rows
        given = statement.read("t.csv", text.encode(), statement.Told("bank", equities.DAY))
        ended, known = Break("bank", key, *values, 1, 5, 6), {key: Decision(*values)}
        found = comparison.compare(given, ours(books), [ended], known)
        assert (found.accepted, found.lapsed) == ((key,), ())
        assert {x.key: (x.ledger, x.external) for x in found.standing} == others
        still = comparison.compare(given, ours(books), [msgspec.structs.replace(ended, closed_seq=None)], {})
        assert {x.key: (x.ledger, x.external) for x in still.standing} == {key: values, **others}


def test_lines_are_stated_in_place_of_the_block_that_was_allocated_into_them() -> None:
    """A custodian lists the trades that count, a line and another block: no break; without that block, one."""
    books = equities.market()
    lines = (AllocationLine(account="A", qty="100", price="10"),)
    for event in (
        equities.trade("B1", account="BLOCK", fee="0"), equities.trade("B2", account="BLOCK", fee="0"),
        TradeAllocated(allocation_id="AL", venue="N", trade_date=equities.DAY, exec_ids=("B1",), lines=lines),
    ):  # fmt: skip
        assert books.give(event).rule is None
    told, line, block = "buy 100 XYZ.N at 10", ROW % ("AL.1", "10"), (ROW % ("B%d", "10")).replace(",A,", ",BLOCK,")
    first, second = (f"trade:BLOCK:N:{equities.DAY}:B{number}" for number in (1, 2))
    for rows, broken in (
        (line + block % 2, []), (line, [second]), (line + block % 1 + block % 2, []),
        (block % 1 + block % 2, []), (block % 2, [first]),
    ):  # fmt: skip
        given = statement.read("t.csv", (TRADES + rows).encode(), statement.Told("c", equities.DAY, ("BLOCK",)))
        found = comparison.compare(given, ours(books), [], {})
        assert {x.key: (x.ledger, x.external) for x in found.standing} == dict.fromkeys(broken, (told, "missing"))


@pytest.mark.parametrize("kind", ["balance", "trade"])
def test_what_a_statement_does_not_cover_takes_no_time_of_its_rows(kind: str) -> None:
    """A thousand breaks of other accounts beside a thousand rows: each is gone through once, not each by each."""
    many = 1_000
    if kind == "balance":
        text = "account,asset,total\n" + "".join(f"A{n},USD,1\n" for n in range(many))
        others = [keys.make("balance", f"B{n}", "USD", "total") for n in range(many)]
    else:
        text = "venue,trade_date,exec_id,account,instrument,side,qty,price\n"
        text += "".join(f"N,{equities.DAY},E{n},A0,XYZ.N,buy,1,10\n" for n in range(many))
        others = [keys.make("trade", "B", "N", equities.DAY, f"E{n}x") for n in range(many)]
    told = statement.read("s.csv", text.encode(), statement.Told("bank", equities.DAY))
    left = Ours(frozenset(f"A{n}" for n in range(many)), {"USD": "currency"}, {"XYZ.N": "XYZ.N"}, [], [], [])
    breaks = [Break("bank", key, "1", "2", told.as_of, 5, None) for key in others]
    calls = 0

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = comparison.compare(told, left, breaks, {})
    finally:
        sys.setprofile(None)
    assert len(found.standing) == 2 * many
    assert calls < 200 * many
