"""
Ask those outside what they have seen of a log: the witnesses of the auditor's policy, and the signer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from ledger.errors import LedgerError, Unavailable
from ledger.evidence import checkpoint, note, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.sealing import asking
from ledger.sealing.places import Place


class Shown(msgspec.Struct, frozen=True):
    """
    A checkpoint that somebody outside shows: who, the note, and what it states.
    """

    who: str
    signed: bytes
    stated: Checkpoint


class Answers(msgspec.Struct):
    """
    What those who were asked have shown: their checkpoints, whose key answered, who has none, and who said nothing.
    """

    shown: list[Shown]
    answered: set[bytes]
    without: list[str]
    silent: list[str]
    has_signer: bool = False


def ask(trust: Policy, origin: str, signer: str | None) -> Answers:
    """
    Ask the policy's witnesses, and the signer where its address is given, what they keep of the log; all at once.

    What a log of the policy has not signed is no answer, nor what only its revoked key did beyond its end; neither is a
    witness's without its own cosignature.
    """
    answers = Answers([], set(), [], [])
    members = [(witness.name, witness.url, witness) for witness in trust.witnesses]
    asked = [(f"witness {name}", url, witness) for name, url, witness in members]
    everybody = [*asked, *([("the signer", signer, None)] if signer is not None else [])]
    if not everybody:
        return answers

    def one(who: str, url: str | None, witness: policy.Witness | None) -> Shown | str | None:
        try:
            if url is None:
                return f"{who}: the policy says no address"
            signed = asking.seen(Place(url), origin)
            if signed is None:
                return None
            stated, found = checkpoint.decode_note(signed)
            verified = note.verify(found, [log.key for log in trust.logs_of(origin)])
            if not verified or stated.origin != origin:
                return f"{who} shows a checkpoint of {stated.origin}"
            if not any(trust.counts(line.key.public_key, stated.size) for line in verified):
                return f"{who} shows a checkpoint of {stated.size} that only a key signed which was revoked before"
            if witness is not None:
                note.verify(found, [witness.key])
            return Shown(who, signed, stated)
        except Unavailable as error:
            return f"{who}: {error}"
        except LedgerError as error:
            return f"{who} shows what its log did not sign, or it did not cosign: {error}"

    with ThreadPoolExecutor(len(everybody)) as pool:
        for (who, _, witness), said in zip(everybody, pool.map(lambda each: one(*each), everybody), strict=True):
            if isinstance(said, str):
                answers.silent.append(said)
                continue
            if witness is None:
                answers.has_signer = True
            else:
                answers.answered.add(witness.key.public_key)
            if said is None:
                answers.without.append(who)
            else:
                answers.shown.append(said)
    return answers
