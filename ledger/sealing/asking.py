"""
Ask a signer or a witness, and take no for an answer but not silence.

What an answer means is told by its HTTP status, as C2SP tlog-witness numbers them; an answer that is none of these, and
none at all, mean that the other side is down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ledger.errors import (
    Corrupt,
    LedgerError,
    ProofInvalid,
    SignatureInvalid,
    Unavailable,
    UnknownFormat,
    shortened,
    shown,
)
from ledger.evidence import checkpoint, note, policy, signer, tree, witness
from ledger.evidence.checkpoint import decode_size
from ledger.evidence.note import NoteSignature, SigningKey, VerifierKey
from ledger.evidence.witness import Kept, Request
from ledger.sealing.places import NotAnswering, Place

ASKED_AT_ONCE: Final = 16
TRIES: Final = 3
"""How often a place that says it is elsewhere is asked again: another may be asking it at the same time."""


class Refused(LedgerError):
    """
    A signer or a witness will not sign this checkpoint: it contradicts what was signed, or the signer lacks something.
    """

    code = "checkpoint_refused"
    exit_status = 3


KeysAt = Callable[[int], Sequence[VerifierKey]]
"""What returns the keys of a log whose signature counts under a checkpoint of so many events."""
Prove = Callable[[int], list[bytes]]
"""What returns the consistency proof from an older size to that of the checkpoint that is asked about."""


def submit(
    place: Place,
    path: str,
    signed: bytes,
    size: int,
    prove: Prove,
    known: int = 0,
    contradicting: Sequence[int] = (400, 403, 404, 422),
) -> tuple[NoteSignature, ...]:
    """
    Return the signatures that a signer or a witness puts under a checkpoint of *size*, unchecked.

    *known* is the size that it is believed to keep; where it keeps another, it says so and is asked again from there.
    An answer of another status than those *contradicting* is as good as none.

    Raises:
        Refused: it will not sign; the message says why, in its own words.
        NotAnswering: it is down.
    """
    old = known
    for _ in range(TRIES):
        body = Request(old, tuple(prove(old)) if old else (), signed).encode()
        status, kind, answer = place.ask("POST", path, body)
        if status == 200:
            try:
                return witness.decode_cosignatures(answer)
            except UnknownFormat as error:
                raise NotAnswering(f"{place.address} answers with what is no signature: {error}") from error
        if status != 409:
            said = repr(shortened(answer.decode(errors="replace").strip()))
            if status in contradicting:
                raise Refused(f"{place.address} refuses the checkpoint of {size} with {status}: {said}")
            raise NotAnswering(f"{place.address} answers with status {status}: {said}")
        try:
            if not kind.startswith(witness.SIZE_TYPE):
                raise UnknownFormat(f"found content type {shown(kind)}; expected {witness.SIZE_TYPE}")
            old = decode_size(answer.decode().removesuffix("\n"), "size")
        except (UnknownFormat, UnicodeDecodeError) as error:
            raise NotAnswering(f"{place.address} answers 409 without saying its size: {error}") from error
        if old > size:
            raise Refused(
                f"{place.address} keeps a checkpoint of {old}, larger than this one of {size}: history went back"
            )
    raise NotAnswering(f"{place.address} keeps another size each time it is asked; ask again later")


_OTHER_HISTORY: Final = (422,)
"""What a witness says of a checkpoint that contradicts its own; it may also not know a log, or its new key, yet."""


def cosign(place: Place, key: VerifierKey, signed: bytes, size: int, prove: Prove, known: int = 0) -> NoteSignature:
    """
    Return a witness's cosignature of a checkpoint, checked by its *key*.

    Raises:
        Refused: it knows another history.
        NotAnswering: it is down, does not know the log or its key, or answers without its signature.
    """
    text = note.decode(signed, least=0).text
    for signature in submit(place, witness.ADD_CHECKPOINT, signed, size, prove, known, _OTHER_HISTORY):
        if signature.claims(key):
            try:
                note.check_signature(text, signature, key)
            except LedgerError as error:
                raise NotAnswering(f"{place.address} answers with a false signature: {error}") from error
            return signature
    raise NotAnswering(f"{place.address} answers without a signature by {key.text()}")


def contradicting(place: Place, keys_at: KeysAt, signed: bytes, size: int, prove: Prove) -> bytes | None:
    """
    Return what a witness shows that a key of the log signed which counts for it, and that a checkpoint of *size* does
    not follow: a larger one, or one of another history; None where it shows none.

    Raises:
        NotAnswering: it shows nothing that can be read, or is down.
    """
    ours, _ = checkpoint.decode_note(signed)
    found = seen(place, ours.origin)
    if found is None:
        return None
    try:
        stated, by = checkpoint.decode_note(found)
        note.verify(by, keys_at(stated.size))
    except (UnknownFormat, SignatureInvalid):
        return None
    if stated.origin != ours.origin:
        return None
    if stated.size > size:
        return found
    try:
        proof = prove(stated.size) if stated.size < size else []
        tree.check_consistency(stated.size, stated.root, size, ours.root, proof)
    except ProofInvalid:
        return found
    return None


def seen(place: Place, origin: str) -> bytes | None:
    """
    Return the newest checkpoint that a witness has cosigned of a log, unchecked, or nothing if there is none.

    Raises:
        NotAnswering: it is down.
    """
    status, _, answer = place.ask("GET", witness.checkpoint_path(origin))
    if status == 404:
        return None
    if status != 200:
        raise NotAnswering(f"{place.address} answers with status {status}")
    return answer


class StateIsOld(Corrupt):
    """
    A witness keeps a larger checkpoint of a signer's key than the signer does: its state was put back to an older one.
    """

    code = "signer_state_is_old"


def kept_by(place: Place, signed: bytes, size: int) -> int:
    """
    Return the size of the checkpoint that a witness keeps of the log of *signed*, a checkpoint of *size*.

    It is asked to cosign that once more from itself, which leaves it as it is, and every witness can answer.

    Raises:
        Refused: it keeps another root of this size.
        NotAnswering: it is down, or does not know the log or its key.
    """
    status, kind, answer = place.ask("POST", witness.ADD_CHECKPOINT, Request(size, (), signed).encode())
    if status == 200:
        return size
    if status == 409 and kind.startswith(witness.SIZE_TYPE):
        with contextlib.suppress(UnknownFormat, UnicodeDecodeError):
            return decode_size(answer.decode().removesuffix("\n"), "size")
    said = repr(shortened(answer.decode(errors="replace").strip()))
    if status in _OTHER_HISTORY:
        raise Refused(f"{place.address} refuses the checkpoint of {size} that is kept here with {status}: {said}")
    raise NotAnswering(f"{place.address} answers with status {status}: {said}")


def seen_by_quorum(
    trust: policy.Policy,
    key: SigningKey,
    kept: Kept,
    also: Sequence[SigningKey] = (),
    tell: Callable[[str], None] = lambda what: None,
    former: Sequence[VerifierKey] = (),
) -> list[bytes]:
    """
    Return what the policy's witnesses show of the key's log beyond what is *kept*, where its quorum has answered.

    *also* are other keys of the log; a witness may know any of them. What one of these keys signed counts whoever shows
    it; so does what the *former* ones signed, up to where the policy says that they count. Beyond that it may be a
    thief's, and counts where the quorum has cosigned it. A witness that says there is more, and shows nothing that
    counts, has not answered; where the others make the quorum without it, *tell* hears what it said.

    Raises:
        NotAnswering: too few have.
        StateIsOld: one of those that are needed keeps a larger checkpoint and does not show it.
        SignatureInvalid: one of them shows a checkpoint that none of the keys has signed.
        Refused: one of them keeps another root of the size that is kept here, and does not show it.
    """
    signed = signer.again(kept, key, also)
    answered, found = set(), []

    def ask(member: policy.Witness) -> bytes | LedgerError | None:
        try:
            return _beyond(member, (key, *also), signed, kept.size, former)
        except LedgerError as error:
            return error

    # All at once: nobody who is slow keeps the others' word back.
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        said = list(pool.map(ask, trust.witnesses))
    said = _counting(trust, said, [key.verifier, *(one.verifier for one in also)], former)
    for member, shown_note in zip(trust.witnesses, said, strict=True):
        if isinstance(shown_note, LedgerError):
            continue
        answered.add(member.key.public_key)
        if shown_note is not None:
            found.append(shown_note)
    silent = [error for error in said if isinstance(error, LedgerError)]
    doubtful = [error for error in silent if not isinstance(error, Unavailable)]
    if trust.is_met(answered):
        for error in doubtful:
            tell(f"not believed, since the other witnesses make the quorum: {error}")
        return found
    if doubtful:
        raise doubtful[0]
    raise NotAnswering(
        f"too few witnesses have said what they saw of {key.name}, and until they do nothing is signed: "
        + "; ".join(map(str, silent))
    )


def _counting(
    trust: policy.Policy,
    said: Sequence[bytes | LedgerError | None],
    keys: Sequence[VerifierKey],
    former: Sequence[VerifierKey],
) -> list[bytes | LedgerError | None]:
    """Return what was *said*, with an error in place of each note that *former* keys signed beyond their end alone."""
    cosigned: dict[str, set[bytes]] = {}
    ended: dict[str, int] = {}
    for one in said:
        if not isinstance(one, bytes):
            continue
        stated, signed = checkpoint.decode_note(one)
        lines = {
            key: note.is_by(signed, [key]) for key in (*keys, *former, *(member.key for member in trust.witnesses))
        }
        cosigned.setdefault(signed.text, set()).update(
            member.key.public_key for member in trust.witnesses if lines[member.key]
        )
        current = any(lines[key] for key in keys)
        if not current and not any(lines[key] and trust.counts(key.public_key, stated.size) for key in former):
            ended[signed.text] = stated.size
    unmet = {text: size for text, size in ended.items() if not trust.is_met(cosigned[text])}

    def judged(member: policy.Witness, one: bytes | LedgerError | None) -> bytes | LedgerError | None:
        text = note.decode(one).text if isinstance(one, bytes) else ""
        if text not in unmet:
            return one
        return StateIsOld(
            f"witness {member.name} shows a checkpoint of {unmet[text]} that only a key signed which was revoked for "
            "such sizes, and too few witnesses have cosigned it: it may be what a thief made of that key, so leave "
            "this witness out, or leave out --took-over-from"
        )

    return [judged(member, one) for member, one in zip(trust.witnesses, said, strict=True)]


def _beyond(
    member: policy.Witness, keys: Sequence[SigningKey], signed: bytes, kept: int, former: Sequence[VerifierKey]
) -> bytes | None:
    """Return the checkpoint by one of *keys* that a witness has beyond *signed*, which is of *kept* events, or None."""
    if member.url is None:
        raise NotAnswering(f"the policy says no address for witness {member.name}")
    place, origin = Place(member.url), keys[0].name
    try:
        size = kept_by(place, signed, kept)
    except Refused:
        size, shown_note = _shown(place, keys, former)
        if shown_note is None or size < kept:
            raise
        return shown_note
    if size <= kept:
        return None
    shown_size, shown_note = _shown(place, keys, former)
    if shown_size < size:
        raise StateIsOld(
            f"witness {member.name} keeps a checkpoint of {size} by key {origin}, and {kept} is the newest here: this "
            "state was put back to an older one; bring one at least as new as the witness's"
        )
    return shown_note


def _shown(place: Place, keys: Sequence[SigningKey], former: Sequence[VerifierKey]) -> tuple[int, bytes | None]:
    """
    Return the size of the checkpoint by one of *keys* that a witness shows, and its note; 0 and None if it shows none.

    Raises:
        SignatureInvalid: it shows one that none of them has signed.
        NotAnswering: what it shows is no checkpoint, or it is down.
    """
    signed = seen(place, keys[0].name)
    if signed is None:
        return 0, None
    try:
        return signer.newest(witness.NOTHING, [signed], keys[0], keys[1:], former).size, signed
    except UnknownFormat as error:
        raise NotAnswering(f"{place.address} shows what is no checkpoint: {error}") from error
