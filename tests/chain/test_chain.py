"""
Check the chain's bytes against vectors, an independent layout, and every single change.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.entry import RecordedEvent, encode, payload_hash, request_hash
from ledger.chain.link import ChainHead, genesis
from ledger.errors import HashMismatch, InvalidEvent, SequenceGap, TooLarge

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "chain.json").read_text())
TEXTS = ("event_type", "stream", "actor", "source", "idempotency_key")


def event(**changes: object) -> RecordedEvent:
    chain_id = bytes(range(16))
    fields: dict[str, object] = dict(
        chain_id=chain_id, seq=1, epoch=1, prev_hash=genesis(chain_id, "example.com/ledger"), hash=bytes(32),
        event_id=b"\x01" * 16, event_type="OrderPlaced", schema_version=1, stream="order/O-17",
        stream_version=1, group_id=b"\x02" * 16, group_index=0, group_size=1, idempotency_key="cl-17",
        request_hash=b"\x03" * 32, occurred_at=1723161254087891268, recorded_at=1723161254087891269,
        effective_on=19943, actor="engine-1", source="engine", correlation_id=bytes(16),
        causation_id=bytes(16), salt=b"\x04" * 16, payload=b'{"derived":{},"given":{"qty":"0.01"}}',
    )  # fmt: skip
    fields.update(changes)
    return RecordedEvent(**fields)  # type: ignore[arg-type]


def spelled_out(e: RecordedEvent) -> bytes:
    """The layout of docs/FORMAT.md, written a second time without the library's code."""

    def lp(text: str) -> bytes:
        return len(text.encode()).to_bytes(2, "big") + text.encode()

    return (
        b"trade-ledger/ev1" + e.chain_id + e.seq.to_bytes(8, "big") + e.epoch.to_bytes(4, "big") + e.prev_hash
        + e.event_id + e.group_id + struct.pack(">HH", e.group_index, e.group_size)
        + e.stream_version.to_bytes(8, "big") + e.occurred_at.to_bytes(8, "big", signed=True)
        + e.recorded_at.to_bytes(8, "big", signed=True) + e.effective_on.to_bytes(4, "big", signed=True)
        + e.correlation_id + e.causation_id + lp(e.event_type) + e.schema_version.to_bytes(2, "big")
        + lp(e.stream) + lp(e.actor) + lp(e.source) + lp(e.idempotency_key) + e.request_hash
        + len(e.payload).to_bytes(4, "big") + blake3(b"trade-ledger/pl1" + e.salt + e.payload).digest()
    )  # fmt: skip


def test_vectors_hold() -> None:
    """Entry, genesis, payload, request and link hashes are those pinned on disk."""
    e = event()
    assert genesis(e.chain_id, "example.com/ledger").hex() == VECTORS["genesis"]
    assert encode(e).hex() == VECTORS["entry"]
    assert payload_hash(e.salt, e.payload).hex() == VECTORS["payload_hash"]
    found = request_hash(e.salt, [("OrderPlaced", 1, e.occurred_at, b'{"qty":"0.01"}')])
    assert found.hex() == VECTORS["request_hash"]
    assert ChainHead(0, e.prev_hash).extend(e).hash.hex() == VECTORS["hash"]


def test_entry_is_the_specified_layout() -> None:
    """The encoder and a second, spelled-out layout agree."""
    assert encode(event()) == spelled_out(event())


@pytest.mark.parametrize("name", [f for f in RecordedEvent.__struct_fields__ if f != "hash"])
def test_every_field_changes_the_hash(name: str) -> None:
    """No column can be edited without changing the entry."""
    old = getattr(event(), name)
    new = old + 1 if isinstance(old, int) else old + "x" if isinstance(old, str) else old[:-1] + b"\x7f"
    assert encode(event(**{"group_size": 3, name: new})) != encode(event(group_size=3 if name != "group_size" else 1))


@given(st.lists(st.text(alphabet="a/\u00e9", max_size=4), min_size=10, max_size=10))
def test_different_texts_give_different_entries(texts: list[str]) -> None:
    """Moving characters over the border of two fields never gives the same bytes."""
    left = dict(zip(TEXTS, texts[:5], strict=True))
    right = dict(zip(TEXTS, texts[5:], strict=True))
    assert (encode(event(**left)) == encode(event(**right))) == (left == right)


def test_a_chain_checks_and_each_break_is_named() -> None:
    """A good chain passes; a gap, an edited event and a foreign event are refused."""
    start = ChainHead(0, event().prev_hash)
    first = msgspec.structs.replace(event(), hash=start.extend(event()).hash)
    head = start.check(first)
    second = event(seq=2, prev_hash=head.hash)
    second = msgspec.structs.replace(second, hash=head.extend(second).hash)
    assert head.check(second).seq == 2
    with pytest.raises(SequenceGap, match="expected 1"):
        start.check(second)
    with pytest.raises(HashMismatch, match="one of them was changed"):
        start.check(msgspec.structs.replace(first, actor="someone"))
    with pytest.raises(HashMismatch, match="belongs elsewhere"):
        head.check(msgspec.structs.replace(second, prev_hash=bytes(32)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"actor": "a\0b"}, InvalidEvent),
        ({"stream": "\ud800"}, InvalidEvent),
        ({"salt": b"short"}, InvalidEvent),
        ({"seq": -1}, InvalidEvent),
        ({"payload": b"x" * (256 * 1024 + 1)}, TooLarge),
        ({"actor": "a" * 65_536}, TooLarge),
        ({"actor": "a" * 65_400}, TooLarge),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], error: type[Exception]) -> None:
    """A field that does not fit its place is an error, never cut or wrapped."""
    with pytest.raises(error):
        encode(event(**changes))
