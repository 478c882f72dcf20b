"""
Choose from a number, so that the same number makes the same choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
WILD = 0.12
"""How often a request is about anything there is, whether or not it fits."""


class Dice(Random):
    """
    The choices of one step.
    """

    def often(self, chance: float) -> bool:
        return self.random() < chance

    def of(self, *options: T) -> T:
        return self.choice(options)

    def aimed(self, fitting: Iterable[T], otherwise: Sequence[T]) -> T:
        """Return one that fits, mostly; where there is none, any."""
        found = list(fitting)
        return self.choice(found) if found and not self.often(WILD) else self.choice(otherwise)
