"""
Sign a log's checkpoints, and never two that contradict each other.

A signer keeps the newest checkpoint that it signed, and signs a larger tree only with the proof that it begins with
all of that one: whoever holds the database, even as its superuser, cannot have a history signed that is not the one
before with more after it. Where replicas are configured it wants their cosignatures first, so that nothing is signed
which a failover could lose. It speaks as a witness does, with one difference: it is the log's own key that signs.

A signer whose state was put back to an older one would break its promise without knowing. So from each start it signs
nothing until it has been told what witnesses have seen under its key, and takes that for its own if it is newer.

While one key takes over from another it has both, and signs with both, so that whoever knows only one of them is
served. It is one signer all the same, with one memory: what one key has signed, the other is held to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ledger.errors import SignatureInvalid, UnknownFormat, shown
from ledger.evidence import checkpoint, note, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import SigningKey, VerifierKey
from ledger.evidence.policy import Policy
from ledger.evidence.witness import Answer, Kept

SIGN_CHECKPOINT: Final = "/sign-checkpoint"


def answer(kept: Kept, body: bytes, key: SigningKey, needed: Policy, also: Sequence[SigningKey] = ()) -> Answer:
    """
    Return what the signer with this *key* says to a request's *body*; *needed* says which cosignatures come first.

    The request is a witness's, of a checkpoint that may still be without signatures. *also* are other keys of the same
    log; there is one signature line for each.
    """
    try:
        asked = witness.decode_request(body)
        stated, proposed = checkpoint.decode_note(asked.signed, least=0)
    except UnknownFormat as error:
        return Answer(400, f"{error}\n")
    if stated.origin != key.name:
        return Answer(404, f"found a checkpoint of {shown(stated.origin)}; this key signs for {shown(key.name)}\n")
    if stated.extensions:
        return Answer(400, "found extension lines in a checkpoint; they are not signed here\n")
    refusal = witness.refuse(kept, asked, stated)
    if refusal is not None:
        return refusal
    try:
        verified = note.verify(proposed, [member.key for member in needed.witnesses]) if proposed.signatures else ()
    except SignatureInvalid as error:
        return Answer(403, f"{error}\n")
    cosigners = {found.key.public_key for found in verified if needed.counts(found.key.public_key, stated.size)}
    if not needed.is_met(cosigners):
        named = ", ".join(found.key.name for found in verified) or "nobody"
        return Answer(403, f"found cosignatures of {shown(named)}; needed first: {shown(needed.quorum)}\n")
    signatures = tuple(one.sign(proposed.text) for one in (key, *also))
    signed = note.with_signatures(proposed.text, (*signatures, *proposed.signatures))
    lines = "".join(signature.line() for signature in signatures)
    return Answer(200, lines, keep=Kept(stated.size, stated.root, signed.encode()))


def again(kept: Kept, key: SigningKey, also: Sequence[SigningKey] = ()) -> bytes:
    """
    Return the note that is *kept*, or of an empty tree if none is, under a signature of each key.

    A witness that knows only the newer key would not know who signed it otherwise.
    """
    empty = note.Note(Checkpoint(key.name, 0, tree.EMPTY_ROOT).text(), ())
    found = note.decode(kept.signed) if kept.signed else empty
    own = (one.sign(found.text) for one in (key, *also))
    return note.with_signatures(found.text, (*own, *found.signatures)).encode()


def newest(
    kept: Kept,
    seen: Iterable[bytes],
    key: SigningKey,
    also: Sequence[SigningKey] = (),
    former: Sequence[VerifierKey] = (),
) -> Kept:
    """
    Return the newest checkpoint that this signer has signed, of what is *kept* and of the notes that others have seen.

    What *former* keys of the log have signed is its own too, though it signs with them no more.

    Raises:
        UnknownFormat, SignatureInvalid: one of the notes is no checkpoint signed by one of the keys.
        Contradiction: two of them are of one size and of two roots: the key has signed a fork.
    """
    for signed in seen:
        stated, found = checkpoint.decode_note(signed)
        try:
            note.verify(found, [*(one.verifier for one in (key, *also)), *former])
        except SignatureInvalid as error:
            raise SignatureInvalid(
                f"a witness shows a checkpoint of {stated.size} that no key given here has signed: {error}; give the "
                "key that it took over from as well (--took-over-from where it was revoked), or leave out a witness "
                "that a stolen key has led astray"
            ) from error
        if stated.size == kept.size and stated.root != kept.root:
            raise Contradiction(
                f"key {key.name} has signed two roots of {stated.size} leaves: {kept.root.hex()} is kept here and "
                f"{stated.root.hex()} was seen by a witness; it must sign nothing more: revoke it"
            )
        if stated.size > kept.size:
            kept = Kept(stated.size, stated.root, signed)
    return kept


class Contradiction(SignatureInvalid):
    """
    One key has signed two checkpoints of one size that differ.
    """

    code = "contradiction"
