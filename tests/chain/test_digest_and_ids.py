"""
Check that event ids follow time, and that the state digest is one of a set.
"""

from __future__ import annotations

import uuid

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import event_id
from ledger.chain.digest import StateDigest
from ledger.errors import InvalidEvent, UnknownFormat

TIMES = st.integers(0, (1 << 48) * 1_000_000 - 1)
RANDOM = st.binary(min_size=7, max_size=7)
ROWS = st.lists(st.tuples(st.sampled_from(["orders", "balances"]), st.binary(max_size=8)), max_size=8)


def digest_of(rows: list[tuple[str, bytes]]) -> bytes:
    digest = StateDigest()
    for table, row in rows:
        digest.put_in(table, row)
    return digest.digest()


@given(TIMES, TIMES, RANDOM, RANDOM)
def test_event_ids_sort_by_recorded_time(one: int, two: int, noise: bytes, other: bytes) -> None:
    """A later nanosecond gives a larger id whatever the random bits, and the time reads back."""
    first, second = event_id.make(one, noise), event_id.make(two, other)
    assert one == two or (one < two) == (first < second)
    assert event_id.recorded_at(first) == one
    assert (uuid.UUID(bytes=first).version, uuid.UUID(bytes=first).variant) == (7, uuid.RFC_4122)


def test_what_is_no_event_id_is_refused() -> None:
    """Other UUIDs, other lengths, impossible nanoseconds and impossible times are errors."""
    good = event_id.make(999_999, bytes(7))
    beyond = good[:6] + b"\x7f\xff" + good[8:]
    for bad in (uuid.UUID(int=4, version=4).bytes, good[:15], good + b"\0", beyond):
        with pytest.raises(InvalidEvent):
            event_id.recorded_at(bad)
    with pytest.raises(InvalidEvent, match="check the clock"):
        event_id.make(-1, bytes(7))
    with pytest.raises(InvalidEvent, match="expected 7"):
        event_id.make(0, bytes(6))


@given(ROWS, ROWS)
def test_digest_is_of_the_set_and_forgets_what_is_taken_out(kept: list, passing: list) -> None:  # type: ignore[type-arg]
    """Order does not matter, and a row taken out leaves no trace."""
    digest = StateDigest()
    for table, row in [*passing, *reversed(kept)]:
        digest.put_in(table, row)
    for table, row in passing:
        digest = StateDigest.from_lanes(digest.lanes())
        digest.take_out(table, row)
    assert digest.digest() == digest_of(kept)


def test_digest_tells_table_from_row() -> None:
    """The border between table and row is part of what is hashed, and so is every byte."""
    found = {digest_of([pair]) for pair in (("ab", b"c"), ("a", b"bc"), ("ab", b"d"), ("", b"abc"))}
    assert len(found) == 4
    with pytest.raises(UnknownFormat):
        StateDigest.from_lanes(bytes(2047))


def test_digest_is_the_specified_sum() -> None:
    """Lanes are the plain sum, modulo 2^16, of what docs/FORMAT.md says of each row."""
    rows = [("orders", b"[1]"), ("balances", b"[2]"), ("balances", b"[3]")]
    total = [0] * 1024
    for table, row in rows:
        name = table.encode()
        wide = blake3(b"trade-ledger/st1" + len(name).to_bytes(2, "big") + name + row).digest(length=2048)
        for lane in range(1024):
            total[lane] = (total[lane] + int.from_bytes(wide[2 * lane : 2 * lane + 2], "little")) % 65536
    lanes = b"".join(value.to_bytes(2, "little") for value in total)
    assert digest_of(rows) == blake3(lanes).digest()
