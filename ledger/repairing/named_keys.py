"""
Learn from the signed events themselves which keys the chain has ever named for checkpoints.

A region's rows say it as well, and whoever edits a checkpoint can edit those; a report says what of them was found, and
is somebody's word. So where a row is to be taken away because no log has signed it, every event up to the signed size
is read: they have to have the signed root, and the keys are those that they name.
"""

from __future__ import annotations

import contextlib
from typing import Final

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import fold
from ledger.domain.events.control import ChainCreated, KeyNamed, KeyRotated
from ledger.errors import Divergence, LedgerError
from ledger.evidence import tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, VerifierKey
from ledger.evidence.tree import Frontier
from ledger.reading.log_keys import PURPOSE
from ledger.repairing.proving import laid_out
from ledger.storage import events
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

_NAMING: Final = (ChainCreated.__name__, KeyRotated.__name__)
"""The types of the events that name keys."""


def named(connection: Connection, row: ChainRow, stated: Checkpoint) -> list[VerifierKey]:
    """
    Return every key that the events which *stated* covers name for checkpoints, whatever became of it since.

    Raises:
        LedgerError: the events here are not those that were signed, or one is of a newer format.
    """
    edge, naming = Frontier(), list[RecordedEvent]()
    for event in events.read(connection, row.chain, row.chain_id, 0, stated.size, as_found=True):
        entry = laid_out(event)
        if entry is None:
            break
        edge.add(tree.leaf_hash(entry))
        if event.event_type in _NAMING:
            naming.append(event)
    if (edge.size, edge.root()) != (stated.size, stated.root):
        raise Divergence(
            f"the first {stated.size} events here are not those that were signed; mend them, verify, and plan again"
        )
    # Only now is it known that what they say can be read.
    keys = []
    for key in (key for event in naming for key in _keys(event)):
        if key.purpose == PURPOSE:
            with contextlib.suppress(LedgerError, ValueError):
                keys.append(VerifierKey(stated.origin, ED25519, bytes.fromhex(key.public_key)))
    return keys


def _keys(event: RecordedEvent) -> list[KeyNamed]:
    asked, _ = fold.asked(event.event_type, event.schema_version, split_payload(event.payload)[1])
    if isinstance(asked, ChainCreated):
        return list(asked.keys)
    return [asked.new_key] if isinstance(asked, KeyRotated) else []
