"""
Check how the boundaries of transactions are held against a chain: in memory, one row changed at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest

from tests.archiving import chains
from verifier.commits import NEAR, CommitCheck
from verifier.report import Finding
from verifier.stored import CommitRow

ENDS = (10, 20, 30, 40, 50, 60)
"""Where a transaction ends, and a group."""
HISTORY = chains.chain(60, ends=ENDS)


def digest(seq: int) -> bytes:
    return seq.to_bytes(32, "big")


def row(first: int, last: int) -> CommitRow:
    return CommitRow(first, last, digest(last), HISTORY[last - 1].recorded_at)


ROWS = [row(last - 9, last) for last in ENDS]


def changed(place: int, **changes: object) -> list[CommitRow]:
    """Return the rows in the order in which they are read, with one changed."""
    made = [*ROWS[:place], msgspec.structs.replace(ROWS[place], **changes), *ROWS[place + 1 :]]
    return sorted(made, key=lambda one: one.last_seq)


def without(place: int) -> list[CommitRow]:
    return ROWS[:place] + ROWS[place + 1 :]


def found(rows: Iterable[CommitRow], after: int = 0, last: int = 60) -> list[Finding]:
    check = checked(rows, after, last)
    return check.end(last)


def checked(rows: Iterable[CommitRow], after: int = 0, last: int = 60) -> CommitCheck:
    def find(time: int, first: int, to: int) -> int | None:
        assert to == first + NEAR
        return next((x.seq for x in HISTORY if x.recorded_at == time and first <= x.seq <= to), None)

    check = CommitCheck(iter(rows), find, after)
    for event in HISTORY[after:last]:
        check.reach(event, lambda seq=event.seq: digest(seq))  # type: ignore[misc]
    return check


def wrong(seq: int, column: str | None, expected: str, actual: str) -> Finding:
    return Finding("COMMIT_MISMATCH", expected, actual, table="commits", key=(str(seq),), column=column)


def test_boundaries_as_they_were_written_are_good() -> None:
    """From the first event, and from one on; the newest that was met is said."""
    assert found(ROWS) == []
    assert found(ROWS[2:], after=20) == []
    check = checked(ROWS, last=55)
    assert (check.boundary, check.is_clean) == (50, True)
    assert check.end(55) == [
        wrong(60, None, "no such row", "a row from event 51"),
        wrong(55, None, "a row from event 51", "no such row"),
    ]
    assert not check.is_clean


NO_ROWS = Finding("TRUNCATED", "boundaries up to event 60", "no rows", table="commits", key=())
TIMES = [one.committed_at for one in ROWS]
GAP = "a row of its own for events"

CHANGED: list[tuple[str, Sequence[CommitRow], list[Finding]]] = [
    ("digest", changed(2, state_digest=bytes(32)),
     [wrong(30, "state_digest", digest(30).hex(), bytes(32).hex())]),
    ("time of no event", changed(2, committed_at=7), [wrong(30, "committed_at", str(TIMES[2]), "7")]),
    ("time of another event", changed(2, committed_at=TIMES[2] - 1000),
     [wrong(30, "committed_at", str(TIMES[2]), str(TIMES[2] - 1000))]),
    ("later first seq", changed(2, first_seq=23), [wrong(30, "first_seq", f"21, or {GAP} 21 to 22", "23")]),
    ("earlier first seq", changed(2, first_seq=20), [wrong(30, "first_seq", "21", "20")]),
    ("last seq below", changed(2, last_seq=27), [wrong(27, "last_seq", "30", "27")]),
    ("last seq above", changed(2, last_seq=33), [wrong(33, "last_seq", "30", "33")]),
    ("last seq past the next", changed(2, last_seq=44), [wrong(44, "last_seq", "30", "44")]),
    ("last seq past the end", changed(5, last_seq=70), [wrong(70, "last_seq", "60", "70")]),
    ("the first one's last seq", changed(0, last_seq=3), [wrong(3, "last_seq", "10", "3")]),
    ("a missing row", without(2), [wrong(40, "first_seq", f"21, or {GAP} 21 to 30", "31")]),
    ("the first row missing", without(0), [wrong(20, "first_seq", f"1, or {GAP} 1 to 10", "11")]),
    ("the last row missing", without(5), [wrong(60, None, "a row from event 51", "no such row")]),
    ("no rows", [], [NO_ROWS]),
    ("a row too many", [*ROWS[:2], CommitRow(21, 25, b"\1", 5), *ROWS[2:]],
     [wrong(25, None, "no such row", "a row from event 21")]),
    ("a row past the end", [*ROWS, CommitRow(61, 70, b"\1", 5)],
     [wrong(70, None, "no such row", "a row from event 61")]),
    ("a row before the first", [CommitRow(-3, 0, b"\1", 5), *ROWS],
     [wrong(0, None, "no such row", "a row from event -3")]),
    ("a row too many of one event", [*ROWS[:2], CommitRow(21, 21, b"\1", 5), *ROWS[2:]],
     [wrong(21, None, "no such row", "a row from event 21")]),
    ("a row too many with the time of the next", [*ROWS[:2], CommitRow(21, 25, b"\1", TIMES[2]), *ROWS[2:]],
     [wrong(25, None, "no such row", "a row from event 21")]),
    ("a row too many with the time of the one before", [*ROWS[:2], CommitRow(15, 25, b"\1", TIMES[1]), *ROWS[2:]],
     [wrong(25, "last_seq", "20", "25")]),
    ("all of the last row", changed(5, state_digest=bytes(32), committed_at=7), [
        wrong(60, "state_digest", digest(60).hex(), bytes(32).hex()), wrong(60, "committed_at", str(TIMES[5]), "7"),
    ]),
    ("two rows of one boundary", [*ROWS[:3], ROWS[2], *ROWS[3:]], [wrong(30, "first_seq", "31", "21")]),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CHANGED], ids=[case[0] for case in CHANGED])
def test_a_changed_boundary_is_one_finding_with_its_column(rows: Sequence[CommitRow], expected: list[Finding]) -> None:
    """A row that was moved says by its time where it belongs."""
    assert found(rows) == expected


def test_no_events_need_no_boundaries() -> None:
    """Nor does a walk that goes on after one and met no event."""
    assert found([], last=0) == []
    assert found([], after=60) == []
    assert found([], after=1) == [wrong(60, None, "a row from event 2", "no such row")]
    for last in (0, 1):
        assert found([CommitRow(last, last, b"\1", 5)], last=0) == [
            wrong(last, None, "no such row", f"a row from event {last}")
        ]
    assert CommitCheck(iter(()), lambda time, first, to: None).boundary == 0
    assert found([], after=50) == [wrong(60, None, "a row from event 51", "no such row")]


def test_a_boundary_inside_a_group_is_named() -> None:
    """Though all that it says is of the event there: what belongs together was recorded in one transaction."""
    inside = next(event for event in HISTORY if event.group_size > 1 and event.group_index == 0 and event.seq > 10)
    rows = [row(1, 10), row(11, inside.seq), row(inside.seq + 1, 20), *ROWS[2:]]
    said = f"event 1 of {inside.group_size} of its group"
    assert found(rows) == [wrong(inside.seq, "last_seq", "an event that ends its group", said)]
