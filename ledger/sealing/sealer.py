"""
Seal what a chain has come to: have its root signed, and seen by others, in the order that makes the signature mean it.

First the replicas, since a signature over what only one region has could be contradicted by a failover. Then the
signer, which wants their cosignatures. Then the witnesses, who want the signer's. What the signer has signed is kept
even where too few witnesses answered: it is out in the world, and they are asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

from ledger.errors import SignatureInvalid, Unavailable, UnknownFormat
from ledger.evidence import checkpoint, note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import NoteSignature, VerifierKey
from ledger.evidence.policy import Policy
from ledger.evidence.signer import SIGN_CHECKPOINT
from ledger.reading import log_keys
from ledger.sealing import asking, cosigners, tile_proofs
from ledger.sealing.asking import KeysAt, Prove
from ledger.sealing.cosigners import Cosigners
from ledger.sealing.growth import Growth, Tell
from ledger.sealing.places import Place
from ledger.sealing.tile_proofs import TilesBroken
from ledger.storage import chains, evidence
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection
from ledger.storage.evidence import Sealed


class TooFew(Unavailable):
    """
    Too few replicas have cosigned for anything to be signed.
    """

    code = "too_few_replicas"


class Taken(Unavailable):
    """
    Where the head's checkpoint would be kept stands one that nobody has signed.
    """

    code = "checkpoint_taken"


class Outcome(msgspec.Struct, frozen=True):
    """
    What sealing came to: the newest checkpoint, whether it is new, who cosigned it, and what those said who did not.
    """

    sealed: Sealed
    is_new: bool
    cosigned: tuple[str, ...]
    missing: tuple[str, ...]
    is_witnessed: bool


class Sealer:
    """
    The one process that seals a chain in its region.
    """

    def __init__(
        self,
        connection: Connection,
        chain: ChainRow,
        signer: Place,
        replicas: Policy,
        witnesses: Policy,
        clock: Callable[[], int],
    ) -> None:
        """
        Go on from the tiles and checkpoints of *chain*; *clock* returns the time in ns since 1970.

        Raises:
            Unavailable: another process seals it.
        """
        self._connection, self._chain, self._clock, self._signer = connection, chain, clock, signer
        self._growth = Growth(connection, chain)
        self._replicas, self._witnesses = Cosigners(replicas), Cosigners(witnesses)

    def seal(self, tell: Tell = lambda count: None, patient: bool = True) -> Outcome | None:
        """
        Have the chain's head signed and witnessed; None where the chain has no events yet.

        Witnesses who are slow are waited for if *patient*; else what they say is taken in the next time.

        Raises:
            TooFew: the replicas' quorum has not cosigned; nothing was signed.
            Taken: what is no checkpoint of the log's stands in the place of this one; the next event's has another.
            Refused: a replica, the signer or a witness says that this history is not the one it knows.
            NotAnswering: the signer is down.
            SequenceGap, HashMismatch: the chain is broken.
            TilesBroken: it is shorter than what was sealed of it, or its tiles do not lead to what was signed.
        """
        head = chains.head(self._connection, self._chain.chain)
        if head.seq == 0:
            return None
        newest = self._newest(head.seq)
        if newest is not None and newest.size > head.seq:
            raise TilesBroken(
                f"a checkpoint of {newest.size} events is kept, and the chain ends at {head.seq}: its tail was cut or "
                "an older copy put back; verify, and restore what is missing"
            )
        if newest is not None and newest.size == head.seq:
            return self._witnessed(newest, False, patient)
        self._growth.up_to(head.seq, tell)
        return self._witnessed(self._signed(newest.size if newest else 0), True, patient)

    def close(self) -> None:
        """
        Ask nobody any more.
        """
        self._replicas.close()
        self._witnesses.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _newest(self, head: int) -> Sealed | None:
        """
        Return the largest checkpoint that the log has signed.

        Whoever may seal may add any row, and nobody may take it away: one that says nothing stops nothing.
        """
        keys_at = self._keys_at()
        for kept in evidence.largest_first(self._connection, self._chain.chain):
            if _is_signed(kept, self._chain.origin, keys_at):
                return kept
            if kept.size == head:
                raise Taken(
                    f"the row of checkpoints of {head} events holds what no key that counts for it has signed, so "
                    "their checkpoint has no place: the next event's will have, and `tradeledger repair` takes the "
                    "row away"
                )
        return None

    def _at(self, size: int) -> Sealed | None:
        """Return the checkpoint of *size* that is kept and that the log has signed, if there is one."""
        kept = evidence.covering(self._connection, self._chain.chain, size)
        if kept is None or kept.size != size or not _is_signed(kept, self._chain.origin, self._keys_at()):
            return None
        return kept

    def _prove(self, size: int, root: bytes) -> Prove:
        """Return what proves from the tiles, to the *root* of *size*; each proof is checked before anybody has it."""
        proofs: dict[int, list[bytes]] = {}

        def prove(old: int) -> list[bytes]:
            if old not in proofs:
                found, proof = tile_proofs.join(self._connection, self._chain.chain, old, size, root)
                kept = self._at(old)
                if kept is not None:
                    tile_proofs.check_kept(old, found, kept.root)
                proofs[old] = proof
            return proofs[old]

        return prove

    def _signed(self, before: int) -> Sealed:
        size, root = self._growth.size, self._growth.root()
        text = Checkpoint(self._chain.origin, size, root).text()
        prove = self._prove(size, root)
        if before:
            # Nobody is asked about a tree that does not begin with what was signed.
            prove(before)
        said = self._replicas.ask(note.with_signatures(text, ()).encode(), size, prove)
        said.check()
        if not self._replicas.is_met(cosigners.names(said.cosigned, size), size):
            raise TooFew(
                f"too few replicas have cosigned {size} events, so they are not signed: {'; '.join(said.silent)}"
            )
        cosigned = [signature for _, of, signature in said.cosigned if of == size]
        proposed = note.with_signatures(text, cosigned).encode()
        answered = asking.submit(self._signer, SIGN_CHECKPOINT, proposed, size, prove, before)
        signed = note.with_signatures(text, [*self._of_log(text, answered), *cosigned])
        sealed = Sealed(size, root, signed.encode(), self._clock())
        evidence.put(self._connection, self._chain.chain, sealed)
        return sealed

    def _keys_at(self) -> KeysAt:
        """Return what says whose signature counts at a size: a revoked key's counts up to its end alone."""
        named, trust = log_keys.named(self._connection, self._chain), self._witnesses.policy

        def at(size: int) -> list[VerifierKey]:
            return [
                key for key, row in named
                if not (row.revoked and row.valid_to_seq is not None and size > row.valid_to_seq)
                and trust.counts(key.public_key, size)
            ]  # fmt: skip

        return at

    def _of_log(self, text: str, answered: Sequence[NoteSignature]) -> list[NoteSignature]:
        """Return those signatures that are by a checkpoint key which the chain names, each checked."""
        keys = log_keys.in_force(self._connection, self._chain)
        found = []
        for signature in answered:
            for key in keys:
                if signature.claims(key):
                    note.check_signature(text, signature, key)
                    found.append(signature)
        if not found:
            named = ", ".join(key.text() for key in keys) or "none"
            raise SignatureInvalid(
                f"the signer at {self._signer.address} signs by no key that the chain names for checkpoints, which are "
                f"{named}; give it the chain's key"
            )
        return found

    def _witnessed(self, sealed: Sealed, is_new: bool, patient: bool) -> Outcome:
        """Ask the witnesses that have not cosigned yet, and keep what they say, late or not."""
        signed = note.decode(sealed.note)
        done = {member.name for member in self._witnesses.policy.witnesses if note.is_by(signed, [member.key])}
        prove = self._prove(sealed.size, sealed.root)
        said = self._witnesses.ask(sealed.note, sealed.size, prove, done, patient, self._keys_at())
        for size in sorted({of for _, of, _ in said.cosigned}):
            kept = self._at(size)
            if kept is not None:
                before = note.decode(kept.note)
                gained = [signature for _, of, signature in said.cosigned if of == size]
                whole = note.with_signatures(before.text, [*before.signatures, *gained]).encode()
                kept = msgspec.structs.replace(kept, note=whole)
                evidence.put(self._connection, self._chain.chain, kept)
                sealed = kept if size == sealed.size else sealed
        said.check()
        names = {signature.name for signature in note.decode(sealed.note).signatures} - {self._chain.origin}
        met = self._witnesses.is_met(done | cosigners.names(said.cosigned, sealed.size), sealed.size)
        return Outcome(sealed, is_new, tuple(sorted(names)), said.silent, met)


def _is_signed(kept: Sealed, origin: str, keys_at: KeysAt) -> bool:
    """Whether the note of a checkpoint is of what its row says, and by a key of the log that counts for it."""
    try:
        stated, signed = checkpoint.decode_note(kept.note)
    except UnknownFormat:
        return False
    of_its_row = (stated.origin, stated.size, stated.root) == (origin, kept.size, kept.root)
    return of_its_row and note.is_by(signed, keys_at(kept.size))
