"""
Replay events at speed: the same fold and the same digest as `verifier.state`, taken where somebody asks for it.

A row that changes many times between two commits is taken out of the digest once and put in once, and what was closed
meanwhile is kept once. Whatever is not by the rules ends it with `Doubt`: then everything is verified again by
`verifier.state`, which says what is wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent
from ledger.domain import fold
from ledger.domain.fold import Context
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, Key, State
from ledger.errors import UnknownFormat
from ledger.spill.spill import Spill

FLUSH: Final = 4096
"""After so many events changes are settled although nobody asked: they are held in memory."""


class Doubt(Exception):
    """
    Something is not as in a good ledger; who can say what it is, has to look.

    Its word, where it has one, is the part of the ledger that it is about.
    """


def same(found: object, expected: object, part: str = "events") -> None:
    """
    Let only what is expected pass.

    Raises:
        Doubt: it is something else, in this *part* of the ledger.
    """
    if found != expected:
        raise Doubt(part)


class NetReplay:
    """
    The state as events make it, and its digest at the moments that are asked for.
    """

    def __init__(self, spill: Spill, state: State, digest: StateDigest) -> None:
        self._spill, self.state, self._digest = spill, state, digest
        self._mark = state.begin()
        self._waiting = 0
        self.made: Counter[str] = Counter()
        """How many rows of each table came into being."""
        self.touched: set[tuple[str, Key]] | None = None
        """Every row that changed, where somebody wants to know."""

    def apply(self, event: RecordedEvent, derived: bytes, given: bytes) -> None:
        """
        Apply a stored event.

        Raises:
            Doubt: it is not by the rules.
        """
        if self._waiting >= FLUSH:
            self.settle()
        self._waiting += 1
        try:
            wrong = fold.replay(
                self.state, event.event_type, event.schema_version, given, derived,
                (event.stream, event.stream_version, event.effective_on),
                Context(event.seq, event.recorded_at, event.occurred_at),
            )  # fmt: skip
        except UnknownFormat as error:
            raise Doubt from error
        if wrong:
            raise Doubt

    def settle(self) -> list[Change]:
        """
        Take what changed since the last time into the digest, let the state forget what is closed, and return it.
        """
        changes = self.state.changes(self._mark)
        made = [row_bytes(TABLES[change.table], change.new) for change in changes]
        out: dict[str, list[bytes]] = defaultdict(list)
        into: dict[str, list[bytes]] = defaultdict(list)
        for change, data in zip(changes, made, strict=True):
            if change.old is None:
                self.made[change.table] += 1
            else:
                out[change.table].append(row_bytes(TABLES[change.table], change.old))
            into[change.table].append(data)
        for table, rows in out.items():
            self._digest.take_out_all(table, rows)
        for table, rows in into.items():
            self._digest.put_in_all(table, rows)
        if self.touched is not None:
            self.touched.update((change.table, change.key) for change in changes)
        self._spill.keep(zip(changes, made, strict=True))
        self._mark, self._waiting = self.state.begin(), 0
        self.state.durable(self._mark)
        return changes

    def digest(self) -> StateDigest:
        """
        Return the digest of the state as it is now.
        """
        self.settle()
        return self._digest
