"""
Say when something is given to the ledger: on which day, at which time in ns, at which seq it would stand.
"""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """
    A place in the history and in time.
    """

    seq: int
    at: int
    day: str
