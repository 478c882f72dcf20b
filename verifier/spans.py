"""
Say which events were read where not all were: as runs of seqs, from which follows how much of the beginning is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ledger.errors import UnknownFormat
from ledger.evidence import tiles
from ledger.evidence.tiles import WIDTH
from verifier.report import Finding

Span = tuple[int, int]
"""The first and the last seq of a run of events."""


def runs(numbers: Iterable[int]) -> Iterator[range]:
    """
    Yield ascending *numbers* as ranges without gaps.
    """
    first = last = None
    for number in numbers:
        if last is not None and first is not None and number != last + 1:
            yield range(first, last + 1)
            first = None
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        yield range(first, last + 1)


def of_seqs(seqs: Iterable[int]) -> list[Span]:
    """
    Return the spans that events of these seqs make.
    """
    return [(run[0], run[-1]) for run in runs(sorted(seqs))]


def of_tiles(numbers: Iterable[int], size: int) -> list[Span]:
    """
    Return the spans that the tiles of these numbers cover in a chain of *size* events.
    """
    return [(run[0] * WIDTH + 1, min(run[-1] * WIDTH + WIDTH, size)) for run in runs(sorted(numbers))]


def first_of(finding: Finding) -> int | None:
    """
    Return the first event that a finding may be about: of an archive's file of entries, payloads or leaves its first;
    None where none is named.
    """
    if finding.seq is not None:
        return finding.seq
    path = (finding.key or ("",))[0]
    if path.startswith("segment/"):
        path = f"tile/entries/{path.removeprefix('segment/')}"
    try:
        tile, _ = tiles.decode_path(path)
    except UnknownFormat:
        return None
    return tile.start + 1 if tile.level == 0 else None


def whole_up_to(spans: Sequence[Span], found: Iterable[Finding]) -> int:
    """
    Return how many events from the first were read without a gap and have nothing wrong among them or before.
    """
    if not spans or spans[0][0] != 1:
        return 0
    seqs = [seq - 1 for seq in map(first_of, found) if seq is not None]
    return max(0, min(spans[0][1], *seqs) if seqs else spans[0][1])
