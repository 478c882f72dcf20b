"""
Check how the rows of idempotency keys are held against the groups that used them, in memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from tests.archiving import chains
from verifier.keys import KeyCheck
from verifier.report import LISTED, Finding
from verifier.stored import KeyRow

FIRSTS = [event for event in chains.chain(60) if event.group_index == 0]
ROWS = [KeyRow(event.source, event.idempotency_key, event.seq) for event in FIRSTS]
SEQ = ROWS[5].first_seq
KEY = ROWS[5].key
BETWEEN = next(n for n in range(1, 60) if n not in {row.first_seq for row in ROWS})
"""A seq at which no group begins."""


def checked(rows: Iterable[KeyRow]) -> list[Finding]:
    check = KeyCheck(iter(sorted(rows, key=lambda row: row.first_seq)))
    for event in FIRSTS:
        check.use(event)
    return check.findings()


def changed(**changes: object) -> list[KeyRow]:
    return [*ROWS[:5], msgspec.structs.replace(ROWS[5], **changes), *ROWS[6:]]


def wrong(source: str, key: str, column: str | None, expected: str, actual: str) -> Finding:
    return Finding("KEY_MISMATCH", expected, actual, table="idempotency_keys", key=(source, key), column=column)


def test_keys_that_fit_their_groups_are_good() -> None:
    """All of them; and no rows are right where there are no groups."""
    assert checked(ROWS) == []
    assert KeyCheck(iter(())).findings() == []
    check = KeyCheck(iter(ROWS[3:]))
    for event in FIRSTS[3:]:
        check.use(event)
    assert check.findings() == []


@pytest.mark.parametrize(
    ("changes", "column", "expected", "actual"),
    [
        ({"first_seq": BETWEEN}, "first_seq", str(SEQ), str(BETWEEN)),
        ({"first_seq": 0}, "first_seq", str(SEQ), "0"),
        ({"first_seq": 2**62}, "first_seq", str(SEQ), str(2**62)),
        ({"source": "another"}, "source", "gateway", "another"),
        ({"key": "another"}, "key", KEY, "another"),
        ({"source": "a", "key": "b"}, "source and key", f"gateway {KEY}", "a b"),
    ],
)
def test_a_changed_row_is_one_finding_with_its_column(
    changes: dict[str, object], column: str, expected: str, actual: str
) -> None:
    """Named by the key that the group has."""
    assert checked(changed(**changes)) == [wrong("gateway", KEY, column, expected, actual)]


def test_rows_that_are_missing_or_too_many_are_named() -> None:
    """Each by itself; none at all is one finding."""
    assert checked(ROWS[:5] + ROWS[6:]) == [wrong("gateway", KEY, None, f"a row with first_seq {SEQ}", "no such row")]
    for seq in (0, SEQ, BETWEEN, 60, 61, 2**63 - 1):
        more = KeyRow("gateway", "more", seq)
        expected = [wrong("gateway", "more", None, "no such row", f"a row with first_seq {seq}")]
        assert checked([*ROWS, more]) == expected
        assert checked([more, *ROWS]) == expected
    twice = KeyRow("gateway", KEY, SEQ)
    assert checked([*ROWS, twice]) == [wrong("gateway", KEY, None, "no such row", f"a row with first_seq {SEQ}")]
    none = Finding("TRUNCATED", f"{len(FIRSTS)} rows", "no rows", table="idempotency_keys", key=())
    assert checked([]) == [none]


def test_two_rows_that_took_each_others_place_are_both_named() -> None:
    """Each says the other's seq."""
    swapped = [*ROWS[:5], msgspec.structs.replace(ROWS[5], first_seq=ROWS[6].first_seq),
               msgspec.structs.replace(ROWS[6], first_seq=SEQ), *ROWS[7:]]  # fmt: skip
    later = str(ROWS[6].first_seq)
    assert checked(swapped) == [
        wrong("gateway", KEY, "first_seq", str(SEQ), later),
        wrong("gateway", ROWS[6].key, "first_seq", later, str(SEQ)),
    ]


def test_a_row_in_the_place_of_one_that_is_gone_is_named_once() -> None:
    """It is moved, and the other one missing."""
    rows = [*ROWS[:5], msgspec.structs.replace(ROWS[5], first_seq=ROWS[6].first_seq), *ROWS[7:]]
    later = ROWS[6].first_seq
    assert checked(rows) == [
        wrong("gateway", KEY, "first_seq", str(SEQ), str(later)),
        wrong("gateway", ROWS[6].key, None, f"a row with first_seq {later}", "no such row"),
    ]


def test_a_row_is_a_witness_for_the_group_that_it_names() -> None:
    """Where it is the only one for that seq."""
    check = KeyCheck(iter(sorted([*ROWS, KeyRow("gateway", "more", SEQ)], key=lambda row: row.first_seq)))
    assert check.pair_at(1) == ("gateway", "key-1")
    assert check.pair_at(SEQ) is None
    assert check.pair_at(ROWS[6].first_seq) == ("gateway", ROWS[6].key)
    assert check.pair_at(BETWEEN) is None
    assert check.pair_at(ROWS[6].first_seq) == ("gateway", ROWS[6].key)


def test_no_more_than_so_many_are_listed_and_the_others_are_counted() -> None:
    """Memory and reader can bear that many, of rows and of groups; one that is there twice is counted too."""
    firsts = [msgspec.structs.replace(FIRSTS[0], seq=seq, idempotency_key=f"k{seq}") for seq in range(1, LISTED + 3)]
    check = KeyCheck(iter([KeyRow("gateway", f"r{seq}", seq) for seq in range(-2, LISTED - 1)]))
    for event in firsts:
        check.use(event)
    found = check.findings()
    assert len(found) == LISTED + 3 + 1
    assert found[-1] == Finding("KEY_MISMATCH", "nothing more", "3 more rows that do not fit",
                                table="idempotency_keys", key=())  # fmt: skip
    twice = [KeyRow("gateway", "r", -1), KeyRow("gateway", "r", 0), *ROWS]
    assert [one.actual for one in checked(twice)] == ["a row with first_seq -1", "1 more rows that do not fit"]
