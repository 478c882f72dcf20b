"""
Verify the events of a chain by ranges, in any number of processes, and join the ranges where they meet.

Each range is checked by itself (`ranges.py`) and says its two ends; here the ends are held against each other, the
first against the genesis, the last against the head. So every link is checked once, by whichever worker. Ranges that do
not fit, inside or where they meet, are walked again event by event once all are through.

Any `concurrent.futures.Executor` will do: a process pool, or a Dask cluster through `client.get_executor()`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final

import msgspec

from ledger.chain.link import genesis
from ledger.evidence.tree import Frontier
from verifier import identity, indexes, processes, region
from verifier.identity import Identity
from verifier.reader import Reader
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report
from verifier.stored import ChainRow, Unreadable
from verifier.walk import again, ranges, saved
from verifier.walk.layout import End, fits
from verifier.walk.ranges import Ranged, Task
from verifier.walk.saved import Saved

WINDOW: Final = 32
"""So many ranges are handed out at once: enough to keep a cluster at work, and few enough to hold what comes back."""
SPARE_EVENTS: Final = 1_000_000
"""So many events may be missing and are still looked for by ranges."""
SAVE_S: Final = 5.0
"""How often a state is written while a walk goes on: what an interruption costs."""

Tell = Callable[[str, int], None]
"""Hear what is being done, and how many events it has reached."""

COVERED: Final = [
    "every column of every event, against its hash and the hash chain from the genesis of this origin",
    "seqs, recorded times, event ids, and that groups are whole and of one request",
    "the head and the chain's own row",
]
NOT_COVERED: Final = [
    "request hashes, idempotency keys, stream versions, rules and consequences, read models, commits, what is kept of "
    "the past, acknowledgements, tiles and checkpoints, guards of the schema: `tradeledger-verify full` checks them",
    indexes.NOT_LOOKED_UP,
    "a rewrite of all events alike: compare the head with one that was kept outside",
    "events that were never appended: reconcile with the venue",
]


class Walked(msgspec.Struct):
    """
    How far ranges are joined: the last good event with the tree up to it, and the stretch that does not fit.
    """

    end: End | None
    frontier: Frontier | None
    good: bool = True
    """All is good so far; from the first doubt on, nothing is saved any more."""
    doubt: tuple[int, int] | None = None
    following: End | None = None
    """The first good event after the doubt."""
    after: End | None = None
    """The last event of the range before, where that range was good."""
    events: int = 0


def verify_chain(
    dsn: str,
    origin: str | None = None,
    *,
    first: int = 1,
    last: int | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    state: Path | None = None,
    size: int = ranges.RANGE,
    tell: Tell = lambda what, count: None,
) -> Report:
    """
    Return the report on bytes, columns and links of a chain's events, from seq *first* to *last* or to the head.

    They are checked by ranges of *size* events, by so many processes of this machine, or by whatever *executor* has,
    which has to reach the database at *dsn* by itself. With *state* the walk begins where that file says that an
    earlier one came to, and the file says how far this one came, also when it is interrupted.

    Raises:
        Unreadable: there is nothing to check, the database cannot be read, or the file is no state of this chain.
    """
    started, findings = time.monotonic(), Findings()
    if state is not None and (first, last) != (1, None):
        raise Unreadable("a state goes on from where it ends: leave out --from and --to, or --state")
    with _workers(jobs, executor) as pool, Reader(dsn, origin) as reader:
        kept = None if state is None else saved.read(state)
        settled = identity.settle(reader) if kept is None else identity.settle(reader, *kept.names())
        findings.add(settled.findings)
        findings.add(region.chains(reader, settled.chain))
        walk = _Walk(dsn, reader, settled.chain, findings, state, size, is_lent=executor is not None)
        if settled.readable:
            walk.run(pool, first, last, tell)
        if not walk.last and not len(findings):
            raise Unreadable(f"chain {settled.chain.origin} has no events: there is nothing to verify")
        return walk.report(started, settled)


class _Walk:
    """
    One verification by ranges.
    """

    def __init__(
        self, dsn: str, reader: Reader, chain: ChainRow, findings: Findings, state: Path | None, size: int,
        *, is_lent: bool,
    ) -> None:  # fmt: skip
        """Begin; *is_lent* says that whoever called goes on with the executor."""
        self._is_lent = is_lent
        self._dsn, self._reader, self._chain, self._findings, self._state = dsn, reader, chain, findings, state
        self._size = size
        self._notes: list[str] = []
        self._covered = COVERED
        self._lost: int | None = None
        self._last_good = 0
        self._head: dict[str, object] = {"seq": chain.seq, "hash": chain.hash.hex()}
        self._walked = Walked(None, Frontier() if state is not None else None)
        self._saved_at = time.monotonic()
        self._is_part, self._begun_at = False, 1
        self._absent = os.urandom(16)
        self._snapshot = reader.snapshot()
        self.last = 0

    def run(self, pool: Executor | None, first: int, last: int | None, tell: Tell) -> None:
        """
        Check and join all ranges, and walk again what does not fit.
        """
        self.last = self._reader.last_seq() or 0
        if first > max(self.last, self._chain.seq, 1):
            raise Unreadable(
                f"found events from {first} on to verify; chain {self._chain.origin} has events 1 to {self.last}"
            )
        if last is not None and last > max(self.last, self._chain.seq):
            raise Unreadable(
                f"found events to {last} to verify; chain {self._chain.origin} has events 1 to {self.last}: leave out "
                "--to, and if there were more of them, ask who has them (`diff`, `archive`, witnesses)"
            )
        if not self._begin(first):
            self._covered = ["that this chain is the one of the state, and goes on from it: it does not"]
            self._notes.append("the events, and the head beside them: verify without --state")
            return
        begin = self._walked.end.seq + 1 if self._walked.end is not None else first
        # To the last event or beyond it is to the end: whether the head says more is asked as of a walk of all.
        last = None if last is not None and last >= self.last else last
        end = self.last if last is None else last
        self._is_part, self._begun_at = begin > 1 or last is not None, begin
        if last is not None:
            self._notes.append(f"events after {end}, which were left out on purpose, and the head")
        if begin > 1 or last is not None:
            walked = [
                f"every column of events {begin} to {end}, against its hash and the hash chain",
                "seqs, recorded times, event ids, and that groups which begin and end among them are whole and of one "
                "request",
            ]
            self._covered = [*(walked if begin <= end else ()), COVERED[-1] if last is None else "the chain's own row"]
        # The head says how many events there should be: a single one far behind it must not make ranges without end.
        within = min(end, max(self._chain.seq, begin))
        # Nor must both of them, set far ahead together; how many there are is counted only where that can tell.
        if within > begin + SPARE_EVENTS:
            within = min(within, begin + self._reader.count(begin, within) + SPARE_EVENTS)
        for done in self._checked(pool, begin, within):
            self._join(done)
            tell("checking events", self._walked.events)
            self._save(whole=False)
        self._end(first, end, within, whole=last is None)
        if self._walked.good and not len(self._findings):
            self._save(whole=True)

    def _begin(self, first: int) -> bool:
        """Set out from the state or from before *first*; return False where the state itself convicts the database."""
        kept = saved.read(self._state) if self._state is not None else None
        if kept is not None:
            if kept.origin != self._chain.origin:
                raise Unreadable(
                    f"{self._state} is the state of {kept.origin}, and this chain is {self._chain.origin}: name another"
                )
            self._findings.add(behind(kept, self._chain, self._event_at(kept.end.seq)))
            if len(self._findings):
                return False
            self._walked = Walked(kept.end, kept.frontier(), after=kept.end)
            self._notes.append(f"events 1 to {kept.end.seq} again: an earlier walk checked them, in whichever region "
                               f"it read, as {self._state} says")  # fmt: skip
            self._last_good = kept.end.seq
        elif first > 1:
            self._walked.after = self._event_at(first - 1)
            self._notes.append(f"events before {first}, which were left out on purpose")
            if self._walked.after is None:
                self._notes.append(f"the link of event {first} to the one before")
                self._findings.add([self._unfit(first - 1)])
        return True

    def _unfit(self, seq: int) -> Finding:
        """Return what is wrong with an event that the first one has to follow, and that is not there or another."""
        if self._reader.count(seq, seq):
            return Finding("BYTES_MODIFIED", "bytes that its hash is of", "other bytes", seq=seq)
        return Finding("SEQ_GAP", f"event {seq}", "no such row", seq=seq, column="seq")

    def _event_at(self, seq: int) -> End | None:
        """Return the event at *seq* where its own bytes fit."""
        done = ranges.check(self._task(seq, seq))
        return done.ends[0] if done.ends is not None and done.whole else None

    def _task(self, first: int, last: int) -> Task:
        leaves = self._walked.frontier is not None
        return Task(
            self._dsn, self._snapshot, self._chain.chain, self._chain.chain_id, self._absent, first, last, leaves
        )

    def _checked(self, pool: Executor | None, first: int, last: int) -> Iterator[Ranged]:
        """Yield what came out of each range, in order."""
        tasks = (self._task(*ends) for ends in ranges.cut(first, last, self._size))
        if pool is None:
            yield from ranges.check_in_turn(tasks)
            return
        waiting: deque[Future[Ranged]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(ranges.check, task))
                if len(waiting) >= WINDOW:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # A pool of our own gives them up itself.
            for future in waiting if self._is_lent else ():
                future.cancel()

    def _join(self, done: Ranged) -> None:
        walked = self._walked
        walked.events += done.events
        ends = done.ends if done.whole else None
        fitting = ends is not None and ends[0].seq == done.first and ends[1].seq == done.last
        if ends is not None and fitting and not self._follows(ends[0], done.first):
            fitting = False
        if not fitting:
            begin = done.first if walked.doubt is None else walked.doubt[0]
            walked.doubt, walked.following, walked.good = (begin, done.last), None, False
        elif ends is not None:
            if walked.doubt is not None and walked.following is None:
                walked.following = ends[0]
            if walked.good:
                walked.end, self._last_good = ends[1], done.last
                if walked.frontier is not None:
                    for level, node in done.nodes:
                        walked.frontier.add_complete(level, node)
        # What comes after a range that did not fit is joined to it by the walk that follows.
        walked.after = ends[1] if ends is not None and fitting else None

    def _follows(self, first: End, seq: int) -> bool:
        """Return whether a range's first event is the next one, as far as the one before it is known."""
        if seq == 1:
            start = genesis(self._chain.chain_id, self._chain.origin)
            return first.prev_hash == start and first.group[1] == 0
        return self._walked.after is None or fits(self._walked.after, first)

    def _end(self, first: int, end: int, within: int, *, whole: bool) -> None:
        """Walk again what did not fit, and hold the head against the last event."""
        walked = self._walked
        beyond, contradicts = self.last if whole else end, walked.doubt is not None
        if beyond > within:
            # Events past the head, or far from the others: they belong to nobody's range.
            walked.doubt = (min(within + 1, walked.doubt[0]) if walked.doubt else within + 1, beyond)
            walked.following, walked.good = None, False
        if walked.doubt is None and whole and walked.end is not None and not walked.end.closes:
            walked.doubt, walked.good, contradicts = (walked.end.seq, walked.end.seq), False, True
        if walked.doubt is None and first == 1 and self._reader.events_before_first():
            walked.doubt, walked.good, contradicts = (1, 1), False, True
        reached: region.Reached | None = walked.end
        if walked.doubt is not None:
            count = len(self._findings)
            check = again.walk(self._reader, *walked.doubt, walked.following, self._findings)
            if contradicts and len(self._findings) == count:
                self._findings.add([again.two_readings(*walked.doubt)])
            self._last_good, self._lost = check.last_good, check.lost
            reached = check if walked.following is None else walked.after
        if reached is not None:
            self._head = {"seq": reached.seq, "hash": (reached.hash or b"").hex()}
        if whole:
            self._ends_at(reached)

    def _ends_at(self, reached: region.Reached | None) -> None:
        if reached is None:
            # Where the walk was to begin past the last event, that one says how far the chain goes.
            reached = next(self._reader.events(self.last, self.last), None)
        if reached is None:
            reached = Nothing(genesis(self._chain.chain_id, self._chain.origin))
        self._findings.add(region.head(self._chain, reached))
        if self._lost is None and region.is_truncated(self._chain, reached):
            self._lost = reached.seq + 1

    def _save(self, *, whole: bool) -> None:
        walked = self._walked
        if self._state is None or not walked.good or walked.end is None or walked.frontier is None:
            return
        if whole or time.monotonic() - self._saved_at >= SAVE_S:
            edge = list(walked.frontier.hashes)
            saved.write(self._state, Saved(saved.FORMAT, self._chain.origin, self._chain.chain_id, walked.end, edge))
            self._saved_at = time.monotonic()

    def report(self, started: float, settled: Identity) -> Report:
        """
        Return what was found.
        """
        if self._walked.good and self._walked.frontier is not None and self._walked.frontier.size:
            self._head["root"] = self._walked.frontier.root().hex()
        found = self._findings.all(self._lost)
        begun, count = self._begun_at, self._walked.events
        unread = [] if settled.readable else ["events, and the head beside them: whose rows they are is not known"]
        return Report(
            verdict=BROKEN if found else VERIFIED, origin=self._chain.origin, region_mode=self._chain.mode,
            events=self._walked.events, head=self._head, findings=found, rows={},
            covered=self._covered if settled.readable else ["the chain's own row"],
            not_covered=[*NOT_COVERED, *self._notes, *unread],
            vouched=settled.assumed, last_good_seq=self._last_good if begun == 1 or self._state is not None else 0,
            seconds=round(time.monotonic() - started, 3),
            spans=[(begun, begun + count - 1)] if count and self._is_part else None,
        )  # fmt: skip


class Nothing(msgspec.Struct, frozen=True):
    """
    Where a walk is that met no event.
    """

    hash: bytes | None
    seq: int = 0
    recorded_at: int = 0
    epoch: int = 1


def behind(kept: Saved, chain: ChainRow, stored: End | None) -> Iterator[Finding]:
    """
    Yield what convicts a database of not being the one that a state was saved of; *stored* is its event at that seq.
    """
    seq = kept.end.seq
    if chain.chain_id != kept.chain_id:
        yield Finding("CHAIN_MISMATCH", kept.chain_id.hex(), chain.chain_id.hex(), table="chains", key=(chain.origin,),
                      column="chain_id")  # fmt: skip
    elif chain.seq < seq and stored is None:
        yield Finding("ROLLBACK", f"at least {seq} events, as were there when they were verified", str(chain.seq),
                      table="chain_heads", key=(chain.origin,), column="seq")  # fmt: skip
    elif stored is None or stored.hash != kept.end.hash:
        actual = "an event that does not fit itself, or none" if stored is None else stored.hash.hex()
        yield Finding("CHECKPOINT_INCONSISTENT", kept.end.hash.hex(), actual, seq=seq, column="hash")


@contextlib.contextmanager
def _workers(jobs: int, executor: Executor | None) -> Iterator[Executor | None]:
    """Yield where ranges are checked: None is this process. One of ours that is ended makes it Unreadable."""
    if executor is not None or jobs <= 1:
        yield executor
        return
    with processes.forked(jobs) as pool:
        yield pool
