"""
Check what replicas are said to have acknowledged: signed by their keys, and true of this chain.

The recovery point is counted from these rows, so a false one would let a firm believe that another region has what it
has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import public_key_bytes
from ledger.domain.state import State
from ledger.errors import LedgerError
from verifier.absent import shown
from verifier.conviction import near_integers
from verifier.report import Finding
from verifier.sealed import BEHIND_NS
from verifier.stored import AcknowledgementRow

PURPOSE = "replica"
CLOCKS_NS = 60 * 10**9
"""How far the publisher's clock may be ahead of the database's before a time of arrival is called a lie."""


class AcknowledgementCheck:
    """
    Hold the rows against the chain while it is walked, and against their signatures when it ends.
    """

    def __init__(self, chain_id: bytes, rows: Sequence[AcknowledgementRow], now: int) -> None:
        self._chain_id, self._rows, self._now = chain_id, rows, now
        self.seqs = {row.seq for row in rows}
        self._hashes = {row.hash for row in rows}
        self._true: dict[int, tuple[RecordedEvent, bytes | None]] = {}
        self._seq_of: dict[bytes, int] = {}

    def pass_by(self, event: RecordedEvent) -> None:
        """
        Note where the acknowledged hashes are in the chain.
        """
        if event.hash in self._hashes:
            self._seq_of[event.hash] = event.seq

    def reach(self, event: RecordedEvent, digest: bytes | None) -> None:
        """
        Note the event at an acknowledged seq and the digest of the state after it, None where that is not known.
        """
        self._true[event.seq] = (event, digest)

    def findings(self, state: State, *, stopped: bool = False) -> list[Finding]:
        """
        Return what is wrong; *state* has the keys that the chain names: where it *stopped*, those named up to there.
        """
        rows = [row for row in self._rows if not stopped or state.chain_keys.get(row.replica) is not None]
        return [finding for row in rows for finding in self._check(row, state)]

    def _check(self, row: AcknowledgementRow, state: State) -> list[Finding]:
        def found(expected: str, actual: str, column: str) -> Finding:
            return Finding(
                "ACK_MISMATCH", expected, actual, table="acknowledgements", key=(str(row.replica),), column=column
            )

        key = state.chain_keys.get(row.replica)
        if key is None or key.purpose != PURPOSE:
            return [found("a replica's key that the chain names", str(row.replica), "replica")]
        public = public_key_bytes(key.public_key)
        true = self._true.get(row.seq)
        if not _signed(row, self._chain_id, public):
            stated: dict[str, list[Any]] = {"seq": [seq for seq in [self._seq_of.get(row.hash)] if seq is not None]}
            if true is not None:
                stated |= {"hash": [true[0].hash], "state_digest": [] if true[1] is None else [true[1]]}
            stated |= {"epoch": list(near_integers(row.epoch)), "applied_at": list(near_integers(row.applied_at))}
            for column, values in stated.items():
                for value in values:
                    if _signed(msgspec.structs.replace(row, **{column: value}), self._chain_id, public):
                        return [found(shown(value), shown(getattr(row, column)), column)]
            return [found("a signature of this row by its replica", row.signature.hex(), "signature or applied_at")]
        if true is None:
            return [found("an event of this chain", str(row.seq), "seq")]
        event, digest = true
        wrong = [
            found(shown(expected), shown(actual), column)
            for column, expected, actual in (("hash", event.hash, row.hash), ("state_digest", digest, row.state_digest))
            if expected not in (None, actual)
        ]
        if row.received_at < event.recorded_at - BEHIND_NS:
            wrong.append(found(f"not before {event.recorded_at - BEHIND_NS}", str(row.received_at), "received_at"))
        if row.received_at > self._now + CLOCKS_NS:
            wrong.append(found(f"not after {self._now}, which is now", str(row.received_at), "received_at"))
        return wrong


def _signed(row: AcknowledgementRow, chain_id: bytes, public: bytes) -> bool:
    said = Acknowledgement(chain_id, row.epoch, row.seq, row.hash, row.state_digest, row.applied_at, row.replica)
    try:
        acknowledgement.check(said, row.signature, public)
    except LedgerError:
        return False
    return True
