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


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
def test_many_rows_at_once_are_the_same_as_each_alone(count: int) -> None:
    """Put in and taken out, of tables whose names differ, around every number of rows that is summed at once."""
    rows = [b'["row",%d]' % number for number in range(count)]
    at_once, alone = StateDigest(), StateDigest()
    for table in ("balances", "ü"):
        at_once.put_in_all(table, rows)
        for row in rows:
            alone.put_in(table, row)
    assert at_once.lanes() == alone.lanes()
    at_once.take_out_all("balances", rows[1:])
    for row in rows[1:]:
        alone.take_out("balances", row)
    assert at_once.lanes() == alone.lanes()
    assert (at_once.digest() == StateDigest().digest()) == (count == 0)


def test_two_disjoint_sets_add_up() -> None:
    """An accumulator over both is the sum of one over each, and what is added stays as it was."""
    one, other, both = StateDigest(), StateDigest(), StateDigest()
    for digest in (one, both):
        digest.put_in("balances", b"1")
    for digest in (other, both):
        digest.put_in("balances", b"2")
    before = other.lanes()
    one.add(other)
    assert (one.lanes(), other.lanes()) == (both.lanes(), before)
