"""
Say how many leaves the tiles have to hold: as many as a checkpoint covers that a key of the chain has signed.

Tiles are written before the checkpoint that needs them, so those that such a checkpoint covers and that are not there
were taken away. What nobody signed needs none: a false row would accuse good tiles. Which keys sign is what the events
say that hash to what they are, and not what any row says that follows from them; whether the keys may be believed, and
the roots are those of the events, others ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.chain.entry import split_payload
from ledger.errors import LedgerError
from ledger.evidence import checkpoint, note
from ledger.evidence.note import ED25519, VerifierKey
from verifier import conviction
from verifier.reader import FETCH_TILES, Reader
from verifier.revocations import KINDS, KeyHistory
from verifier.stored import CheckpointRow

Key = tuple[bytes, int, int | None]
"""A key that signs checkpoints: its public half, from which size on, and up to which where it was ended."""
_NAME: Final = "due_checkpoints"


class Due(msgspec.Struct, frozen=True):
    """
    How many leaves the tiles have to hold; and how many checkpoints of more events no key of the chain has signed, of
    so many events the smallest and the largest.
    """

    leaves: int
    unsigned: int = 0
    smallest: int = 0
    largest: int = 0


def due(reader: Reader) -> Due:
    """
    Return how many leaves have to be there: as many as the tiles hold that follow each other, or as the largest
    checkpoint covers that counts and whose events are there.
    """
    held, last = reader.tree_size(), reader.last_seq() or 0
    keys: list[Key] | None = None
    unsigned = Due(0)
    for row in reader.checkpoints_down(_NAME, last, held, rows=FETCH_TILES):
        keys = keys_that_sign(reader) if keys is None else keys
        if counts(row, reader.chain.origin, keys):
            held = row.size
            break
        unsigned = Due(0, unsigned.unsigned + 1, row.size, unsigned.largest or row.size)
    return msgspec.structs.replace(unsigned, leaves=held)


def keys_that_sign(reader: Reader) -> list[Key]:
    """
    Return the keys that sign the chain's checkpoints, by the events that hash to what they are.
    """
    history = KeyHistory()
    for event in reader.events_of_types(sorted(KINDS)):
        if conviction.hashes_to(event, event.hash):
            _, given = split_payload(event.payload)
            history.take(event.seq, event.event_type, event.schema_version, given)
    return history.checkpoint_keys()


def counts(row: CheckpointRow, origin: str, keys: Sequence[Key]) -> bool:
    """
    Return whether a row says what its note does, which a key of the chain has signed that counts for so many events.
    """
    try:
        stated, signed = checkpoint.decode_note(row.note)
        if (stated.origin, stated.size, stated.root) != (origin, row.size, row.root):
            return False
        return bool(note.verify(signed, [
            VerifierKey(origin, ED25519, public) for public, first, end in keys
            if first <= row.size and (end is None or row.size <= end)
        ]))  # fmt: skip
    except LedgerError:
        return False
