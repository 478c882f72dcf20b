"""
Sum what the executions that count were charged, and what they paid in shares that split, gone through in the order of
days.

A fee in an asset that splits is of as many shares as there were when it was charged: so sums are kept apart by how many
splits of the asset had been recorded before the event that charged a fee, or took it back. What a position cost in such
an asset is kept so too.
"""

from __future__ import annotations

import bisect
from collections import defaultdict

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import Execution, Row
from ledger.domain.rules.trades import fees_of, signed
from ledger.domain.state import State
from ledger.reading.lineage import Name, version_before

Charge = tuple[str, str, str, int]
"""Account, instrument, asset, and how many splits of the asset had been recorded before."""


def splits_of(whole: State) -> dict[str, list[int]]:
    """
    Return the seqs of the splits of each asset that was split, in their order.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for row in whole.corporate_actions.rows.values():
        if row.kind == "split":
            found[whole.instruments.rows[row.instrument,].asset].append(row.event_seq)
    return {asset: sorted(seqs) for asset, seqs in found.items()}


class Charges:
    """
    What was charged so far, and *paid* in assets that split, in units of the asset; *whole* is all that was known.
    """

    def __init__(self, whole: State) -> None:
        self.sums: dict[Charge, int] = {}
        self.paid: dict[Charge, int] = {}
        self._splits = splits_of(whole)
        self._followed: dict[Name, int] = {}
        """The seq of what took the place of each execution, where that matters: where an asset was split."""
        for row in whole.executions.rows.values() if self._splits else ():
            before = version_before(row)
            if before is not None:
                self._followed[before] = row.event_seq

    def change(self, event: RecordedEvent, old: Row | None, new: Row | None) -> None:
        """
        Take back what the row *old* of an execution was charged, and charge what *new* is: *event* changed it so.
        """
        self._charge(old, -1, self._taken_back(old, new, event))
        self._charge(new, 1, event.seq)

    def _taken_back(self, row: Row | None, new: Row | None, event: RecordedEvent) -> int:
        """Return the seq of the event that took the charges of *row* back, which *event* does in the order of days."""
        if not isinstance(row, Execution) or (isinstance(new, Execution) and new.live):
            return event.seq
        by_trade = event.event_type in ("TradeCorrected", "TradeBusted")
        return self._followed.get((row.venue, row.trade_date, row.exec_id), event.seq) if by_trade else event.seq

    def kept(self) -> tuple[dict[Charge, int], dict[Charge, int]]:
        """
        Return what `restore` takes to have it as it is now.
        """
        return dict(self.sums), dict(self.paid)

    def restore(self, kept: tuple[dict[Charge, int], dict[Charge, int]]) -> None:
        """
        Have it as it was when *kept* was.
        """
        self.sums, self.paid = kept

    def _charge(self, row: Row | None, sign: int, seq: int) -> None:
        if not isinstance(row, Execution) or not row.live:
            return
        for asset, amount in fees_of(row.fees):
            self._add(self.sums, row, asset, sign * amount, seq)
        if row.gross_asset in self._splits:
            self._add(self.paid, row, row.gross_asset, sign * signed(row.side, row.gross), seq)

    def _add(self, sums: dict[Charge, int], row: Execution, asset: str, amount: int, seq: int) -> None:
        key = (row.account, row.instrument, asset, bisect.bisect_left(self._splits.get(asset, ()), seq))
        sums[key] = sums.get(key, 0) + amount
