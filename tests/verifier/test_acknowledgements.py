"""
Check what replicas are said to have acknowledged, in memory: one column of a signed row changed at a time.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.domain.rows import ChainKey
from ledger.domain.state import State
from tests.archiving import chains
from verifier.acknowledgements import CLOCKS_NS, AcknowledgementCheck
from verifier.report import Finding
from verifier.sealed import BEHIND_NS
from verifier.stored import AcknowledgementRow

HISTORY = chains.chain(60)
SEQ = 40
EVENT = HISTORY[SEQ - 1]
NOW = EVENT.recorded_at + 3600 * 10**9
REPLICA, PUBLISHER = (KeyPair(purpose, "r", bytes([n]) * 32) for n, purpose in enumerate(("replica", "publisher"), 1))


def digest(seq: int) -> bytes:
    return seq.to_bytes(32, "big")


def row(key: KeyPair = REPLICA, **changes: Any) -> AcknowledgementRow:
    """Return a row as a replica signed it; *changes* were made before it signed."""
    said: dict[str, Any] = {
        "epoch": 1, "seq": SEQ, "hash": EVENT.hash, "state_digest": digest(SEQ), "applied_at": EVENT.recorded_at + 5,
        **changes,
    }  # fmt: skip
    value = acknowledgement.encode(Acknowledgement(chains.CHAIN_ID, key_id=key.key_id, **said), key)
    return AcknowledgementRow(key.key_id, received_at=EVENT.recorded_at + 9, signature=value[-64:], **said)


def checked(*rows: AcknowledgementRow, past: bool = True, known: bool = True, stopped: bool = False) -> list[Finding]:
    check, state = AcknowledgementCheck(chains.CHAIN_ID, rows, NOW), State()
    for key in (REPLICA, PUBLISHER):
        state.chain_keys.put(
            ChainKey(key_id=key.key_id, purpose=key.purpose, name="r", public_key=key.public_key.hex(),
                     valid_from_seq=1, valid_to_seq=None, revoked=False)
        )  # fmt: skip
    assert check.seqs == {one.seq for one in rows}
    for event in HISTORY if past else ():
        check.pass_by(event)
        if event.seq in check.seqs:
            check.reach(event, digest(event.seq) if known else None)
    return check.findings(state, stopped=stopped)


def wrong(column: str, expected: str, actual: str, key: KeyPair = REPLICA) -> Finding:
    return Finding("ACK_MISMATCH", expected, actual, table="acknowledgements", key=(key.key_id,), column=column)


def test_what_a_replica_signed_of_this_chain_is_good() -> None:
    """At any place; and with no row there is nothing to find."""
    assert checked(row()) == []
    assert checked(row(seq=41, hash=HISTORY[40].hash, state_digest=digest(41))) == []
    assert checked() == []


OTHER = HISTORY[SEQ]
CHANGED: list[tuple[dict[str, Any], str, str, str]] = [
    ({"epoch": 2}, "epoch", "1", "2"),
    ({"epoch": 0}, "epoch", "1", "0"),
    ({"seq": SEQ + 1}, "seq", str(SEQ), str(SEQ + 1)),
    ({"seq": 99}, "seq", str(SEQ), "99"),
    ({"hash": bytes(32)}, "hash", EVENT.hash.hex(), bytes(32).hex()),
    ({"hash": OTHER.hash}, "hash", EVENT.hash.hex(), OTHER.hash.hex()),
    ({"state_digest": bytes(32)}, "state_digest", digest(SEQ).hex(), bytes(32).hex()),
    ({"applied_at": EVENT.recorded_at + 4}, "applied_at", str(EVENT.recorded_at + 5), str(EVENT.recorded_at + 4)),
    ({"applied_at": EVENT.recorded_at + 5 + 3600 * 10**9}, "applied_at", str(EVENT.recorded_at + 5),
     str(EVENT.recorded_at + 5 + 3600 * 10**9)),
    ({"signature": bytes(64)}, "signature or applied_at", "a signature of this row by its replica", bytes(64).hex()),
    ({"epoch": 2, "seq": 41}, "signature or applied_at", "a signature of this row by its replica",
     row().signature.hex()),
    ({"hash": b"short"}, "hash", EVENT.hash.hex(), b"short".hex()),
    ({"replica": "00" * 8}, "replica", "a replica's key that the chain names", "00" * 8),
    ({"replica": PUBLISHER.key_id}, "replica", "a replica's key that the chain names", PUBLISHER.key_id),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "column", "expected", "actual"), CHANGED)
def test_what_was_changed_after_it_was_signed_is_named(
    changes: dict[str, Any], column: str, expected: str, actual: str
) -> None:
    """The one column, and what was signed there, where that can be told from the signature."""
    whose = changes.get("replica", REPLICA.key_id)
    found = Finding("ACK_MISMATCH", expected, actual, table="acknowledgements", key=(whose,), column=column)
    good = row(seq=41, hash=OTHER.hash, state_digest=digest(41))
    assert checked(good, msgspec.structs.replace(row(), **changes), good) == [found]


def test_what_a_replica_signed_of_another_history_is_named() -> None:
    """It has another hash, another digest or an event that is not there."""
    assert checked(row(hash=bytes(32))) == [wrong("hash", EVENT.hash.hex(), bytes(32).hex())]
    assert checked(row(state_digest=bytes(32))) == [wrong("state_digest", digest(SEQ).hex(), bytes(32).hex())]
    assert [x.column for x in checked(row(hash=bytes(32), state_digest=bytes(32)))] == ["hash", "state_digest"]
    assert checked(row(seq=61)) == [wrong("seq", "an event of this chain", "61")]
    assert checked(row(), past=False) == [wrong("seq", "an event of this chain", str(SEQ))]


def test_where_no_state_is_known_a_row_is_held_against_the_rest() -> None:
    """Any digest may be true; what else was signed, or was changed since, is named as it is."""
    assert checked(row(state_digest=bytes(32)), known=False) == []
    assert checked(row(hash=bytes(32)), known=False) == [wrong("hash", EVENT.hash.hex(), bytes(32).hex())]
    of_epoch, of_digest = (
        msgspec.structs.replace(row(), **change) for change in ({"epoch": 2}, {"state_digest": b"x" * 32})
    )
    assert checked(of_epoch, known=False) == [wrong("epoch", "1", "2")]
    unsigned = wrong("signature or applied_at", "a signature of this row by its replica", row().signature.hex())
    assert checked(of_digest, known=False) == [unsigned]


def test_a_key_that_is_no_replicas_acknowledges_nothing() -> None:
    """Though it is of the chain, and signed."""
    expected = wrong("replica", "a replica's key that the chain names", PUBLISHER.key_id, PUBLISHER)
    assert checked(row(PUBLISHER)) == [expected]


EARLIEST, LATEST = EVENT.recorded_at - BEHIND_NS, NOW + CLOCKS_NS


@pytest.mark.parametrize(
    ("received_at", "expected"),
    [
        (EARLIEST, None), (LATEST, None), (EARLIEST - 1, f"not before {EARLIEST}"),
        (LATEST + 1, f"not after {NOW}, which is now"),
    ],
)  # fmt: skip
def test_a_time_of_arrival_lies_between_the_event_and_now(received_at: int, expected: str | None) -> None:
    """But for as much as clocks may differ."""
    found = checked(msgspec.structs.replace(row(), received_at=received_at))
    assert found == ([] if expected is None else [wrong("received_at", expected, str(received_at))])


def test_what_a_replica_signed_is_held_against_the_hash_where_the_rules_are_not_known() -> None:
    """Under a key that was named before; one that is not known may have been named by what cannot be read."""
    there = {"known": False, "stopped": True}
    assert checked(row(), row(KeyPair("replica", "r", bytes([3]) * 32)), **there) == []
    assert checked(row(hash=bytes(32)), **there) == [wrong("hash", EVENT.hash.hex(), bytes(32).hex())]
    edited = msgspec.structs.replace(row(), hash=bytes(32))
    assert checked(edited, **there) == [wrong("hash", EVENT.hash.hex(), bytes(32).hex())]
