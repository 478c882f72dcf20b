"""
Check the verifier's sum of what is held, against books whose rules did not keep it.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger import Ledger
from ledger.domain import fold
from ledger.domain.events.cash import HoldPlaced, HoldReleased, JournalPosted, Leg
from ledger.domain.events.orders import OrderCanceled
from ledger.domain.postings import Line, Posting
from ledger.domain.rules.ground import Effects, Now, post, units
from ledger.domain.state import State
from tests.conftest import Database
from tests.domain.books import amount, opened, order
from tests.journal.test_ledger import fill
from tests.verifier.intruder import report_on
from verifier import held


def test_what_is_held_adds_up_while_orders_and_holds_come_and_go() -> None:
    """Open orders and what remains of open holds are counted, whatever has ended is not, and the sums agree."""
    books = opened()
    books.give(order())
    books.give(order("S", side="sell"))
    books.give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),)))
    books.give(HoldPlaced(hold_id="I", legs=(Leg(account="A", asset="BTC", amount="0.5"),)))
    captured = (Leg(account="A", asset="USDT", amount="2"),)
    books.give(HoldReleased(hold_id="H", amounts=captured, reason="captured", ref="r"))
    books.give(HoldReleased(hold_id="I", reason="void"))
    assert held.check(books.state) == []
    books.give(OrderCanceled(order_id="S"))
    books.state.durable(books.state.begin())
    assert held.check(books.state) == []


@pytest.mark.parametrize("change", ["1", "-1"])
def test_a_held_balance_that_nothing_open_accounts_for_is_named(change: str) -> None:
    """One unit more or less than what is open, in an asset with orders and in one without: both are found."""
    books = opened()
    books.give(order())
    for asset in ("USDT", "BTC"):
        row = books.state.balances.get("A", asset)
        assert row is not None
        books.state.balances.put(msgspec.structs.replace(row, held=row.held + (amount("1") * int(change))))
    assert [(x.kind, x.key, x.column, x.expected, x.actual) for x in held.check(books.state)] == [
        ("HELD_MISMATCH", ("A", "BTC"), "held", "0", change),
        ("HELD_MISMATCH", ("A", "USDT"), "held", "1", str(1 + int(change))),
    ]


def test_a_history_whose_rules_let_held_be_drained_is_found(chain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program whose journals may drain what is held: every row agrees with its rules, and the sum does not."""

    def lenient(state: State, event: JournalPosted, now: Now) -> Effects:
        lines = [Line(x.account, x.asset, x.bucket, units(x.amount)) for x in event.postings]
        post(state, lines, may_refuse=False)
        return Effects(f"journal/{event.journal_id}", 1)

    monkeypatch.setitem(fold.RULES, JournalPosted, lenient)
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(order(), key="o")
        drain = [Posting(account="A", asset="USDT", bucket="held", amount="-1"),
                 Posting(account="A", asset="USDT", bucket="settled", amount="1")]  # fmt: skip
        ledger.append(JournalPosted(journal_id="J", memo="m", postings=tuple(drain)), key="j")
    found = report_on(chain).findings
    assert [(x.kind, x.table, x.key, x.expected, x.actual) for x in found] == [
        ("HELD_MISMATCH", "balances", ("A", "USDT"), "1", "0")
    ]
