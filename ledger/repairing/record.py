"""
Ask what a region recorded of itself, and whether two of its records are at one.

A region says in several places what its state is: the newest commit has the digest of the state after it, the state
digest goes on with every event, the read models are the state, and a snapshot has its rows and the digest of these.
Nobody signs any of it, and a row that was edited by itself fits none of the others. Where two agree, and the signed
events make another state, it is as likely that the newest events were written over before anybody signed them, and
these rows are the last that know. A seal says that nobody changed the events since, and not who wrote them: so nothing
is made to fit them by the seal alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ledger.chain.digest import StateDigest
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.snapshot_bytes import decode, digest_of
from ledger.errors import LedgerError
from ledger.repairing.reports import Found
from ledger.storage import read_models, repairs
from ledger.storage.database import Connection

COMMITS = "commits"
DIGESTS = "state_digests"
MODELS = "read models"
SNAPSHOTS = "snapshots"

_TO_DO = (
    "name another region that has applied these events with --replica, or hold them against receipts "
    "(`tradeledger-verify receipts`) and, where they fit, say --despite-record"
)


class Recorded(msgspec.Struct, frozen=True):
    """
    A state after event *seq*, by its digest, and the records that agree on it: two at least.
    """

    seq: int
    digest: bytes
    by: tuple[str, ...]

    def reason(self) -> str:
        """
        Return why nothing is made to fit events that make another state.
        """
        return (
            f"{' and '.join(self.by)} agree on the state after event {self.seq}, and the signed events make another: "
            f"these rows are wrong, or events were written over before they were signed; {_TO_DO}"
        )


def agreed(connection: Connection, chain: int, seq: int) -> list[Recorded]:
    """
    Return each state after the last event, *seq*, on which two records or more agree.
    """
    said: dict[bytes, list[str]] = defaultdict(list)
    commit, (at, lanes) = repairs.commit_at(connection, chain, seq), repairs.lanes(connection, chain)
    if commit:
        said[commit].append(COMMITS)
    if at == seq and len(lanes) == len(StateDigest().lanes()):
        said[StateDigest.from_lanes(lanes).digest()].append(DIGESTS)
    if models := _of_models(connection, chain):
        said[models].append(MODELS)
    if snapshot := _whole(connection, chain, str(seq)):
        said[snapshot].append(SNAPSHOTS)
    return [Recorded(seq, digest, tuple(by)) for digest, by in said.items() if len(by) > 1]


def contradicted(connection: Connection, chain: int, seq: int, digest: bytes) -> str:
    """
    Return why nothing is made to fit events up to *seq*, which make a state of *digest*; nothing where no two records
    agree on another.
    """
    others = [one for one in agreed(connection, chain, seq) if one.digest != digest]
    return others[0].reason() if others else ""


def accused(connection: Connection, chain: int, seq: int, findings: Sequence[Found]) -> str:
    """
    Return the same where *findings* say what does not fit the events.

    Records that agree are wrong together: where one of them is accused, so are the others.
    """
    wrong = {record for record in (_record_of(finding, seq) for finding in findings) if record}
    others = [one for one in agreed(connection, chain, seq) if wrong & {*one.by}] if wrong else []
    return others[0].reason() if others else ""


def _record_of(finding: Found, seq: int) -> str:
    """Return of which record a finding says that its state is another than the events make, if of any."""
    if finding.table in TABLES:
        return MODELS if finding.kind in ("PROJECTION_MISMATCH", "TRUNCATED") else ""
    if finding.table == COMMITS and (finding.key, finding.column) != ((str(seq),), "state_digest"):
        return ""
    if finding.table == SNAPSHOTS and (finding.key or ("",))[-1] != str(seq):
        return ""
    return finding.table if finding.table in (COMMITS, DIGESTS, SNAPSHOTS) else ""


def speaks(connection: Connection, chain: int, seq: str) -> str:
    """
    Return why the snapshot at *seq*, which the signed events do not make, is kept: its rows have the digest that it
    says. Nothing where they do not, or there is none.
    """
    if not _whole(connection, chain, seq):
        return ""
    return (
        f"the snapshot at seq {seq} is whole in itself, and the signed events make another state: it may be the last "
        f"that knows of events which were written over before they were signed; {_TO_DO}"
    )


def _of_models(connection: Connection, chain: int) -> bytes:
    """Return the digest of the read models as they stand; nothing where a row is none."""
    digest = StateDigest()
    try:
        for name, spec in TABLES.items():
            digest.put_in_all(name, [row_bytes(spec, row) for row in read_models.rows(connection, chain, name)])
    except (LedgerError, ValueError, AttributeError, TypeError):
        return b""
    return digest.digest()


def _whole(connection: Connection, chain: int, seq: str) -> bytes:
    """Return the digest of the snapshot at *seq*, if its rows have the one that it says."""
    for rows, digest in repairs.snapshots_at(connection, chain, seq):
        try:
            made = digest_of(decode(rows))
        except (ValueError, AttributeError):
            continue
        if made == digest:
            return made
    return b""
