"""
Read events in runs that follow each other, in PostgreSQL's own layout: what is applied by the rules, or only replayed.

A run is part of what one answer of the server holds; none goes beyond the range that other processes may be hashing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import psycopg

from ledger.evidence.tree import Frontier
from verifier.reader import Reader
from verifier.stored import ChainRow
from verifier.walk import layout, ranges, rows
from verifier.walk.layout import End, Parsed
from verifier.walk.others import follows
from verifier.walk.replaying import Doubt, same


def without_gap(reader: Reader, first: int, last: int) -> None:
    """
    Let only a chain pass whose events *first* to *last* are as many as that: one far behind the others would make
    ranges without end. Nor may any stand before the first of all, where that is not read.

    Raises:
        Doubt: they are more, or fewer, or one does.
    """
    same(first > 1 and reader.events_before_first(), False)
    same(reader.count(first, last), max(0, last - first + 1))


def runs(
    connection: psycopg.Connection[Any],
    chain: ChainRow,
    absent: bytes,
    before: End | None,
    frontier: Frontier | None,
    *,
    last: int,
    hashed: bool,
    size: int = ranges.RANGE,
) -> Generator[tuple[Parsed, End], None, None]:
    """
    Yield every event after *before* by runs that follow each other, each with its last end; *frontier* grows by them.

    None goes beyond the end of a range of *size* events, of which *last* is expected to be the last. Ranges are asked
    for one after the other: what of one has arrived and is not taken yet is all that memory may have to hold.

    Raises:
        Doubt: they do not fit.
    """
    begin = 1 if before is None else before.seq + 1
    cut = list(ranges.cut(begin, last, size))
    # Whatever stands before the first event or after the last belongs to nobody's range, and is met here.
    borders = [-(2**63) if before is None else begin, *(first for first, _ in cut[1:]), 2**63]
    reading = rows.Reading(connection)
    for first, beyond in pairwise(borders):
        with contextlib.closing(reading.rows(chain.chain, first, beyond - 1, absent)) as found:
            for some in found:
                parsed = layout.parse(some, chain.chain_id, absent)
                if parsed is None:
                    raise Doubt
                run = parsed.ends()
                if hashed:
                    checked = layout.check(parsed, reading.ahead, leaves=frontier is not None)
                    if checked is None:
                        raise Doubt
                    run = checked
                follows(chain, before, run.first)
                before = run.last
                if frontier is not None:
                    for leaf in run.leaves:
                        frontier.add(leaf)
                yield parsed, before
