"""
Check that rows which memory forgets come back from their file as they were, and that a sieve forgets none.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

import msgspec
import pytest

from ledger.domain.events.orders import OrderCanceled
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES, Row
from ledger.domain.rows.money import Hold
from ledger.domain.state import Change, Key
from ledger.spill import sieve
from ledger.spill.sieve import Sieve
from ledger.spill.spill import Spill, row_from
from tests.domain.books import opened, order

LEGS = '[["A","USDT","5"]]'
CLOSED = Hold("H", LEGS, "[]", None, "r", "released", 2)
OPEN = Hold("I", LEGS, LEGS, 7, None, "open", 1)


def given(*rows: tuple[str, Key, Row]) -> list[tuple[Change, bytes]]:
    return [(Change(table, key, None, row), row_bytes(TABLES[table], row)) for table, key, row in rows]


def test_closed_rows_come_back_and_open_ones_stay_where_they_are() -> None:
    """Under their own table and key; the newest of two counts."""
    with Spill() as kept:
        kept.keep(given(("holds", ("H",), CLOSED), ("holds", ("I",), OPEN)))
        assert kept.load("holds", ("H",)) == CLOSED
        assert kept.load("holds", ("I",)) is None
        assert kept.load("orders", ("H",)) is None
        newer = msgspec.structs.replace(CLOSED, version=3)
        kept.keep(given(("holds", ("H",), newer)))
        assert kept.load("holds", ("H",)) == newer
        place = Path(kept._folder.name)
        assert place.name.startswith("tradeledger-")
        # Nobody finds it any more, and it is gone with whoever has it open.
        assert not place.exists()


def test_nothing_that_is_asked_for_again_is_put_away() -> None:
    """Balances stay in memory, whatever they are."""
    books = opened()
    balance = books.state.balances.get("A", "USDT")
    assert balance is not None
    with Spill() as kept:
        kept.keep(given(("balances", ("A", "USDT"), balance)))
        assert kept.load("balances", ("A", "USDT")) is None


def test_what_a_state_closed_since_a_mark_is_kept() -> None:
    """A row with amounts, lists and nothing in some columns is the same when it is read."""
    books = opened()
    mark = books.state.begin()
    books.give(order())
    books.give(OrderCanceled(order_id="O"))
    row = books.state.orders.rows[("O",)]
    with Spill() as kept:
        kept.keep_closed(books.state, books.state.begin())
        assert kept.load("orders", ("O",)) is None
        kept.keep_closed(books.state, mark)
        assert kept.load("orders", ("O",)) == row
    assert row_from("orders", row_bytes(TABLES["orders"], row)) == row
    lists = msgspec.structs.replace(row, pending_cancel=("c", "d"))
    assert row_from("orders", row_bytes(TABLES["orders"], lists)) == lists


def test_what_was_met_is_told_from_what_was_not() -> None:
    """Once, of each table by itself."""
    other = msgspec.structs.replace(CLOSED, hold_id="J")
    with Spill() as kept:
        kept.keep(given(("holds", ("H",), CLOSED), ("holds", ("J",), other)))
        assert kept.meet("holds", ("K",)) == (None, False)
        assert list(kept.not_met("holds")) == [CLOSED, other]
        assert list(kept.not_met("orders")) == []
        assert kept.meet("holds", ("H",)) == (CLOSED, False)
        assert kept.meet("holds", ("H",)) == (CLOSED, True)
        assert kept.meet("holds", ("H",)) == (CLOSED, True)
        assert list(kept.not_met("holds")) == [other]


def test_a_file_is_asked_only_for_what_may_be_in_it() -> None:
    """A sieve says no of the rest; without one, each is looked for."""
    with Spill() as kept:
        kept.keep(given(("holds", ("H",), CLOSED)))
        asked: list[str] = []
        kept._db.set_trace_callback(asked.append)
        assert kept.load("holds", ("never",)) is None
        assert asked == []
        kept._sieve = None
        assert kept.load("holds", ("never",)) is None
        assert len(asked) == 1
        kept.keep(given(("holds", ("L",), msgspec.structs.replace(CLOSED, hold_id="L"))))
        assert kept.load("holds", ("L",)) is not None


def test_a_sieve_takes_memory_only_where_keys_are() -> None:
    """Each verification makes some, also of a chain of ten events."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    made = [Sieve() for _ in range(8)]
    for one in made:
        one.add("key")
    assert resident() - before < sieve.BITS // 8


def test_a_sieve_is_made_also_where_the_output_goes_into_a_file(tmp_path: Path) -> None:
    """An empty one, as a report begins: its memory is of no file."""
    output = os.dup(1)
    try:
        with (tmp_path / "report.json").open("wb") as file:
            os.dup2(file.fileno(), 1)
        made = Sieve()
    finally:
        os.dup2(output, 1)
        os.close(output)
    made.add("key")
    assert made.may_have("key")


def test_a_sieve_never_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added may be there, however full it is; of the rest it says no of nearly all while there is room."""
    made = Sieve()
    for number in range(5000):
        made.add(("orders", (f"o{number}",)))
    assert all(made.may_have(("orders", (f"o{number}",))) for number in range(5000))
    assert sum(made.may_have(("orders", (f"p{number}",))) for number in range(5000)) < 5
    assert not made.may_have(("holds", ("o1",)))
    assert len(made._bits) == sieve.BITS // 8
    key = 0x1234_5678_9ABC_DEF
    places = [(key + (key >> 32 | 1) * times) & sieve.BITS - 1 for times in range(3)]
    alone = Sieve()
    alone.add(key)
    assert bytes(alone._bits).replace(b"\0", b"") == bytes(1 << (place & 7) for place in sorted(places))
    assert all(alone._bits[place >> 3] for place in places)
    for place in places:
        alone._bits[place >> 3] ^= 1 << (place & 7)
        assert not alone.may_have(key)
        alone._bits[place >> 3] ^= 1 << (place & 7)
    assert alone.may_have(key)
    monkeypatch.setattr(sieve, "_MASK", 7)
    full = Sieve()
    for number in range(100):
        full.add(number)
    assert all(full.may_have(number) for number in range(200))
