"""
Settle what becomes of the row that stands for a checkpoint: whether its root and note are put back, or it goes.

A note is put back where the policy accepts it and the signed tree begins with its root. One that stands under a number
that no chain has is brought to its place, where nothing else stands there. One that stands under another size than it
states is moved to its own, together with those that are in its way and are moved as well, or goes where it
stands there already. Any other row goes only where it is known that no log has signed what it holds: by the policy, and
by every key that the signed events name. A note of another chain, whose key nobody here knows, stays.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

from ledger.errors import LedgerError, UnknownFormat, shown
from ledger.evidence import checkpoint, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import VerifierKey
from ledger.evidence.policy import Policy
from ledger.repairing import belonging, named_keys
from ledger.repairing.plan import REMOVE, REPLAY, RESTORE, Write
from ledger.repairing.proving import Prover, is_signed
from ledger.repairing.sources import Source
from ledger.repairing.wanted import CHECKPOINTS
from ledger.storage import note_rows
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

AS_SIGNED: Final = "root and note are as they were signed; when it was sealed is the region's own word"
OTHERS: Final = (
    "root and note are as they were signed, so it is the events that are others, and no finding here says which: see "
    "with `tradeledger-verify diff` of this region and a copy"
)
SECOND_HISTORY: Final = (
    "two signed histories: a log has signed the note here, and the one that the policy accepts, of as many events with "
    "another root; keep both, they convict whoever holds the log's key"
)


MOVED_LIMIT: Final = 1000
"""So many rows are moved together at most: a report names no more of one kind."""


def contradicts(there: bytes, stated: Checkpoint, prover: Prover) -> str:
    """
    Return why the note that is *there* is kept, if a log has signed it, in place of what is *stated*; nothing where it
    is none, or the signed tree begins with what it states.
    """
    try:
        found, _ = checkpoint.decode_note(there)
    except UnknownFormat:
        return ""
    if found.origin != stated.origin or found.root == stated.root or prover.holds(found):
        return ""
    if found.size == stated.size:
        return SECOND_HISTORY
    return (
        f"a log has signed the note here, of {found.size} events, and {prover.words()} is not shown to begin with it: "
        "keep it; where that begins otherwise, the two convict whoever holds the log's key"
    )


def of_another(root: bytes, there: bytes, origin: str, prover: Prover) -> str:
    """
    Return why what stands there is kept, where its note is one of another chain than that of *origin*; else nothing.
    """
    name = belonging.note_of_another(root, there, origin, prover)
    return f"the note here is of another chain, {shown(name)}: find out whose it is, and keep it" if name else ""


def stated_by(data: bytes) -> Checkpoint | None:
    """
    Return what a note says, whoever signed it; None where it is none.
    """
    try:
        return checkpoint.decode_note(data)[0]
    except UnknownFormat:
        return None


def stated_size(data: bytes) -> int | None:
    """
    Return of how many events a note says that it is; None where it is none.
    """
    found = stated_by(data)
    return None if found is None else found.size


class Notes:
    """
    The checkpoints of one chain in its copies, of which the one that is *stated* proves all others.
    """

    def __init__(
        self,
        connection: Connection,
        row: ChainRow,
        rules: Policy,
        stated: Checkpoint,
        prover: Prover,
        copies: Sequence[Source],
    ) -> None:
        self._connection, self._row = connection, row
        self._rules, self._stated, self._prover, self._copies = rules, stated, prover, copies
        self._seen: dict[int, tuple[list[tuple[bytes, bytes]], Checkpoint | None]] = {}
        """What stands for each size that was asked for: to move rows asks for the same again and again."""
        self._goes: dict[int, int] = {}
        """To which size a row is moved, and from which."""
        self._brought: dict[int, bytes] = {}
        """The sizes to which rows of no chain's numbers are brought, and their notes."""

    def settle(self, size: int) -> list[Write] | str:
        """
        Return how the row for the checkpoint of *size* events is mended, and what has to be moved with it, or why it is
        not.
        """
        # A row that stands elsewhere as it was sealed keeps its time, and its note, which a copy would be put over.
        moves = self._moves(size, as_sealed=True)
        if any(write.size == size for write in moves):
            return moves
        found = self._settled(size, [] if moves else self._stored(size))
        if moves:
            return moves if isinstance(found, str) else [*moves, *found]
        return found

    def _settled(self, size: int, there: Sequence[tuple[bytes, bytes]]) -> list[Write] | str:
        if reason := next(filter(None, (of_another(*row, self._stated.origin, self._prover) for row in there)), ""):
            return reason
        proven_by = self._prover.words()
        for source in self._copies:
            note = source.note(size)
            stated = None if note is None else self._accepted(note, size)
            if stated is not None and there == [(stated.root, note)]:
                return AS_SIGNED
            if stated is not None and (kept := next(filter(None, (self._kept(x, stated) for _, x in there)), "")):
                return kept
            if stated is not None:
                return [Write(what=RESTORE, table=CHECKPOINTS, source=source.kind, size=size, hash=stated.root.hex(),
                              proven_by=proven_by)]  # fmt: skip
        if not there:
            return f"there is no row of a checkpoint of {size} events, and no copy has one that the policy accepts"
        if moved := self._moves(size, as_sealed=False):
            return moved
        removed = Write(what=REMOVE, table=CHECKPOINTS, source=REPLAY, size=size, proven_by=proven_by)
        if self._stands_at_its_own(size):
            return [removed]
        keys = self._keys
        if isinstance(keys, str):
            return f"whether a log has signed what stands for the checkpoint of {size} events is not known: {keys}"
        if any(is_signed(self._rules, keys, found) for _, found in there):
            return f"no copy has a checkpoint of {size} events that the policy accepts and the signed tree begins with"
        if size > self._stated.size:
            return (
                f"no log has signed what stands for the checkpoint of {size} events, and no copy has one; it is taken "
                "away once a checkpoint that the policy accepts covers as many: record something and seal it"
            )
        return [removed]

    def _moves(self, size: int, *, as_sealed: bool) -> list[Write]:
        """
        Return what moves the row of *size* events to the size that its note states, and each that is in the way to its
        own; nothing where it states its own or one of them has nowhere to go. *as_sealed*: only rows with the root that
        their notes state.
        """
        moved: dict[int, Checkpoint] = {}
        at = size
        while at not in moved and self._stored(at):
            stated = self._astray(at, as_sealed=as_sealed)
            if stated is None or len(moved) == MOVED_LIMIT:
                return []
            moved[at] = stated
            at = stated.size
        if (at in moved and at != size) or any(self._goes.get(x.size, of) != of for of, x in moved.items()):
            # Two rows have notes of one size, and one of them alone has its place.
            return []
        self._goes |= {stated.size: of for of, stated in moved.items()}
        return [
            Write(what=RESTORE, table=CHECKPOINTS, source=self._copies[0].kind, size=stated.size, key=(str(of),),
                  hash=stated.root.hex(), proven_by=self._prover.words())
            for of, stated in moved.items()
        ]  # fmt: skip

    def bring(self, number: int) -> list[Write]:
        """
        Return what brings the checkpoints under the *number* of no chain to this one, whose notes say that they are its
        own: to places where none stands, or away where the same note stands there.
        """
        writes = list[Write]()
        for size in note_rows.sizes(self._connection, number, MOVED_LIMIT):
            there = note_rows.stored(self._connection, number, size)
            states = stated_size(there[0][1]) if len(there) == 1 else None
            stated = None if states is None else self._accepted(there[0][1], states)
            if stated is None:
                continue
            at_its_own = self._stored(stated.size)
            is_there = (stated.root, there[0][1]) in at_its_own or self._brought.get(stated.size) == there[0][1]
            if not is_there and (at_its_own or stated.size in self._brought):
                continue
            if not is_there:
                self._brought[stated.size] = there[0][1]
            writes.append(
                Write(what=REMOVE if is_there else RESTORE, table=CHECKPOINTS, source=self._copies[0].kind,
                      size=stated.size, key=(str(number), str(size)), hash=stated.root.hex(),
                      proven_by=self._prover.words())
            )  # fmt: skip
        return writes

    def _stored(self, size: int) -> list[tuple[bytes, bytes]]:
        return self._stands(size)[0]

    def _astray(self, size: int, *, as_sealed: bool = False) -> Checkpoint | None:
        """Return what the one row of *size* events states, where its note is a good one of another size."""
        there, stated = self._stands(size)
        return stated if stated is not None and (not as_sealed or there[0][0] == stated.root) else None

    def _stands(self, size: int) -> tuple[list[tuple[bytes, bytes]], Checkpoint | None]:
        """Return the rows of *size* events, and what the only one states where it is of another size."""
        if size not in self._seen:
            there = note_rows.stored(self._connection, self._row.chain, size)
            states = stated_size(there[0][1]) if len(there) == 1 else None
            stated = None if states in (None, size) else self._accepted(there[0][1], states or 0)
            self._seen[size] = there, stated
        return self._seen[size]

    def _stands_at_its_own(self, size: int) -> bool:
        """Return whether the row of *size* events has a good note that stands, or will, under its own size as well."""
        stated = self._astray(size)
        if stated is None:
            return False
        at_its_own = self._stored(self._goes.get(stated.size, stated.size))
        return self._stored(size)[0][1] in [note for _, note in at_its_own]

    def _kept(self, there: bytes, stated: Checkpoint) -> str:
        """Return why the note that is *there* is not written over by what is *stated*; nothing where it may be."""
        reason = contradicts(there, stated, self._prover)
        if not reason:
            return ""
        if isinstance(self._keys, str):
            return f"whether a log has signed the other history that the note here is of is not known: {self._keys}"
        return reason if is_signed(self._rules, self._keys, there) else ""

    def _accepted(self, note: bytes, size: int) -> Checkpoint | None:
        """Return what a note says of *size* events, where the policy accepts it and the signed tree begins so."""
        try:
            stated = policy.check(self._rules, note).checkpoint
        except LedgerError:
            return None
        is_it = (stated.origin, stated.size) == (self._stated.origin, size) and self._prover.holds(stated)
        return stated if is_it else None

    @functools.cached_property
    def _keys(self) -> list[VerifierKey] | str:
        """The keys that the signed events name for checkpoints, or why they are not known."""
        try:
            return named_keys.named(self._connection, self._row, self._stated)
        except LedgerError as error:
            return str(error)
