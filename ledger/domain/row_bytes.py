"""
Write a read-model row as the bytes that the state digest is taken over.

A row is a JSON array of its columns in order: text as it is, integers as decimal digits, booleans, null, lists of
text; an amount is the text of its integer of 10^-18, so that no scale and no rounding is involved.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import msgspec

from ledger.chain.digest import StateDigest
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import Change

_ENCODER = msgspec.json.Encoder()


@functools.cache
def _amount_places(spec: TableSpec) -> tuple[int, ...]:
    return tuple(place for place, column in enumerate(spec.columns) if column in spec.amounts)


def row_bytes(spec: TableSpec, row: Row) -> bytes:
    """
    Return the canonical bytes of *row*, a row of the table that *spec* describes.
    """
    values: list[object] = list(msgspec.structs.astuple(row))
    for place in _amount_places(spec):
        if values[place] is not None:
            values[place] = str(values[place])
    return _ENCODER.encode(values)


def digest_after(lanes: bytes, changes: Iterable[Change]) -> StateDigest:
    """
    Return the state digest that follows *lanes* once rows changed as *changes* say.
    """
    digest = StateDigest.from_lanes(lanes)
    for change in changes:
        spec = TABLES[change.table]
        if change.old is not None:
            digest.take_out(change.table, row_bytes(spec, change.old))
        digest.put_in(change.table, row_bytes(spec, change.new))
    return digest
