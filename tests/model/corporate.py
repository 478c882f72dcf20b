"""
Say from a history what issuers gave their holders: dividends that are due, and shares in the place of others.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from ledger.domain.events.cash import CashMoved, FeeCharged, FxConverted, JournalPosted
from ledger.domain.events.corporate_actions import CashDividendAccrued, CashDividendPaid, SplitApplied
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.settlement import TradeAllocated
from tests.model import holdings, money, reference, trades
from tests.model.history import History, asked, number, rounded

if TYPE_CHECKING:
    from tests.model.money import Posting

Due = tuple[Fraction, Fraction]
"""Gross and tax."""


def whole(amount: Fraction, scale: int, how: str) -> Fraction:
    """Round a number of shares, as a split says."""
    if how == "nearest":
        return rounded(amount, scale)
    units = abs(amount) * 10**scale
    low = units.__floor__()
    shares = Fraction(low + (how == "up" and low != units), 10**scale)
    return shares if amount >= 0 else -shares


def ratio(event: SplitApplied) -> Fraction:
    return Fraction(event.ratio_num, event.ratio_den)


def is_owner(history: History, account: str) -> bool:
    """Whether an account owns what it has: a client's, or the house's own for fees, roundings, conversions, doubts."""
    house = account in ("~fees", "~rounding", "~suspense") or account.startswith("~fx_clearing.")
    return house or reference.is_account(history, account)


def owned(history: History, asset: str) -> dict[str, Fraction]:
    """
    Return what each account has of an asset that it owns, in all buckets.

    It may be nothing in all, where something is in one of them or the account has a position.
    """
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for (account, found, _), amount in money.buckets(history).items():
        if found == asset and amount and is_owner(history, account):
            sums[account] += amount
    every = reference.instruments(history)
    of_positions = {
        place[0] for place, x in holdings.holdings(history).items() if x.qty and every[place[1]].asset == asset
    }
    return {account: sums[account] for account in sorted({*sums, *of_positions})}


def split_postings(before: History, event: SplitApplied) -> list[Posting]:
    """Return what a split of the books as they were *before* gives and takes: what is unsettled stays so."""
    its = reference.terms(before, event.instrument)
    assert its is not None
    found: list[Posting] = []
    scale = reference.scales(before)[its.asset]
    for account, has in owned(before, its.asset).items():
        waits = money.buckets(before).get((account, its.asset, "unsettled"), Fraction(0))
        more = whole(has * ratio(event), scale, event.rounding) - has
        # What the house is charged with older trades settles as it was charged.
        later = whole(waits * ratio(event), scale, event.rounding) - waits if account[0] != "~" else Fraction(0)
        found += [(account, its.asset, "settled", more - later), (account, its.asset, "unsettled", later)]
        found.append(("~issuer", its.asset, "settled", -more))
    for x in event.cash_in_lieu:
        amount = number(x.amount)
        found += [(x.account, its.quote, "settled", amount), ("~issuer", its.quote, "settled", -amount)]
    return found


def of_position(before: History, event: SplitApplied, account: str, qty: Fraction) -> tuple[Fraction, Fraction | None]:
    """
    Return what a position of *qty* comes to in a split of the books as they were *before*, and its part of the cash.

    It and what is beyond it add up, each less than a unit off; of the ways to do that it is the one with most of it.
    """
    its = reference.terms(before, event.instrument)
    assert its is not None
    unit = Fraction(1, 10 ** reference.scales(before)[its.asset])
    has = owned(before, its.asset)[account]
    new = whole(has * ratio(event), reference.scales(before)[its.asset], event.rounding)
    exact, rest = qty * ratio(event), (has - qty) * ratio(event)
    near = [(exact / unit).__floor__() * unit, (exact / unit).__ceil__() * unit]
    found = max((x for x in near if abs(new - x - rest) < unit), key=abs)
    cash = next((number(x.amount) for x in event.cash_in_lieu if x.account == account), None)
    gone, all_gone = abs(exact) - abs(found), abs(has * ratio(event)) - abs(new)
    if cash is None or gone <= 0:
        return found, None
    return found, rounded(cash * gone / all_gone, reference.scales(before)[its.quote])


def splits(history: History, asset: str) -> list[tuple[int, SplitApplied]]:
    """Return the splits of an asset with the seq of each."""
    found = []
    for seq, event in history.steps():
        if isinstance(event, SplitApplied):
            its = reference.terms(history, event.instrument)
            assert its is not None
            if its.asset == asset:
                found.append((seq, event))
    return found


def is_of_old_shares(history: History, asset: str, day: str) -> bool:
    """Whether *asset* of a day is of before a split."""
    return any(day < split.ex_date for _, split in splits(history, asset))


def has_split_since(history: History, trade: trades.Trade) -> bool:
    """Whether what a trade was paid or charged in is of other shares by now."""
    its = reference.terms(history, trade.instrument)
    assert its is not None
    assets = {its.quote, *(name for name, _ in trade.fees)}
    return any(seq > trade.seq for asset in assets for seq, _ in splits(history, asset))


def _settled(history: History, account: str, asset: str, since: int, until: int) -> Fraction:
    """Return what has settled of an account's trades recorded from one seq until another, as they were traded."""
    total = Fraction(0)
    for trade in trades.live(history).values():
        its = reference.terms(history, trade.instrument)
        assert its is not None
        if trade.account == account and since < trade.seq < until and not trade.at_once:
            done = trade.settled / trade.qty
            total += trade.sign * trade.settled if its.asset == asset else 0
            total -= trade.sign * trade.paid if its.quote == asset else 0
            fees = (rounded(x * done, reference.scales(history)[name]) for name, x in trade.fees if name == asset)
            total -= sum(fees, Fraction(0))
    accrued = {x.ca_id: seq for seq, x in history.steps() if isinstance(x, CashDividendAccrued)}
    for (name, whose), (gross, tax) in paid(history).items():
        if whose == account and since < accrued[name] < until and asset_of(history, dividends(history)[name]) == asset:
            total += gross - tax
    return total


def _into_and_out_of(history: History, account: str, asset: str, place: int) -> tuple[Fraction, Fraction]:
    """Return how many shares of before a split have settled since, and what they were by then, rounded as a whole."""
    found = splits(history, asset)
    seq, event = found[place]
    since = found[place - 1][0] if place else 0
    then = history.until(seq)
    came = _settled(history, account, asset, since, seq) - _settled(then, account, asset, since, seq)
    if place:
        came += _into_and_out_of(history, account, asset, place - 1)[1]
        came -= _into_and_out_of(then, account, asset, place - 1)[1]
    return came, whole(came * ratio(event), reference.scales(history)[asset], event.rounding)


def settled_since(history: History) -> list[Posting]:
    """Return by how much the settlements of trades of before a split have moved other shares than were traded."""
    found: list[Posting] = []
    for asset in {x.asset for x in reference.instruments(history).values()}:
        for place in range(len(splits(history, asset))):
            for account in reference.accounts(history):
                came, became = _into_and_out_of(history, account, asset, place)
                found += [(account, asset, "settled", became - came), (account, asset, "unsettled", came - became)]
    return found


def asset_of(history: History, event: CashDividendAccrued) -> str:
    its = reference.terms(history, event.instrument)
    assert its is not None
    return event.asset or its.quote


@asked
def dividends(history: History) -> dict[str, CashDividendAccrued]:
    return {x.ca_id: x for x in history.of(CashDividendAccrued)}


@asked
def paid(history: History) -> dict[tuple[str, str], Due]:
    """Return what was paid of each dividend to each account."""
    sums: dict[tuple[str, str], Due] = defaultdict(lambda: (Fraction(0), Fraction(0)))
    for event in history.of(CashDividendPaid):
        for line in event.lines:
            gross, tax = sums[event.ca_id, line.account]
            sums[event.ca_id, line.account] = (gross + number(line.gross), tax + number(line.tax))
    return sums


@asked
def due(history: History) -> dict[tuple[str, str], Due]:
    """Return what is still to be paid of each dividend to each account."""
    left: dict[tuple[str, str], Due] = {}
    for name, event in dividends(history).items():
        for x in event.entitlements:
            gross, tax = paid(history).get((name, x.account), (Fraction(0), Fraction(0)))
            left[name, x.account] = (number(x.gross) - gross, number(x.tax) - tax)
    return left


def dividend_postings(history: History) -> list[Posting]:
    found: list[Posting] = []
    for bucket, amounts in (("unsettled", due(history)), ("settled", paid(history))):
        for (name, account), (gross, tax) in amounts.items():
            asset = asset_of(history, dividends(history)[name])
            found += [(account, asset, bucket, gross - tax), ("~tax", asset, bucket, tax)]
            found += [("~issuer", asset, bucket, -gross)]
    return found


def newest_day(history: History, account: str, instrument: str) -> tuple[str, bool]:
    """
    Return the newest day on which a position changed by what stands, or may have, and whether that is known.

    Whoever hears that all trades of the newest day are void has to look at those that stand.
    """
    name = reference.called_now(history, instrument)
    steps: list[tuple[int, str, int]] = []
    for seq, came, trade in holdings.moves(history):
        if trade.account == account and reference.called_now(history, trade.instrument) == name:
            steps.append((seq, trade.day, 1 if came else -1))
    for seq, event in history.steps():
        if isinstance(event, SplitApplied) and reference.called_now(history, event.instrument) == name:
            place = (account, reference.called_now(history.until(seq), event.instrument))
            if holdings.quantity(history.until(seq), place):
                steps.append((seq, event.ex_date, 1))
    newest, stands = "", 0
    for _, day, change in sorted(steps, key=lambda step: step[0]):
        if day > newest:
            newest, stands = day, 1
        elif day == newest and stands:
            stands += change
            if not stands:
                newest = (datetime.date.fromisoformat(day) - datetime.timedelta(days=1)).isoformat()
    return newest, bool(stands)


def is_traded_since(history: History, account: str, instrument: str, day: str) -> bool:
    """Whether a position changed on a day or later by what stands."""
    newest, known = newest_day(history, account, instrument)
    if newest < day or known:
        return newest >= day
    name = reference.called_now(history, instrument)
    return any(x.day >= day for x in trades.live(history).values()
               if x.account == account and reference.called_now(history, x.instrument) == name)  # fmt: skip


def _moves(history: History, event: Event, today: str) -> tuple[str, set[str]]:
    """Return the day that an event is of, and what it moved other than by a trade of that itself."""
    match event:
        case CashMoved():
            return event.value_date, {event.asset}
        case FxConverted():
            return event.value_date, {event.sold.asset, event.bought.asset}
        case FeeCharged():
            return today, {event.asset}
        case JournalPosted():
            return today, {line.asset for line in event.postings}
        case CashDividendAccrued():
            return event.ex_date, {asset_of(history, event)}
        case TradeExecuted():
            its = reference.terms(history, event.instrument)
            assert its is not None
            return event.trade_date, {its.quote, *(fee.asset for fee in event.fees)} - {its.asset}
        case TradeAllocated():
            key = (event.venue, event.trade_date, event.exec_ids[0])
            its = reference.terms(history, trades.live(history)[key].instrument)
            assert its is not None
            charged = {fee.asset for line in event.lines for fee in line.fees}
            return event.trade_date, charged - {its.asset, its.quote}
    return "", set()


def moved_on(history: History, asset: str) -> str:
    """Return the newest day on which something else than a trade of an asset moved it, undone since or not."""
    days = (_moves(history.until(x.seq), x.event, x.day) for x in history.entries if not x.quarantined)
    return max((day for day, assets in days if asset in assets), default="")


def before(history: History, account: str, instrument: str, day: str) -> Fraction | None:
    """
    Return what an account held before *day* of the shares that an instrument is of, however it came by them.

    None where something later is recorded, and nobody can tell.
    """
    every, its = reference.instruments(history), reference.terms(history, instrument)
    assert its is not None
    same = [name for name, x in every.items() if x.asset == its.asset and x.renamed_to is None]
    held = [_before(history, account, name, day) for name in same]
    known = [x for x in held if x is not None]
    if len(known) < len(held):
        return None
    given = owned(history, its.asset).get(account, Fraction(0))
    given -= sum((holdings.quantity(history, (account, name)) for name in same), Fraction(0))
    # What a trade of that day itself is charged was there before it.
    for trade in trades.live(history).values():
        own = reference.terms(history, trade.instrument)
        if own is not None and own.asset == its.asset and trade.account == account and trade.day >= day:
            given += sum((x for asset, x in trade.fees if asset == its.asset), Fraction(0))
    if given and (moved_on(history, its.asset) >= day or is_of_old_shares(history, its.asset, day)):
        return None
    return sum(known, Fraction(0)) + given


def _before(history: History, account: str, instrument: str, day: str) -> Fraction | None:
    newest, known = newest_day(history, account, instrument)
    if is_traded_since(history, account, instrument, day) and not (known and newest == day):
        return None
    name, qty = reference.called_now(history, instrument), Fraction(0)
    steps = [(seq, came, trade) for seq, came, trade in holdings.moves(history)
             if trade.account == account and reference.called_now(history, trade.instrument) == name]  # fmt: skip
    splits = [(seq, event) for seq, event in history.steps() if isinstance(event, SplitApplied)
              and reference.called_now(history, event.instrument) == name]  # fmt: skip
    if not known and newest >= day and any(split.ex_date > day for _, split in splits):
        return None
    last = 0
    for seq, split in [*splits, (len(history.entries) + 1, None)]:
        for at, came, trade in steps:
            if last < at < seq and trade.day < day:
                qty += trade.sign * trade.qty * (1 if came else -1)
        if split is not None and split.ex_date <= day:
            qty = of_position(history.until(seq), split, account, qty)[0] if qty else qty
        last = seq
    return qty
