"""
Prove one event to somebody who has nothing but a policy: its entry, its place in a signed tree, and its content.

The hashes come from the tiles that the region keeps, the root from a checkpoint that was signed. Neither can be changed
once it is there, so no snapshot is needed, and the tiles above the leaves are kept for the next proof. A proof is
checked before it is handed out: where the tiles do not lead to the signed root, that is said and nothing is given.
"""

from __future__ import annotations

import msgspec
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.domain.times import time_text
from ledger.errors import InvalidInput, LedgerError, NotFound, ProofInvalid, Unavailable, UnknownFormat, shown
from ledger.evidence import checkpoint, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.payload_file import PayloadFile
from ledger.evidence.policy import Policy
from ledger.evidence.proof_file import ProofFile
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tiles import Tile
from ledger.queries.opened import Opened
from ledger.reading import kept_checkpoints
from ledger.reading.moment import check_integers
from ledger.storage import chains, database, events, evidence
from ledger.storage.evidence import Sealed


class NotSealed(Unavailable):
    """
    The event is recorded, and no checkpoint covers it yet.
    """

    code = "not_sealed"


class Proven(msgspec.Struct, frozen=True):
    """
    The proof of one event, and what travels beside it: its content, for those who may see it.
    """

    proof: ProofFile
    payload: PayloadFile
    checkpoint: Checkpoint

    @property
    def hash(self) -> bytes:
        """
        Return the event's hash, which its receipt has too.
        """
        return blake3(self.payload.entry).digest()


class Proofs(Opened):
    """
    Proofs of events by the checkpoints that the region keeps.
    """

    _tiles: TileNodes | None = None
    _chosen: tuple[Sealed, Sealed | None] | None = None
    """The newest checkpoint, and the one of the newest that has the most signatures."""

    def prove(self, seq: int, *, size: int | None = None, rules: Policy | None = None) -> Proven:
        """
        Return the proof of the event at *seq* by the newest checkpoint that the policy *rules* accepts, or by the one
        of *size* events. Without a policy it is the newest of those with the most signatures, of the last few: those
        who cosign may not have got to the very newest yet.

        Raises:
            NotFound: there is no such event, or no checkpoint of that size.
            InvalidInput: the checkpoint is too small, or the policy for other logs.
            NotSealed: no checkpoint, or none that the policy accepts, covers the event yet; it says how far they reach.
            SignatureInvalid: the policy does not accept the one of *size*.
            ProofInvalid: the region's tiles do not lead to the signed root; verify it.
        """
        check_integers(1, seq=seq)
        if size is not None:
            check_integers(1, size=size)
            if size < seq:
                raise InvalidInput(f"found a checkpoint of {size} events to prove event {seq} by; name a larger one")
        if rules is not None:
            policy.check_lists(rules, self.chain.origin)
        with database.translating():
            sealed = self._sealed(seq, size, rules)
            found = events.read_seqs(self._connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
            if found is None:
                raise NotFound(f"event {seq} is sealed by a checkpoint of {sealed.size} and is not there: verify")
            entry = entries.encode(found)
            hashes = self.inclusion(seq - 1, sealed, tree.leaf_hash(entry))
        stated, _ = checkpoint.decode_note(sealed.note)
        proof = ProofFile(seq - 1, hashes, sealed.note, entry)
        return Proven(proof, PayloadFile(entry, found.salt, found.payload), stated)

    def _sealed(self, seq: int, size: int | None, rules: Policy | None) -> Sealed:
        """Return the checkpoint to prove by."""
        connection, chain = self._connection, self.chain.chain
        newest = evidence.newest(connection, chain)
        if size is not None:
            found = evidence.covering(connection, chain, size)
            if found is not None and found.size == size:
                if rules is not None:
                    kept_checkpoints.check(found, self.chain, rules)
                return found
            near = "none so large" if found is None else f"the next larger is of {found.size}"
            reach = "there is none" if newest is None else f"the newest is of {newest.size}"
            raise NotFound(f"found no checkpoint of {size} events; {near}, {reach}")
        if newest is not None and newest.size >= seq:
            return self._newest(newest, seq, rules)
        head = chains.head(connection, chain).seq
        if seq > head:
            raise NotFound(f"found event {seq}, and the chain ends at {head}")
        if newest is None:
            raise NotSealed(f"event {seq} is recorded, and no checkpoint was sealed yet: run `tradeledger seal`")
        raise NotSealed(
            f"event {seq} is recorded, and the newest checkpoint, sealed at {time_text(newest.sealed_at)}, is of "
            f"{newest.size}: ask again in a few seconds, and see that `tradeledger seal` runs"
        )

    def _newest(self, newest: Sealed, seq: int, rules: Policy | None) -> Sealed:
        """Return the best checkpoint that covers an event, of those up to the *newest*, which does."""
        if rules is not None:
            try:
                found = kept_checkpoints.accepted(self._connection, self.chain, rules, seq)
            except LedgerError as error:
                raise NotSealed(
                    f"event {seq} is recorded, and the policy accepts no checkpoint that covers it: the newest, of "
                    f"{newest.size} events: {error}; see that witnesses answer and `tradeledger seal` runs"
                ) from error
        else:
            if self._chosen is None or self._chosen[0] != newest:
                self._chosen = newest, kept_checkpoints.most_signed(self._connection, self.chain)
            found = self._chosen[1]
            if found is None or found.size < seq:
                found = kept_checkpoints.most_signed(self._connection, self.chain, seq)
        if found is None:
            raise NotSealed(
                f"event {seq} is recorded, and what stands as checkpoints of it has no signature of the log: verify"
            )
        return found

    def inclusion(self, index: int, sealed: Sealed, leaf: bytes) -> tuple[bytes, ...]:
        """
        Return the hashes that prove the *leaf* at *index* to be under the root of *sealed*, once they do.

        Raises:
            InvalidInput: it is no leaf of that checkpoint's tree.
            ProofInvalid: the region's tiles do not lead to that root.
        """
        if not isinstance(sealed, Sealed) or not isinstance(leaf, bytes):
            raise InvalidInput(f"found {shown(sealed)} and {shown(leaf)}; expected a checkpoint of this region and the "
                               "leaf's hash")  # fmt: skip
        check_integers(0, index=index)
        if index >= sealed.size:
            raise InvalidInput(f"found index {index} in a tree of {sealed.size} leaves; expected a smaller one")
        if self._tiles is None:
            self._tiles = TileNodes(self._tile)
        nodes = self._tiles
        for attempt in range(2):
            try:
                hashes = tuple(tree.prove_inclusion(nodes.of(sealed.size), index, sealed.size))
                tree.check_inclusion(leaf, index, sealed.size, hashes, sealed.root)
            except (ProofInvalid, UnknownFormat) as error:
                # What was kept may be of tiles that were made anew since.
                nodes.forget()
                if attempt:
                    raise ProofInvalid(
                        f"the tiles of this region do not prove event {index + 1} by its checkpoint of {sealed.size}: "
                        f"{error}; verify the region before anything is proven from it"
                    ) from error
            else:
                return hashes
        raise AssertionError("the second attempt returns or raises")

    def _tile(self, tile: Tile) -> bytes | None:
        return evidence.read_tile(self._connection, self.chain.chain, tile)
