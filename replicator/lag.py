"""
Measure how much would be lost if this region were lost now, on the primary's clocks alone.

The age is that of the oldest commit that no replica has acknowledged; nothing pending is an age of zero. A commit is
as old as the wall clock says when it is noted, so that a backlog found at a start gets no fresh budget; from then on
only the monotonic clock counts, which nobody can set.
"""

from __future__ import annotations

from collections import deque


class Lag:
    """
    The commits that wait for a replica's word; *now* is always monotonic, in ns.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()
        self.acknowledged = 0
        self.max_seconds = 0.0

    @property
    def waiting(self) -> int:
        """
        How many commits wait.
        """
        return len(self._waiting)

    def committed(self, last_seq: int, age: int, now: int) -> None:
        """
        Note a commit that is *age* ns old and has to be acknowledged.
        """
        if last_seq > self.acknowledged:
            self._waiting.append((last_seq, now - max(0, age)))

    def acknowledge(self, seq: int, now: int) -> None:
        """
        Note that everything up to *seq* is elsewhere; what it waited counts.
        """
        self.seconds(now)
        self.acknowledged = max(self.acknowledged, seq)
        while self._waiting and self._waiting[0][0] <= self.acknowledged:
            self._waiting.popleft()

    def seconds(self, now: int) -> float:
        """
        Return the age of the oldest commit that waits, and remember the greatest.
        """
        age = (now - self._waiting[0][1]) / 1e9 if self._waiting else 0.0
        self.max_seconds = max(self.max_seconds, age)
        return age
