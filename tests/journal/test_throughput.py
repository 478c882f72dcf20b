"""
Check that the interpreter is tuned for a writer where that was asked for, and nowhere else.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from ledger import Ledger, for_throughput
from tests.conftest import Database
from tests.journal.test_ledger import fill


def settings() -> tuple[float, tuple[int, int, int]]:
    return round(sys.getswitchinterval(), 6), gc.get_threshold()


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


def test_a_ledger_changes_nothing_of_its_process(chain: Database) -> None:
    """Opened, used and closed: turns and collector are the caller's."""
    before = settings()
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        assert settings() == before
    assert settings() == before


def test_a_writer_asks_for_its_settings() -> None:
    """Turns of half a millisecond, and a look at the youngest after 50,000 new objects; twice is once."""
    sys.setswitchinterval(0.005)
    gc.set_threshold(700, 10, 10)
    for_throughput()
    for_throughput()
    assert settings() == (0.0005, (50_000, 10, 10))


def test_what_is_further_already_stays() -> None:
    """A shorter turn, a rarer collector and one that is off are somebody's choice."""
    sys.setswitchinterval(0.0001)
    interval, _ = settings()
    for young, expected in ((90_000, 90_000), (0, 0)):
        gc.set_threshold(young, 10, 10)
        for_throughput()
        assert settings() == (interval, (expected, 10, 10))
