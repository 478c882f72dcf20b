"""
Choose by a few bytes, so that the same bytes make the same choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
WILD = 0.12
"""How often a request is about anything there is, whether or not it fits."""


class NothingFits(Exception):
    """
    There is nothing yet that a request could well be about.
    """


class Dice(Random):
    """
    The choices of one step.
    """

    def often(self, chance: float) -> bool:
        return self.random() < chance

    def of(self, *options: T) -> T:
        return self.choice(options)

    def aimed(self, fitting: Iterable[T], otherwise: Sequence[T]) -> T:
        """Return one that fits, mostly, and now and then any; raise NothingFits mostly where there is none."""
        if self.often(WILD):
            return self.choice(otherwise)
        found = list(fitting)
        if not found:
            raise NothingFits
        return self.choice(found)
