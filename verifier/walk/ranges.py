"""
Check one range of events by itself, in whatever process: its ends are returned, and fit together where ranges meet.

What a worker gets and returns is small and can be sent anywhere. Each range that is sent has a connection of its own to
the one moment that is verified, so any number of workers can check any ranges in any order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import psycopg

from ledger.evidence.tiles import HEIGHT, WIDTH, subtree_hash
from verifier.connection import open_connection
from verifier.stored import unanswered
from verifier.walk import layout, rows
from verifier.walk.layout import End
from verifier.walk.requests import Within

RANGE: Final = 256 * WIDTH
"""How many events a worker checks before it says what it found: a fifth of a second, and whole tiles."""


class Task(msgspec.Struct, frozen=True):
    """
    A range of seqs to be checked, and where it is: what a worker needs to know, and no more.
    """

    dsn: str
    snapshot: str | None
    chain: int
    chain_id: bytes
    absent: bytes
    first: int
    last: int
    leaves: bool
    requests: bool = False
    """Whether request hashes are checked as well, of the groups that lie within the range."""


class Ranged(msgspec.Struct, frozen=True):
    """
    What came out of a range: how many events fit, from its first on, and their ends; `whole` says that all did.

    `nodes` are (level, hash) of the complete subtrees to grow the tree with, in order, where leaves were asked for.
    """

    first: int
    last: int
    events: int
    ends: tuple[End, End] | None
    whole: bool
    nodes: list[tuple[int, bytes]]


def cut(first: int, last: int, size: int = RANGE) -> Iterator[tuple[int, int]]:
    """
    Yield the ranges from *first* to *last*, each ending where a tile does, except the last one.
    """
    while first <= last:
        end = min(last, (first - 1) // size * size + size)
        yield first, end
        first = end + 1


def check(task: Task) -> Ranged:
    """
    Return what came out of a range.

    Raises:
        Unreadable: the database cannot be read.
    """
    try:
        with open_connection(task.dsn, task.snapshot) as connection:
            return _check(task, connection)
    except psycopg.Error as error:
        raise unanswered(error) from error


def check_in_turn(tasks: Iterable[Task]) -> Iterator[Ranged]:
    """
    Yield what came out of ranges of one moment, one after the other in this process.

    They share a connection: a new process of the server takes as long as some thousand events do. One that was left in
    the middle of a range is closed, and the next range opens another.

    Raises:
        Unreadable: the database cannot be read.
    """
    with contextlib.ExitStack() as held:
        connection: psycopg.Connection[Any] | None = None
        for task in tasks:
            try:
                if connection is None or connection.closed:
                    connection = held.enter_context(open_connection(task.dsn, task.snapshot))
                done = _check(task, connection)
            except psycopg.Error as error:
                raise unanswered(error) from error
            yield done


def _check(task: Task, connection: psycopg.Connection[Any]) -> Ranged:
    first: End | None = None
    before: End | None = None
    events, whole, leaves = 0, True, _Leaves(task.first - 1)
    requests = Within() if task.requests else None
    reading = rows.Reading(connection)
    with contextlib.closing(reading.rows(task.chain, task.first, task.last, task.absent)) as found:
        for some in found:
            parsed = layout.parse(some, task.chain_id, task.absent)
            run = None if parsed is None else layout.check(parsed, reading.ahead, leaves=task.leaves)
            if run is None or (before is not None and not layout.fits(before, run.first)):
                whole = False
                break
            if parsed is not None and requests is not None and not requests.good(parsed):
                whole = False
                break
            first, before = first or run.first, run.last
            events += len(some)
            leaves.add(run.leaves)
    ends = None if first is None or before is None else (first, before)
    return Ranged(task.first, task.last, events, ends, whole, leaves.nodes())


class _Leaves:
    """
    The leaves of a range, hashed up to the roots of whole tiles, so that little has to be sent and joined.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self._nodes: list[tuple[int, bytes]] = []
        self._open: list[bytes] = []
        """The leaves since the last border between tiles."""

    def add(self, leaves: list[bytes]) -> None:
        for leaf in leaves:
            self._open.append(leaf)
            self._index += 1
            if self._index % WIDTH == 0:
                self._flush()

    def _flush(self) -> None:
        if len(self._open) == WIDTH:
            self._nodes.append((HEIGHT, subtree_hash(self._open)))
        else:
            self._nodes += [(0, leaf) for leaf in self._open]
        self._open = []

    def nodes(self) -> list[tuple[int, bytes]]:
        self._flush()
        return self._nodes
