"""
Edit a cell so that rows which name each other lead back: whoever follows them says so, and none goes round for ever.
"""

from __future__ import annotations

import msgspec
import pytest

from ledger import Ledger
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.rows import Execution
from ledger.domain.rules.averages import newest_first
from ledger.domain.rules.ground import current_name
from ledger.errors import StateMismatch
from ledger.reading.exposure import exposure
from ledger.reading.sources import Folded
from ledger.reading.views import blotter
from ledger.reconciliation.ours import first_names
from tests.conftest import Database
from tests.domain.books import Books
from tests.domain.test_marks_and_profit import TUESDAY, mark, market, trade
from tests.journal import test_ledger

RENAMED = r"instruments\.renamed_to leads from .* back to itself"


@pytest.fixture
def books() -> Books:
    """A share that was renamed and two trades of it, of which the second follows the first."""
    made = market()
    for event in (trade("E", "10", "100"), trade("F", "5", "101"), mark("101"),
                  InstrumentRenamed(ca_id="N", old="SAP", new="SAPX", effective=TUESDAY)):  # fmt: skip
        made.give(event)
    return made


def edited(books: Books, name: str, **cells: object) -> Execution:
    """Edit the trade of this *name*."""
    rows = books.state.executions.rows
    ((key, row),) = ((key, row) for key, row in rows.items() if row.exec_id == name)
    rows[key] = msgspec.structs.replace(row, **cells)
    return rows[key]


def test_names_of_an_instrument_that_lead_back_are_told(books: Books) -> None:
    assert current_name(books.state, "SAP") == "SAPX"
    rows = books.state.instruments.rows
    rows["SAPX",] = msgspec.structs.replace(rows["SAPX",], renamed_to="SAP")
    with pytest.raises(StateMismatch, match=RENAMED):
        current_name(books.state, "SAP")
    with pytest.raises(StateMismatch, match=RENAMED):
        exposure(Folded(books.state, len(books.stored), []), None)
    with pytest.raises(StateMismatch, match=RENAMED):
        first_names(rows.values())


def test_trades_of_a_position_that_lead_back_are_told(books: Books) -> None:
    position = next(row for row in books.state.positions.rows.values() if row.newest)
    first, second = reversed(list(newest_first(books.state, position)))
    assert (first.exec_id, second.exec_id) == ("E", "F")
    edited(books, "E", follows=second.follows)
    with pytest.raises(StateMismatch, match=r"executions\.follows leads from .* back to itself"):
        list(newest_first(books.state, position))


def test_corrections_that_lead_back_are_told(books: Books) -> None:
    of = edited(books, "E", ref_exec_id="F", ref_trade_date=TUESDAY)
    edited(books, "F", ref_exec_id="E", ref_trade_date=of.trade_date, trade_date=TUESDAY)
    with pytest.raises(StateMismatch, match=r"executions\.ref_exec_id leads from .* back to itself"):
        blotter(books.state.executions.rows.values())


def test_a_writer_that_meets_a_ring_says_so_and_goes_on(chain: Database) -> None:
    with Ledger.open(chain.dsn("writer")) as ledger:
        test_ledger.fill(ledger)
        ledger.append(test_ledger.order("O1"), key="o1")
        traded = test_ledger.trade("T1", "O1")
    chain.sql("UPDATE ledger.instruments SET renamed_to = instrument")
    with Ledger.open(chain.dsn("writer")) as ledger:
        with pytest.raises(StateMismatch, match=RENAMED):
            ledger.append(traded, key="t1")
        ledger.append(test_ledger.deposit("d1"), key="d1")
