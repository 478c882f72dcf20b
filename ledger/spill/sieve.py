"""
Tell keys that were certainly never kept from those that may have been, in memory that does not grow.

A replay asks of each new key whether it was used before, and the answer is nearly always no. Looking that up in a file
costs more than a rule does. A Bloom filter never says no of a key that was kept; of others it says maybe for one in a
thousand at ten million keys, and ever more beyond, which costs a look and changes nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Hashable
from typing import Final

BITS: Final = 1 << 28
"""32 MiB; pages that nothing touched take no memory."""
_MASK: Final = BITS - 1


class Sieve:
    """
    The keys that were added, three bits each.
    """

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = mmap.mmap(-1, BITS >> 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def add(self, key: Hashable) -> None:
        """
        Note that *key* is kept.
        """
        bits, hashed = self._bits, hash(key)
        place, step = hashed & _MASK, hashed >> 32 | 1
        bits[place >> 3] |= 1 << (place & 7)
        place = place + step & _MASK
        bits[place >> 3] |= 1 << (place & 7)
        place = place + step & _MASK
        bits[place >> 3] |= 1 << (place & 7)

    def may_have(self, key: Hashable) -> bool:
        """
        Return False only where *key* was never added.
        """
        bits, hashed = self._bits, hash(key)
        place = hashed & _MASK
        if not bits[place >> 3] >> (place & 7) & 1:
            return False
        step = hashed >> 32 | 1
        place = place + step & _MASK
        if not bits[place >> 3] >> (place & 7) & 1:
            return False
        place = place + step & _MASK
        return bool(bits[place >> 3] >> (place & 7) & 1)
