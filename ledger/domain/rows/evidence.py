"""
Describe the rows by which the chain is judged: keys, the tails that failovers cut off, the hashes of schemas.
"""

from __future__ import annotations

from ledger.domain.rows.row import Row


class ChainKey(Row, frozen=True, gc=False):
    """
    A public key that the chain names, for one purpose, valid for events and statements in a range of seqs.
    """

    key_id: str
    purpose: str
    name: str
    public_key: str
    valid_from_seq: int
    valid_to_seq: int | None
    revoked: bool


class DivergentTail(Row, frozen=True, gc=False):
    """
    What an old primary had beyond the base of epoch `epoch`, and how many events of it were disposed of.
    """

    epoch: int
    from_seq: int
    to_seq: int
    head_hash: str
    bundle_hash: str
    disposed: int


class DivergentEvent(Row, frozen=True, gc=False):
    """
    What became of one event of a divergent tail.
    """

    epoch: int
    seq: int
    disposition: str
    new_seq: int | None


class Schema(Row, frozen=True, gc=False):
    """
    The hash of an event type's fields in one version.
    """

    event_type: str
    schema_version: int
    schema_hash: str
    encoder_version: str
    event_seq: int
