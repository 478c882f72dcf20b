"""
Ask somebody outside to remember a checkpoint, and be somebody whom others ask: C2SP tlog-witness.

A witness keeps the largest checkpoint that it saw of each log, and cosigns a larger one only with the proof that it
begins with all of the one it keeps. A log that shows two histories, or goes back, finds nobody to cosign, and leaves
with the witness two of its own signatures that contradict each other.

What a witness answers is decided here from what it keeps and what it is asked; that it keeps what it said before it
says so, and one request after the other, is for its store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from ledger.errors import LedgerError, ProofInvalid, SignatureInvalid, UnknownFormat, shown
from ledger.evidence import checkpoint, note, revocation, tree
from ledger.evidence.checkpoint import Checkpoint, decode_hash, decode_size
from ledger.evidence.note import Note, NoteSignature, SigningKey, VerifierKey
from ledger.evidence.revocation import Revoked

ADD_CHECKPOINT: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
REQUEST_LIMIT_BYTES: Final = note.NOTE_LIMIT_BYTES + 100 * tree.PROOF_LIMIT


class Request(msgspec.Struct, frozen=True):
    """
    Ask for a cosignature of *signed*, with the proof that its tree begins with the one of *old* leaves.
    """

    old: int
    proof: tuple[bytes, ...]
    signed: bytes

    def encode(self) -> bytes:
        """
        Return the request's body.
        """
        lines = [f"old {self.old}", *map(note.encode_base64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.signed


def decode_request(body: bytes) -> Request:
    """
    Return the request in a body.

    Raises:
        UnknownFormat: it is none.
    """
    if len(body) > REQUEST_LIMIT_BYTES:
        raise UnknownFormat(f"found a request of {len(body)} bytes; at most {REQUEST_LIMIT_BYTES} are read")
    head, blank, signed = body.partition(b"\n\n")
    try:
        first, *rest = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"found a request with bytes that are no ASCII before its checkpoint: {error}") from error
    if not blank or not first.startswith("old "):
        raise UnknownFormat(f"found a request that begins with {shown(first)}; expected: old <size>")
    if len(rest) > tree.PROOF_LIMIT:
        raise UnknownFormat(f"found a proof of {len(rest)} hashes; at most {tree.PROOF_LIMIT} can be needed")
    old = decode_size(first.removeprefix("old "), "old size")
    return Request(old, tuple(decode_hash(line, "hash") for line in rest), signed)


class Kept(msgspec.Struct, frozen=True):
    """
    The largest checkpoint that a witness has cosigned of one log, as the note that it was.
    """

    size: int
    root: bytes
    signed: bytes


NOTHING: Final = Kept(0, tree.EMPTY_ROOT, b"")
"""What a witness keeps of a log that it never saw: every tree begins with the empty one."""


class Answer(msgspec.Struct, frozen=True):
    """
    What a witness says: an HTTP status and a body; what it has to keep before it says so; and, of a log that
    contradicted itself under its own signature, both checkpoints and the proof that failed.
    """

    status: int
    body: str
    content_type: str = TEXT_TYPE
    keep: Kept | None = None
    evidence: Evidence | None = None


INCONSISTENT: Final = "inconsistent checkpoints"
UNJOINED: Final = "checkpoints that the proof does not join"


class Evidence(msgspec.Struct, frozen=True):
    """
    Two checkpoints that one log signed and that do not agree, with the proof that was to join them.

    Of one size, anybody who knows the log's key can check it: `convicts` needs nothing else. Of two sizes it says no
    more than that this proof fails, and a false proof is anybody's.
    """

    older: bytes
    newer: bytes
    proof: tuple[bytes, ...]

    @property
    def of_one_size(self) -> bool:
        """
        Return whether the two contradict each other whatever the proof is.
        """
        older, newer = (checkpoint.decode_note(data)[0] for data in (self.older, self.newer))
        return older.size == newer.size

    @property
    def name(self) -> str:
        """
        Return a name for what the two state, whoever cosigned them when: a hash in hexadecimal.
        """
        texts = [note.decode(data).text.encode() for data in (self.older, self.newer)]
        return sha256(b"\0".join(texts)).hexdigest()[:32]

    def encode(self) -> bytes:
        """
        Return the evidence as JSON that can be passed on.
        """
        shape = {
            "schema_version": 1,
            "kind": INCONSISTENT if self.of_one_size else UNJOINED,
            "older": self.older.decode(),
            "newer": self.newer.decode(),
            "proof": [note.encode_base64(part) for part in self.proof],
        }
        return msgspec.json.format(msgspec.json.encode(shape), indent=2) + b"\n"


def answer(
    kept: Mapping[str, Kept],
    logs: Mapping[str, Sequence[VerifierKey]],
    body: bytes,
    key: SigningKey,
    time: int,
    revoked: Sequence[Revoked] = (),
) -> Answer:
    """
    Return what a witness with this *key* says at *time* (seconds since 1970) to a request's *body*.

    *logs* are the keys it knows of each origin, *kept* what it keeps of each, if anything, and *revoked* those of the
    keys that count up to a size only.
    """
    try:
        asked = decode_request(body)
        stated, signed = checkpoint.decode_note(asked.signed)
    except UnknownFormat as error:
        return Answer(400, f"{error}\n")
    if stated.origin not in logs:
        return Answer(404, f"unknown log {shown(stated.origin)}\n")
    try:
        verified = note.verify(signed, logs[stated.origin])
    except SignatureInvalid as error:
        return Answer(403, f"{error}\n")
    if not any(revocation.counts(revoked, found.key.public_key, stated.size) for found in verified):
        named = ", ".join(found.key.text() for found in verified)
        return Answer(403, f"found a checkpoint of {stated.size} signed by {named}, revoked before that size\n")
    # Other lines are anybody's: they are neither kept nor left as evidence.
    own = _of_log(signed, logs[stated.origin])
    asked = msgspec.structs.replace(asked, signed=note.with_signatures(signed.text, own).encode())
    refusal = refuse(kept.get(stated.origin, NOTHING), asked, stated)
    if refusal is not None:
        return refusal
    cosignature = key.sign(signed.text, time)
    whole = note.with_signatures(signed.text, (*own, cosignature))
    return Answer(200, cosignature.line(), keep=Kept(stated.size, stated.root, whole.encode()))


def refuse(before: Kept, asked: Request, stated: Checkpoint) -> Answer | None:
    """
    Return why a checkpoint does not follow the one that was kept before it, or nothing if it does.
    """
    # Two roots of one size are the log's own contradiction, whatever is said of the old size. Of one size and root
    # nothing is contradicted, so that it would only take a place from what convicts.
    contradicts = before.signed and stated.size == before.size and stated.root != before.root
    fork = Evidence(before.signed, asked.signed, ()) if contradicts else None
    if asked.old > stated.size:
        what = f"found old size {asked.old} of a checkpoint of {stated.size}; expected at most that\n"
        return Answer(400, what, evidence=fork)
    if asked.old != before.size:
        return Answer(409, f"{before.size}\n", SIZE_TYPE, evidence=fork)
    try:
        tree.check_consistency(before.size, before.root, stated.size, stated.root, asked.proof)
    except ProofInvalid as error:
        # A false proof is anybody's: of two sizes it is kept to be shown, with both checkpoints.
        is_larger = before.signed and stated.size > before.size
        unjoined = Evidence(before.signed, asked.signed, asked.proof) if is_larger else None
        return Answer(422, f"{error}\n", evidence=fork or unjoined)
    return None


def _of_log(signed: Note, keys: Sequence[VerifierKey]) -> list[NoteSignature]:
    return [signature for signature in signed.signatures if any(signature.claims(key) for key in keys)]


def checkpoint_path(origin: str) -> str:
    """
    Return the path under which a witness shows the newest checkpoint that it cosigned of a log.
    """
    return f"/{sha256(origin.encode()).hexdigest()}/checkpoint"


def decode_cosignatures(body: bytes) -> tuple[NoteSignature, ...]:
    """
    Return the signature lines in a witness's answer, unchecked.

    Raises:
        UnknownFormat: it has other lines, or none.
    """
    try:
        lines = body.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"found an answer that is not UTF-8: {error}") from error
    if not lines or len(lines) > note.SIGNATURES_LIMIT:
        raise UnknownFormat(f"found an answer of {len(lines)} lines; expected 1 to {note.SIGNATURES_LIMIT} signatures")
    return tuple(note.decode_signature(line) for line in lines)


def convicts(evidence: Evidence, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    """
    Return the later checkpoint if a log of these *keys* signed both and they are of one size with two roots.

    Of two sizes, evidence shows that a proof failed; whether another proof joins them, only the log's tree can say.
    """
    try:
        (older, first), (newer, second) = (checkpoint.decode_note(data) for data in (evidence.older, evidence.newer))
        note.verify(first, keys)
        note.verify(second, keys)
    except LedgerError:
        return None
    same = older.origin == newer.origin and older.size == newer.size
    return newer if same and older.root != newer.root else None
