"""
Ask what a region recorded of itself, and whether it is at one.

A region says in several places what its state was: each commit has the digest of the state after it, the state digest
goes on with every event, and a snapshot has rows and the digest of these. Nobody signs any of it, and a row that was
edited by itself fits none of the others. Where they agree, and the signed events make another state, it is as likely
that the newest events were written over before anybody signed them, and these rows are the last that know. A seal says
that nobody changed the events since, and not who wrote them: so nothing is made to fit them by the seal alone.
"""

from __future__ import annotations

import msgspec

from ledger.chain.digest import StateDigest
from ledger.domain.snapshot_bytes import decode, digest_of
from ledger.errors import UnknownFormat
from ledger.storage import repairs
from ledger.storage.database import Connection

_TO_DO = (
    "name another region that has applied these events with --replica, or hold them against receipts "
    "(`tradeledger-verify receipts`) and, where they fit, say --despite-record"
)


class Recorded(msgspec.Struct, frozen=True):
    """
    The last event of the newest commit, and the digest of the state after it.
    """

    seq: int
    digest: bytes

    def reason(self) -> str:
        """
        Return why nothing is made to fit events that make another state.
        """
        return (
            f"the newest commit and the state digest agree on the state after event {self.seq}, and the signed events "
            f"make another: these rows are wrong, or events were written over before they were signed; {_TO_DO}"
        )


def recorded(connection: Connection, chain: int) -> Recorded | None:
    """
    Return what the newest commit and the state digest both say; None where they do not agree, or one is not there.
    """
    said = repairs.recorded_state(connection, chain)
    if said is None or said[0] != said[2]:
        return None
    seq, digest, _, lanes = said
    try:
        return Recorded(seq, digest) if StateDigest.from_lanes(lanes).digest() == digest else None
    except UnknownFormat:
        return None


def speaks(connection: Connection, chain: int, seq: str) -> str:
    """
    Return why the snapshot at *seq*, which the signed events do not make, is kept: its rows have the digest that it
    says. Nothing where they do not, or there is none.
    """
    for rows, digest in repairs.snapshots_at(connection, chain, seq):
        try:
            made = digest_of(decode(rows))
        except (ValueError, AttributeError):
            continue
        if made == digest:
            return (
                f"the snapshot at seq {seq} is whole in itself, and the signed events make another state: it may be "
                f"the last that knows of events which were written over before they were signed; {_TO_DO}"
            )
    return ""
