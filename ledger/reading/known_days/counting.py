"""
Tell what each event posts when the days are gone through in order.

Balances are sums of postings as they are stored, whatever the rules make of them now. They were stored in the order of
seq: with what a correction undid, or an allocation's reversal, stands what had settled of it by then. In the order of
days that may be yet to come, as it settled on a later day than the correction counts for; and what is undone may not
have counted yet. So five things are moved between events, and the sum over all of them stays what it was:

- what a version of a trade booked is undone by the first of the versions after it that counts, whichever took its
  place, or as it comes, where that one counts before it;
- what settled of it is undone with it, and as it comes, where it settled later;
- a settlement of a trade that does not count yet is posted once it does;
- what is given back of an order's hold is posted once the order holds as much (`giving_back`): a session may be of an
  earlier day than the order by UTC;
- what a settlement, or a dividend, moves as new shares, beyond those that were booked, belongs to the split, and so
  does what a split made of whatever else was told before it: where an event was told on the other side of the split
  than the day it counts for, that is posted with the split, or with it (`settled_shares`).

This module knows no rule; `known` folds the events whose postings are told here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, TradeAllocated, TradeSettled
from ledger.domain.postings import Line, merged, negated
from ledger.domain.rows import Execution
from ledger.domain.rules.trades import lines_of
from ledger.errors import NotFound, StateMismatch
from ledger.reading.known_days.giving_back import given_back, hold_lines
from ledger.reading.known_days.settled_shares import Moved, is_later, told_after, told_before
from ledger.reading.known_days.split_days import SETTLING, Split, Splits
from ledger.reading.lineage import Name, lines_for, replaced_by, settled_by, version_before
from ledger.reading.posted import given_of, posted
from ledger.reading.sound_rows import MEND

Find = Callable[[str, str, str], Execution | None]
"""What returns the row of an execution by its name."""

_TELLING: Final = frozenset(
    {"TradeExecuted", "TradeCorrected", "TradeBusted", "TradeSettled", "TradeAllocated", "AllocationReversed"}
)


class Counted(msgspec.Struct, frozen=True):
    """
    An event with what it posts when the days are gone through in order; `moved` are those of the lines that were stored
    with another event, or taken from this one, by the seq of the event that recorded them. `rounded` is how much more
    there is of them for an account than an exact multiple would be, by the seq of the split.
    """

    event: RecordedEvent
    lines: list[Line]
    moved: dict[int, list[Line]] = {}
    rounded: dict[tuple[int, str], Fraction] = {}


class _Gross(msgspec.Struct):
    gross: str = "0"


_GROSS: Final = msgspec.json.Decoder(_Gross)


class _Settled(msgspec.Struct, frozen=True):
    """
    A settlement of one execution: its seq, its place among the events, and the place where both count.
    """

    seq: int
    place: int
    both: int | None


class _InOrder:
    """
    Events in the order of days, by their places in it, with what is moved between them.
    """

    def __init__(self, events: list[RecordedEvent], find: Find, account: str | None, splits: Splits) -> None:
        self._events = events
        self._splits = splits
        self._at = {event.seq: place for place, event in enumerate(events) if event.event_type == "SplitApplied"}
        self._become: dict[int, list[Line]] = {}
        """What a settlement moves as new shares, by its place, where it is a part of its lines."""
        self._find = find
        self._account = account
        self._lines = [posted(event) for event in events]
        self._booked: dict[Name, int] = {}
        """The place of the event that books a version."""
        self._away: dict[Name, list[tuple[int, int]]] = defaultdict(list)
        """The places from which to which an execution was allocated."""
        self._replaces: dict[int, Name] = {}
        self._undone: dict[Name, int] = {}
        """Where the first version that counts after this one does."""
        self._settled: dict[Name, list[_Settled]] = defaultdict(list)
        self._settlements: dict[int, TradeSettled] = {}
        self._allocations: dict[str, tuple[int, TradeAllocated]] = {}
        self._reversals: dict[int, str] = {}
        self._moves: dict[int, dict[int, list[Line]]] = defaultdict(lambda: defaultdict(list))
        """What is moved, by the place to which it is, and by the seq of the event that recorded it."""
        self._rounded: dict[int, dict[tuple[int, str], Fraction]] = defaultdict(lambda: defaultdict(Fraction))

    def counted(self) -> list[Counted]:
        self._read()
        if self._splits:
            self._beside_splits()
        self._beside_orders()
        for place, name in self._replaces.items():
            self._note_undone(place, name)
        for name, settled in self._settled.items():
            for one in settled:
                if one.both != one.place:
                    lines = self._moved(name, one)
                    self._move(one.place, negated(lines), one.seq)
                    self._move(one.both, lines, one.seq)
        for place in self._settlements:
            self._move_become(place)
        undoing = {name: self._events[place].seq for place, name in self._replaces.items()}
        for place in self._replaces:
            self._move(place, negated(self._parts(place)[0]), self._events[place].seq)
        for name, place in self._undone.items():
            for at, lines in self._standing(name):
                self._move(max(at, place), negated(lines), undoing.get(name, self._events[place].seq))
        self._reverse()
        if self._splits:
            self._after_splits()
        return [self._counted(place) for place in range(len(self._events))]

    def _counted(self, place: int) -> Counted:
        event, lines = self._events[place], self._lines[place]
        if place not in self._moves:
            return Counted(event, lines)
        rounded = dict(self._rounded[place]) if place in self._rounded else {}
        moved = {seq: found for seq, of_seq in self._moves[place].items() if (found := merged(of_seq))}
        return Counted(event, lines + merged(line for found in moved.values() for line in found), moved, rounded)

    def _read(self) -> None:
        of_seq = sorted(
            (event.seq, place) for place, event in enumerate(self._events) if event.event_type in _TELLING
        )  # fmt: skip
        for seq, place in of_seq:
            given = given_of(self._events[place])
            if isinstance(given, TradeExecuted | TradeBusted):
                self._booked[given.venue, given.trade_date, given.exec_id] = place
                replaced = replaced_by(given)
                if replaced is not None:
                    self._replaces[place] = replaced
            elif isinstance(given, TradeSettled):
                self._settlements[place] = given
                for name in settled_by(given):
                    self._settled[name].append(_Settled(seq, place, self._both(name, place)))
            elif isinstance(given, TradeAllocated):
                self._allocations[given.allocation_id] = (place, given)
                self._booked.update(dict.fromkeys(self._allotted(given), place))
            elif isinstance(given, AllocationReversed) and given.allocation_id in self._allocations:
                self._reversals[place] = given.allocation_id
                allocated, block = self._allocations[given.allocation_id]
                for exec_id in block.exec_ids:
                    self._away[block.venue, block.trade_date, exec_id].append((allocated, place))

    def _both(self, name: Name, place: int) -> int | None:
        """
        Return where a settlement at *place* counts, and the execution of this name; None is none of these days.

        An allocation may have it there that was reversed before the settlement was told: then it is where the reversal
        is. One that comes later, as a closing put it on a later day, finds it settled.
        """
        if name not in self._booked:
            return None
        both = max(place, self._booked[name])
        for allocated, again in sorted(self._away.get(name, ())):
            if allocated <= both:
                both = max(both, again)
        return both

    def _beside_splits(self) -> None:
        """Post with a split what the events that settle have of it, and with those what the split has."""
        settling = [place for place, event in enumerate(self._events) if event.event_type in SETTLING]
        for place in settling:
            event = self._events[place]
            self._become[place], later = told_after(event, self._splits)
            for seq, lines in later.items():
                self._lines[place] = merged(self._lines[place] + negated(lines))
                self._move(self._at.get(seq), lines, event.seq)

    def _move_become(self, place: int) -> None:
        """Post what a settlement of several trades moves as new shares with the last of them, where none counts yet."""
        names, become = settled_by(self._settlements[place]), self._become.get(place)
        both = [one.both for name in names for one in self._settled[name] if one.place == place]
        if become and len(names) > 1 and place not in both:
            last = None if None in both else max(x for x in both if x is not None)
            seq = self._events[place].seq
            self._move(place, negated(become), seq)
            self._move(last, become, seq)

    def _after_splits(self) -> None:
        """Take back from a split what it made of that which counts for a day after it, and post it there."""
        moves: dict[str, list[Moved]] = {move.line.asset: [] for move in self._owned() if is_later(move, self._splits)}
        for move in self._owned() if moves else ():
            if move.line.asset in moves:
                moves[move.line.asset].append(move)
        for asset, of_asset in moves.items():
            for split in self._splits[asset]:
                if split.seq in self._at:
                    self._post_later(split, of_asset)

    def _owned(self) -> Iterator[Moved]:
        """Yield what is posted of shares that split, in the order of days."""
        for place, event in enumerate(self._events):
            for seq, lines in [(event.seq, self._lines[place]), *self._moves.get(place, {}).items()]:
                for line in lines:
                    if line.asset in self._splits:
                        yield Moved(place, seq, event.effective_on, line)

    def _post_later(self, split: Split, moves: list[Moved]) -> None:
        at = self._at[split.seq]
        for made in list(told_before(split, moves)):
            for place, lines, rounded in (
                (at, negated(made.lines), -made.rounded), (made.place, made.lines, made.rounded),
            ):  # fmt: skip
                self._move(place, lines, split.seq)
                self._rounded[place][split.seq, made.account] += rounded
                # What this split made, one that was recorded after it multiplies.
                moves += [Moved(place, split.seq, self._events[place].effective_on, line) for line in lines]
        moves.sort(key=lambda move: move.place)

    def _as_traded(self, place: int) -> list[Line]:
        return merged(self._lines[place] + negated(self._become.get(place, [])))

    def _beside_orders(self) -> None:
        """Post what is given back of holds once as much is held."""
        for place, later in given_back(list(zip(self._events, self._lines, strict=True))):
            event, lines = self._events[place], hold_lines(self._events[place], self._lines[place])
            self._move(place, negated(lines), event.seq)
            self._move(later, lines, event.seq)

    def _note_undone(self, place: int, name: Name | None) -> None:
        """Note of *name*, and of every version before it, that at *place* one after it counts."""
        while name is not None and self._undone.get(name, place + 1) > place:
            self._undone[name] = place
            name = self._before(name)

    def _before(self, name: Name) -> Name | None:
        if name in self._booked:
            return self._replaces.get(self._booked[name])
        row = self._find(*name)
        return None if row is None else version_before(row)

    def _parts(self, place: int) -> tuple[list[Line], list[Line]]:
        """Return those of a report's stored lines that undo the version before, and its own; the hold's come first."""
        given, lines = given_of(self._events[place]), self._lines[place]
        own = 0
        if isinstance(given, TradeExecuted):
            derived = split_payload(self._events[place].payload)[0]
            gross = given.gross if given.gross is not None else _GROSS.decode(derived).gross
            own = 2 * (1 + (gross != "0") + sum(fee.amount != "0" for fee in given.fees))
        first = len(hold_lines(self._events[place], lines))
        return lines[first : len(lines) - own], lines[len(lines) - own :]

    def _standing(self, name: Name) -> Iterator[tuple[int, list[Line]]]:
        """Yield what a version that counts has in the books, each with the place from which it has it."""
        if name in self._booked:
            place = self._booked[name]
            yield place, self._parts(place)[1]
        for one in self._settled.get(name, ()):
            if one.both is not None:
                yield one.both, self._moved(name, one)

    @staticmethod
    def _allotted(given: TradeAllocated) -> list[Name]:
        return lines_for(given.venue, given.trade_date, given.allocation_id, len(given.lines))

    def _reverse(self) -> None:
        for place, allocation_id in self._reversals.items():
            allocated, given = self._allocations[allocation_id]
            # The one undoes the other, and what had settled of the lines besides.
            seq = self._events[place].seq
            self._move(place, negated(merged(self._lines[place] + self._lines[allocated])), seq)
            for name in self._allotted(given):
                for one in self._settled.get(name, ()):
                    if one.both is not None:
                        self._move(max(one.both, place), negated(self._moved(name, one)), seq)

    def _moved(self, name: Name, settled: _Settled) -> list[Line]:
        """Return those lines of a settlement that are of the execution of this name."""
        names = settled_by(self._settlements[settled.place])
        if len(names) < 2:
            return self._lines[settled.place]
        # Of several it settles all that is left, and what is stored is their sum.
        left = {each: self._left(each, settled.seq) for each in names}
        wrong = merged([x for lines in left.values() for x in lines] + negated(self._as_traded(settled.place)))
        if any(self._account in (None, line.account) for line in wrong):
            event = self._events[settled.place]
            raise NotFound(
                f"balances cannot be told for these days: event {event.seq} settles several trades at once, of which "
                "earlier parts count for later days: ask by seq"
            )
        return left[name]

    def _left(self, name: Name, seq: int) -> list[Line]:
        row = self._find(*name)
        if row is None:
            raise StateMismatch(f"found no row of executions for {name}, which an event settles; {MEND}")
        own = lines_of(row)
        whole = negated(own) + [Line(x.account, x.asset, "settled", x.amount) for x in own]
        before = [x for one in self._settled[name] if one.seq < seq for x in self._moved_as_traded(name, one)]
        return merged(whole + negated(before))

    def _moved_as_traded(self, name: Name, settled: _Settled) -> list[Line]:
        alone = len(settled_by(self._settlements[settled.place])) < 2
        return self._as_traded(settled.place) if alone else self._moved(name, settled)

    def _move(self, place: int | None, lines: list[Line], seq: int) -> None:
        """Post *lines*, which the event at *seq* recorded, with the event at *place*; None is none of these days."""
        if place is not None:
            self._moves[place][seq] += lines


def counted(
    events: Iterable[RecordedEvent], find: Find, account: str | None = None, splits: Splits | None = None
) -> list[Counted]:
    """
    Return *events*, all of some days, in the order (effective_on, seq) with what each posts in that order.

    Where only postings to one *account* are asked for, *events* may be those that post to it, and those that made what
    they settle and reverse (`stated_events`). *splits* are all that were recorded, whatever days they count for.

    Raises:
        NotFound: what one of them posts in that order cannot be told.
    """
    in_order = sorted(events, key=lambda event: (event.effective_on, event.seq))
    return _InOrder(in_order, find, account, splits or {}).counted()
