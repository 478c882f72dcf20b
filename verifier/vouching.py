"""
Judge one signed checkpoint by the auditor's policy, and say on whose word it rests.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.errors import SignatureInvalid
from ledger.evidence import checkpoint, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import NONE, Policy, QuorumUnmet, Trusted
from verifier.forms.cleaning import moment
from verifier.report import Cosigned, Finding, SeenCheckpoint
from verifier.stored import Unreadable

NOBODYS: Final = "nobody's: the policy accepts none of the checkpoints that were found"


CLOCKS_NS: Final = 60 * 10**9
"""How far a witness's clock may be behind the ledger's."""


class Judged(msgspec.Struct, frozen=True):
    """
    What a checkpoint states, whether the policy accepts it (`trusted`), and what is wrong if it does not.
    """

    stated: Checkpoint
    trusted: Trusted | None
    findings: list[Finding]

    def seen(self) -> SeenCheckpoint:
        """
        Return the checkpoint as a report shows it.
        """
        witnesses = () if self.trusted is None else self.trusted.witnesses
        cosigned = tuple(Cosigned(witness.name, seconds) for witness, seconds in witnesses)
        return SeenCheckpoint(self.stated.size, self.stated.root.hex(), cosigned, self.trusted is not None)

    def sentences(self, trust: Policy) -> list[str]:
        """
        Return on whose word the checkpoint rests.
        """
        if self.trusted is None:
            return [NOBODYS]
        said = [f"the log {self.stated.origin}, whose key {self.trusted.log.key.id.hex()} signed the checkpoint"]
        said += [
            f"witness {witness.name}, whose key {witness.key.id.hex()} cosigned it at {moment(seconds)}"
            for witness, seconds in self.trusted.witnesses
        ]
        none = "no quorum: the policy asks for none, so the log's own word is all there is"
        return [*said, none if trust.quorum == NONE else f"the quorum {trust.quorum} of the policy is met"]


def contradicts(seconds: int, recorded_at: int) -> bool:
    """
    Whether a witness says to have seen, at *seconds* since 1970, what was recorded at *recorded_at* (ns) only.
    """
    return seconds * 10**9 < recorded_at - CLOCKS_NS


def before_its_events(
    trust: Policy, trusted: Trusted | None, seq: int, recorded_at: int, **place: Any
) -> list[Finding]:
    """
    Return what is wrong where witnesses cosigned a checkpoint before the time that its event *seq* says, *recorded_at*.

    What was seen was recorded by then, so a clock that was set forward shows. A witness's clock may be wrong too: only
    where the quorum is not met by those whose times fit, the event's is doubted. *place* is where the event stands.
    """
    if trusted is None or not trusted.witnesses:
        return []
    fits = {witness.key.public_key for witness, at in trusted.witnesses if not contradicts(at, recorded_at)}
    if trust.is_met(fits):
        return []
    seen = ", ".join(f"{witness.name} had seen it at {moment(seconds)}" for witness, seconds in trusted.witnesses)
    earliest = max(seconds for _, seconds in trusted.witnesses) * 10**9 + CLOCKS_NS
    return [Finding("CLOCK", f"at most {earliest}: {seen}", str(recorded_at), seq=seq,
                    column="recorded_at", **place)]  # fmt: skip


def judge(trust: Policy, signed: bytes, table: str, name: str) -> Judged:
    """
    Return what *trust* makes of the checkpoint *signed*; findings are in *table*, of *name*.

    Raises:
        UnknownFormat: it is no checkpoint.
        Unreadable: the policy is for other logs, so it says nothing of this one.
    """
    stated, _ = checkpoint.decode_note(signed)
    if not trust.logs_of(stated.origin):
        known = ", ".join(sorted({log.key.name for log in trust.logs})) or "none"
        raise Unreadable(f"the policy is for other logs ({known}), and {name} is of {stated.origin}")
    try:
        return Judged(stated, policy.check(trust, signed), [])
    except QuorumUnmet as error:
        kind, expected, said = "QUORUM_UNMET", f"the quorum {trust.quorum}", str(error)
    except SignatureInvalid as error:
        kind, expected, said = "CHECKPOINT_SIG", "a checkpoint signed by a log of the policy", str(error)
    return Judged(stated, None, [Finding(kind, expected, said, table=table, key=(name,))])
