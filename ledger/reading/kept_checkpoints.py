"""
Choose among the checkpoints that a region keeps the one to rest something on.

The newest is often too new: who cosigns answers a little later, or is away, and what rests on a checkpoint that nobody
has cosigned is refused by every policy that wants more. And whoever may seal may leave any row there: one that the log
has not signed counts for nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint, note, policy
from ledger.evidence.note import Note
from ledger.evidence.policy import Policy
from ledger.reading import log_keys
from ledger.storage import evidence
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection
from ledger.storage.evidence import Sealed

LOOKED_AT: Final = 100
"""Among so many of the newest, a second from each other, that with the most signatures is looked for."""

LOOKED_BACK: Final = 100_000
"""So many are held against a policy, a day of one a second: past them it accepts none for another reason."""


def accepted(connection: Connection, chain: ChainRow, rules: Policy, least: int = 1) -> Sealed | None:
    """
    Return the largest checkpoint of at least *least* events that the policy accepts; None where none is kept.

    Raises:
        LedgerError: it accepts none of them; the reason is that of the largest.
    """
    reason: LedgerError | None = None
    for kept in itertools.islice(evidence.largest_first(connection, chain.chain, least), LOOKED_BACK):
        try:
            check(kept, chain, rules)
        except LedgerError as error:
            reason = reason or error
        else:
            return kept
    if reason is not None:
        raise reason
    return None


def check(kept: Sealed, chain: ChainRow, rules: Policy) -> None:
    """
    Raise LedgerError unless the policy accepts the note of a checkpoint, which is of what its row says.
    """
    stated = policy.check(rules, kept.note).checkpoint
    if (stated.origin, stated.size, stated.root) != (chain.origin, kept.size, kept.root):
        raise UnknownFormat(
            f"the row of the checkpoint of {kept.size} events has a note of {stated.size} of {stated.origin}, or of "
            "another root: verify the region"
        )


def most_signed(connection: Connection, chain: ChainRow, least: int = 1) -> Sealed | None:
    """
    Return the newest checkpoint of at least *least* events that no other of the newest has more cosignatures than.

    Without a policy nobody's are checked, and whoever may seal may add any line to a note. So those count that are
    found under at least half as many of the newest as the most frequent one is. While witnesses are away no new one has
    any: then it is the same among older ones, and the newest where none has.
    """
    newest: Sealed | None = None
    for found in _batches(itertools.islice(_signed(connection, chain, least), LOOKED_BACK), LOOKED_AT):
        newest = newest or found[0][0]
        cosigned = [
            {(line.name, line.key_id) for line in signed.signatures if line.name != chain.origin} for _, signed in found
        ]
        times = Counter(line for lines in cosigned for line in lines)
        often = max(times.values(), default=0)
        counts = [sum(2 * times[line] >= often for line in lines) for lines in cosigned]
        if often:
            return found[counts.index(max(counts))][0]
    return newest


def _batches(found: Iterator[tuple[Sealed, Note]], size: int) -> Iterator[list[tuple[Sealed, Note]]]:
    while batch := list(itertools.islice(found, size)):
        yield batch


def _signed(connection: Connection, chain: ChainRow, least: int) -> Iterator[tuple[Sealed, Note]]:
    """Yield those that a key of the log has signed, the largest first; all notes, where the chain names no key."""
    keys = [key for key, _ in log_keys.named(connection, chain)]
    for kept in evidence.largest_first(connection, chain.chain, least):
        try:
            stated, signed = checkpoint.decode_note(kept.note)
        except UnknownFormat:
            continue
        if (stated.origin, stated.size, stated.root) == (chain.origin, kept.size, kept.root) and (
            not keys or note.is_by(signed, keys)
        ):
            yield kept, signed
