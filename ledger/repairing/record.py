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
from collections.abc import Collection, Sequence

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
_ALL = (COMMITS, DIGESTS, MODELS, SNAPSHOTS)

_TO_DO = (
    "name another region that has applied these events with --replica, or hold them against receipts "
    "(`tradeledger-verify receipts`) and, where they fit, say --despite-record"
)


class Recorded(msgspec.Struct, frozen=True):
    """
    A state by its digest, the records that agree on it, two at least, and the events after which they say that it was.
    """

    digest: bytes
    seqs: tuple[int, ...]
    by: tuple[str, ...]

    def reason(self) -> str:
        """
        Return why nothing is made to fit events that make another state.
        """
        return (
            f"{' and '.join(self.by)} agree on the state after event {self.seqs[-1]}, and the signed events make "
            f"another: these rows are wrong, or events were written over before they were signed; {_TO_DO}"
        )


def agreed(connection: Connection, chain: int) -> list[Recorded]:
    """
    Return each state on which two records or more agree; whether a snapshot is whole in itself is not asked yet.

    Which event they say that it came after is asked of nobody: one that is appended later, or a row that was set to
    another event, would else take the word from them.
    """
    said: dict[bytes, set[tuple[str, int]]] = defaultdict(set)
    for seq, digest in repairs.snapshot_digests(connection, chain):
        said[digest].add((SNAPSHOTS, seq))
    at, lanes = repairs.lanes(connection, chain)
    if len(lanes) == len(StateDigest().lanes()):
        said[StateDigest.from_lanes(lanes).digest()].add((DIGESTS, at))
    models = _of_models(connection, chain)
    for seq, digest in repairs.commits_of(connection, chain, [*said, models]):
        said[digest].add((COMMITS, seq))
    found = []
    for digest, records in said.items():
        by = {record for record, _ in records} | ({MODELS} if digest == models else set())
        if len(by) > 1:
            found.append(
                Recorded(digest, tuple(sorted({seq for _, seq in records})), tuple(x for x in _ALL if x in by))
            )
    return found


def contradicted(connection: Connection, chain: int, said: Sequence[Recorded], made: Collection[bytes]) -> str:
    """
    Return why nothing is made to fit events that *made* states of these digests, the last and those after which one of
    *said* is; nothing where no two records agree on another.
    """
    others = _whole_ones(connection, chain, [one for one in said if one.digest not in made])
    return others[0].reason() if others else ""


def accused(connection: Connection, chain: int, findings: Sequence[Found]) -> list[Recorded]:
    """
    Return the states on which two records or more agree of which one does not fit the events, as *findings* say.

    Records that agree are wrong together: where one of them is accused, so are the others.
    """
    wrong = {of for of in map(_record_of, findings) if of is not None}
    if not wrong:
        return []
    found = [
        one for one in agreed(connection, chain)
        if any((record, seq) in wrong for record in one.by for seq in (*map(str, one.seqs), ""))
    ]  # fmt: skip
    return _whole_ones(connection, chain, found)


def _whole_ones(connection: Connection, chain: int, found: Sequence[Recorded]) -> list[Recorded]:
    """Return those on which two records agree without snapshots that are not whole in themselves."""
    made = []
    for one in found:
        by = one.by
        if SNAPSHOTS in by and not any(_whole(connection, chain, str(seq)) == one.digest for seq in one.seqs):
            by = tuple(record for record in by if record != SNAPSHOTS)
        if len(by) > 1:
            made.append(msgspec.structs.replace(one, by=by))
    return made


def _record_of(finding: Found) -> tuple[str, str] | None:
    """
    Return of which record a finding says that its state is another than the events make, if of any, and after which
    event; of the state digest and of the read models there is one.
    """
    if finding.table in TABLES:
        return (MODELS, "") if finding.kind in ("PROJECTION_MISMATCH", "TRUNCATED") else None
    if finding.table == DIGESTS:
        return DIGESTS, ""
    if finding.table == SNAPSHOTS or (finding.table == COMMITS and finding.column == "state_digest"):
        return finding.table, (finding.key or ("",))[-1]
    return None


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
