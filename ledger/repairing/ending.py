"""
Say where the events end for a plan: how many were signed, stand here, or are known elsewhere, and what that keeps from
being mended.

What lies beyond the last event is seen by nobody here. So it is asked of whatever may know of it: the checkpoint, the
head, the report, the rows of this region and the copies that were named (`tail`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from ledger.chain.link import ChainHead
from ledger.repairing import tail
from ledger.repairing.proving import EVENTS_LIMIT, Proven, Prover, fetch
from ledger.repairing.sources import Source
from ledger.storage import repairs
from ledger.storage.database import Connection


class Ending:
    """
    The end of one chain, as a plan knows it.
    """

    def __init__(
        self,
        connection: Connection,
        chain: int,
        copies: Sequence[Source],
        prover: Prover,
        proven: Mapping[int, Proven],
        known: int,
        read: int,
        *,
        follows: bool,
    ) -> None:
        """
        Ask where the events end. The *prover* shows those that were signed; *proven* are those that the plan has
        proven by the time that it asks; *known* is how many the report knows of from elsewhere, and *read* how many
        there were when it was made. A region that *follows* may be behind its primary.
        """
        self._connection, self._chain, self._copies = connection, chain, copies
        self._prover, self._proven, self._follows = prover, proven, follows
        self._known, self._read = known, read
        # The head may be gone, or say less: what nobody signed is an event all the same.
        self._after = repairs.end(connection, chain, prover.size).seq
        self.last = max(prover.size, repairs.head_seq(connection, chain), self._after, known)
        """The last event that anything speaks of."""
        self._signed = repairs.last_until(connection, chain, prover.size) or 0
        self.there = self._after if self._after > prover.size else self._signed
        """The last event that there is, whatever is missing before it, but for those behind a gap in what follows."""
        self.seen = max(known, read, self.there)
        """How many events there were once, or are."""

    def has_place(self, seq: str) -> bool:
        """
        Return whether *seq*, as a row says it, is that of an event which follows the others without a gap.
        """
        return seq.isdecimal() and 1 <= int(seq) <= self._after

    def after(self, seq: int) -> str:
        """
        Return why an event is not mended that is after what was signed.
        """
        if seq <= self._known:
            return (
                f"event {seq} is after {self._prover.words()}, and the report knows of {self._known} events: bring the "
                "checkpoint by which it does, with --checkpoint, and a copy that has them"
            )
        return f"event {seq} is after {self._prover.words()}: nothing that was signed covers it"

    def cut(self) -> range:
        """
        Return the events that were signed and are missing at the end, where a copy has the last of them; of a region
        that may be behind its primary none is missing.
        """
        size = self._prover.size
        found = range((repairs.last_until(self._connection, self._chain, size) or 0) + 1, size + 1)
        if self._follows or not found or len(found) > EVENTS_LIMIT:
            return range(0)
        return found if fetch([size], self._copies, self._prover)[0] else range(0)

    def short(self, removed: Sequence[int] = ()) -> str:
        """
        Return why nothing is made anew of events that end before what was signed, or read for the report, or that go on
        behind a gap; nothing where they do not. Rows at the seqs that are *removed* stand there no more.
        """
        size = self._prover.size
        last = self._after if self._signed == size or size in self._proven else self._signed
        beyond = repairs.first_beyond(self._connection, self._chain, self._after, removed)
        if last >= size and beyond is not None:
            return (
                f"event {beyond} stands behind a gap that begins at {self._after + 1}, and nothing that was signed "
                "covers either: take another region as the primary, restore a backup, or find out whose the row is"
            )
        if last >= max(size, self._read):
            return ""
        if last >= size:
            return (
                f"the events end at {last} here, and {self._read} were verified: bring those that are missing back, or "
                "verify again once it is known why they went"
            )
        behind = (
            f"let this region catch up with its primary, or name with --checkpoint one of at most {last} events"
            if self._follows
            else "restore them from a copy first"
        )
        return f"the events end at {last} here, and {size} were signed: {behind}"

    def disputed(self) -> str:
        """
        Return why the head is not made anew where no event is: it says more events than there are, or will be.
        """
        said, last = repairs.head_seq(self._connection, self._chain), self._event().seq
        return (
            f"{repairs.disputed(said, last)}; to move it back would hide that events are missing" if said > last else ""
        )

    @functools.cached_property
    def heard(self) -> tail.Heard:
        """
        What rows and copies say of the events here.
        """
        return tail.hear(
            self._connection, self._chain, self._event(), self._prover.size, self._copies, self._prover,
            follows=self._follows,
        )  # fmt: skip

    def _event(self) -> ChainHead:
        """Return the last event, not as the head says it: that may be what is to be mended."""
        last = repairs.end(self._connection, self._chain, self._prover.size)
        if last.seq in self._proven:
            last = ChainHead(last.seq, self._proven[last.seq].event.hash)
        return last
