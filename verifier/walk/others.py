"""
Let other processes hash ranges of events, keys and read models, and look rows up by every index, while this one applies
the rules.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from ledger.chain.link import genesis
from ledger.evidence.tree import Frontier
from verifier import indexes, processes
from verifier.stored import ChainRow
from verifier.walk import keyed, ranges, tables
from verifier.walk.books import Verified
from verifier.walk.layout import End, fits
from verifier.walk.ranges import Ranged
from verifier.walk.replaying import Doubt, same
from verifier.walk.tables import Stored


class Others:
    """
    The ranges of events after those that *before* is of, and what other processes found of them.

    `frontier` is the tree up to where they were held together; it grows where leaves were asked for.
    """

    def __init__(
        self,
        chain: ChainRow,
        walks: Sequence[ranges.Task],
        read_models: Sequence[tables.Task],
        keys: keyed.Task | None,
        before: Verified | None,
        lookup: indexes.Task | None = None,
    ) -> None:
        self._chain, self._ranges, self._tables, self._keys = chain, walks, read_models, keys
        self._borders = {task.last for task in walks}
        self._before = None if before is None else before.at.end
        self.frontier = Frontier() if before is None else before.at.frontier()
        self._walked: deque[Future[Ranged]] = deque()
        self._stored: list[Future[Stored]] = []
        self._keyed: Future[bool] | None = None
        self._lookup = lookup
        self._looked_up: Future[indexes.LookedUp] | None = None

    @contextlib.contextmanager
    def at_work(self, count: int) -> Iterator[None]:
        """
        Have so many processes at work in the block; none: this one does keys and read models itself.

        Raises:
            Unreadable: one of them was ended.
        """
        if not count:
            yield
            return
        with processes.forked(count) as pool:
            self._walked.extend(pool.submit(ranges.check, task) for task in self._ranges)
            self._stored = [pool.submit(tables.digest, task) for task in self._tables]
            self._keyed = None if self._keys is None else pool.submit(keyed.check, self._keys)
            self._looked_up = None if self._lookup is None else pool.submit(indexes.look_up, self._lookup)
            yield

    def keyed(self) -> bool:
        """
        Return whether every group has its idempotency key, and every key its group, where that was to be asked.
        """
        if self._keyed is not None:
            return self._keyed.result()
        return self._keys is None or keyed.check(self._keys)

    def looked_up(self) -> indexes.LookedUp | None:
        """
        Return what came out of the indexes; None where no other process was to look rows up by them.
        """
        return None if self._looked_up is None else self._looked_up.result()

    def stored(self) -> Iterator[Stored]:
        """
        Yield what each read model is.
        """
        if not self._stored:
            yield from tables.digests(self._tables)
        for future in self._stored:
            yield future.result()

    def has_border(self, end: End) -> bool:
        """
        Return whether a range ends with *end*.
        """
        return end.seq in self._borders

    @property
    def is_done(self) -> bool:
        """
        Return whether every range was held against the others.
        """
        return not self._walked

    def reach(self, end: End) -> None:
        """
        Hold the ranges up to *end*, where one ends, against each other, and against this event that was applied.

        Raises:
            Doubt: they do not fit.
        """
        while self._walked and (self._before is None or self._before.seq < end.seq):
            done = self._walked.popleft().result()
            if done.ends is None or not done.whole:
                raise Doubt
            first, last = done.ends
            same((first.seq, last.seq), (done.first, done.last))
            follows(self._chain, self._before, first)
            self._before = last
            for node in done.nodes:
                self.frontier.add_complete(*node)
        same(self._before, end)


def follows(chain: ChainRow, before: End | None, first: End) -> None:
    """
    Let only a run pass that follows the one before it; without one, that begins the chain.

    Raises:
        Doubt: it does not.
    """
    if before is None:
        start = genesis(chain.chain_id, chain.origin)
        same((first.seq, first.prev_hash, first.group[1]), (1, start, 0))
    elif not fits(before, first):
        raise Doubt
