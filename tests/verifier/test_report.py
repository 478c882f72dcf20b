"""
Check how findings are collected, counted, ordered and said.
"""

from __future__ import annotations

import msgspec
import psycopg
import pytest

from verifier.report import BROKEN, LISTED, VERIFIED, Finding, Findings, Report, short
from verifier.stored import ChainsLost, Misread, unanswered, worker_ended

SAID: list[tuple[Finding, str]] = [
    (Finding("CLOCK", "a", "b", seq=3), "CLOCK: event 3: expected a, found b"),
    (Finding("CLOCK", "a", "found b", seq=3, column="hash"), "CLOCK: event 3, column hash: expected a, found b"),
    (Finding("K", "a", "b", table="tiles", key=("0", "12")), "K: tiles 0/12: expected a, found b"),
    (Finding("K", "a", "b", table="commits", key=()), "K: commits: expected a, found b"),
    (Finding("K", "a", "b", table="commits"), "K: commits: expected a, found b"),
    (Finding("K", "a", "b", 7, "archive", ("f",), "leaf"), "K: archive f, event 7, column leaf: expected a, found b"),
    (
        Finding("K", "a" * 161, "b" * 160, seq=1),
        f"K: event 1: expected {'a' * 150}… (161 characters), found {'b' * 160}",
    ),
]


@pytest.mark.parametrize(("finding", "expected"), SAID)
def test_a_finding_is_one_line(finding: Finding, expected: str) -> None:
    """Its class, its place, and both sides, cut where they are long."""
    assert finding.sentence() == expected
    assert short("x" * 160) == "x" * 160


def clock(seq: int, kind: str = "CLOCK", table: str | None = None) -> Finding:
    return Finding(kind, "a", "b", seq=seq, table=table)


def test_so_many_of_a_class_in_a_table_are_listed_and_the_others_counted() -> None:
    """One more than that is said as one more; of each table by itself."""
    found = Findings()
    assert len(found) == 0
    found.add(clock(seq) for seq in range(LISTED))
    assert (len(found), len(found.all(None))) == (LISTED, LISTED)
    found.add([clock(-1)])
    found.add([clock(-2, table="tiles"), clock(-3, "OTHER")])
    listed = found.all(None)
    assert len(found) == LISTED + 3
    assert listed[LISTED:] == [
        clock(-2, table="tiles"), clock(-3, "OTHER"),
        Finding("CLOCK", "nothing more", "1 more of this class", table="events", key=()),
    ]  # fmt: skip
    other = Findings()
    other.add(clock(seq) for seq in range(LISTED + 5))
    other.add([clock(1, "OTHER")])
    other.take(found)
    assert len(other) == 2 * LISTED + 9
    assert other.all(None)[-1].actual == f"{LISTED + 6} more of this class"


def test_what_may_follow_from_a_lost_event_comes_last_and_says_so() -> None:
    """From that event on, in classes that follow by themselves; without one, all stand as they were found."""
    found = Findings()
    kinds = ("GROUP_PARTIAL", "KEY_MISMATCH", "STATE_MISMATCH", "PROJECTION_MISMATCH", "HELD_MISMATCH",
             "COMMIT_MISMATCH", "ACK_MISMATCH")  # fmt: skip
    without_seq = Finding("KEY_MISMATCH", "a", "b", table="idempotency_keys", key=("k",))
    found.add([*(clock(5, kind) for kind in kinds), without_seq, clock(4, "STATE_MISMATCH"), clock(6, "SEQ_GAP")])
    assert all(one.after is None for one in found.all(None))
    listed = found.all(5)
    assert [(one.kind, one.seq, one.after) for one in listed] == [
        ("STATE_MISMATCH", 4, None), ("SEQ_GAP", 6, None), *((kind, 5, 5) for kind in kinds), ("KEY_MISMATCH", None, 5),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "first", "after"), [("COMMIT_MISMATCH", 5, 5), ("COMMIT_MISMATCH", 4, None),
                                                     ("CLOCK", 5, None)])  # fmt: skip
def test_those_that_are_counted_follow_where_all_that_are_listed_do(kind: str, first: int, after: int | None) -> None:
    """Where one of the class stands by itself, so may they."""
    found = Findings()
    found.add(clock(seq, kind) for seq in range(first, first + LISTED + 3))
    (counted,) = [one for one in found.all(5) if one.actual == "3 more of this class"]
    assert counted.after == after


def test_a_report_counts_by_class() -> None:
    """For the forms that say how many of each there are."""
    report = Report(VERIFIED, "o", "primary", 1, {}, [clock(1), clock(2), clock(3, "X")], {}, [], [], [], 0, 0.0)
    assert report.by_kind() == {"CLOCK": 2, "X": 1}


def test_a_report_splits_what_stands_by_itself_from_what_may_follow() -> None:
    """Each in the order in which they were found, whatever event the others follow from."""
    found = [clock(1), msgspec.structs.replace(clock(2), after=0), clock(3), msgspec.structs.replace(clock(4), after=2)]
    report = Report(BROKEN, "o", "primary", 4, {}, found, {}, [], [], [], 0, 0.0)
    assert report.split() == ([found[0], found[2]], [found[1], found[3]])


def test_a_column_that_cannot_be_read_is_no_server_that_went_away() -> None:
    """Asking again later helps against the second alone."""
    misread = unanswered(psycopg.errors.UndefinedColumn('column "hash" does not exist\nLINE 1: SELECT hash'))
    assert isinstance(misread, Misread)
    said = 'the database cannot be read: column "hash" does not exist; nothing was verified'
    assert str(misread) == said
    assert not isinstance(unanswered(psycopg.OperationalError("server closed")), Misread)


def test_what_cannot_be_read_is_said_in_a_line() -> None:
    """By the first line of what the database said, or by the kind of error; chains that are lost by their numbers."""
    said = unanswered(RuntimeError(" server closed\nmore of it "))
    assert str(said) == "the database stopped answering: server closed; nothing was verified"
    assert "answering: RuntimeError; nothing" in str(unanswered(RuntimeError(" ")))
    lost = ChainsLost([3, 4])
    assert lost.numbers == ("3", "4")
    assert "chain number 3, 4, which" in str(lost)
    assert str(lost).endswith("it was deleted or its number changed; restore it from a copy")
    said = "a worker process was ended, perhaps for want of memory; give fewer --jobs"
    assert str(worker_ended()) == said
