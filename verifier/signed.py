"""
Say who signed the checkpoints that a region keeps, and which of them count.

A checkpoint counts by the keys that the chain names and, with one, by the auditor's policy. One that a revoked key
alone signed beyond its end counts for nothing; nor can it be taken away, since checkpoints are written once.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Sequence

import msgspec

from ledger.domain.rows import ChainKey
from ledger.errors import LedgerError, SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, policy
from ledger.evidence.note import ED25519, VerifierKey
from ledger.evidence.policy import Policy, QuorumUnmet, Trusted
from ledger.evidence.revocation import KeyIsRevoked
from verifier.report import Finding
from verifier.revocations import revoked
from verifier.sealed import of_row
from verifier.stored import CheckpointRow

PURPOSE = "checkpoint"


def _which(count: int, first: int, last: int) -> str:
    return f"the checkpoint of {first}" if count == 1 else f"{count} checkpoints of {first} to {last}"


def nobodys_word(count: int, first: int, last: int) -> str:
    """
    Return, as a sentence, that so many checkpoints, of *first* to *last* events, are nobody's word any more.
    """
    return (
        f"who signed {_which(count, first, last)} events: a key alone that was revoked for such sizes, so it is "
        "nobody's word; a larger one that counts covers the same events"
    )


def unlisted_word(count: int, first: int, last: int) -> str:
    """
    Return, as a sentence, that so many checkpoints, of *first* to *last* events, were signed before the policy's keys.
    """
    return (
        f"who signed {_which(count, first, last)} events: a key that the chain names and the policy does not list, as "
        "before another took over; a larger one that the policy accepts covers the same events"
    )


def unknown_word(count: int, first: int, last: int) -> str:
    """
    Return, as a sentence, that so many checkpoints, of *first* to *last* events, may be of keys that the chain named.
    """
    return (
        f"who signed {_which(count, first, last)} events: no key that the policy lists, and which keys the chain names "
        "was not read; a larger one that the policy accepts covers the same events"
    )


def _with(passed: list[int], sizes: Sequence[int]) -> list[int]:
    """Return how many there are with *sizes*, the smallest and the largest; nothing where there are none."""
    if not sizes:
        return passed
    count, first, last = passed or (0, sizes[0], sizes[0])
    return [count + len(sizes), min(first, *sizes), max(last, *sizes)]


def _claimed(signed: note.Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    return [key for key in keys if any(signature.claims(key) for signature in signed.signatures)]


class Signed:
    """
    Who signed the checkpoints that a region keeps: by the keys of the chain and, with one, by the auditor's policy.

    `newest` is the largest checkpoint that the policy accepts, and `met` the largest of those that cover no more than
    *upto* events, against which their roots were held. What revoked keys alone signed beyond their end counts
    for nothing. Where it is below a checkpoint that does count, nothing rests on it, and it is not said to be wrong. So
    it is with what a key of the chain signed that the policy does not list: a policy lists the key that took over. From
    event *lost* on the chain may have named keys that are not among these.
    """

    def __init__(
        self,
        origin: str,
        keys: Sequence[ChainKey],
        trust: Policy | None,
        upto: int | None = None,
        lost: int | None = None,
    ) -> None:
        self._origin = origin
        self._trust = None if trust is None else trust.revoking(revoked(keys))
        self._keys = [row for row in keys if row.purpose == PURPOSE]
        self.newest: Trusted | None = None
        self.met: Trusted | None = None
        self._upto, self._lost = upto, lost
        self._last: CheckpointRow | None = None
        self._ended: list[Finding] = []
        self._passed: list[int] = []
        """How many of those were below one that counts, the smallest size and the largest."""
        self._unlisted, self._why = array("q"), Finding("CHECKPOINT_SIG", "", "")
        """The sizes of those that a key signed which the policy does not list, and what is wrong with each."""
        self._passed_unlisted: list[int] = []

    @property
    def is_empty(self) -> bool:
        """
        Whether the region keeps no checkpoint, and the policy accepts none that was brought.
        """
        return self._last is None and self.newest is None

    def check(self, row: CheckpointRow) -> list[Finding]:
        """
        Return what is wrong with the note of a row; rows come in order of size.
        """
        self._last = row
        try:
            stated, signed = checkpoint.decode_note(row.note)
        except UnknownFormat as error:
            return [of_row(row, "note", "a signed checkpoint", str(error), "CHECKPOINT_SIG")]
        found = [
            of_row(row, "note", f"{name} {expected}", actual, "CHECKPOINT_SIG")
            for name, expected, actual in (
                ("origin", self._origin, stated.origin), ("size", str(row.size), str(stated.size)),
                ("root", row.root.hex(), stated.root.hex()),
            ) if expected != actual
        ]  # fmt: skip
        expected, ended = "what the policy accepts", None
        unsure: list[Finding] = []
        try:
            self._by_chain(signed, row.size)
        except KeyIsRevoked as error:
            ended = of_row(row, "note", f"signed by {self._said(row.size)}", str(error), "CHECKPOINT_SIG")
        except SignatureInvalid as error:
            wrong = of_row(row, "note", f"signed by {self._said(row.size)}", str(error), "CHECKPOINT_SIG")
            if self._lost is not None and self._lost <= row.size:
                unsure = [msgspec.structs.replace(wrong, after=self._lost)]
            else:
                found.append(wrong)
        if self._trust is None and not found and not unsure and ended is None:
            self._count(row.size)
        if self._trust is not None and not found:
            try:
                accepted = policy.check(self._trust, row.note)
                if ended is None:
                    self._accept(accepted)
            except QuorumUnmet:
                pass  # as it is while witnesses are slow; the newest that they have seen is what counts
            except KeyIsRevoked as error:
                ended = ended or of_row(row, "note", expected, str(error), "CHECKPOINT_SIG")
            except LedgerError as error:
                wrong = of_row(row, "note", expected, str(error), "CHECKPOINT_SIG")
                if unsure and self._is_nobodys_of_the_policy(signed):
                    # The key may be one that the chain named where an event is lost: that it says already.
                    pass
                elif not self._is_unlisted(signed, row.size):
                    found.append(wrong)
                elif ended is None:
                    # They may be as many as there were seconds: what is said of one is said of all.
                    self._unlisted.append(row.size)
                    self._why = wrong
        if ended is None or found:
            return [*unsure, *found] if ended is None else [*found, ended]
        self._ended.append(ended)
        return []

    def bring(self, data: bytes) -> None:
        """
        Take in the note of a checkpoint that the auditor brought: it counts where the policy accepts it.
        """
        if self._trust is not None:
            with contextlib.suppress(LedgerError):
                self._accept(policy.check(self._trust, data))

    def end(self) -> list[Finding]:
        """
        Return what revoked keys alone signed of more than anybody else did, and whether the quorum has seen nothing.
        """
        unlisted = (msgspec.structs.replace(self._why, seq=size, key=(str(size),)) for size in self._unlisted)
        found = [*self._ended, *unlisted]
        if self._trust is not None and self.newest is None:
            actual = "no checkpoint at all" if self._last is None else f"none of those up to {self._last.size} events"
            found = [*found, Finding("QUORUM_UNMET", f"a checkpoint that {self._trust.quorum} has cosigned", actual,
                                     table="checkpoints", key=())]  # fmt: skip
        return found

    def nobodys(self) -> list[str]:
        """
        Return, as sentences, which checkpoints are kept that nobody's word stands for any more.
        """
        return [
            *([nobodys_word(*self._passed)] if self._passed else []),
            *([unlisted_word(*self._passed_unlisted)] if self._passed_unlisted else []),
        ]

    def _accept(self, accepted: Trusted) -> None:
        # One of no events is what a witness shows of every log at first; it says nothing of any.
        size = accepted.checkpoint.size
        if size > (0 if self.newest is None else self.newest.checkpoint.size):
            self.newest = accepted
            self._count(size)
        is_held = self._upto is None or size <= self._upto
        if is_held and size > (0 if self.met is None else self.met.checkpoint.size):
            self.met = accepted

    def _count(self, size: int) -> None:
        """Pass over what revoked keys signed of less than *size*, of which a checkpoint counts."""
        sizes = [one.seq or 0 for one in self._ended if (one.seq or 0) < size]
        self._ended = [one for one in self._ended if (one.seq or 0) >= size]
        self._passed = _with(self._passed, sizes)
        below = [one for one in self._unlisted if one < size]
        self._unlisted = array("q", (one for one in self._unlisted if one >= size))
        self._passed_unlisted = _with(self._passed_unlisted, below)

    def _is_unlisted(self, signed: note.Note, size: int) -> bool:
        """Whether a key signed that the chain names and the policy does not list, and nobody's signature is false."""
        trust = self._trust
        if trust is None:
            return False
        logs = [log.key for log in trust.logs_of(self._origin)]
        # Whether the chain ended one of its own is said by itself.
        named = [self._key(row) for row in self._keys if row.valid_from_seq <= size]
        try:
            by = {one.key for one in note.verify(signed, [*logs, *(one.key for one in trust.witnesses), *named])}
        except SignatureInvalid:
            return False
        return bool(logs) and by.isdisjoint(logs) and not by.isdisjoint(named)

    def _is_nobodys_of_the_policy(self, signed: note.Note) -> bool:
        """Whether no log of the policy is said to have signed, and no witness falsely."""
        trust = self._trust
        logs = [] if trust is None else [log.key for log in trust.logs_of(self._origin)]
        if trust is None or not logs or _claimed(signed, logs):
            return False
        claimed = _claimed(signed, [witness.key for witness in trust.witnesses])
        try:
            return not claimed or bool(note.verify(signed, claimed))
        except SignatureInvalid:
            return False

    def _by_chain(self, signed: note.Note, size: int) -> None:
        """
        Raise SignatureInvalid unless a key that the chain names for checkpoints of *size* signed; KeyIsRevoked where
        one did that counts up to a smaller size only.
        """
        keys = self._named(size)
        try:
            note.verify(signed, keys)
        except SignatureInvalid as error:
            ends = {
                self._key(row): row.valid_to_seq for row in self._keys if row.revoked and row.valid_from_seq <= size
            }
            if _claimed(signed, keys):
                raise
            try:
                by = [f"{found.key.text()}, revoked after {ends[found.key]}" for found in note.verify(signed, ends)]
            except SignatureInvalid:
                raise error from None
            raise KeyIsRevoked(f"a signature by {', '.join(by)}, and by no other key of the chain") from error

    def _said(self, size: int) -> str:
        named = ", ".join(key.text() for key in self._named(size))
        return named or f"a key, and the chain names none for checkpoints{' of this size' if self._keys else ''}"

    def _key(self, row: ChainKey) -> VerifierKey:
        return VerifierKey(self._origin, ED25519, bytes.fromhex(row.public_key))

    def _named(self, size: int) -> list[VerifierKey]:
        """Return the keys that the chain names for checkpoints of this size."""
        return [
            self._key(row)
            for row in self._keys
            if row.valid_from_seq <= size and (row.valid_to_seq is None or size <= row.valid_to_seq)
        ]
