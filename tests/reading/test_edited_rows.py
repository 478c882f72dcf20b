"""
Edit what rows keep as text, or name of each other: each read answers, or says which row is wrong, and none falls over.

Every column of text of every read model is given what the ledger never writes there, in a database of its own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from ledger import Ledger
from ledger.cli import answer
from ledger.domain.events.cash import HoldPlaced, Leg
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.executions import Fee
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import AssetDefined, InstrumentAmended, InstrumentDefined
from ledger.domain.events.settlement import AllocationLine, AllocationReversed, SettlementFailed, TradeAllocated
from ledger.domain.rows import TABLES
from ledger.errors import Corrupt, InvalidAmount, LedgerError, SetupNeeded, StateMismatch
from ledger.journal.chain_creation import create_chain
from ledger.queries import Books
from ledger.reading.plain_rows import plain
from ledger.reading.statement import Statement
from tests.conftest import ORIGIN, Database, copy_database
from tests.domain.equities import DAY, DUE
from tests.reading.test_every_read import NOONS, READS, Read, first_day, second_day, trade

LATER: Final = "2024-08-13"
FEE: Final = (Fee(kind="commission", asset="USD", amount="1"),)
TEXTS: Final = ("x", "[]", "{}", "null", '[["a","USD","x"]]', '[[1,2,3]]', '[["2024-08-08",{"x":1}]]',
                '[["2024-08-08",{"lot":"x"}]]')  # fmt: skip
LISTS: Final = ("{}", "{x}", "{NULL}", "{a,b,c}", "{a,2024-13-99,c}")
DAYS: Final = ("infinity", "-infinity", "0001-01-01", "9999-12-31")
NUMBERS: Final = ("-1", "0", "2000000000")
EDITED: Final = {
    **dict.fromkeys(
        ("assets.splits", "calendars.cycles", "executions.fees", "holds.legs", "holds.remaining",
         "instruments.amendments", "movements.postings", "marks.kind"), TEXTS,
    ),
    **dict.fromkeys(
        ("accounts.account", "accounts.base_asset", "assets.asset", "corporate_actions.instrument",
         "executions.allocation_id", "executions.asset", "instruments.asset", "instruments.instrument",
         "instruments.quote_asset", "marks.subject", "orders.account", "orders.instrument", "positions.account",
         "positions.instrument"), ("x", ""),
    ),
    **dict.fromkeys(
        ("allocations.exec_ids", "executions.follows", "executions.settled_days", "orders.asked", "positions.newest"),
        LISTS,
    ),
    **dict.fromkeys(
        ("executions.settle_date", "executions.trade_date", "marks.day", "movements.effective_on", "orders.terms_day",
         "settlement_fails.failed_on", "settlement_fails.new_intended_date"), DAYS,
    ),
    **dict.fromkeys(("allocations.lines", "corporate_actions.event_seq", "marks.price"), NUMBERS),
}  # fmt: skip
"""What each column is given in turn."""


def shares() -> list[Event]:
    """Return shares of another kind, and an order of them, which are to split."""
    return [
        AssetDefined(asset="ABC", kind="security", scale=0, name="Shares of ABC"),
        InstrumentDefined(instrument="ABC.N", asset="ABC", quote_asset="USD", settle_asset="USD", tick="0.01", lot="1",
                          settlement_cycle=2, calendar="us", venue="N"),
        trade("AB1", "10", DAY, account="A", instrument="ABC.N", fees=FEE),
        OrderPlaced(order_id="W", cl_ord_id="w", account="A", instrument="ABC.N", side="buy", qty="10",
                    ord_type="limit", price="10", tif="gtc"),
    ]  # fmt: skip


def also() -> list[Event]:
    """Return what the firm of every read lacks: amendments, fees, a split, a hold, allocations and a fail."""
    given = {"qty": "10", "account": "BLOCK", "fees": FEE}
    line = AllocationLine(account="A", qty="10", price="10", fees=FEE)
    return [
        InstrumentAmended(instrument="XYZ.N", effective_from=DAY, lot="1", multiplier="1"),
        HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="EUR", amount="1"),), expires_at=4 * 10**18),
        trade("BL1", day=DUE, **given), trade("BL2", day=DUE, **given),
        trade("BL3", day=DUE, **given),
        TradeAllocated(allocation_id="AL1", venue="N", trade_date=DUE, exec_ids=("BL1",), lines=(line,)),
        TradeAllocated(allocation_id="AL2", venue="N", trade_date=DUE, exec_ids=("BL2",), lines=(line,)),
        TradeAllocated(allocation_id="AL3", venue="N", trade_date=DUE, exec_ids=("BL3",), lines=(line,)),
        AllocationReversed(allocation_id="AL2", reason="r"),
        SettlementFailed(settlement_id="F1", venue="N", trade_date=DUE, exec_id="AL1.1", leg="cash", reason="r",
                         date="2024-08-12", new_intended_date="2024-08-13"),
        SplitApplied(ca_id="SP", instrument="ABC.N", ratio_num=2, ratio_den=1, ex_date=DUE, rounding="nearest"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def firm(pg_server: Any, migrated: str) -> Iterator[Database]:
    """A firm with a row of every kind that reads decode."""
    copy_database(pg_server, "edited_rows", migrated)
    database = Database(pg_server, "edited_rows")
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        noons = NOONS | {LATER: NOONS[DUE] + 4 * 86_400 * 10**9}
        for day, told in ((DAY, [*first_day(), *shares()]), (DUE, second_day()), (LATER, also())):
            for number, event in enumerate(told):
                ledger.append(event, key=f"{day}-{number}", occurred_at=noons[day])
    kept = "".join(f"CREATE TABLE kept.{table} AS SELECT * FROM ledger.{table};" for table in TABLES)
    database.sql(f"CREATE SCHEMA kept; {kept}")
    yield database
    pg_server.sql("DROP DATABASE edited_rows WITH (FORCE)")


@contextlib.contextmanager
def edited(firm: Database, place: str, text: str) -> Iterator[bool]:
    """Give a column *text*: in all rows, and of a key in one row alone; yield whether the database took it."""
    table, column = place.split(".")
    keys = " AND ".join(f"t.{name} = k.{name}" for name in ("chain", *TABLES[table].key))
    edit = f"UPDATE ledger.{table} SET {column} = '{text}'"
    back = f"UPDATE ledger.{table} t SET {column} = k.{column} FROM kept.{table} k WHERE {keys}"
    if column in TABLES[table].key:
        last = f"(SELECT max({column}) FROM ledger.{table})"
        old = firm.sql(f"SELECT {last}")
        edit += f" WHERE ctid = (SELECT max(ctid) FROM ledger.{table} WHERE {column} = {last})"
        back = f"UPDATE ledger.{table} SET {column} = '{old}' WHERE {column} = '{text}'"
    try:
        firm.sql(edit)
    except SetupNeeded:  # a check refuses it
        yield False
        return
    try:
        yield True
    finally:
        firm.sql(back)


def answered(read: Read, books: Books) -> bool:
    """Return whether a read answers, with rows that can be shown; it may fail by a named error and by nothing else."""
    try:
        found = read.ask(books, None).value
    except LedgerError as error:
        # One who asks is not told that the amount that was asked about is wrong.
        if isinstance(error, InvalidAmount) or (isinstance(error, Corrupt) and "verify" not in str(error)):
            raise
        return False
    rows = found if isinstance(found, list) else [found]
    json.loads(answer.as_json([plain(row) for row in rows if type(row) is not Statement]))
    return True


@pytest.mark.parametrize("place", EDITED)
def test_no_read_falls_over_a_cell_that_was_edited(firm: Database, place: str) -> None:
    told = []
    for text in EDITED[place]:
        with edited(firm, place, text) as taken, Books(firm.dsn("reader")) as books:
            told += [answered(read, books) for read in READS.values()] if taken else []
    with Books(firm.dsn("reader")) as books:
        assert told, place
        assert all(answered(read, books) for read in READS.values())


@pytest.mark.parametrize(
    ("place", "text", "read", "words"),
    [
        ("instruments.amendments", "x", "exposure of all", r"found 'x' in instruments\.amendments of \('.*',\)"),
        ("executions.fees", "{}", "blotter of all", r"found '{}' in executions\.fees of \('N', '.*', '.*'\)"),
        ("movements.postings", "null", "settlement_ladder of all", r"movements\.postings of \('settlement', 'S1'\)"),
        ("assets.splits", "x", "history", r"found 'x' in assets\.splits of what order/O is of"),
        (
            "positions.instrument",
            "x",
            "exposure of all",
            r"found 'x' in positions\.instrument .* no such row of",
        ),
        ("marks.day", "infinity", "exposure of all", r"found 'infinity' in marks\.day of"),
        ("allocations.exec_ids", "{}", "settlement_ladder of all", r"in allocations\.exec_ids of \('AL1',\)"),
        ("executions.allocation_id", "x", "settlement_ladder of all", r"'x' in executions\.allocation_id of"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_and_what_to_do(
    firm: Database, place: str, text: str, read: str, words: str
) -> None:
    with (
        edited(firm, place, text),
        Books(firm.dsn("reader")) as books,
        pytest.raises(StateMismatch, match=words + ".*verify"),
    ):
        READS[read].ask(books, None)


@pytest.mark.parametrize("method", ["of all", "of one account"])
def test_lines_of_an_allocation_are_those_that_are_there(firm: Database, method: str) -> None:
    """However many its row says there are: none is looked for after one that is not there."""
    read = READS[f"settlement_ladder {method}"]
    with Books(firm.dsn("reader")) as books:
        found = read.ask(books, None).value
        assert any(rung.failed for rung in found)
        with edited(firm, "allocations.lines", "2000000000"):
            assert read.ask(books, None).value == found
