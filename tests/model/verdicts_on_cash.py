"""
Say whether value may move, or be set aside, as an event says.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from ledger.domain.events.cash import (
    CashMoved,
    FeeCharged,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
    Leg,
)
from tests.model import corporate, money, reference
from tests.model.approvals import approved
from tests.model.history import History, fits, number
from tests.model.moment import Moment


def _is_amount(history: History, account: str, asset: str, amount: Any) -> bool:
    scale = reference.scales(history).get(asset)
    known = reference.is_account(history, account) and scale is not None
    return known and number(amount) != 0 and fits(number(amount), scale or 0)


def _takes_commands(history: History, account: str) -> bool:
    return reference.status_of(history, account) != "closed"


def charges(history: History, event: FeeCharged, now: Moment) -> bool:
    return (
        ("fee", event.fee_id) not in money.movements(history)
        and _is_amount(history, event.account, event.asset, event.amount)
        and _takes_commands(history, event.account)
        and money.affordable(history, event, now)
    )


def moves(history: History, event: CashMoved, _: Moment) -> bool:
    unused = ("cash", event.movement_id) not in money.movements(history)
    if not unused or not _is_amount(history, event.account, event.asset, event.amount):
        return False
    if corporate.is_of_old_shares(history, event.asset, event.value_date):
        return False
    comes = number(event.amount) > 0
    return comes == (event.kind == "deposit") if event.kind in ("deposit", "withdrawal") else True


def converts(history: History, event: FxConverted, _: Moment) -> bool:
    if ("fx", event.fx_id) in money.movements(history) or event.sold.asset == event.bought.asset:
        return False
    if not all(_is_amount(history, event.account, x.asset, x.amount) for x in (event.sold, event.bought)):
        return False
    if any(corporate.is_of_old_shares(history, x.asset, event.value_date) for x in (event.sold, event.bought)):
        return False
    sold, bought = number(event.sold.amount), number(event.bought.amount)
    unit = Fraction(1, 10 ** reference.scales(history)[event.bought.asset])
    return min(sold, bought, number(event.rate)) > 0 and abs(bought - sold * number(event.rate)) < unit


def _are_legs(history: History, legs: tuple[Leg, ...]) -> bool:
    good = all(_is_amount(history, x.account, x.asset, x.amount) and number(x.amount) > 0 for x in legs)
    return bool(legs) and good


def holds(history: History, event: HoldPlaced, now: Moment) -> bool:
    return (
        event.hold_id not in money.holds(history)
        and _are_legs(history, event.legs)
        and all(_takes_commands(history, x.account) for x in event.legs)
        and (event.expires_at is None or event.expires_at > now.at)
        and money.affordable(history, event, now)
    )


def releases(history: History, event: HoldReleased, now: Moment) -> bool:
    left = money.holds(history).get(event.hold_id)
    if not left or (event.reason == "captured" and event.ref is None):
        return False
    placed = next(x for x in history.of(HoldPlaced) if x.hold_id == event.hold_id)
    if event.reason == "expired" and (placed.expires_at is None or now.at < placed.expires_at):
        return False
    if event.amounts is None:
        return True
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for x in event.amounts:
        sums[x.account, x.asset] += number(x.amount)
    return _are_legs(history, event.amounts) and all(x <= left.get(place, Fraction(0)) for place, x in sums.items())


def _is_ledgers(account: str) -> bool:
    own = ("fees", "external", "issuer", "tax", "interest", "funding", "rounding", "suspense")
    return account in [f"~{x}" for x in own] or account.startswith(("~clearing.", "~fx_clearing."))


def posts(history: History, event: JournalPosted, now: Moment) -> bool:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for x in event.postings:
        own = _is_ledgers(x.account) and x.asset in reference.scales(history)
        own = own and number(x.amount) != 0 and fits(number(x.amount), reference.scales(history)[x.asset])
        if x.bucket == "held" or not (own or _is_amount(history, x.account, x.asset, x.amount)):
            return False
        if not _takes_commands(history, x.account):
            return False
        sums[x.asset] += number(x.amount)
    used = ("journal", event.journal_id) in money.movements(history)
    used = used or any(x.journal_id == event.journal_id for x in history.of(JournalReversed))
    used = used or not approved(history, event, "journal")
    return not used and len(event.postings) > 1 and not any(sums.values()) and money.affordable(history, event, now)


def _has_split_since(history: History, name: tuple[str, str]) -> bool:
    """Whether what a movement moved is of other shares by now."""
    moved = next(x for x in history.entries if not x.quarantined and money.movement_id(x.event) == name)
    assets = {x[1] for x in money.moved(moved.event)}
    return any(seq > moved.seq for asset in assets for seq, _ in corporate.splits(history, asset))


def reverses(history: History, event: JournalReversed, now: Moment) -> bool:
    name = event.reverses_kind, event.reverses
    used = any(x.journal_id == event.journal_id for x in history.of(JournalPosted, JournalReversed))
    known = name in money.movements(history) and name not in money.reversed_already(history)
    if known and not all(_takes_commands(history, x[0]) for x in money.moved(money.movements(history)[name])):
        return False
    if known and _has_split_since(history, name):
        return False
    return known and not used and approved(history, event, "reversal") and money.affordable(history, event, now)


JUDGES: dict[Any, Any] = {
    FeeCharged: charges, CashMoved: moves, FxConverted: converts, HoldPlaced: holds, HoldReleased: releases,
    JournalPosted: posts, JournalReversed: reverses,
}  # fmt: skip
