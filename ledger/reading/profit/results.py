"""
Work out profit and loss by day, account and instrument, from what is known of each day and the marks in it.

The days are those that events count for, gone through in order (`known.day_by_day`), so that what came late stands on
the day it is of. Three parts are kept apart, and add up: what prices did, what currencies did, and income, which is
dividends, funding and interest less fees and taxes. Deposits, withdrawals and journals are no result.

A line without an instrument is the account's cash in one asset: what it has of it beyond its positions. A day's part
in the base asset is reckoned since the day at which the line was last valued. Where a mark is missing, what it would
tell is absent and `missing` names it (of settlement or eod); the next line that has its marks takes in what is open.
"""

from __future__ import annotations

import bisect
import datetime
import math
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import msgspec

from ledger.domain import amounts
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.fields import Event
from ledger.domain.postings import Line, is_system
from ledger.domain.profit_and_loss import between, closing_price, rate_on, rounded, valued
from ledger.domain.rows import Account, Position
from ledger.domain.rules.ground import current_name
from ledger.domain.state import State
from ledger.errors import InvalidInput
from ledger.reading.known_days.charges import Charge, splits_of
from ledger.reading.known_days.counting import Counted
from ledger.reading.known_days.known import KnownFold, day_by_day
from ledger.reading.moment import day_text, days
from ledger.reading.posted import given_of
from ledger.reading.profit.flows import CHARGED, FLOWS, Flows, Key, flows_of
from ledger.reading.profit.marks_ahead import MarksAhead
from ledger.reading.profit.remainders import Remainders
from ledger.reading.profit.result_lines import NOTHING, Parts, Remembered, Result
from ledger.reading.sources import check_told

Ratios = dict[str, list[tuple[int, Fraction]]]
"""Of each asset that split on a day, how many splits of it had been recorded before each of those, and its ratio."""


def _since(ratios: Ratios, asset: str, recorded: int) -> Fraction:
    """Return how many shares one has become that was recorded after so many splits."""
    return Fraction(math.prod(ratio for number, ratio in ratios.get(asset, ()) if recorded <= number))


class _Reckoning:
    """
    The lines of all days so far.
    """

    def __init__(self, whole: State, account: str | None) -> None:
        self._whole = whole
        self._account = account
        self._lines: dict[Key, Remembered] = defaultdict(Remembered)
        self._owned: dict[tuple[str, str], int] = defaultdict(int)
        self._late: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        """What of it was moved by events that were recorded after a split of the asset, by how many there were."""
        self._charged: dict[Charge, int] = {}
        self._paid: dict[Charge, int] = {}
        self._older: dict[Key, Fraction] = {}
        self._ratios: Ratios = defaultdict(list)
        """What has split so far: an event that was recorded before it, and is of a later day, is of old shares too."""
        self._undoing: set[str] = set()
        self._splits = splits_of(whole)
        self._asset_of = {seq: asset for asset, seqs in self._splits.items() for seq in seqs}
        self._remainders = Remainders(whole)
        self._ahead = MarksAhead(whole)
        self._earned: dict[Key, list[tuple[int, Fraction, Fraction]]] = {}

    def _concerns(self, account: str) -> bool:
        return account == self._account if self._account is not None else not is_system(account)

    def take(self, day: str, fold: KnownFold, of_day: list[Counted], *, closing: bool) -> list[Result]:
        """
        Return the lines of *day* that have something to say, and on the *closing* day those that should have.
        """
        flows: dict[tuple[Key, int], dict[str, int]] = defaultdict(lambda: dict.fromkeys(FLOWS, 0))
        rest: list[tuple[Key, int, Fraction]] = []
        for each in of_day:
            seq = each.event.seq
            for line in each.lines:
                self._owned[line.account, line.asset] += line.amount
                self._note_late(line, seq)
            for of_seq, moved in each.moved.items():
                for line in moved:
                    self._note_late(line, seq, -1)
                    self._note_late(line, of_seq)
            for (of_seq, account), rounded_by in each.rounded.items():
                asset = self._asset_of[of_seq]
                rest.append(((account, None, asset), self._recorded(asset, of_seq) + 1, rounded_by))
            for key, kind, amount in flows_of(each, self._whole, self._undoing):
                flows[key, self._recorded(key[2], seq)][kind] += amount
            if each.event.event_type == SplitApplied.__name__:
                rest += self._split(given_of(each.event), seq, fold)
        # What waits is settled for a day alone: a charge of the day before may be gone.
        for charged in dict.fromkeys([*self._charged, *fold.charges.sums]):
            account, name, asset, recorded = charged
            change = fold.charges.sums.get(charged, 0) - self._charged.get(charged, 0)
            flows[(account, name, asset), recorded]["fees"] += change
        self._charged = dict(fold.charges.sums)
        self._older = self._paid_in_older(fold)
        found = self._flowed(flows, rest)
        return self._positions(day, fold.state, found, closing) + self._others(day, fold.state, found, closing)

    def _paid_in_older(self, fold: KnownFold) -> dict[Key, Fraction]:
        """Return how much more than positions say was paid on the day in shares that had split by its end."""
        found: dict[Key, Fraction] = defaultdict(Fraction)
        for paid in dict.fromkeys([*self._paid, *fold.charges.paid]):
            account, name, asset, recorded = paid
            more = _since(self._ratios, asset, recorded) - 1
            found[account, name, asset] += (fold.charges.paid.get(paid, 0) - self._paid.get(paid, 0)) * more
        self._paid = dict(fold.charges.paid)
        return found

    def _note_late(self, line: Line, seq: int, sign: int = 1) -> None:
        if line.asset in self._splits:
            self._late[line.account, line.asset][self._recorded(line.asset, seq)] += sign * line.amount

    def _recorded(self, asset: str, seq: int) -> int:
        """Return how many splits of *asset* had been recorded before the event at *seq*."""
        return bisect.bisect_left(self._splits.get(asset, ()), seq)

    def _flowed(self, flows: dict[tuple[Key, int], dict[str, int]], rest: Iterable[tuple[Key, int, Fraction]]) -> Flows:
        """Return what flowed on the day by line, and note what was earned and converted in the shares of its end."""
        found: Flows = defaultdict(lambda: dict.fromkeys(FLOWS, 0))
        self._earned = defaultdict(list)
        for (key, recorded), parts in flows.items():
            if not any(parts.values()) or not self._concerns(key[0]):
                continue
            for kind, amount in parts.items():
                found[key][kind] += amount
            ratio = _since(self._ratios, key[2], recorded)
            earned = sum(-parts[x] if x in CHARGED else parts[x] for x in FLOWS if x != "converted")
            self._earned[key].append((recorded, earned * ratio, parts["converted"] * ratio))
        for key, recorded, came in rest:
            if self._concerns(key[0]):
                found[key]["converted"] += rounded(came, amounts.SCALE)
                self._earned[key].append((recorded, NOTHING, came * _since(self._ratios, key[2], recorded)))
        return found

    def _split(self, given: Event, seq: int, fold: KnownFold) -> list[tuple[Key, int, Fraction]]:
        """
        Tell what is remembered of the asset in the new shares, also of positions that are priced in it.

        Return what of it was rounded, and paid in cash, in shares of after the split.
        """
        if not isinstance(given, SplitApplied):
            raise AssertionError(f"{type(given).__name__} is no split")
        asset = self._whole.instruments.rows[current_name(self._whole, given.instrument),].asset
        number, ratio = self._recorded(asset, seq), Fraction(given.ratio_num, given.ratio_den)
        self._ratios[asset].append((number, ratio))
        self._ahead.counts(asset, seq)
        for key, line in self._lines.items():
            if key[2] == asset:
                line.split(number, ratio)
        rest = self._remainders.of(given, seq, fold.split)
        return [(key, self._recorded(key[2], seq) + (key[2] == asset), amount) for key, amount in rest]

    def _positions(self, day: str, state: State, flows: Flows, closing: bool) -> list[Result]:
        found = []
        for (account, name), position in sorted(state.positions.rows.items()):
            instrument = state.instruments.get(name)
            if instrument is None or not self._concerns(account):
                continue
            key = (account, name, instrument.quote_asset)
            line, flowed = self._lines[key], flows.pop(key, None)
            ahead = self._ahead.split_of(day, instrument.asset, instrument.quote_asset)
            price = None if ahead else closing_price(state, name, day)
            told = price is not None or ahead is not None
            if line.stale:
                rate = self._rate(state, instrument.quote_asset, self._owner(account), day)
                line.settle(rate)
                told |= rate is not None and not position.qty
            is_open = bool(position.qty or line.stale)
            if flowed or position != line.position or (is_open and (closing or told)):
                found.append(self._position(day, state, key, position, price, flowed))
        return found

    def _rate(self, state: State, asset: str, owner: Account, day: str) -> Fraction | None:
        if asset != owner.base_asset and self._ahead.split_of(day, asset, owner.base_asset):
            return None
        try:
            return rate_on(state, asset, owner.base_asset, day)
        except InvalidInput:
            return None

    def _position(
        self, day: str, state: State, key: Key, position: Position, price: int | None, flowed: dict[str, int] | None
    ) -> Result:
        account, name, asset = key
        owner, line = self._owner(account), self._lines[key]
        instrument = state.instruments.rows[(str(name),)]
        figure, why = None, list[str]()
        if position.qty and price is None:
            why.append(self._ahead.lacking(str(name), day, instrument.asset, asset))
        else:
            scale = self._whole.assets.rows[(asset,)].scale
            figure = valued(instrument, position, price or 0, day, scale)
        rate = self._rate(state, asset, owner, day)
        before = line.position or Position(account, position.instrument, 0, 0, 0, 0)
        line.position = position
        paid = (position.cost - position.realised) - (before.cost - before.realised) + self._older.get(key, NOTHING)
        line.cost, line.paid = line.cost + paid, line.paid + paid
        self._earn(line, key)
        line.settle(rate)
        stands = {
            "qty": position.qty, "cost": position.cost, "mark": price if position.qty else None,
            "value": figure.value if figure else None, "realised": position.realised - before.realised,
            "unrealised": figure.unrealised if figure else None, "method": owner.cost_method,
        }  # fmt: skip
        parts = None
        if figure is not None and rate is not None:
            base_scale = self._whole.assets.rows[(owner.base_asset,)].scale
            underway = line.rated * rate - line.paid_worth
            # Its own cost and result are in shares of when it was paid, if it is priced in such as split.
            told = msgspec.structs.replace(figure, cost=round(line.cost), realised=0)
            made = between(line.figure, told, (line.rate, rate), owner.base_asset, base_scale, underway)
            parts = (made.price, made.currency)
            line.figure = told
        return self._row(day, key, owner, stands, flowed, rate, parts, why)

    def _others(self, day: str, state: State, flows: Flows, closing: bool) -> list[Result]:
        """Return the lines of cash, and those of what an instrument brought or cost in another asset."""
        owned: dict[tuple[str, str], int] = {k: x for k, x in self._owned.items() if self._concerns(k[0])}
        for (account, name), position in state.positions.rows.items():
            instrument = state.instruments.get(name)
            if instrument is not None and self._concerns(account):
                # What an allocation brought of an asset may have been charged in it at once: no posting is left then.
                owned[account, instrument.asset] = owned.get((account, instrument.asset), 0) - position.qty
        keys = {(account, None, asset) for account, asset in owned} | flows.keys()
        keys |= {key for key, line in self._lines.items() if line.stale and line.position is None}
        found = []
        for key in sorted(keys, key=lambda key: (key[0], key[1] or "", key[2])):
            account, name, asset = key
            line, flowed, owner = self._lines[key], flows.get(key), self._owner(account)
            held = owned.get((account, asset), 0) if name is None else 0
            rate = self._rate(state, asset, owner, day)
            holds = self._held(key, held)
            moved, line.seen = holds != line.seen, holds
            is_open = bool(holds or line.held or line.stale)
            told = rate is not None or self._ahead.split_of(day, asset, owner.base_asset) is not None
            abroad = asset != owner.base_asset and (moved or (is_open and (closing or told)))
            if not flowed and not abroad:
                continue
            parts = None
            self._earn(line, key)
            line.settle(rate)
            if rate is not None:
                scale = self._whole.assets.rows[(owner.base_asset,)].scale
                change = sum([*line.held.values(), *line.converted.values()], NOTHING) * rate - line.worth
                parts = (0, rounded(change, scale))
                line.held, line.worth = dict(holds), held * rate
            stands = {"qty": held if name is None else None}
            found.append(self._row(day, key, owner, stands, flowed, rate, parts, []))
        return found

    def _held(self, key: Key, held: int) -> Parts:
        """Return *held* by what of it splits to come multiply: all but what was recorded after them."""
        late = self._late.get((key[0], key[2]), {}) if key[1] is None else {}
        parts = {recorded: Fraction(amount) for recorded, amount in late.items() if recorded}
        parts[0] = held - sum(parts.values(), NOTHING)
        return {recorded: amount for recorded, amount in parts.items() if amount}

    def _earn(self, line: Remembered, key: Key) -> None:
        for recorded, earned, converted in self._earned.get(key, ()):
            line.income[recorded] = line.income.get(recorded, NOTHING) + earned
            line.converted[recorded] = line.converted.get(recorded, NOTHING) + converted

    def _owner(self, account: str) -> Account:
        return self._whole.accounts.rows[(account,)]

    def _row(
        self, day: str, key: Key, owner: Account, stands: dict[str, Any], flowed: dict[str, int] | None,
        rate: Fraction | None, parts: tuple[int, int] | None, why: list[str],
    ) -> Result:  # fmt: skip
        line = self._lines[key]
        if rate is None:
            pair = key[2], owner.base_asset
            why = [*why, self._ahead.lacking("/".join(pair), day, *pair)]
        flowed = flowed or dict.fromkeys(FLOWS, 0)
        since = line.day
        line.stale = parts is None
        made: dict[str, Any] = {}
        if parts is not None and rate is not None:
            income = rounded(line.income_worth, self._whole.assets.rows[(owner.base_asset,)].scale)
            made = {"price_result": parts[0], "currency_result": parts[1], "income": income,
                    "total": sum(parts) + income}  # fmt: skip
            line.valued(day, rate)
        absent: dict[str, Any] = dict.fromkeys(
            ("method", "qty", "cost", "mark", "value", "realised", "unrealised", "price_result", "currency_result",
             "income", "total")
        )  # fmt: skip
        return Result(
            day=day, since=since, account=key[0], instrument=key[1], asset=key[2], base_asset=owner.base_asset,
            rate=None if rate is None else rounded(rate * amounts.UNIT, amounts.SCALE),
            missing=tuple(why), **{**absent, **stands, **flowed, **made},
        )  # fmt: skip


def results(
    whole: State, events: list[Counted], account: str | None, first: str | None, last: str | None
) -> list[Result]:
    """
    Return profit and loss of *account*, or of all but the ledger's own, over the days *first* to *last*.

    *events* are all that count up to *last*, in their order, and *whole* is the state that they are part of. On the
    last day everything that is open has a line; where none is given, that is the last one with a posting or a mark.

    Raises:
        NotFound: a day asked about does not hold what moved positions on it.
    """
    reckoning, found = _Reckoning(whole, account), []
    telling = (x.event for x in reversed(events) if x.lines or x.event.event_type == MarkRecorded.__name__)
    closing = last or next((day_text(event.effective_on) for event in telling), "")
    until = days(datetime.date.fromisoformat(closing)) if closing else None
    for number, fold, of_day in day_by_day(whole, events, until):
        day = day_text(number)
        if first is None or day >= first:
            check_told("positions", fold.misfits, account=account)
        found += reckoning.take(day, fold, of_day, closing=day == closing)
    return [row for row in found if first is None or row.day >= first]
