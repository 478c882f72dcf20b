"""
Measure how much would be lost if this region were lost now, on the primary's clock alone.

The age is that of the oldest commit that no replica has acknowledged; nothing pending is an age of zero.
"""

from __future__ import annotations

from collections import deque


class Lag:
    """
    The commits that wait for a replica's word.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()
        self.acknowledged = 0
        self.max_seconds = 0.0

    def committed(self, last_seq: int, committed_at: int) -> None:
        """
        Note a commit (ns) that has to be acknowledged.
        """
        if last_seq > self.acknowledged:
            self._waiting.append((last_seq, committed_at))

    def acknowledge(self, seq: int, now: int) -> None:
        """
        Note that everything up to *seq* is elsewhere, at *now* (ns); what it waited counts.
        """
        self.seconds(now)
        self.acknowledged = max(self.acknowledged, seq)
        while self._waiting and self._waiting[0][0] <= self.acknowledged:
            self._waiting.popleft()

    def seconds(self, now: int) -> float:
        """
        Return the age of the oldest commit that waits, and remember the greatest.
        """
        age = max(0.0, (now - self._waiting[0][1]) / 1e9) if self._waiting else 0.0
        self.max_seconds = max(self.max_seconds, age)
        return age
