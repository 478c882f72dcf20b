"""
Digest the read models as a set, at the cost of what changed.

LtHash: every row is stretched to 1,024 lanes of 16 bits by BLAKE3's extendable output, and the accumulator is
the lane-wise sum modulo 2^16. A changed row is taken out with its old bytes and put in with its new ones, in
any order, so the cost follows the changes and never the size of the tables. Rows differ by table and key, so
no two elements are alike.

The bytes are specified in docs/FORMAT.md. This module knows no table and no database.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ledger.errors import UnknownFormat

ELEMENT_DOMAIN: Final = b"trade-ledger/st1"
LANES: Final = 1024
SIZE_BYTES: Final = 2 * LANES


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
