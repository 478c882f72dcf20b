"""
Find the newest checkpoint of a copy that the auditor's policy accepts: what all that is checked in parts leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import Note
from ledger.evidence.policy import NONE, Policy, QuorumUnmet, Trusted
from verifier.forms.cleaning import moment
from verifier.report import Finding, SeenCheckpoint
from verifier.stored import CheckpointRow, Unreadable
from verifier.tiled.databases import Region
from verifier.vouching import NOBODYS, Judged

_ANOTHER: Final = ("INCONSISTENT", "TREE_MISMATCH", "TRUNCATED", "ROLLBACK")
"""Classes that say that the events do not have the root of a checkpoint, or that it cannot be told."""
SEAL: Final = "seal it first, with `tradeledger seal`"
TO_DO: Final = {
    "replica": "a replica keeps none; verify it with `full --policy P --expect NOTE`, by a checkpoint that the primary "
    "or a witness shows",
}  # fmt: skip
"""What to do where a region of this mode keeps no checkpoint."""


class Newest(msgspec.Struct):
    """
    The newest checkpoint that the policy accepts, if any, and what is wrong with those that are newer.
    """

    trusted: Trusted | None
    findings: list[Finding]

    def words(self) -> list[str]:
        """
        Return on whose word what is checked rests.
        """
        return [self.sentence() if self.trusted is not None else NOBODYS]

    def seen(self, found: Sequence[Finding]) -> list[SeenCheckpoint]:
        """
        Return it as a report shows it, accepted where nothing that was *found* says that the history is another.
        """
        if self.trusted is None:
            return []
        judged = Judged(self.trusted.checkpoint, self.trusted, []).seen()
        # That events behind it are gone says nothing of those that it covers.
        is_another = any(
            one.kind in _ANOTHER and not (one.kind == "TRUNCATED" and (one.seq or 0) > judged.size) for one in found
        )
        return [msgspec.structs.replace(judged, accepted=not is_another)]

    def sentence(self) -> str:
        """
        Return whose word the checkpoint is.
        """
        if self.trusted is None:
            return "no checkpoint is accepted by the policy"
        stated = self.trusted.checkpoint
        witnesses = ", ".join(f"{witness.name} at {moment(seconds)}" for witness, seconds in self.trusted.witnesses)
        return f"the checkpoint of {stated.size} events, root {stated.root.hex()}, cosigned by {witnesses or 'nobody'}"


def of_region(region: Region, trust: Policy) -> Newest:
    """
    Return the newest checkpoint that a region keeps and *trust* accepts.

    Raises:
        Unreadable: it keeps none, or the policy is for other logs.
    """
    return find(region.newest_checkpoints(), trust, region.origin, TO_DO.get(region.chain.mode, SEAL))


def find(rows: Iterable[CheckpointRow], trust: Policy, origin: str, to_do: str = SEAL) -> Newest:
    """
    Return the newest of *rows*, which come with the largest first, that *trust* accepts; *to_do* says what to do where
    there is none.

    Raises:
        Unreadable: there is none at all, or the policy is for other logs.
    """
    check_origin(trust, origin)
    findings: list[Finding] = []
    largest = None
    for row in rows:
        largest = largest or row.size
        kept = of_its_row(row, origin)
        if isinstance(kept, Finding):
            findings.append(kept)
            continue
        try:
            return Newest(policy.check(trust, row.note), findings)
        except QuorumUnmet:
            continue  # as it is while witnesses are slow; the newest that they have seen is what counts
        except LedgerError as error:
            findings.append(_wrong(row, "what the policy accepts", str(error)))
    if largest is None:
        raise Unreadable(f"chain {origin} has no checkpoint, so there is nothing that others have seen: {to_do}")
    findings.append(unmet(trust, f"none of those up to {largest} events"))
    return Newest(None, findings)


def cut_off(size: int, stated: Checkpoint) -> list[Finding]:
    """
    Return that events are gone from the end where the last one is *size* and a checkpoint covers more.
    """
    if size >= stated.size:
        return []
    return [Finding("TRUNCATED", f"{stated.size} events, which a checkpoint covers", f"{size} events", seq=size + 1,
                    column="seq")]  # fmt: skip


def unmet(trust: Policy, actual: str) -> Finding:
    """
    Return that the policy's quorum has seen none of the checkpoints.
    """
    by = "its log has signed" if trust.quorum == NONE else f"{trust.quorum} has cosigned"
    return Finding("QUORUM_UNMET", f"a checkpoint that {by}", actual, table="checkpoints", key=())


def check_origin(trust: Policy, origin: str) -> None:
    """
    Raise Unreadable where the policy does not know the log of this *origin*.
    """
    if not trust.logs_of(origin):
        known = ", ".join(trust.origins()) or "none"
        raise Unreadable(f"the policy is for other logs ({known}), and this chain is {origin}; bring one that lists it")


def of_its_row(row: CheckpointRow, origin: str) -> Note | Finding:
    """
    Return the note of a checkpoint that a region of *origin* keeps, or what is wrong where it is not of what its row
    says.
    """
    expected = f"{row.size} events of {origin} with root {row.root.hex()}"
    try:
        stated, signed = checkpoint.decode_note(row.note)
    except UnknownFormat as error:
        return _wrong(row, expected, str(error))
    if (stated.origin, stated.size, stated.root) != (origin, row.size, row.root):
        return _wrong(row, expected, f"{stated.size} of {stated.origin} with root {stated.root.hex()}")
    return signed


def _wrong(row: CheckpointRow, expected: str, actual: str) -> Finding:
    return Finding("CHECKPOINT_SIG", expected, actual, seq=row.size, table="checkpoints", key=(str(row.size),),
                   column="note")  # fmt: skip
