"""
Check that an archive takes no more time and memory than its files deserve, however large its checkpoint says it is.

A size costs whoever signs nothing. Who verifies looked for every bundle up to it, and 2^62 events have a great many.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from ledger.archiving.stores import Folder
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import KEY, ORIGIN, WITNESS
from tests.archiving.written import verify, write
from verifier.archive.verification import SPARE_BUNDLES

THIEF = SigningKey(ORIGIN, ED25519, bytes(32))


@pytest.mark.parametrize("size", [10_000_000, 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("key", [KEY, THIEF], ids=["signed by the log", "signed by a thief"])
def test_a_size_that_no_file_bears_out_is_one_finding(tmp_path: Path, size: int, key: SigningKey) -> None:
    """What is there is checked, what is missing is named as one run, and no list of it is made."""
    write(tmp_path, 300)
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    (tmp_path / "checkpoint").write_bytes(note.with_signatures(text, (key.sign(text), WITNESS.sign(text, 1))).encode())
    tracemalloc.start()
    try:
        report = verify(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.verdict == "broken"
    assert peak < 32 << 20
    (whole,) = [one for one in report.findings if one.column == "size"]
    assert (whole.kind, whole.key) == ("ARCHIVE_MISSING", ("checkpoint",))
    assert whole.expected == f"{-(-size // 256)} bundles of entries, for {size} events"
    there = sum(path.is_file() for path in (tmp_path / "tile/entries").rglob("*"))
    assert whole.actual == f"{there} files of bundles; none was looked for from bundle {there + SPARE_BUNDLES} on"
    assert f"events {report.events + 1} to {size}" in report.not_covered
    # The bundle that is there was checked, and is good.
    assert not any(one.key == ("tile/entries/000",) for one in report.findings)


def test_reading_a_file_takes_its_own_size(tmp_path: Path) -> None:
    """And not that of the largest that could be there."""
    (tmp_path / "a").write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        assert Folder(tmp_path).read("a") == b"x" * 1000
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_a_few_bundles_that_are_missing_are_named_one_by_one(tmp_path: Path) -> None:
    """As long as they could be those of an archive that lost some files."""
    write(tmp_path, 300)
    text = Checkpoint(ORIGIN, 20 * 256, bytes(32)).text()
    (tmp_path / "checkpoint").write_bytes(note.with_signatures(text, (KEY.sign(text), WITNESS.sign(text, 1))).encode())
    report = verify(tmp_path)
    missing = [one.key for one in report.findings if one.kind == "ARCHIVE_MISSING"]
    assert [("tile/entries/%03d" % number,) in missing for number in range(1, 20)] == [True] * 19  # noqa: UP031
    assert not any(one.column == "size" for one in report.findings)
    assert SPARE_BUNDLES > 20
