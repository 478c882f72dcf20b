"""
Say from a history which trades stand, in which version, and how much of each has settled.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction

from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.settlement import AllocationReversed, SettlementFailed, TradeAllocated, TradeSettled
from tests.model import reference
from tests.model.history import History, asked, number, rounded
from tests.model.periods import is_closed

Key = tuple[str, str, str]
"""Venue, trade date and execution id."""
Fees = tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True)
class Trade:
    """
    A trade that counts.
    """

    key: Key
    account: str
    instrument: str
    side: str
    qty: Fraction
    price: Fraction
    gross: Fraction
    fees: Fees
    due: str
    at_once: bool
    order: str | None = None
    block: str | None = None
    settled: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)
    seq: int = 0
    """Of the event that made this version."""

    @property
    def day(self) -> str:
        return self.key[1]

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1

    @property
    def open(self) -> Fraction:
        """How much waits for its settlement."""
        return Fraction(0) if self.at_once else self.qty - self.settled

    def exact_part(self, qty: Fraction) -> Fraction:
        """Return the cash that goes with *qty* more, before rounding."""
        return (self.gross - self.paid) * qty / self.open


def key_of(event: TradeExecuted | TradeBusted) -> Key:
    return event.venue, event.trade_date, event.exec_id


def ref_of(event: TradeCorrected | TradeBusted) -> Key:
    return event.venue, event.ref_trade_date or event.trade_date, event.exec_ref


def settles(event: TradeSettled | SettlementFailed) -> list[Key]:
    """Return which trades a settlement says it is of."""
    if event.net:
        return [(event.venue, x.trade_date, x.exec_id) for x in event.net]
    return [(event.venue, event.trade_date or "", event.exec_id or "")]


def line_key(event: TradeAllocated, number_of_line: int) -> Key:
    return event.venue, event.trade_date, f"{event.allocation_id}.{number_of_line}"


def stood_for(history: History, trade: Trade) -> Fraction | None:
    """Return what one of the instrument stood for in a trade, as its cash says: on its day, or else on a later one."""
    its = reference.terms(history, trade.instrument)
    assert its is not None
    cent = Fraction(1, 10 ** reference.scales(history)[its.quote])
    for x in reference.multipliers(history, trade.instrument, trade.day):
        if abs(trade.gross - trade.qty * trade.price * x) < cent:
            return x
    return None


def terms_of(history: History, event: TradeExecuted, old: Trade | None) -> reference.Terms:
    """
    Return the terms of a report: of its day. One of a closed day that takes the place of a trade by the multiplier of a
    later day is by that one, unless the instrument never had it from the report's day on.
    """
    its = reference.terms(history, event.instrument, event.trade_date)
    assert its is not None
    if old is None or not is_closed(history, event.trade_date):
        return its
    usual, stood = reference.terms(history, old.instrument, old.day), stood_for(history, old)
    assert usual is not None
    if stood in (None, usual.multiplier):
        return its
    had = reference.multipliers(history, event.instrument, event.trade_date)
    return next((replace(its, multiplier=x) for x in had if x == stood), its)


def made(history: History, event: TradeExecuted, old: Trade | None) -> Trade:
    """Return the trade that an execution report says there was, in the place of an *old* version if it corrects one."""
    its = terms_of(history, event, old)
    qty, price = number(event.qty), number(event.price)
    gross = reference.gross_of(history, its, qty, price) if event.gross is None else number(event.gross)
    usual = reference.settle_day(history, its, event.trade_date)
    return Trade(
        key_of(event), event.account, event.instrument, event.side, qty, price, gross,
        tuple((x.asset, number(x.amount)) for x in event.fees), event.settle_date or usual,
        reference.cycle_of(history, its, event.trade_date) == 0 and event.settle_date in (None, usual), event.order_id,
    )  # fmt: skip


def terms_of_block(history: History, block: list[Trade]) -> reference.Terms | None:
    """Return the terms of a block: as one stood for the same in all its trades; None where it did not."""
    instrument, day = block[0].instrument, block[0].day
    its = reference.terms(history, instrument, day)
    assert its is not None
    cent = Fraction(1, 10 ** reference.scales(history)[its.quote])
    for x in reference.multipliers(history, instrument, day):
        if all(abs(trade.gross - trade.qty * trade.price * x) < cent for trade in block):
            return replace(its, multiplier=x)
    return None


def lines(history: History, event: TradeAllocated, block: list[Trade], its: reference.Terms) -> list[Trade]:
    """Return the trades of the accounts that a block of some terms is for."""
    return [
        Trade(
            line_key(event, place), x.account, block[0].instrument, block[0].side, number(x.qty), number(x.price),
            reference.gross_of(history, its, number(x.qty), number(x.price)),
            tuple((fee.asset, number(fee.amount)) for fee in x.fees), block[0].due, block[0].at_once,
            block=event.allocation_id,
        )
        for place, x in enumerate(event.lines, 1)
    ]  # fmt: skip


@dataclass
class Standing:
    """
    The trades that count, and, by allocation, those that were given away.
    """

    live: dict[Key, Trade]
    given: dict[str, list[Trade]]
    lines: dict[str, list[Key]]


@asked
def standing(history: History) -> Standing:
    now = Standing({}, {}, {})
    for seq, event in history.steps():
        old = now.live.pop(ref_of(event)) if isinstance(event, TradeBusted | TradeCorrected) else None
        if isinstance(event, TradeExecuted):
            now.live[key_of(event)] = replace(made(history.until(seq), event, old), seq=seq)
        elif isinstance(event, TradeSettled):
            for key in settles(event):
                now.live[key] = _settled(history, now.live[key], event)
        elif isinstance(event, TradeAllocated):
            given = [now.live.pop((event.venue, event.trade_date, x)) for x in event.exec_ids]
            now.given[event.allocation_id] = given
            its = terms_of_block(history.until(seq), given)
            assert its is not None
            found = [replace(x, seq=seq) for x in lines(history.until(seq), event, given, its)]
            now.lines[event.allocation_id] = [x.key for x in found]
            now.live |= {x.key: x for x in found}
        elif isinstance(event, AllocationReversed):
            for key in now.lines.pop(event.allocation_id):
                del now.live[key]
            now.live |= {x.key: x for x in now.given.pop(event.allocation_id)}
    return now


def live(history: History) -> dict[Key, Trade]:
    return standing(history).live


def _settled(history: History, trade: Trade, event: TradeSettled) -> Trade:
    qty = trade.open if event.net else number(event.qty)
    if qty == trade.open:
        paid = trade.gross
    elif event.amount is not None:
        paid = trade.paid + number(event.amount)
    else:
        its = reference.terms(history, trade.instrument)
        assert its is not None
        paid = trade.paid + rounded(trade.exact_part(qty), reference.scales(history)[its.quote])
    return replace(trade, settled=trade.settled + qty, paid=paid)


def settled_on(history: History, trade: Trade) -> list[tuple[str, Fraction]]:
    """Return the days on which *trade* settled and how much of it, as its settlements say, whenever they were told."""
    return [
        (event.date, live(history.until(seq))[trade.key].open if event.net else number(event.qty))
        for seq, event in history.steps()
        if isinstance(event, TradeSettled) and trade.key in settles(event)
    ]


@asked
def used(history: History) -> set[Key]:
    """Return the execution ids that were ever used, by reports of any kind and by lines of blocks."""
    found = {key_of(x) for x in history.of(TradeExecuted, TradeCorrected, TradeBusted)}
    for event in history.of(TradeAllocated):
        found |= {line_key(event, place) for place in range(1, len(event.lines) + 1)}
    return found


@asked
def fails(history: History) -> dict[tuple[str, ...], tuple[Fraction, str]]:
    """Return what each failed settlement left of each asset, as its account sees it, and when it is tried again."""
    found: dict[tuple[str, ...], tuple[Fraction, str]] = {}
    for seq, event in history.steps():
        if isinstance(event, SettlementFailed):
            then = history.until(seq)
            for key in settles(event):
                trade = live(then)[key]
                its = reference.terms(then, trade.instrument)
                assert its is not None
                left: dict[str, Fraction] = defaultdict(Fraction)
                scales, settled, paid = reference.scales(history), trade.settled, trade.paid
                if event.qty is not None and number(event.qty) > trade.open:
                    settled = trade.qty - number(event.qty)
                    paid = rounded(trade.gross * settled / trade.qty, scales[its.quote])
                left[its.asset] += trade.sign * (trade.qty - settled)
                left[its.quote] -= trade.sign * (trade.gross - paid)
                for asset, fee in trade.fees:
                    left[asset] -= fee - rounded(fee * settled / trade.qty, scales[asset])
                for asset, amount in left.items():
                    if amount:
                        found[event.settlement_id, event.date, *key, asset] = (amount, event.new_intended_date)
    return found


def roundings(history: History) -> list[list[tuple[str, str, str, Fraction]]]:
    """Return, for each block that is given away, who bears what its lines cost more than its executions."""
    now, found = standing(history), []
    for name, keys in now.lines.items():
        block = now.given[name]
        its = reference.terms(history, block[0].instrument)
        assert its is not None
        more = sum((now.live[x].gross for x in keys), Fraction(0)) - sum((x.gross for x in block), Fraction(0))
        more *= block[0].sign
        clearing = (f"~clearing.{block[0].key[0]}", its.quote, "settled", -more)
        found.append([clearing, ("~rounding", its.quote, "settled", more)])
    return found
