"""
Say from a history what every account has in every bucket: the sum of what trades, movements and holds put there.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from ledger.domain.events.cash import (
    CashMoved,
    FeeCharged,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
)
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.events.fields import Event
from tests.model import corporate, orders, reference, trades
from tests.model.history import History, asked, number, rounded
from tests.model.moment import Moment

Place = tuple[str, str, str]
"""Account, asset and bucket."""
Buckets = dict[Place, Fraction]
Posting = tuple[str, str, str, Fraction]

OUTSIDE = {"deposit": "~external", "withdrawal": "~external", "interest": "~interest", "funding": "~funding",
           "tax": "~tax"}  # fmt: skip


def moved(event: Event) -> list[Posting]:
    """Return the postings of what moves value by itself, without a trade."""
    match event:
        case CashMoved():
            amount, other = number(event.amount), OUTSIDE[event.kind]
            return _pair(event.asset, amount, other, event.account)
        case FeeCharged():
            return _pair(event.asset, number(event.amount), event.account, "~fees")
        case FxConverted():
            sold, bought = event.sold, event.bought
            return [
                *_pair(sold.asset, number(sold.amount), event.account, f"~fx_clearing.{sold.asset}"),
                *_pair(bought.asset, number(bought.amount), f"~fx_clearing.{bought.asset}", event.account),
            ]
        case JournalPosted():
            return [(x.account, x.asset, x.bucket, number(x.amount)) for x in event.postings]
    return []


def _pair(asset: str, amount: Fraction, source: str, target: str) -> list[Posting]:
    return [(source, asset, "settled", -amount), (target, asset, "settled", amount)]


def movement_id(event: Event) -> tuple[str, str] | None:
    """Return by which kind and id a reversal names an event."""
    match event:
        case CashMoved():
            return "cash", event.movement_id
        case FeeCharged():
            return "fee", event.fee_id
        case FxConverted():
            return "fx", event.fx_id
        case JournalPosted():
            return "journal", event.journal_id
    return None


@asked
def movements(history: History) -> dict[tuple[str, str], Event]:
    named = ((movement_id(event), event) for _, event in history.steps())
    return {name: event for name, event in named if name is not None}


def reversed_already(history: History) -> set[tuple[str, str]]:
    return {(x.reverses_kind, x.reverses) for x in history.of(JournalReversed)}


@asked
def holds(history: History) -> dict[str, dict[tuple[str, str], Fraction]]:
    """Return what is left of each hold, by account and asset; an empty one has ended."""
    left: dict[str, dict[tuple[str, str], Fraction]] = {}
    for _, event in history.steps():
        if isinstance(event, HoldPlaced):
            rest: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
            for leg in event.legs:
                rest[leg.account, leg.asset] += number(leg.amount)
            left[event.hold_id] = rest
        elif isinstance(event, HoldReleased):
            rest = left[event.hold_id]
            if event.amounts is None:
                rest.clear()
            for leg in event.amounts or ():
                rest[leg.account, leg.asset] -= number(leg.amount)
                if not rest[leg.account, leg.asset]:
                    del rest[leg.account, leg.asset]
    return left


def _trade_postings(history: History, trade: trades.Trade) -> list[Posting]:
    its = reference.terms(history, trade.instrument)
    assert its is not None
    share = Fraction(1) if trade.at_once else trade.settled / trade.qty
    clearing, found = f"~clearing.{trade.key[0]}", []
    scales = reference.scales(history)
    parts = [("settled", share * trade.qty, trade.gross if trade.at_once else trade.paid)]
    parts.append(("unsettled", trade.qty - parts[0][1], trade.gross - parts[0][2]))
    for bucket, qty, cash in parts:
        found += [
            (trade.account, its.asset, bucket, trade.sign * qty),
            (clearing, its.asset, bucket, -trade.sign * qty),
        ]
        found += [
            (trade.account, its.quote, bucket, -trade.sign * cash),
            (clearing, its.quote, bucket, trade.sign * cash),
        ]
    for asset, amount in trade.fees:
        settled = rounded(amount * share, scales[asset])
        for bucket, part in (("settled", settled), ("unsettled", amount - settled)):
            found += [(trade.account, asset, bucket, -part), ("~fees", asset, bucket, part)]
    return found


@asked
def buckets(history: History) -> Buckets:
    """Return every bucket that is not empty."""
    sums: Buckets = defaultdict(Fraction)

    def post(*postings: Posting) -> None:
        for account, asset, bucket, amount in postings:
            sums[account, asset, bucket] += amount

    for trade in trades.live(history).values():
        post(*_trade_postings(history, trade))
    for given in trades.roundings(history):
        post(*given)
    for seq, event in history.steps():
        if isinstance(event, SplitApplied):
            post(*corporate.split_postings(history.until(seq), event))
    post(*corporate.settled_since(history))
    post(*corporate.dividend_postings(history))
    void = reversed_already(history)
    for name, event in movements(history).items():
        if name not in void:
            post(*moved(event))
    held = [x for rest in holds(history).values() for x in rest.items()]
    for standing in orders.orders(history).values():
        held.append(((standing.placed.account, orders.hold_asset(history, standing)), standing.held + standing.reserve))
    for (account, asset), amount in held:
        post((account, asset, "settled", -amount), (account, asset, "held", amount))
    return {place: amount for place, amount in sums.items() if amount}


def available(history: History, account: str, asset: str) -> Fraction:
    found, zero = buckets(history), Fraction(0)
    unsettled = found.get((account, asset, "unsettled"), zero)
    limit = reference.limits(history).get((account, asset))
    counts = unsettled < 0 or (limit is not None and limit.hold_policy == "credit_unsettled")
    return found.get((account, asset, "settled"), zero) + (unsettled if counts else zero)


def breached(history: History, account: str, asset: str) -> bool:
    floor = reference.floor_of(history, account, asset)
    return floor is not None and available(history, account, asset) < floor


def affordable(history: History, event: Event, now: Moment) -> bool:
    """Whether an event takes no account below its floor, or further below."""
    after = history.plus(event, now.at, now.day)
    places = {place[:2] for place in (*buckets(history), *buckets(after))}
    return not any(
        breached(after, *place) and available(after, *place) < available(history, *place) for place in places
    )
