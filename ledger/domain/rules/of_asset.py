"""
Find the instruments that an asset is traded as, without a look at all others.

An instrument keeps its asset, and instruments are added at the end, or taken back from there: so an index by asset
holds for as long as there are as many, and the last is the same row. It follows from the rows, which decide.
"""

from __future__ import annotations

from ledger.domain.rows import Instrument
from ledger.domain.state import OfAsset, State


def instruments_of(state: State, asset: str) -> list[Instrument]:
    """
    Return the instruments of *asset*, by the names that they had before as well.
    """
    rows = state.instruments.rows
    last = next(reversed(rows.values()), None)
    index = state.of_asset
    if index is None or index.count != len(rows) or index.last is not last:
        index = state.of_asset = OfAsset(len(rows), last, {})
        for key, row in rows.items():
            index.keys.setdefault(row.asset, []).append(key)
    return [rows[key] for key in index.keys.get(asset, ())]
