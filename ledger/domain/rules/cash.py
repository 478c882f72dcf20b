"""
Rule on value that moves without a trade: cash, fees, holds and journals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events import cash as events
from ledger.domain.events.fields import Event
from ledger.domain.postings import FEES, Line, moved, negated, outside
from ledger.domain.rows import Hold, Movement
from ledger.domain.rules.approval import check_second_person
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_account,
    check_come,
    check_not_closed,
    check_scale,
    known,
    post,
    touch_account,
    units,
)
from ledger.domain.rules.new_shares import check_day, check_undone, note_moved
from ledger.domain.rules.periods import open_day
from ledger.domain.rules.told import check_first_told
from ledger.domain.state import State
from ledger.domain.times import time_text


def _record(state: State, kind: str, movement_id: str, lines: list[Line], day: str, now: Now) -> None:
    state.movements.put(Movement(kind, movement_id, now.seq, day, postings.text(lines), now.content(), None))


def _amount(state: State, asset: str, amount: int) -> int:
    check_scale(amount, known(state.assets, asset, "asset"), "amount")
    if not amount:
        raise Broken("amount", f"found an amount of 0 {asset}; expected something to move")
    return amount


def charge_fee(state: State, event: events.FeeCharged, now: Now) -> Effects:
    """
    A fee with an unused id, of an account that is not closed and can pay it.
    """
    check_not_closed(state, event.account)
    amount = _amount(state, event.asset, units(event.amount))
    if state.movements.fresh("fee", event.fee_id) is not None:
        raise Broken("fee_exists", f"found fee {event.fee_id!r} a second time; expected a new id")
    lines = moved(event.asset, amount, (event.account, "settled"), (FEES, "settled"))
    post(state, lines, may_refuse=True)
    note_moved(state, known(state.assets, event.asset, "asset"), now.day)
    _record(state, "fee", event.fee_id, lines, now.day, now)
    version = touch_account(state, event.account)
    return Effects(f"account/{event.account}", version, {"postings": as_derived(lines)})


def move_cash(state: State, event: events.CashMoved, now: Now) -> Effects:
    """
    What came in or went out is recorded as it was, with an unused id.
    """
    prior = state.movements.fresh("cash", event.movement_id)
    check_first_told(prior, now, "movement_id_reused", f"cash movement {event.movement_id!r}")
    check_come(event.value_date, now, "value_date_to_come", "a cash movement with the value date")
    known(state.accounts, event.account, "account")
    amount = _amount(state, event.asset, units(event.amount))
    asset = known(state.assets, event.asset, "asset")
    check_day(asset, event.value_date, "a cash movement", now)
    if (event.kind == "deposit" and amount < 0) or (event.kind == "withdrawal" and amount > 0):
        raise Broken("amount", f"found a {event.kind} of {event.amount}; expected deposits above 0, withdrawals below")
    lines = moved(event.asset, amount, (outside(event.kind), "settled"), (event.account, "settled"))
    post(state, lines, may_refuse=False)
    note_moved(state, asset, event.value_date)
    _record(state, "cash", event.movement_id, lines, open_day(state, event, event.value_date, now), now)
    version = touch_account(state, event.account)
    return Effects(f"account/{event.account}", version, {"postings": as_derived(lines)}, event.value_date)


def _legs(legs: Iterable[events.Leg]) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for leg in legs:
        if units(leg.amount) <= 0:
            raise Broken("amount", f"found a hold of {leg.amount} {leg.asset} of {leg.account}; expected more than 0")
        sums[leg.account, leg.asset] += units(leg.amount)
    return dict(sums)


def _legs_text(legs: dict[tuple[str, str], int]) -> str:
    return msgspec.json.encode(
        [[account, asset, amounts.render(legs[account, asset])] for account, asset in sorted(legs)]
    ).decode()


def _legs_of(text: str) -> dict[tuple[str, str], int]:
    stored = msgspec.json.decode(text, type=list[tuple[str, str, str]])
    return {(account, asset): amounts.parse(amount) for account, asset, amount in stored}


def place_hold(state: State, event: events.HoldPlaced, now: Now) -> Effects:
    """
    A hold with an unused id, on amounts that are available.
    """
    if state.holds.fresh(event.hold_id) is not None:
        raise Broken("hold_exists", f"found hold {event.hold_id!r} a second time; expected a new id")
    legs = _legs(event.legs)
    if not legs:
        raise Broken("legs", "found a hold without legs; expected one or more")
    if event.expires_at is not None and event.expires_at <= now.occurred_at:
        raise Broken("expires_at", f"found {time_text(event.expires_at)}, which has passed; expected a time to come")
    lines: list[Line] = []
    for (account, asset), amount in legs.items():
        check_not_closed(state, account)
        _amount(state, asset, amount)
        lines += moved(asset, amount, (account, "settled"), (account, "held"))
    post(state, lines, may_refuse=True)
    text = _legs_text(legs)
    state.holds.put(Hold(event.hold_id, text, text, event.expires_at, event.ref, "open", 1))
    return Effects(f"hold/{event.hold_id}", 1, {"postings": as_derived(lines)})


def release_hold(state: State, event: events.HoldReleased, now: Now) -> Effects:
    """
    An open hold gives back at most what is left of it; all of it unless amounts are named.
    """
    hold = known(state.holds, event.hold_id, "hold")
    if hold.status != "open":
        raise Broken("hold_not_open", f"hold {event.hold_id} is {hold.status}; expected one that is open")
    if event.reason == "captured" and event.ref is None:
        raise Broken("capture_ref", f"found a capture of {event.hold_id} without ref; expected what took the amount")
    if event.reason == "expired" and (hold.expires_at is None or now.reached < hold.expires_at):
        when = "never" if hold.expires_at is None else f"at {time_text(hold.expires_at)}"
        raise Broken(
            "not_expired",
            f"hold {event.hold_id} expires {when}; expected that or later, found {time_text(now.reached)}",
        )
    left = _legs_of(hold.remaining)
    released = dict(left) if event.amounts is None else _legs(event.amounts)
    if not released:
        raise Broken("legs", f"found a release of nothing of {event.hold_id}; expected amounts, or none to release all")
    lines: list[Line] = []
    for (account, asset), amount in released.items():
        most = left.get((account, asset), 0)
        if amount > most:
            raise Broken("hold_exceeded", f"hold {event.hold_id}: found a release of {amounts.render(amount)} {asset} "
                                          f"of {account}; expected at most {amounts.render(most)}")  # fmt: skip
        check_scale(amount, known(state.assets, asset, "asset"), "release")
        left[account, asset] -= amount
        lines += moved(asset, amount, (account, "held"), (account, "settled"))
    post(state, lines, may_refuse=False)
    left = {leg: amount for leg, amount in left.items() if amount}
    status = "open" if left else "released"
    new = msgspec.structs.replace(hold, remaining=_legs_text(left), status=status, version=hold.version + 1)
    state.holds.put(new)
    return Effects(f"hold/{event.hold_id}", new.version, {"postings": as_derived(lines)})


def _new_journal(state: State, journal_id: str) -> None:
    if state.movements.fresh("journal", journal_id) is not None:
        raise Broken("journal_exists", f"found journal {journal_id!r} a second time; expected a new id")


def post_journal(state: State, event: events.JournalPosted, now: Now) -> Effects:
    """
    Postings between accounts that are not closed, balanced, none taking what is not available or touching what is held.
    """
    check_second_person(state, "journal", event.proposed_by, event.approved_by)
    _new_journal(state, event.journal_id)
    lines = [Line(p.account, p.asset, p.bucket, units(p.amount)) for p in event.postings]
    if len(lines) < 2:
        raise Broken("postings", f"found {len(lines)} postings; expected two or more")
    for line in lines:
        check_account(state, line.account)
        if line.bucket == "held":
            # Each amount held is an order's or a hold's: taken away here, those could never be released.
            raise Broken("held_bucket", f"found a posting to what account {line.account} holds; only orders and holds "
                                        "may change that: give HoldPlaced or HoldReleased")  # fmt: skip
        check_scale(line.amount, known(state.assets, line.asset, "asset"), "posting")
    post(state, lines, may_refuse=True)
    for name in dict.fromkeys(line.asset for line in lines):
        note_moved(state, known(state.assets, name, "asset"), now.day)
    _record(state, "journal", event.journal_id, lines, now.day, now)
    return Effects(f"journal/{event.journal_id}", 1)


def reverse_journal(state: State, event: events.JournalReversed, now: Now) -> Effects:
    """
    Something that moved value is undone once, exactly, on the day it counted for, between accounts that are not closed
    and in what has not split since.
    """
    check_second_person(state, "reversal", event.proposed_by, event.approved_by)
    _new_journal(state, event.journal_id)
    old = state.movements.get(event.reverses_kind, event.reverses)
    if old is None:
        raise Broken(
            "unknown_movement",
            f"found no {event.reverses_kind} {event.reverses!r} to reverse; expected the id of one that is recorded",
        )
    if old.reversed_by is not None:
        raise Broken(
            "reversed_before", f"{event.reverses!r} was reversed at seq {old.reversed_by}; expected one that was not"
        )
    lines = negated(postings.from_text(old.postings))
    for line in lines:
        check_account(state, line.account)
        asset = known(state.assets, line.asset, "asset")
        check_undone(asset, old.event_seq, f"a reversal of {event.reverses_kind} {event.reverses!r}", now)
    post(state, lines, may_refuse=True)
    state.movements.put(msgspec.structs.replace(old, reversed_by=now.seq))
    _record(state, "journal", event.journal_id, lines, open_day(state, event, old.effective_on, now), now)
    derived = {"postings": as_derived(lines), "reversal_of": old.event_seq}
    return Effects(f"journal/{event.journal_id}", 1, derived, old.effective_on)


RULES: dict[type[Event], object] = {
    events.FeeCharged: charge_fee,
    events.CashMoved: move_cash,
    events.HoldPlaced: place_hold,
    events.HoldReleased: release_hold,
    events.JournalPosted: post_journal,
    events.JournalReversed: reverse_journal,
}
