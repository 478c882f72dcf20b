"""
Put rows of checkpoints in their places, or take them away, each with its note proven at this time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ledger.errors import LedgerError
from ledger.evidence import policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import VerifierKey
from ledger.evidence.policy import Policy
from ledger.repairing import named_keys
from ledger.repairing.notes import contradicts, of_another, stated_size
from ledger.repairing.plan import REMOVE, RESTORE, NotProven, Write
from ledger.repairing.proving import Prover, is_signed
from ledger.repairing.sources import Source
from ledger.repairing.wanted import CHECKPOINTS, numbers
from ledger.storage import identities, note_rows
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

_PLACE: Final = re.compile("-?[0-9]{1,5}/[0-9]{1,18}")


def is_astray(write: Write) -> bool:
    """Return whether the row stands under another chain's number: its key is that number, and of how many events."""
    return len(write.key or ()) > 1


def is_place(write: Write) -> bool:
    """Return whether what a plan says of where such a row stands can be a place at all."""
    return bool(_PLACE.fullmatch("/".join(write.key or ())))


class Placing:
    """
    The rows of one chain's checkpoints, in the transaction that mends it.

    Every method returns what was done, as sentences, and raises `NotProven` where a note is not what the plan or the
    signed chain says; nothing may be committed then.
    """

    def __init__(
        self,
        connection: Connection,
        row: ChainRow,
        rules: Policy,
        stated: Checkpoint,
        prover: Prover,
        sources: Mapping[str, Source],
        reason: str,
    ) -> None:
        """
        Take the chain's *row*, the policy's *rules*, the signed checkpoint and what proves by it, the *sources* by
        their kind, and the *reason* that is kept with each row that goes.
        """
        self._connection, self._row, self._rules, self._prover = connection, row, rules, prover
        self._sources, self._reason, self._stated = sources, reason, stated

    def run(self, writes: Sequence[Write]) -> list[str]:
        """
        Do all that these writes of a plan say of checkpoints.
        """
        notes = [write for write in writes if write.table == CHECKPOINTS]
        restoring, removing = ([write for write in notes if write.what == what] for what in (RESTORE, REMOVE))
        done = self._bring([write for write in restoring if is_astray(write)])
        done += self._move([write for write in restoring if write.key and not is_astray(write)])
        for write in restoring:
            done += [] if write.key else self._put(write)
        for write in removing:
            done += self._bring([write]) if is_astray(write) else self._remove(write)
        return done

    def _move(self, writes: Sequence[Write]) -> list[str]:
        """
        Move rows of checkpoints to the sizes that their notes state, all at once: each may stand in another's place.
        """
        chain, moves = self._row.chain, dict[int, Checkpoint]()
        for write in writes:
            astray = next(iter(numbers((write.key or ("",))[0])), 0)
            there, at_its_own = (note_rows.stored(self._connection, chain, x) for x in (astray, write.size or 0))
            is_moved = write.size in {stated_size(note) for _, note in at_its_own}
            notes = [note for _, note in (at_its_own if is_moved else there)]
            stated = self._proven_note(write, notes[0] if len(notes) == 1 else None)
            if not is_moved:
                moves[astray] = stated
        if len({stated.size for stated in moves.values()}) < len(moves):
            raise NotProven("the plan moves two checkpoints to one place; make it anew; nothing was written")
        for stated in moves.values():
            if stated.size not in moves and note_rows.stored(self._connection, chain, stated.size):
                raise NotProven(
                    f"the checkpoint of {stated.size} events is not moved to its place, where another row stands; make "
                    "the plan anew; nothing was written"
                )
        to = [(astray, stated.size, stated.root) for astray, stated in moves.items()]
        note_rows.move(self._connection, chain, to, self._reason)
        return [f"moved the note of the checkpoint of {size} events from where {of} were said" for of, size, _ in to]

    def _bring(self, writes: Sequence[Write]) -> list[str]:
        """
        Move rows of checkpoints that stand under the number of no chain to the chain, or take them away where their
        notes stand there already.
        """
        named, done = {row.chain for row in identities.standing(self._connection)}, list[str]()
        for write in writes:
            number, astray = (int(text) for text in write.key or ())
            there = note_rows.stored(self._connection, number, astray)
            at_its_own = note_rows.stored(self._connection, self._row.chain, write.size or 0)
            if not there and write.size in {stated_size(note) for _, note in at_its_own}:
                continue
            if len(there) != 1 or number in named:
                raise NotProven(
                    f"under the number {number} stands no one checkpoint of {astray} events that is no other chain's; "
                    "make the plan anew; nothing was written"
                )
            stated = self._proven_note(write, there[0][1])
            is_there = (stated.root, there[0][1]) in at_its_own
            if is_there != (write.what == REMOVE) or (at_its_own and not is_there):
                raise NotProven(
                    f"the checkpoint of {stated.size} events that stands under the number {number} is not what the "
                    "plan says, or another row stands in its place; make the plan anew; nothing was written"
                )
            note_rows.bring(self._connection, number, astray, self._row.chain, stated.size, stated.root, self._reason)
            done.append(write.sentence().replace("move the", "moved the").replace("remove the", "removed the"))
        return done

    def _proven_note(self, write: Write, note: bytes | None) -> Checkpoint:
        """Return what a note states, which is what the plan says, and with which the signed tree begins."""
        try:
            stated = None if note is None else policy.check(self._rules, note).checkpoint
        except LedgerError as error:
            raise NotProven(f"the {write.source}'s checkpoint of {write.size} events: {error}; nothing was "
                            "written") from error  # fmt: skip
        if (
            stated is None or not self._prover.holds(stated)
            or (stated.origin, stated.size, stated.root.hex()) != (self._stated.origin, write.size, write.hash)
        ):  # fmt: skip
            raise NotProven(
                f"the {write.source} has no checkpoint of {write.size} events with root {write.hash} that the signed "
                "tree begins with; nothing was written"
            )
        return stated

    def _put(self, write: Write) -> list[str]:
        note = self._sources[write.source].note(write.size or 0)
        stated = self._proven_note(write, note)
        there = note_rows.stored(self._connection, self._row.chain, stated.size)
        self._check_own(there, stated.size)
        for _, found in there:
            reason = contradicts(found, stated, self._prover)
            if reason and is_signed(self._rules, self._keys, found):
                raise NotProven(f"the checkpoint of {stated.size} events: {reason}; nothing was written")
        if note is None or there == [(stated.root, note)]:
            return []
        if note_rows.put(self._connection, self._row.chain, stated.size, stated.root, note, self._reason):
            return [f"restored the note of the checkpoint of {stated.size} events from {write.source}"]
        return []

    def _check_own(self, there: Sequence[tuple[bytes, bytes]], size: int) -> None:
        """Check that none of the rows that stand for a checkpoint is another chain's."""
        for root, note in there:
            if reason := of_another(root, note, self._stated.origin, self._prover):
                raise NotProven(f"the checkpoint of {size} events: {reason}; nothing was written")

    def _remove(self, write: Write) -> list[str]:
        size = write.size or 0
        there = note_rows.stored(self._connection, self._row.chain, size)
        if not there:
            return []
        self._check_own(there, size)
        elsewhere = {stated_size(note) for _, note in there}
        is_elsewhere = len(there) == 1 and any(
            there[0][1] == note
            for states in elsewhere - {None, size} for _, note in note_rows.stored(
                self._connection, self._row.chain, states or 0)
        )  # fmt: skip
        if not is_elsewhere and (
            size > self._stated.size or any(is_signed(self._rules, self._keys, note) for _, note in there)
        ):
            raise NotProven(
                f"the plan would take away the checkpoint of {size} events, which a log has signed or "
                f"{self._prover.words()} does not cover; nothing was written"
            )
        note_rows.remove(self._connection, self._row.chain, size, self._reason)
        return [f"removed what stood for the checkpoint of {size} events and is none of it"]

    @functools.cached_property
    def _keys(self) -> list[VerifierKey]:
        """The keys that the signed events name for checkpoints: which to know takes a walk over all of them."""
        try:
            return named_keys.named(self._connection, self._row, self._stated)
        except LedgerError as error:
            raise NotProven(f"whether a log has signed the checkpoints that stand here is not known: {error}; nothing "
                            "was written") from error  # fmt: skip
