"""
Apply one event to the state of known days, by the rules that recorded it.

Every event was checked when it was recorded, in the order of seq. In the order of days, a command could be refused for
want of what came later, so floors, position limits, second persons, entitlements, the status of accounts and terms of
instruments are set aside here. What a trade cost and when it is to settle is as it was booked. A settlement, or its
failure, of a version that another took the place of later is of the version as it was; what it paid, and what failed,
is as it was recorded, whatever else had settled by then.
"""

from __future__ import annotations

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.events.corporate_actions import CashDividendAccrued, SplitApplied
from ledger.domain.events.executions import QuarantineResolved, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import SettlementFailed, TradeSettled
from ledger.domain.rows import Balance, Execution, Movement, Position
from ledger.domain.rulebook import RULES, Rule, rule_of
from ledger.domain.rules.ground import Broken, DuplicateFact, Now
from ledger.domain.state import State
from ledger.errors import LedgerError
from ledger.reading.known_days.charges import Charges
from ledger.reading.known_days.ground import lay_ground
from ledger.reading.known_days.misfits import OF_ORDERS, SKIPPED
from ledger.reading.known_days.waiting import Ground, Waiting, WatchedState
from ledger.reading.lineage import (
    settled_by,
)
from ledger.reading.moment import day_text
from ledger.reading.posted import amount_in, given_of

Positions = dict[tuple[int, str], tuple[Position, Position]]
"""Positions before and after each split that they went through, by its seq and account."""


class Applying:
    """
    The state of some days, to which events are applied one at a time; *whole* is all that was known.

    `tries` counts how often a rule was asked; `charges` and `split` keep of executions and positions what their rows do
    not say. Orders are not here, and executions without theirs: those are told in the order of telling (`orders`).
    """

    def __init__(self, whole: State) -> None:
        self.state = WatchedState()
        self.tries = 0
        self.charges = Charges(whole)
        self.split: Positions = {}
        self._whole = whole
        self._waiting = Waiting()
        """The events that have found no ground yet."""
        self._changed: set[Ground] = set()
        """What the last event changed."""
        self._is_settling = False
        """Whether what is applied now will be undone, so that the log of the state is needed."""
        lay_ground(self.state, whole)

    def _try(self, event: RecordedEvent) -> Broken | None:
        self._changed = set()
        given = given_of(event)
        if isinstance(given, CashDividendAccrued):
            # What was held before the ex-date was asked when it was recorded; trades of those days came later.
            lines = tuple(msgspec.structs.replace(line, reason="as recorded") for line in given.entitlements)
            given = msgspec.structs.replace(given, entitlements=lines)
        return None if type(given) in SKIPPED or type(given) in OF_ORDERS else self._apply(event, given)

    def _apply(self, event: RecordedEvent, given: Event) -> Broken | None:
        self.tries += 1
        self.state.asked.clear()
        mark = self.state.begin()
        now = Now(event.seq, event.occurred_at, event.recorded_at, split_payload(event.payload)[1])
        try:
            if isinstance(given, QuarantineResolved):
                self._accept(given)
            as_they_were = self._revive(event, given)
            if isinstance(given, TradeExecuted):
                # What it makes of its order is told in `orders`.
                given = msgspec.structs.replace(given, order_id=None)
            elif isinstance(given, TradeSettled) and given.amount is None and not given.net:
                # The share of what was left when it was told, which need not be left of it by days.
                given = msgspec.structs.replace(given, amount=amount_in(event))
            self._rule(event, given)(self.state, given, now)
            for row in as_they_were:
                settled = self.state.executions.rows[row.venue, row.trade_date, row.exec_id]
                self.state.executions.put(msgspec.structs.replace(settled, live=False))
            self._keep_moved(event, mark)
            self._note_late(given)
        except Broken as broken:
            self.state.rollback(mark)
            return broken
        except DuplicateFact:
            # By the names that are known it is there already: nothing is lacking.
            self.state.rollback(mark)
            return None
        except LedgerError as error:
            self.state.rollback(mark)
            return Broken("order_of_days", str(error))
        for table, key, old, new in self.state.log[mark:]:
            self._changed.add((table.name, key))
            if self._waiting.types[SplitApplied.__name__] and isinstance(new, Position | Balance):
                self._changed.add(self._holding_of(new))
            if table is self.state.executions:
                self.charges.change(event, old, new)
            if isinstance(given, SplitApplied) and isinstance(old, Position) and isinstance(new, Position):
                self.split[event.seq, new.account] = (old, new)
        if not self._is_settling:
            self.state.log.clear()
        return None

    def _rule(self, event: RecordedEvent, given: Event) -> Rule:
        """Return the rule of the version that *event* was written in; of another event in its place, today's."""
        kind = type(given)
        return rule_of(kind, event.schema_version) if kind.__name__ == event.event_type else RULES[kind]

    def _accept(self, given: QuarantineResolved) -> None:
        """Let a waiting fact be answered by what it was accepted as, which may count for an earlier day than it."""
        row = self.state.quarantine.get(given.ref)
        if row is not None:
            self.state.quarantine.put(msgspec.structs.replace(row, answered_seq=given.accepted_seq))

    def _note_late(self, given: Event) -> None:
        """Let a fill be late that was told after its order had ended: that does not change with the days."""
        if isinstance(given, TradeExecuted):
            key = given.venue, given.trade_date, given.exec_id
            row, known = self.state.executions.rows[key], self._whole.executions.rows.get(key)
            if known is not None and known.late != row.late:
                self.state.executions.put(msgspec.structs.replace(row, late=known.late))

    def _revive(self, event: RecordedEvent, given: Event) -> list[Execution]:
        """Have the executions that a settlement is of count again, where it came before what ended them."""
        found = []
        for name in settled_by(given) if isinstance(given, TradeSettled | SettlementFailed) else ():
            row = self.state.executions.get(*name)
            if row is None or row.live or row.kind == "bust":
                continue
            if row.kind != "allocation" and row.allocation_id is not None:
                allocation = self.state.allocations.get(row.allocation_id)
                if allocation is None or allocation.event_seq < event.seq:
                    # The allocation was reversed before: its reversal is of a later day, and is waited for.
                    continue
            self.state.executions.put(msgspec.structs.replace(row, live=True))
            found.append(row)
        return found

    def _keep_moved(self, event: RecordedEvent, mark: int) -> None:
        """
        Have the movement that *event* made be what it was recorded to be, on the day that the event counts for.

        Closings, which may have moved it, are not kept here, and which part of a fee a settlement pays is by the parts
        that were told before it.
        """
        for table, key, _, new in self.state.log[mark:]:
            if table is self.state.movements and isinstance(new, Movement) and new.event_seq == event.seq:
                moved = self._whole.movements.rows[key].postings
                day = day_text(event.effective_on)
                self.state.movements.put(msgspec.structs.replace(new, effective_on=day, postings=moved))

    def _holding_of(self, of: Position | Balance | SplitApplied) -> Ground:
        return "", (of.asset if isinstance(of, Balance) else self.state.instruments.rows[of.instrument,].asset,)
