"""
Tell which publisher's key counts for a segment, from the chain's own events that name and revoke keys.

A key counts for a segment if the events before the commit in which it starts name it and have not revoked it: that is
what a replica knows when the segment comes. So what leads up to the change of a key is signed by a key from before
it, and a publisher that takes over in the middle needs both. The first commit names the first keys; those count for it
because operators were told them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger.chain.entry import split_payload
from ledger.chain.signatures import KeyPair
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated, KeyRevoked, KeyRotated
from ledger.domain.rules.control import CONTROL_STREAM
from ledger.errors import SignatureInvalid
from ledger.storage import events
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection
from replicator.segment import PURPOSE


class Term(msgspec.Struct):
    """
    A publisher's key, and the seqs of the events that named and revoked it.
    """

    public_key: bytes
    named_seq: int
    revoked_seq: int | None = None

    def counts(self, first_seq: int) -> bool:
        """
        Return whether the key counts for a segment of the commit that starts at *first_seq*.
        """
        named = self.named_seq < first_seq or self.named_seq == 1
        return named and (self.revoked_seq is None or first_seq <= self.revoked_seq)


class Keyring:
    """
    The publisher's keys of one chain, as far as they were read.
    """

    def __init__(self, connection: Connection, chain: ChainRow) -> None:
        self._connection, self._chain = connection, chain
        self._version = 0
        self.terms: dict[str, Term] = {}

    def refresh(self) -> None:
        """
        Read what was said of keys since.
        """
        chain = self._chain
        for found in events.read_stream(self._connection, chain.chain, chain.chain_id, CONTROL_STREAM, self._version):
            self._version = found.stream_version
            event = registry.decode_given(found.event_type, found.schema_version, split_payload(found.payload)[1])
            if isinstance(event, KeyRevoked) and event.key_id in self.terms:
                self.terms[event.key_id].revoked_seq = found.seq
            named = event.keys if isinstance(event, ChainCreated) else []
            for key in [event.new_key] if isinstance(event, KeyRotated) else named:
                if key.purpose == PURPOSE:
                    self.terms[key.key_id] = Term(bytes.fromhex(key.public_key), found.seq)

    def turn(self, seq: int) -> int | None:
        """
        Return the first seq from *seq* on whose event names or revokes a key.
        """
        turns = [at for term in self.terms.values() for at in (term.named_seq, term.revoked_seq)]
        return min((at for at in turns if at is not None and at >= seq), default=None)

    def signer(self, pairs: Sequence[KeyPair], first_seq: int) -> KeyPair:
        """
        Return the newest of *pairs* that counts for a segment of the commit that starts at *first_seq*.

        Raises:
            SignatureInvalid: none does; replicas would refuse whatever is signed by them.
        """
        counting = {key_id: term for key_id, term in self.terms.items() if term.counts(first_seq)}
        able = [pair for pair in pairs if pair.key_id in counting]
        if not able:
            raise SignatureInvalid(
                f"key {', '.join(pair.key_id for pair in pairs)} may not sign event {first_seq}: it was revoked before "
                f"it, or is named by a later one; replicas know {', '.join(counting) or 'no key'} there: give that "
                "key's file, as --key or beside a newer one as --old-key"
            )
        return max(able, key=lambda pair: counting[pair.key_id].named_seq)
