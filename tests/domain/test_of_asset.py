"""
Check that the instruments of an asset are found as a look at all of them finds them, whatever was taken back.
"""

from __future__ import annotations

from random import Random

import pytest

from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AssetDefined, InstrumentAmended, InstrumentDefined
from ledger.domain.rules.of_asset import instruments_of
from ledger.domain.state import State
from tests.domain.books import DAY, Books

ASSETS = ("X", "Y", "Z")


def defined(name: str, asset: str) -> Event:
    return InstrumentDefined(instrument=name, asset=asset, quote_asset="USD", settle_asset="USD", tick="0.01", lot="1",
                             settlement_cycle=1, venue="V")  # fmt: skip


def assert_found(state: State) -> None:
    for asset in (*ASSETS, "none"):
        meant = [row for row in state.instruments.rows.values() if row.asset == asset]
        assert instruments_of(state, asset) == meant


@pytest.mark.parametrize("seed", range(20))
def test_the_instruments_of_an_asset_are_those_that_there_are(seed: int) -> None:
    """Defined, amended, renamed, taken back, defined again for another asset, and taken in as they are stored."""
    dice, books = Random(seed), Books()
    for asset in ("USD", *ASSETS):
        books.give(AssetDefined(asset=asset, kind="security", scale=2, name=asset))
    marks: list[int] = []
    for step in range(60):
        rows = books.state.instruments.rows
        names = [row.instrument for row in rows.values() if row.renamed_to is None]
        what = dice.choice(["define", "define", "amend", "rename", "mark", "take back", "take in"])
        if what == "define":
            name = f"I{dice.randrange(12)}"
            if (name,) not in rows:
                books.give(defined(name, dice.choice(ASSETS)))
        elif what == "amend" and names:
            books.give(InstrumentAmended(instrument=dice.choice(names), tick="0.05", effective_from=DAY))
        elif what == "rename" and names:
            books.give(InstrumentRenamed(ca_id=f"N{step}", old=dice.choice(names), new=f"N{step}", effective=DAY))
        elif what == "mark":
            marks.append(books.state.begin())
        elif what == "take back" and marks:
            books.state.rollback(marks.pop())
        elif what == "take in" and rows:
            books.state.add("instruments", dice.choice(list(rows.values())))
        if dice.random() < 0.7:
            assert_found(books.state)
    assert_found(books.state)
