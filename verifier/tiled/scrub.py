"""
Read the next share of a chain, so that all of it is read again every so many days: rot does not wait to be asked.

Each run takes up where the one before ended, checks so many tiles (bytes, links, leaves, the tiles above them), and
says how much of the round is done. A tile that was found broken is checked again in every run until it is good.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from ledger.evidence.tiles import WIDTH, leaf_tile
from verifier import due, identity, indexes, spans
from verifier.forms.cleaning import moment
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report
from verifier.stored import Unreadable
from verifier.tiled import check, scrubbed, workers
from verifier.tiled.copies import CopyNodes, count_of
from verifier.tiled.databases import Region, View
from verifier.tiled.scrubbed import BROKEN_LIMIT, Scrubbed

RUN_TILES: Final = 16
"""How many tiles are read at once: 4,096 events, a third of a second."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""
Clock = Callable[[], int]
"""What returns the time in seconds since 1970."""

COVERED: Final = [
    "every column of these events, against its hash; links, recorded times and event ids",
    "the tiles over them, as far as there are tiles: each leaf, and each hash above that these complete",
    "that the history still holds the last event that the run before saw",
]
HEAD: Final = "that the chain ends where its head says"
NOT_COVERED: Final = [
    "rules, keys, commits, read models and guards: `full` checks them",
    indexes.NOT_LOOKED_UP,
    "who signed the checkpoints, and whether all rows were rewritten alike: `full`, `sample` and `open` take a policy",
    "events that were never appended: reconcile with the venue",
]


class Read(msgspec.Struct):
    """
    What came out of a run of tiles: what is wrong with their events, and with each tile and those above it, how many
    events there were, and the first place without one.
    """

    run: range
    findings: list[Finding]
    tiles: dict[int, list[Finding]]
    count: int
    missing: int | None


class Step(msgspec.Struct, frozen=True):
    """
    The runs of tiles after which the state says that all up to the *last* tile is read.
    """

    runs: list[range]
    last: int


class _Runs:
    """The check of a run of tiles of a region whose last event is *size*, and whose tiles have so many *leaves*."""

    def __init__(self, region: Region, size: int, leaves: int) -> None:
        self._region, self._size, self._leaves = region, size, leaves
        self._nodes = CopyNodes(region, leaves)

    def __call__(self, run: range) -> Read:
        done = check.events(self._region, run[0] * WIDTH + 1, min(run[-1] * WIDTH + WIDTH, self._size))
        wrong = {number: list(self._tiles(number, done.leaves)) for number in run}
        return Read(run, done.findings, wrong, done.count, done.missing)

    def _tiles(self, number: int, made: dict[int, bytes]) -> Iterator[Finding]:
        """Yield what does not fit of a tile and those above it, as far as there are tiles."""
        if number * WIDTH >= self._leaves:
            return
        tile = leaf_tile(number, self._leaves)
        yield from check.leaves(tile, made, self._nodes.tile(tile))
        mine = [made[seq] for seq in range(tile.start + 1, tile.start + 1 + tile.width) if seq in made]
        if len(mine) == WIDTH:
            yield from check.above(self._nodes, self._leaves, number, mine)


def _of_view(view: View | None, size: int, leaves: int) -> _Runs:
    """Make the check in another process."""
    assert view is not None
    return _Runs(Region.of(view), size, leaves)


class Scrub:
    """
    One run over one region, from a state to the next.
    """

    def __init__(self, region: Region, state: Scrubbed, keep: Callable[[Scrubbed], None]) -> None:
        """
        Begin where *state* says; *keep* is given each state that is reached, once all before it was checked.
        """
        self._region, self.state, self._keep = region, state, keep
        self.size, self.due = region.size(), due.due(region)
        self.leaves = self.due.leaves
        self._is_whole = region.count(1, self.size) == self.size
        # One event whose seq is far ahead makes one tile, and not as many as there are places before it.
        self.numbers = range(count_of(self.size)) if self._is_whole else region.tile_numbers()
        """Of the tiles that hold events, the partial one among them."""
        self.findings = Findings()
        self._gaps: set[Finding] = set()
        """Those at the ends of runs, which the run on the other side tells as well."""
        self.checked: set[int] = set()
        self.events = 0
        """How many events were checked."""
        self.missing: int | None = None
        """The first place in the tiles that were checked where there was no event."""

    def run(self, wanted: int, is_late: Callable[[], bool], tell: Tell, now: Clock, jobs: int = 1) -> None:
        """
        Check the tiles that were broken, then *wanted* more in order, but no more once the time is up.

        With several *jobs* other processes read some runs ahead; each is taken, and the state kept, in its turn.
        """
        self._remembered()
        # A tile past the end was that of an event whose seq was far ahead, which was mended since.
        self.state.broken = [number for number in self.state.broken if number < count_of(self.size)]
        broken = [*spans.runs(self.state.broken)]
        steps = self._steps(min(wanted, len(self.numbers)))
        if steps and not self.left():
            self._turn(now())
        make = partial(_of_view, self._region.view() if jobs > 1 else None, self.size, self.leaves)
        runs = chain(broken, chain.from_iterable(step.runs for step in steps))
        read = workers.each(runs, _Runs(self._region, self.size, self.leaves), make, jobs)
        with contextlib.closing(read):
            for done in islice(read, len(broken)):
                self._take(done)
            for step in steps:
                for done in islice(read, len(step.runs)):
                    self._take(done)
                self.state.next = step.last + 1
                if not self.left():
                    self._turn(now())
                tell("checking events", self.events)
                self._save()
                if is_late():
                    break
        self._save()

    def _steps(self, wanted: int) -> list[Step]:
        """Return so many tiles from the next one on, and again from the first, less those that are read as broken."""
        read, place, steps = set(self.state.broken), len(self.numbers) - self.left(), list[Step]()
        while wanted:
            place %= len(self.numbers)
            numbers = self.numbers[place : place + min(wanted, RUN_TILES)]
            steps.append(Step([*spans.runs(number for number in numbers if number not in read)], numbers[-1]))
            wanted, place = wanted - len(numbers), place + len(numbers)
        return steps

    def left(self) -> int:
        """Return how many tiles this round has not reached yet."""
        return len(self.numbers) - bisect_left(self.numbers, self.state.next)

    def _turn(self, now: int) -> None:
        """Begin the next round."""
        self.state.next, self.state.round = 0, self.state.round + 1
        self.state.completed_at, self.state.started_at = now, now

    def _save(self) -> None:
        # A history that went back is told in each run, until somebody takes the state away.
        last = next(self._region.between(self.size, self.size), None)
        # Nor did a history come to where the seq of one event is far ahead: mended, it would have gone back.
        if last is not None and self._is_whole and self.size >= self.state.size and not self._differs():
            self.state.size, self.state.hash = self.size, last.hash.hex()
        self._keep(self.state)

    def _differs(self) -> bool:
        """Return whether the last event that was there before is another one now, or gone."""
        if not self.state.size:
            return False
        event = next(self._region.between(self.state.size, self.state.size), None)
        return event is None or event.hash.hex() != self.state.hash

    def _remembered(self) -> None:
        seen = self.state.size
        if self.size < seen:
            self.findings.add([Finding("ROLLBACK", f"{seen} events, which were there before", f"{self.size} events",
                                       seq=self.size + 1)])  # fmt: skip
        elif self._differs():
            self.findings.add([Finding("INCONSISTENT", f"hash {self.state.hash}, as it was before", "another",
                                       seq=seen, column="hash")])  # fmt: skip
        self.findings.add(self._region.tiles_of_more(self.size))

    def _take(self, read: Read) -> None:
        """Take in what came out of a run."""
        run = read.run
        # What is told of this run may begin before it, or be that of the event after a gap.
        broken = {
            max(run[0], min((finding.seq - 1) // WIDTH, run[-1]))
            for finding in read.findings if finding.seq is not None
        }  # fmt: skip
        if read.findings and not broken:
            broken = set(run)
        self.findings.add(finding for finding in read.findings if finding not in self._gaps)
        gaps = [finding for finding in read.findings if finding.column == "seq"]
        self._gaps.update(gaps[:1], gaps[-1:])
        self.events += read.count
        self.missing = min(filter(None, (self.missing, read.missing)), default=None)
        for number, wrong in read.tiles.items():
            self.findings.add(wrong)
            if wrong:
                broken.add(number)
        self.checked |= set(run)
        self.state.broken = sorted((set(self.state.broken) - set(run)) | broken)[:BROKEN_LIMIT]


def verify(
    region: Region, path: Path, share: Fraction | None, seconds: int | None, tell: Tell, now: Clock, jobs: int = 1
) -> Report:
    """
    Return the report on the next *share* of the region's chain, or on as much as so many processes read in so many
    *seconds*.

    The state in *path* says where to begin, and then where the next run does.

    Raises:
        Unreadable: there is nothing to check, or the state cannot be used.
    """
    started = time.monotonic()
    kept = scrubbed.read(path)
    settled = identity.settle(region) if kept is None else identity.settle(region, *kept.names())
    # Where nobody knows whose events they are, whether they are those of the state is no question, and it stays.
    if kept is None or not settled.readable:
        state = Scrubbed(region.origin, region.chain_id.hex(), now())
    else:
        scrubbed.check(kept, path, region.origin, region.chain_id)
        state = kept
    scrub = Scrub(region, state, lambda reached: scrubbed.write(path, reached))
    if not scrub.size and not state.size:
        raise Unreadable(f"chain {region.origin} has no events: there is nothing to scrub")
    scrub.findings.add(settled.findings)
    # Which tiles there are says nothing of events that are gone from the end: the head does, until it is set back.
    scrub.findings.add(region.head(region.size()))
    count = len(scrub.numbers)
    wanted = count if share is None else -(-count * share.numerator // share.denominator)
    if settled.readable:
        is_late = (lambda: False) if seconds is None else (lambda: time.monotonic() - started >= seconds)
        scrub.run(wanted, is_late, tell, now, jobs)
    spent = time.monotonic() - started
    found = scrub.findings.all(None)
    read = spans.of_tiles(scrub.checked, scrub.size)
    whole = spans.whole_up_to(read, found)
    whole = whole if scrub.missing is None else min(whole, scrub.missing - 1)
    stretches = [f"events {seqs}" for seqs in _seqs(scrub.checked, scrub.size)]
    return Report(
        BROKEN if found else VERIFIED, region.origin, region.chain.mode, scrub.events,
        {"seq": region.chain.seq, "hash": region.chain.hash.hex()}, found, {"tiles": len(scrub.checked)},
        [*stretches, *COVERED, HEAD] if scrub.checked else [HEAD],
        [*_left(scrub, wanted if seconds is None else None, spent), *NOT_COVERED], [], whole, round(spent, 3),
        spans=read,
    )  # fmt: skip


def _seqs(numbers: set[int], size: int) -> list[str]:
    """Return the seqs of the events in tiles, stretch by stretch."""
    return [f"{first} to {last}" for first, last in spans.of_tiles(numbers, size)]


def _left(scrub: Scrub, wanted: int | None, spent: float) -> list[str]:
    """Return what this run and this round have not read yet, and when the round will be complete."""
    said = []
    rest = _seqs(set(scrub.numbers) - scrub.checked, scrub.size)
    if rest:
        shown = ", ".join(rest[:10])
        said.append(f"in this run events {shown}{' and others' if len(rest) > 10 else ''}")
    state, left = scrub.state, scrub.left()
    if state.next:
        if wanted is None:
            pace = spent / max(1, len(scrub.checked))
            when = f"it is complete after {left * pace:.0f} s more at this run's pace"
        else:
            times = -(-left // max(1, wanted))
            when = f"it is complete after {times} more run{'' if times == 1 else 's'} of this share"
        begun = f"in round {state.round}, begun at {moment(state.started_at)}"
        said.append(f"{begun}, events from {state.next * WIDTH + 1} on; {when}")
    if state.next or state.round > 1:
        said.append("which region earlier runs of this state read: it knows its chain alone; give each one its own")
    if state.completed_at is not None:
        since = f"since round {state.round - 1} was complete at {moment(state.completed_at)}"
        said.append(f"what changed {since} and was not read again")
    if state.broken:
        listed = ", ".join(map(str, state.broken[:20]))
        said.append(f"whether a copy of the broken tiles is good, which are checked again in each run: {listed}")
    if scrub.due.unsigned:
        of = f"{scrub.due.smallest} to {scrub.due.largest}" if scrub.due.unsigned > 1 else str(scrub.due.largest)
        said.append(
            f"leaves that {scrub.due.unsigned} checkpoint{'s' if scrub.due.unsigned > 1 else ''} of {of} events would "
            "need, which no key has signed that the chain is known to name: `full` says what is wrong with them"
        )
    if scrub.leaves < scrub.size:
        said.append(f"leaves of events {scrub.leaves + 1} to {scrub.size}, which no tile holds yet")
    return said
