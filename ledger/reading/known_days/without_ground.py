"""
Tell what an event of known days comes to that finds no ground in them at all.

An execution that takes the place of another takes that of the newest version that counts by then, and voids those
between. Whatever else lacks an event cannot be read (`Misfit`).
"""

from __future__ import annotations

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated
from ledger.domain.rules.ground import Broken
from ledger.domain.state import State
from ledger.reading.known_days.applying import Applying
from ledger.reading.known_days.given_away import owe
from ledger.reading.known_days.misfits import HOLDINGS, LACKING, Misfit, about
from ledger.reading.lineage import lines_for, name_of, replaced_by, versions_before
from ledger.reading.posted import given_of


class WithoutGround(Applying):
    """
    The state of some days, and what of it is told though its ground is not there: `misfits` are what cannot be.
    """

    def __init__(self, whole: State) -> None:
        super().__init__(whole)
        self.misfits: list[Misfit] = []
        self._reversed: set[str] = set()
        """The allocations of which the reversal has found no ground either."""

    def _without_ground(self, event: RecordedEvent, broken: Broken) -> None:
        given = given_of(event)
        lacking = LACKING[type(given)]
        if isinstance(given, TradeAllocated) and given.allocation_id in self._reversed:
            self._annul(given)
            return
        if self._is_annulled(given, event.seq):
            return
        if isinstance(given, TradeCorrected | TradeBusted):
            given = self._of_newest(given)
            again = self._apply(event, given)
            if again is None or (again.rule == "allocated" and self._owed(event, given)):
                return
        if isinstance(given, TradeBusted):
            lacking = self._void(given)
        elif isinstance(given, TradeExecuted):
            lacking = HOLDINGS
        if lacking:
            of = about(given, self._whole)
            self.misfits.append(Misfit(event.seq, event.event_type, broken.rule, broken.detail, lacking, of))

    def _annul(self, given: TradeAllocated) -> None:
        """
        Note an allocation that was reversed, and its lines, as what they have become.

        Its executions had been undone for an earlier day once it was reversed: by days, before they were allocated.
        """
        self.state.allocations.put(self._whole.allocations.rows[given.allocation_id,])
        for name in lines_for(given.venue, given.trade_date, given.allocation_id, len(given.lines)):
            line = self._whole.executions.rows[name]
            # What settled of them is among the events.
            self.state.executions.put(
                msgspec.structs.replace(line, live=False, settled_qty=0, settled_gross=0, settled_days=())
            )

    def _is_annulled(self, given: Event, seq: int) -> bool:
        row = self.state.allocations.get(given.allocation_id) if isinstance(given, AllocationReversed) else None
        return row is not None and row.reversed_by == seq

    def _owed(self, event: RecordedEvent, given: Event) -> bool:
        """Apply what undoes a trade of which the allocation is reversed on a later day; return whether that went."""
        undone, undoing = replaced_by(given), name_of(given)
        if undone is None or undoing is None:
            return False
        mark = self.state.begin()
        owe(self.state, self.state.executions.rows[undone], undoing)
        if self._apply(event, given) is None:
            return True
        self.state.rollback(mark)
        return False

    def _of_newest(self, given: TradeCorrected | TradeBusted) -> TradeExecuted | TradeBusted:
        """Return *given* as of the newest version that counts; where none does, a correction as a trade of its own."""
        for venue, day, exec_id in versions_before(given, self._whole):
            if self.state.executions.get(venue, day, exec_id) is not None:
                return msgspec.structs.replace(given, exec_ref=exec_id, ref_trade_date=day)
        if isinstance(given, TradeBusted):
            return given
        return TradeExecuted(**{name: getattr(given, name) for name in TradeExecuted.__struct_fields__})

    def _void(self, given: TradeBusted) -> frozenset[str]:
        """Note a bust of what does not count yet, and return the tables without it."""
        if any(self.state.executions.get(*name) is not None for name in versions_before(given, self._whole)):
            return HOLDINGS
        row = self._whole.executions.get(given.venue, given.trade_date, given.exec_id)
        if row is None:
            raise AssertionError(f"the bust {given.exec_id!r} made no row")
        self.state.executions.put(row)
        return frozenset()
