"""
Ask those outside what they have seen of a log: the witnesses of the auditor's policy, and the signer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from ledger.errors import LedgerError, Unavailable
from ledger.evidence import checkpoint, note, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy, Trusted
from ledger.sealing import asking
from ledger.sealing.places import Place


class Shown(msgspec.Struct, frozen=True):
    """
    A checkpoint that somebody outside shows: who, the note, and what it states.
    """

    who: str
    signed: bytes
    stated: Checkpoint


class Without(msgspec.Struct, frozen=True):
    """
    What somebody says who shows no checkpoint and knows of none larger than is kept here, as a sentence.
    """

    said: str


class Answers(msgspec.Struct):
    """
    What those who were asked have shown: their checkpoints, whose key answered, what they say who have none to show,
    and who said nothing.
    """

    shown: list[Shown]
    answered: set[bytes]
    without: list[str]
    silent: list[str]
    has_signer: bool = False


def ask(trust: Policy, origin: str, signer: str | None, kept: Trusted | None) -> Answers:
    """
    Ask the policy's witnesses, and the signer where its address is given, what they keep of the log; all at once.

    Where one shows nothing, it is asked about the checkpoint that is *kept* here: some have no way to show what they
    keep (decision 0017), and any server says the same of an address at which nothing is.
    What a log of the policy has not signed is no answer, nor what only its revoked key did beyond its end; neither is a
    witness's without its own cosignature.
    """
    answers = Answers([], set(), [], [])
    members = [(witness.name, witness.url, witness) for witness in trust.witnesses]
    asked = [(f"witness {name}", url, witness) for name, url, witness in members]
    everybody = [*asked, *([("the signer", signer, None)] if signer is not None else [])]
    if not everybody:
        return answers

    def one(who: str, url: str | None, witness: policy.Witness | None) -> Shown | Without | str:
        try:
            if url is None:
                return f"{who}: the policy says no address"
            signed = asking.seen(Place(url), origin)
            if signed is None:
                return _shows_none(who, Place(url), kept, is_signer=witness is None)
            stated, found = checkpoint.decode_note(signed)
            verified = note.verify(found, [log.key for log in trust.logs_of(origin)])
            if not verified or stated.origin != origin:
                return f"{who} shows a checkpoint of {stated.origin}"
            if not any(trust.counts(line.key.public_key, stated.size) for line in verified):
                return f"{who} shows a checkpoint of {stated.size} that only a key signed which was revoked before"
            if witness is not None:
                note.verify(found, [witness.key])
            return Shown(who, signed, stated)
        except (Unavailable, asking.Refused) as error:
            return f"{who}: {error}"
        except LedgerError as error:
            return f"{who} shows what its log did not sign, or it did not cosign: {error}"

    with ThreadPoolExecutor(len(everybody)) as pool:
        for (_, _, witness), said in zip(everybody, pool.map(lambda each: one(*each), everybody), strict=True):
            if isinstance(said, str):
                answers.silent.append(said)
                continue
            if witness is None:
                answers.has_signer = True
            else:
                answers.answered.add(witness.key.public_key)
            if isinstance(said, Without):
                answers.without.append(said.said)
            else:
                answers.shown.append(said)
    return answers


def _shows_none(who: str, place: Place, kept: Trusted | None, *, is_signer: bool) -> Without | str:
    """
    Return what somebody who shows no checkpoint knows, or why that is not known.

    Raises:
        NotAnswering, Refused: it is none who keeps checkpoints of the log, or keeps another history.
    """
    none = Without(f"{who} answers that it has seen none")
    if kept is None:
        return none
    size = kept.checkpoint.size
    if is_signer:
        return f"{who} shows that it has signed nothing, and a checkpoint of {size} events is kept here"
    keeps = asking.kept_by(place, kept.note.encode(), size)
    if keeps > size:
        return f"{who} keeps a checkpoint of {keeps} events, more than the {size} of the one here, and does not show it"
    return Without(f"{who} shows none, and answers that it keeps one of {keeps} events") if keeps else none
