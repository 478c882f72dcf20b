"""
Check what is said of the events that were read: nothing of those that were not.
"""

from __future__ import annotations

import pytest

from verifier import spans
from verifier.forms.page import page
from verifier.report import BROKEN, Finding, Report, SeenCheckpoint


def wrong(seq: int | None) -> Finding:
    return Finding("BYTES_MODIFIED", "a", "b", seq=seq)


@pytest.mark.parametrize(
    ("read", "found", "whole"),
    [
        ([], [], 0), ([(257, 512)], [], 0), ([(257, 512)], [300], 0), ([(1, 256)], [], 256), ([(1, 256)], [300], 256),
        ([(1, 256), (513, 768)], [600], 256), ([(1, 256)], [1], 0), ([(1, 256)], [40, 7], 6), ([(1, 256)], [None], 256),
    ],
)  # fmt: skip
def test_only_what_was_read_from_the_first_on_is_said_to_be_whole(
    read: list[spans.Span], found: list[int | None], whole: int
) -> None:
    assert spans.whole_up_to(read, [wrong(seq) for seq in found]) == whole


def test_runs_of_tiles_end_where_the_chain_does() -> None:
    assert spans.of_tiles({0, 1, 3}, 900) == [(1, 512), (769, 900)]
    assert spans.of_seqs([9, 3, 4, 5]) == [(3, 5), (9, 9)]


def test_a_report_on_some_tiles_paints_no_others() -> None:
    """The tile before the finding was read and is whole, and nobody says so of the events before it."""
    report = Report(
        BROKEN, "o", "primary", 512, {"seq": 900}, [wrong(800)], {}, [], [], [], 0, 0.5,
        trusted=["nobody's: x"], spans=[(257, 512), (769, 900)], checkpoints=[SeenCheckpoint(900, "ab" * 32)],
    )  # fmt: skip
    html = page(report, 0)
    assert html.count('class="good"') == 2
    assert html.count('class="doubt"') == 1
    assert "whole up to" not in html
    assert "The first" not in html
    assert "no policy was given" not in html
    # What nobody outside is known to have seen is no more than read.
    report.checkpoints = []
    assert 'class="good"' not in page(report, 0)


def test_a_finding_in_a_file_says_of_which_event_it_is() -> None:
    """For people too: a bundle has 256 of them."""
    found = Finding("TREE_MISMATCH", "a", "b", seq=3, table="archive", key=("tile/entries/000",), column="leaf")
    assert found.place() == "archive tile/entries/000, event 3, column leaf"


@pytest.mark.parametrize(
    ("path", "whole"),
    [("segment/000", 0), ("tile/entries/001", 256), ("tile/0/001", 256), ("segment/001.p/44", 256), ("tile/1/000", 300),
     ("checkpoint", 300), ("tiles", 300)],
)  # fmt: skip
def test_a_file_of_an_archive_that_is_gone_ends_what_is_whole_at_its_first_event(path: str, whole: int) -> None:
    gone = Finding("ARCHIVE_MISSING", "a file", "none", table="archive", key=(path,))
    assert spans.whole_up_to([(1, 300)], [gone]) == whole
