"""
Digest the read models as a set, at the cost of what changed.

LtHash: every row is stretched to 1,024 lanes of 16 bits by BLAKE3's extendable output, and the accumulator is
the lane-wise sum modulo 2^16. A changed row is taken out with its old bytes and put in with its new ones, in
any order, so the cost follows the changes and never the size of the tables. Rows differ by table and key, so
no two elements are alike.

The bytes are specified in docs/FORMAT.md. This module knows no table and no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ledger.errors import UnknownFormat

ELEMENT_DOMAIN: Final = b"trade-ledger/st1"
LANES: Final = 1024
SIZE_BYTES: Final = 2 * LANES


_AT_ONCE: Final = 128
"""So many rows are summed at once: their lanes stay in the processor's cache."""


def _stretched(table: str, rows: Sequence[bytes]) -> bytes:
    name = table.encode()
    start = ELEMENT_DOMAIN + len(name).to_bytes(2, "big") + name
    return b"".join([blake3(start + row).digest(length=SIZE_BYTES) for row in rows])


def _element(table: str, row: bytes) -> NDArray[np.uint16]:
    name = table.encode()
    stretched = blake3(ELEMENT_DOMAIN + len(name).to_bytes(2, "big") + name + row).digest(length=SIZE_BYTES)
    return np.frombuffer(stretched, dtype="<u2")


class StateDigest:
    """
    An accumulator over rows of named tables; empty at first.
    """

    def __init__(self) -> None:
        self._lanes: NDArray[np.uint16] = np.zeros(LANES, dtype="<u2")

    @classmethod
    def from_lanes(cls, lanes: bytes) -> StateDigest:
        """
        Return the accumulator that `lanes` wrote.

        Raises:
            UnknownFormat: not 2,048 bytes.
        """
        if len(lanes) != SIZE_BYTES:
            raise UnknownFormat(f"found a state digest of {len(lanes)} bytes; expected {SIZE_BYTES}")
        digest = cls()
        digest._lanes = np.frombuffer(lanes, dtype="<u2").copy()
        return digest

    def put_in(self, table: str, row: bytes) -> None:
        """
        Add a row of *table*, given its canonical bytes.
        """
        self._lanes += _element(table, row)

    def take_out(self, table: str, row: bytes) -> None:
        """
        Remove a row that was put in with these bytes.
        """
        self._lanes -= _element(table, row)

    def put_in_all(self, table: str, rows: Sequence[bytes]) -> None:
        """
        Add many rows of one table: the same as each alone, in less time.
        """
        for start in range(0, len(rows), _AT_ONCE):
            lanes = np.frombuffer(_stretched(table, rows[start : start + _AT_ONCE]), "<u2").reshape(-1, LANES)
            self._lanes += lanes.sum(axis=0, dtype="<u2")

    def take_out_all(self, table: str, rows: Sequence[bytes]) -> None:
        """
        Remove many rows of one table that were put in with these bytes.
        """
        for start in range(0, len(rows), _AT_ONCE):
            lanes = np.frombuffer(_stretched(table, rows[start : start + _AT_ONCE]), "<u2").reshape(-1, LANES)
            self._lanes -= lanes.sum(axis=0, dtype="<u2")

    def add(self, other: StateDigest) -> None:
        """
        Add all that *other* is over: disjoint sets of rows.
        """
        self._lanes += other._lanes

    def lanes(self) -> bytes:
        """
        Return the whole accumulator: 2,048 bytes, lanes of 16 bits, little-endian.
        """
        return self._lanes.tobytes()

    def digest(self) -> bytes:
        """
        Return the 32 bytes that stand for the set: BLAKE3 of the lanes.
        """
        return blake3(self.lanes()).digest()
