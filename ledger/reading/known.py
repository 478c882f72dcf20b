"""
Fold what was known at one time about the days up to another: in the order (effective_on, seq).

Every event was checked by the rules when it was recorded, in the order of seq. In the order of days, a command could
be refused for want of what came later, so floors, position limits, second persons, entitlements, the status of accounts
and terms of instruments are set aside here, and an event whose ground is of a later day waits for it. What a trade cost
and when it is to settle is as it was booked. A settlement, or its failure, of a version that another took the place of
later is of the version as it was. What then still finds no ground is told apart: an execution moves the position
without its order; whatever else lacks an event cannot be read (`Misfit`).

Balances are sums of postings as they are stored (`counting`). A correction or bust that counts for an earlier day than
the execution it takes the place of takes that of the newest version that counts by then, and voids those between.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.events.corporate_actions import CashDividendAccrued, SplitApplied
from ledger.domain.events.executions import QuarantineResolved, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeAllocated, TradeSettled
from ledger.domain.rows import Balance, Execution, Movement, Order, Position
from ledger.domain.rulebook import RULES, Rule, rule_of
from ledger.domain.rules import new_shares
from ledger.domain.rules.ground import Broken, DuplicateFact, Now, current_name
from ledger.domain.state import State
from ledger.errors import LedgerError
from ledger.reading.charges import Charges
from ledger.reading.counting import Counted
from ledger.reading.ending import answered, balances_of, whole_orders
from ledger.reading.given_away import owe
from ledger.reading.lineage import (
    Name,
    lines_for,
    name_of,
    needed_by,
    replaced_by,
    settled_by,
    told_by,
    versions_before,
)
from ledger.reading.misfits import HOLDINGS, LACKING, SKIPPED, Misfit, about
from ledger.reading.moment import day_text
from ledger.reading.posted import given_of
from ledger.reading.remainders import Positions
from ledger.reading.split_days import TRADES, asset_of, find_in
from ledger.reading.waiting import Ground, Waiting, WatchedState

_GROUND: Final = (
    "assets", "instruments", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams",
)  # fmt: skip
_ANYTHING: Final[Ground] = ("", ())
"""The ground of what may depend on anything."""
_UNMOVED: Final = frozenset(
    {"assets", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams", "balances"}
)
"""No rule is refused here for want of these: they are known from the start, or set aside."""
_BY_BALANCE: Final = frozenset({"held_below_zero", "beyond_limit"})
"""The rules that a balance breaks, whatever its floor."""
_MOVING: Final = TRADES | {"SplitApplied"}
"""What moves a position, or must be told to be missing, when it finds no ground."""


class KnownFold:
    """
    The state as known at one time of the days up to one.

    Until `end` it is under way: the events wait that have found no ground yet. `tries` counts how often a rule was
    asked.
    """

    def __init__(self, whole: State) -> None:
        self.state = WatchedState()
        self.state.booked = whole
        self.tries = 0
        self.misfits: list[Misfit] = []
        self.charges = Charges(whole)
        self.split: Positions = {}
        self._whole = whole
        self._taken = 0
        self._waiting = Waiting()
        self._changed: set[Ground] = set()
        self._is_settling = False
        self._reversed: set[str] = set()
        """The allocations of which the reversal has found no ground either."""
        for name in _GROUND:
            for row in whole.table(name).rows.values():
                self.state.add(name, row)
        self.state.account_limits.rows.clear()
        self.state.controls.rows.clear()
        for instrument in whole.instruments.rows.values():
            # Its splits are among the events, and trades before them are of the shares of their day.
            self.state.add("instruments", msgspec.structs.replace(instrument, split_on=None))
        for asset in whole.assets.rows.values():
            self.state.add("assets", msgspec.structs.replace(asset, splits=new_shares.NONE))
        for account in whole.accounts.rows.values():
            self.state.add("accounts", msgspec.structs.replace(account, status="open"))
        for balance in whole.balances.rows.values():
            bare = msgspec.structs.replace(balance, settled=0, unsettled=0, held=0, floor=None, breached=False)
            self.state.add("balances", bare)

    def take(self, event: RecordedEvent) -> None:
        """
        Apply the next event in the order of days.
        """
        self._taken += 1
        if event.event_type == SplitApplied.__name__:
            self._settle_before(event)
        broken = self._try(event)
        if broken is not None:
            self._waiting.put(self._taken, event, self._grounds(event, broken))
        elif len(self._waiting):
            self._again()

    @property
    def complete(self) -> bool:
        """
        Return whether `end` would change no position: nothing waits that would move one.
        """
        return not any(self._waiting.types[name] for name in _MOVING)

    @contextlib.contextmanager
    def settled(self) -> Iterator[KnownFold]:
        """
        Settle what waits as `end` does for as long as the block lasts, balances apart; after it, it waits again.
        """
        mark, misfits, charged = self.state.begin(), list(self.misfits), self.charges.kept()
        self._is_settling = True
        try:
            self._settle()
            yield self
        finally:
            self._is_settling = False
            self.state.rollback(mark)
            self.misfits = misfits
            self.charges.restore(charged)

    def end(self, events: list[Counted]) -> KnownFold:
        """
        Settle what waits, and make the balances of all the *events* that were taken; return the fold itself.
        """
        self._settle()
        self._waiting = Waiting()
        self.state.balances.rows.clear()
        for balance in balances_of(self._whole, events):
            self.state.add("balances", balance)
        for fact in answered(self._whole, list(self.state.quarantine.rows.values()), events):
            self.state.quarantine.put(fact)
        for order in list(whole_orders(self._whole, self.state)):
            self.state.orders.put(order)
        # Terms are those that were known; whether it has split is of the days.
        split = [(key, row.split_on) for key, row in self.state.instruments.rows.items()]
        splits = [(key, row.splits) for key, row in self.state.assets.rows.items()]
        for name in _GROUND:
            for row in self._whole.table(name).rows.values():
                self.state.add(name, row)
        for instrument, split_on in split:
            row = self.state.instruments.rows[instrument]
            self.state.add("instruments", msgspec.structs.replace(row, split_on=split_on))
        for asset, of_days in splits:
            self.state.add("assets", msgspec.structs.replace(self.state.assets.rows[asset], splits=of_days))
        return self

    def _settle_before(self, split: RecordedEvent) -> None:
        """Settle the trades of what splits that wait: they are of old shares, and so would their ground have to be."""
        find = find_in(self._whole)
        asset = asset_of(split, find)
        waiting = self._waiting
        old = [waiting.take(each) for each in waiting.numbers(TRADES) if asset_of(waiting.event(each), find) == asset]
        for event in self._in_turn(old):
            self._settle_one(event)
            self._again()

    def _settle(self) -> None:
        for event in self._in_turn(self._waiting.events()):
            self._settle_one(event)

    def _settle_one(self, event: RecordedEvent) -> None:
        broken = self._try(event)
        if broken is not None:
            self._without_ground(event, broken)

    def _in_turn(self, events: list[RecordedEvent]) -> Iterator[RecordedEvent]:
        """Yield what is about an execution after what was recorded of it before, where that is among *events* too."""
        left = [(event, given_of(event)) for event in events]
        self._reversed = {given.allocation_id for _, given in left if isinstance(given, AllocationReversed)}
        told: dict[Name, list[int]] = defaultdict(list)
        for place, (_, given) in enumerate(left):
            for name in told_by(given, self._whole):
                told[name].append(place)
        order: TopologicalSorter[int] = TopologicalSorter()
        for place, (event, given) in enumerate(left):
            before = [other for name in needed_by(given, self._whole) for other in told.get(name, ())]
            order.add(place, *(other for other in before if left[other][0].seq < event.seq))
        order.prepare()
        while order.is_active():
            for place in sorted(order.get_ready()):
                yield left[place][0]
                order.done(place)

    def _try(self, event: RecordedEvent) -> Broken | None:
        self._changed = set()
        given = given_of(event)
        if isinstance(given, OrderPlaced):
            # Instruments go by the names that they were known by, from the first day on.
            given = msgspec.structs.replace(given, instrument=current_name(self.state, given.instrument))
        elif isinstance(given, CashDividendAccrued):
            # What was held before the ex-date was asked when it was recorded; trades of those days came later.
            lines = tuple(msgspec.structs.replace(line, reason="as recorded") for line in given.entitlements)
            given = msgspec.structs.replace(given, entitlements=lines)
        return None if type(given) in SKIPPED else self._apply(event, given)

    def _apply(self, event: RecordedEvent, given: Event) -> Broken | None:
        self.tries += 1
        self.state.asked.clear()
        mark = self.state.begin()
        now = Now(event.seq, event.occurred_at, event.recorded_at, split_payload(event.payload)[1])
        try:
            if isinstance(given, QuarantineResolved):
                self._accept(given)
            as_they_were = self._revive(event, given)
            self._rule(event, given)(self.state, given, now)
            for row in as_they_were:
                settled = self.state.executions.rows[row.venue, row.trade_date, row.exec_id]
                self.state.executions.put(msgspec.structs.replace(settled, live=False))
            self._date(event, mark)
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
            if self._waiting.types[SplitApplied.__name__] and isinstance(new, Position | Order | Balance):
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

    def _date(self, event: RecordedEvent, mark: int) -> None:
        """Date the movement that *event* made as the event is: closings, which may have moved it, are not kept here."""
        for table, _, _, new in self.state.log[mark:]:
            if table is self.state.movements and isinstance(new, Movement) and new.event_seq == event.seq:
                day = day_text(event.effective_on)
                self.state.movements.put(msgspec.structs.replace(new, effective_on=day))

    def _grounds(self, event: RecordedEvent, broken: Broken) -> frozenset[Ground]:
        """Return the rows of which one must change before *event*, just refused, can be more than refused again."""
        found = {ground for ground in self.state.asked if ground[0] not in _UNMOVED}
        given = given_of(event) if event.event_type == SplitApplied.__name__ else None
        if isinstance(given, SplitApplied) and self.state.instruments.get(given.instrument) is not None:
            # It goes through all that is held and ordered of its asset.
            found.add(self._holding_of(given))
        if broken.rule in _BY_BALANCE:
            found.add(_ANYTHING)
        return frozenset(found)

    def _holding_of(self, of: Position | Order | Balance | SplitApplied) -> Ground:
        return "", (of.asset if isinstance(of, Balance) else self.state.instruments.rows[of.instrument,].asset,)

    def _again(self) -> None:
        """Go through those whose ground was changed, in the order in which they came, until no more are."""
        due = self._due()
        while due:
            turn, asked, due = sorted(due), due, set()
            while turn:
                number = heapq.heappop(turn)
                event = self._waiting.take(number)
                broken = self._try(event)
                if broken is not None:
                    self._waiting.put(number, event, self._grounds(event, broken))
                    continue
                for other in self._due():
                    if other < number:
                        due.add(other)
                    elif other not in asked:
                        asked.add(other)
                        heapq.heappush(turn, other)

    def _due(self) -> set[int]:
        return self._waiting.due(self._changed | {_ANYTHING}) if self._changed else set()

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
            lacking = lacking if given.order_id is not None else frozenset()
            if self._alone(event, given) is not None:
                lacking |= HOLDINGS
        of = about(given, self._whole)
        if "order_id" in of and of["order_id"] is None:
            lacking -= {"orders"}
        if lacking:
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
            self.state.executions.put(msgspec.structs.replace(line, live=False, settled_qty=0, settled_gross=0))

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

    def _alone(self, event: RecordedEvent, given: TradeExecuted) -> Broken | None:
        """Apply a trade without its order, and a correction to the trade without its order."""
        alone = msgspec.structs.replace(given, order_id=None, reconciliation=True)
        name = replaced_by(given)
        old = None if name is None else self.state.executions.get(*name)
        if name is None or old is None:
            return self._apply(event, alone)
        self.state.executions.put(msgspec.structs.replace(old, order_id=None))
        broken = self._apply(event, alone)
        corrected = self.state.executions.rows[name]
        self.state.executions.put(msgspec.structs.replace(corrected, order_id=old.order_id))
        return broken

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
            return LACKING[TradeBusted] | HOLDINGS
        row = self._whole.executions.get(given.venue, given.trade_date, given.exec_id)
        if row is None:
            raise AssertionError(f"the bust {given.exec_id!r} made no row")
        self.state.executions.put(row)
        return frozenset() if row.order_id is None else LACKING[TradeBusted]


def whole_of(state: State, events: list[Counted]) -> KnownFold:
    """
    Return the fold of *events*, in their order, on the ground of *state*, all that was known then.
    """
    known = KnownFold(state)
    for each in events:
        known.take(each.event)
    return known.end(events)


def day_by_day(
    state: State, events: list[Counted], closing: int | None = None
) -> Iterator[tuple[int, KnownFold, list[Counted]]]:
    """
    Yield (day, fold, events of the day) of each day that *events* count for, with the positions known of it then; and
    of the *closing* day, if it comes after all of them.

    Positions, marks and executions of the fold are those that `whole_of` makes of the events up to there; the rest of
    it is under way, and gone when the next day is asked for.
    """
    known, day = KnownFold(state), 0
    for day, found in itertools.groupby(events, lambda each: each.event.effective_on):
        of_day = list(found)
        for each in of_day:
            known.take(each.event)
        with contextlib.nullcontext() if known.complete else known.settled():
            yield day, known, of_day
    if events and closing is not None and day < closing:
        with contextlib.nullcontext() if known.complete else known.settled():
            yield closing, known, []
