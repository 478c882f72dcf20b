"""
Fold what was known at one time about the days up to another: in the order (effective_on, seq).

Every event was checked by the rules when it was recorded, in the order of seq. In the order of days, a command could
be refused for want of what came later, so floors, position limits, second persons and the status of accounts are set
aside here, and an event whose ground is of a later day waits for it. What then still finds no ground is told apart: an
execution moves the position without its order; whatever else lacks an event cannot be read (`Misfit`).

Balances are sums of postings as they are stored, whatever the rules make of them now. A correction or bust that counts
for an earlier day than the execution it takes the place of does not undo what has not counted yet: it voids it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import amounts, fold, registry
from ledger.domain.events.control import ReconciliationRecorded
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    InstrumentRenamed,
    SplitApplied,
)
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.postings import Line, negated
from ledger.domain.rows import Balance, Execution, Order, Position, Row
from ledger.domain.rules import control, evidence, new_shares, operations, periods, quarantine, reference
from ledger.domain.rules.ground import Broken, DuplicateFact, Now, current_name
from ledger.domain.rules.trades import fees_of
from ledger.domain.state import State
from ledger.errors import LedgerError
from ledger.reading.waiting import Ground, Waiting, WatchedState

Find = Callable[[str, str, str], Execution | None]
"""What returns the row of an execution by venue, trade date and id."""

_GROUND: Final = (
    "assets", "instruments", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams",
)  # fmt: skip
_SKIPPED: Final = frozenset(
    {*reference.RULES, *control.RULES, *evidence.RULES, *operations.RULES, *periods.RULES, InstrumentRenamed}
) - {ReconciliationRecorded}
_LACKING: Final[dict[type[Event], frozenset[str]]] = {
    CashDividendAccrued: frozenset({"entitlements"}),
    CashDividendPaid: frozenset({"entitlements"}),
    SplitApplied: frozenset({"orders", "positions", "lots"}),
}
"""Which tables lack an event that found no ground; of others, the orders."""
_ANYTHING: Final[Ground] = ("", ())
"""The ground of what may depend on anything."""
_UNMOVED: Final = frozenset(
    {"assets", "calendars", "accounts", "account_limits", "chain_keys", "controls", "streams", "balances"}
)
"""No rule is refused here for want of these: they are known from the start, or set aside."""
_BY_BALANCE: Final = frozenset({"held_below_zero", "beyond_limit"})
"""The rules that a balance breaks, whatever its floor."""
_MOVING: Final = frozenset({"TradeExecuted", "TradeCorrected", "SplitApplied"})
"""What moves a position, or must be told to be missing, when it finds no ground."""


class Misfit(msgspec.Struct, frozen=True):
    """
    An event that counts for the days asked about and finds no ground in them; `lacking` names the tables without it.
    """

    seq: int
    event_type: str
    rule: str
    detail: str
    lacking: frozenset[str]


class Counted(msgspec.Struct, frozen=True):
    """
    An event with what it posts when the days are gone through in order.
    """

    event: RecordedEvent
    lines: list[Line]


class _Postings(msgspec.Struct):
    postings: list[Any] = []


class _Gross(msgspec.Struct):
    gross: str = "0"


_GROSS: Final = msgspec.json.Decoder(_Gross)
_POSTINGS: Final = msgspec.json.Decoder(_Postings)


def posted(event: RecordedEvent) -> list[Line]:
    """
    Return what *event* posted, as it is stored: by the rules, or in full by who gave it.
    """
    if b'"postings":' not in event.payload:
        return []
    derived, given = split_payload(event.payload)
    found = _POSTINGS.decode(derived).postings
    if found:
        return [Line(account, asset, bucket, amounts.parse(amount)) for account, asset, bucket, amount in found]
    return [
        Line(x["account"], x["asset"], x["bucket"], amounts.parse(x["amount"]))
        for x in _POSTINGS.decode(given).postings
    ]


def given_of(event: RecordedEvent) -> Event:
    """
    Return what the caller gave.
    """
    return registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])


def _name(given: Event) -> tuple[str, str, str] | None:
    """Return venue, trade date and id of an execution."""
    return (given.venue, given.trade_date, given.exec_id) if isinstance(given, TradeExecuted | TradeBusted) else None


def _ref(given: Event) -> tuple[str, str, str] | str:
    """Return venue, trade date and id of the execution that *given* takes the place of; empty where it takes none."""
    if isinstance(given, TradeCorrected | TradeBusted):
        return given.venue, given.ref_trade_date or given.trade_date, given.exec_ref
    return ""


def _undone(event: RecordedEvent, given: TradeCorrected | TradeBusted, lines: list[Line]) -> list[Line]:
    """Return those of the stored *lines* that undo the version before: after the hold's, before the new version's."""
    first = 2 if len(lines) > 1 and lines[1].bucket == "held" else 0
    new = 0
    if isinstance(given, TradeCorrected):
        gross = given.gross if given.gross is not None else _GROSS.decode(split_payload(event.payload)[0]).gross
        new = 2 * (1 + (gross != "0") + sum(fee.amount != "0" for fee in given.fees))
    return lines[first : len(lines) - new]


def counted(events: Iterable[RecordedEvent], find: Find) -> list[Counted]:
    """
    Return *events*, all of some days, in the order (effective_on, seq) with what each posts in that order.
    """
    ordered = sorted(events, key=lambda event: (event.effective_on, event.seq))
    counts: set[int] = set()
    voided: dict[int, list[Line]] = {}
    found = []
    for event in ordered:
        counts.add(event.seq)
        lines = posted(event)
        if event.event_type in ("TradeCorrected", "TradeBusted"):
            given = given_of(event)
            if not isinstance(given, TradeCorrected | TradeBusted):
                raise AssertionError(f"event {event.seq} is no {event.event_type}")
            old = find(given.venue, given.ref_trade_date or given.trade_date, given.exec_ref)
            if old is not None and old.event_seq not in counts:
                # What it takes the place of counts for a later day, where it then posts nothing of its own. The trade
                # dates do not tell: what is of a closed day counts for another.
                undone = _undone(event, given, lines)
                lines, voided[old.event_seq] = lines + negated(undone), undone
        found.append(Counted(event, lines + voided.pop(event.seq, [])))
    return found


class KnownFold:
    """
    The state as known at one time of the days up to one.

    Until `end` it is under way: the events wait that have found no ground yet. `tries` counts how often a rule was
    asked.
    """

    def __init__(self, whole: State) -> None:
        self.state = WatchedState()
        self.tries = 0
        self.misfits: list[Misfit] = []
        self.fees: dict[tuple[str, str, str], int] = {}
        """What the executions that count were charged, by account, instrument and asset."""
        self._whole = whole
        self._taken = 0
        self._waiting = Waiting()
        self._changed: set[Ground] = set()
        self._is_settling = False
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
        mark, misfits, fees = self.state.begin(), list(self.misfits), dict(self.fees)
        self._is_settling = True
        try:
            self._settle()
            yield self
        finally:
            self._is_settling = False
            self.state.rollback(mark)
            self.misfits, self.fees = misfits, fees

    def end(self, events: list[Counted]) -> KnownFold:
        """
        Settle what waits, and make the balances of all the *events* that were taken; return the fold itself.
        """
        self._settle()
        self._waiting = Waiting()
        self._balance(events)
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

    def _settle(self) -> None:
        left = [(event, given_of(event)) for event in self._waiting.events()]
        while left:
            # What undoes an execution that waits as well comes after it: it finds it, or voids it.
            names = {_name(given) for _, given in left}
            ready: list[tuple[RecordedEvent, Event]] = []
            later: list[tuple[RecordedEvent, Event]] = []
            for each in left:
                (later if _ref(each[1]) in names else ready).append(each)
            if not ready:
                ready, later = later, []
            left = later
            for event, _ in ready:
                broken = self._try(event)
                if broken is not None:
                    self._without_ground(event, broken)

    def _try(self, event: RecordedEvent) -> Broken | None:
        self._changed = set()
        given = given_of(event)
        if isinstance(given, OrderPlaced):
            # Instruments go by the names that they were known by, from the first day on.
            given = msgspec.structs.replace(given, instrument=current_name(self.state, given.instrument))
        return None if type(given) in _SKIPPED else self._apply(event, given)

    def _apply(self, event: RecordedEvent, given: Event) -> Broken | None:
        self.tries += 1
        self.state.asked.clear()
        mark = self.state.begin()
        now = Now(event.seq, event.occurred_at, event.recorded_at, split_payload(event.payload)[1])
        try:
            fold.RULES[type(given)](self.state, given, now)
            if self.state.quarantine.rows and given.KIND == "fact":
                quarantine.answer(self.state, given, event.seq)
        except Broken as broken:
            self.state.rollback(mark)
            return broken
        except (DuplicateFact, LedgerError) as error:
            self.state.rollback(mark)
            return Broken("order_of_days", str(error))
        for table, key, old, new in self.state.log[mark:]:
            self._changed.add((table.name, key))
            if self._waiting.types[SplitApplied.__name__] and isinstance(new, Position | Order | Balance):
                self._changed.add(self._holding_of(new))
            if table is self.state.executions:
                self._charge(old, -1)
                self._charge(new, 1)
        if not self._is_settling:
            self.state.log.clear()
        return None

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

    def _charge(self, row: Row | None, sign: int) -> None:
        if isinstance(row, Execution) and row.live and row.fees != "[]":
            for asset, amount in fees_of(row.fees):
                key = (row.account, row.instrument, asset)
                self.fees[key] = self.fees.get(key, 0) + sign * amount

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
        lacking = _LACKING.get(type(given), frozenset({"orders"}))
        if isinstance(given, TradeExecuted) and self._apply(event, self._alone(given)) is not None:
            lacking |= {"positions", "lots", "executions"}
        self.misfits.append(Misfit(event.seq, event.event_type, broken.rule, broken.detail, lacking))

    def _alone(self, given: TradeExecuted) -> TradeExecuted:
        """Return *given* without its order; a correction of what does not count yet as a trade of its own."""
        if isinstance(given, TradeCorrected):
            day = given.ref_trade_date or given.trade_date
            if self.state.executions.get(given.venue, day, given.exec_ref) is not None:
                return msgspec.structs.replace(given, order_id=None, reconciliation=True)
        names = TradeExecuted.__struct_fields__
        alone = {name: getattr(given, name) for name in names if name not in ("order_id", "reconciliation")}
        return TradeExecuted(**alone, reconciliation=True)

    def _balance(self, events: list[Counted]) -> None:
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for each in events:
            for line in each.lines:
                buckets = sums.setdefault((line.account, line.asset), {"settled": 0, "unsettled": 0, "held": 0})
                buckets[line.bucket] += line.amount
        self.state.balances.rows.clear()
        for key, buckets in sums.items():
            known = self._whole.balances.get(*key)
            if known is None:
                raise AssertionError(f"postings to {key} without a balance")
            row = msgspec.structs.replace(known, **buckets)
            breached = row.floor is not None and row.available < row.floor
            self.state.add("balances", msgspec.structs.replace(row, breached=breached))


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
