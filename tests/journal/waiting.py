"""
Let requests wait: at a gate before the writer, or for the head that another session holds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import psycopg

from ledger import Ledger, Receipt
from ledger.storage import chains
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import fee

SOON_S = 0.3
"""Long enough for something that does not wait to have happened."""


@contextlib.contextmanager
def head_held(chain: Database) -> Iterator[psycopg.Connection[Any]]:
    """Keep the head's lock in another session, as a transaction that is still committing would."""
    with db.connect(chain.dsn("writer"), "holder") as holder:
        chains.lock_head(holder, chains.find(holder, ORIGIN).chain)
        yield holder
        holder.rollback()


class Gate:
    """A clock that stands still until it is opened: what is handed in meanwhile waits in the queue."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def __call__(self) -> int:
        self.reached.set()
        assert self.open.wait(20)
        return time.time_ns()

    def shut(self, ledger: Ledger, name: str) -> Future[Receipt]:
        """Shut the gate, and return the request that stands in it."""
        self.open.clear()
        self.reached.clear()
        first = ledger.submit(fee(name), key=name)
        assert self.reached.wait(60)
        return first
