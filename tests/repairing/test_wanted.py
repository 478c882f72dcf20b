"""
Hold what a repair knows of findings against what the verifier can find: nothing of it is unknown here.
"""

from __future__ import annotations

import pytest

from ledger.domain.rows import TABLES
from ledger.repairing.reports import Found
from ledger.repairing.wanted import MADE_ANEW, Wanted, all_wanted, numbers, wanted
from verifier import meaning, region
from verifier.meaning import MEANINGS
from verifier.report import Finding

PLACES = ("events", "chains", "checkpoints", "catalogue", "settings", "indexes", "archive", "topic", "receipts",
          "proof", *region.BY_CHAIN, *region.KEPT)  # fmt: skip
ABOUT_ROWS = ("PROJECTION_MISMATCH", "STATE_MISMATCH", "KEY_MISMATCH", "COMMIT_MISMATCH", "TREE_MISMATCH")


def test_every_class_and_table_of_the_verifier_has_an_answer() -> None:
    """What to look at, or a reason; and what the verifier says to be made of events is made of them here."""
    for kind in MEANINGS:
        for table in PLACES:
            found = Found(kind, "5", "6", seq=5, table=table, key=("5", "5"))
            assert wanted(found) != Wanted(), (kind, table)
            assert "nothing here knows" not in wanted(found).reason, (kind, table)


@pytest.mark.parametrize("table", [*TABLES, "state_digests", "commits", "idempotency_keys", "chain_heads", "tiles"])
def test_what_follows_from_events_is_made_of_them(table: str) -> None:
    for kind in ABOUT_ROWS:
        assert wanted(Found(kind, table=table, key=("1",))).tables == (table,)
    assert table in MADE_ANEW
    if table != "commits":
        # Of commits the verifier names copies: what they say follows from events, where they end does not.
        assert meaning.REPLAY in meaning.sources(Finding("PROJECTION_MISMATCH", "", "", table=table))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found("SEQ_GAP", "event 5 to 9", "no such row", seq=5, column="seq"), Wanted(gap=5)),
        (Found("BYTES_MODIFIED", "5", "5000", seq=5000, column="seq"), Wanted(seqs=(5000, 5, 5000))),
        (Found("SEQ_DUP", "no such row", "a copy of event 3", seq=8, column="seq"), Wanted(seqs=(8, 3))),
        (Found("BYTES_MODIFIED", "7", "8", seq=5, column="epoch"), Wanted(seqs=(5,))),
        (Found("TRUNCATED", "events 5 to 9", "no such rows", seq=5), Wanted(onward=5, tables=MADE_ANEW)),
        (Found("TRUNCATED", "3 rows", "no rows", table="orders", key=()), Wanted(tables=("orders",))),
        (Found("STRAY_ROWS", "", "77: a row", table="events", key=("77", "5")), Wanted(seqs=(5,), strays=77)),
        (Found("STRAY_ROWS", "", "-5: 2 rows", table="events", key=("-5", "5")), Wanted(seqs=(5,), strays=-5)),
        (Found("PROJECTION_MISMATCH", table="balance_history", key=("A", "B", "3")), Wanted(tables=("histories",))),
        (Found("STATE_MISMATCH", table="snapshots", key=("8",)), Wanted(snapshot="8")),
        (
            Found("TREE_MISMATCH", "aa", "bb", seq=9, table="tiles", key=("0", "0")),
            Wanted(tables=("tiles",), seqs=(9,)),
        ),
    ],
)
def test_a_finding_says_where_to_look(found: Found, expected: Wanted) -> None:
    """At its own place, and at the one that it names besides."""
    assert wanted(found) == expected


def test_no_row_is_put_beside_one_that_an_index_hides() -> None:
    """An event that is not found and may be there: nothing is planned until the index is made anew."""
    gap, index = Found("SEQ_GAP", seq=5), Found("INDEX_MISMATCH", table="indexes", key=("events.events_pkey",))
    assert all_wanted([gap]) == [Wanted(gap=5)]
    assert [want.reason[:36] for want in all_wanted([gap, index])] == ["rows may be there and not be found: "] * 2
    assert all_wanted([gap, index]) == [Wanted(reason=wanted(index).reason)] * 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("role writer", "whoever administers"), ("setting of the server", "whoever administers"),
        ("function public.f() with the rights of postgres", "whoever administers"),
        ("event trigger x", "whoever administers"), ("trigger events.x", "tradeledger db check"),
        ("function f()", "tradeledger db check"), ("relation roles", "tradeledger db check"),
    ],
)  # fmt: skip
def test_of_what_surrounds_the_schema_the_check_of_the_schema_is_not_asked(name: str, says: str) -> None:
    """It has nothing of roles, settings and event triggers to say."""
    found = Found("GUARD_CHANGED", "nothing", "x", table="catalogue", key=(name,))
    assert says in wanted(found).reason
    assert "db check" in wanted(Found("GUARD_CHANGED", "x", "y", table="catalogue", key=(name,))).reason


def test_only_numbers_that_stand_by_themselves_count() -> None:
    assert numbers("event 5 to 9, not x7, 1.5, -3, 99999999999999999999 or ab12") == (5, 9)
