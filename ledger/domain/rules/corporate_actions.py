"""
Rule on dividends and new names; splits have a module of their own.

Who held what before an ex-date is what the ledger holds by trade date, and beyond that by the day of what was moved by
itself. Where a dividend's list says something else and gives no reason, it is quarantined: see docs/decisions/0012.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.domain import amounts
from ledger.domain.events import corporate_actions as events
from ledger.domain.events.fields import Event
from ledger.domain.order_status import is_closed
from ledger.domain.postings import ISSUER, TAX, Line, is_system, merged, moved
from ledger.domain.postings import text as postings_text
from ledger.domain.rows import Asset, CorporateAction, Entitlement, Movement, Position
from ledger.domain.rules import lots, new_shares, position_moves
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived_of_many,
    check_come,
    check_scale,
    current_name,
    known,
    known_instrument,
    post,
    units,
)
from ledger.domain.rules.new_shares import check_day, note_moved
from ledger.domain.rules.of_asset import instruments_of
from ledger.domain.rules.periods import open_day
from ledger.domain.rules.splits import apply_split
from ledger.domain.rules.told import check_first_told
from ledger.domain.state import State

UNNAMED_LISTED: Final = 100
"""How many holders that a dividend does not name are listed with it: each event of many would repeat all the others."""


def stream_of(ca_id: str) -> str:
    """
    Return the stream of a corporate action.
    """
    return f"corporate-action/{ca_id}"


def _claim(state: State, ca_id: str, now: Now, day: str, what: str) -> str:
    """Return the content of an action with an unused id, whose *day* has come."""
    check_first_told(state.corporate_actions.fresh(ca_id), now, "ca_id_reused", f"corporate action {ca_id!r}")
    check_come(day, now, "ex_date_to_come", what)
    return now.content()


def held_before(state: State, asset: Asset, account: str, day: str) -> int | None:
    """
    Return what *account* held of *asset* before the trades of *day*: in its positions, in all instruments, and beyond
    them, where shares were deposited, withdrawn, journaled or charged.

    None where trades of later days hide it; or where there is something beyond the positions and any of the asset
    was moved by itself on *day* or later, or has split since, as nobody can tell what of it was there by then.
    """
    held = traded = 0
    for instrument in instruments_of(state, asset.asset):
        position = state.positions.get(account, instrument.instrument)
        if position is not None:
            before = position_moves.held_before(state, position, instrument, day)
            if before is None:
                return None
            held += before
            # What the trades of *day* were charged in the shares themselves went only then.
            traded += position.qty - position_moves.charged_in_kind(state, position, asset.asset, day)
    balance = state.balances.get(account, asset.asset)
    beyond = (0 if balance is None else balance.total) - traded
    if beyond and _is_moved_since(asset, day):
        return None
    return held + beyond


def _is_moved_since(asset: Asset, day: str) -> bool:
    """Return whether something else than a trade changed who has how much of *asset* on *day* or later."""
    split = new_shares.newest(asset)
    return (asset.moved_on or "") >= day or (split is not None and split.ex_date > day)


def _shown(held: int | None, share: Asset, day: str) -> str:
    """Return what the ledger says that was *held*, and what it cannot know of that."""
    if held is None:
        return f"what is no longer known, as {share.asset} was traded, moved or split on that day or later"
    if _is_moved_since(share, day):
        return f"{amounts.render(held)}, unless some of it was moved by itself on that day or later"
    return amounts.render(held)


def _check_entitled(
    state: State, event: events.CashDividendAccrued, line: events.Entitled, share: Asset, cash: Asset
) -> tuple[int, int, int]:
    known(state.accounts, line.account, "account")
    qty, gross, tax = units(line.qty), units(line.gross), units(line.tax)
    if line.reason is None:
        held = held_before(state, share, line.account, event.ex_date)
        if qty != held:
            raise Broken(
                "entitlement",
                f"found {line.qty} {share.asset} of {line.account}; before {event.ex_date} the ledger holds "
                f"{_shown(held, share, event.ex_date)}: give a reason",
            )
    check_scale(qty, share, "quantity")
    for amount, what in ((gross, "gross"), (tax, "tax")):
        check_scale(amount, cash, what)
    # Custodians round up, down or half, each their own way; never by a whole unit of what it is exactly.
    one, rate, tax_rate = 10 ** (amounts.SCALE - cash.scale) * amounts.UNIT, units(event.rate), units(event.tax_rate)
    if abs(gross * amounts.UNIT - qty * rate) >= one or gross * qty < 0:
        due, _ = amounts.multiply(qty, rate, cash.scale)
        raise Broken("gross", f"found gross {line.gross} of {line.account}; expected qty x rate, "
                              f"which is {amounts.render(due)}, rounded either way")  # fmt: skip
    if tax * gross < 0 or abs(tax) * amounts.UNIT >= abs(gross) * tax_rate + one or abs(tax) > abs(gross):
        most, _ = amounts.multiply(gross, tax_rate, cash.scale)
        raise Broken("tax", f"found tax {line.tax} of {line.account}; expected at most "
                            f"{amounts.render(most)}, rounded either way")  # fmt: skip
    return qty, gross, tax


def accrue(state: State, event: events.CashDividendAccrued, now: Now) -> Effects:
    """
    A dividend with an unused id, to accounts that held what it says, or with the reason why it says so.
    """
    content = _claim(state, event.ca_id, now, event.ex_date, "a dividend with the ex-date")
    instrument = known_instrument(state, event.instrument)
    share = known(state.assets, instrument.asset, "asset")
    cash = known(state.assets, event.asset or instrument.quote_asset, "asset")
    if units(event.rate) <= 0 or not 0 <= units(event.tax_rate) <= amounts.UNIT:
        raise Broken("rate", f"found rate {event.rate}, tax rate {event.tax_rate}; expected more than 0, and 0 to 1")
    check_day(cash, event.ex_date, "a dividend", now)
    named = {line.account for line in event.entitlements}
    if len(named) != len(event.entitlements) or not named:
        raise Broken("entitlements", "found no account, or one twice; expected each account that is entitled once")
    lines: list[Line] = []
    for line in event.entitlements:
        qty, gross, tax = _check_entitled(state, event, line, share, cash)
        lines += moved(cash.asset, gross, (ISSUER, "unsettled"), (line.account, "unsettled"))
        lines += moved(cash.asset, tax, (line.account, "unsettled"), (TAX, "unsettled"))
        state.entitlements.put(
            Entitlement(event.ca_id, line.account, instrument.instrument, qty, qty, gross, tax, 0, 0, 0, 0)
        )
    # A dividend may be of thousands, as a split may; each has its own gross and tax in what is given.
    net = merged(lines)
    post(state, net, may_refuse=False)
    note_moved(state, cash, event.ex_date)
    state.corporate_actions.put(
        CorporateAction(event.ca_id, "dividend", instrument.instrument, cash.asset, event.ex_date, now.seq, content, 1)
    )
    derived: dict[str, Any] = {"postings_of_many": as_derived_of_many(net)}
    unnamed = _unnamed(state, share, event.ex_date, named)
    if unnamed:
        derived["unnamed"] = unnamed
    return Effects(stream_of(event.ca_id), 1, derived, event.ex_date)


def _unnamed(state: State, asset: Asset, day: str, named: set[str]) -> list[list[str | None]] | dict[str, Any]:
    """
    Return [account, quantity] of who held the asset too and is not named: stored, so that somebody can ask.

    The quantity is null where nobody can tell it (`held_before`). Of more than `UNNAMED_LISTED` it is how many they
    are, of how many of them the quantity is not known, what the others held in all, and the hash of the list, which the
    chain gives to whoever replays it.
    """
    of_asset = {row.instrument for row in instruments_of(state, asset.asset)}
    accounts = {account for account, name in state.positions.rows if name in of_asset and account not in named}
    for account, name in state.balances.rows:
        # What the ledger's own accounts have of it no custodian lists.
        if name == asset.asset and account not in named and not is_system(account):
            accounts.add(account)
    held = {account: held_before(state, asset, account, day) for account in accounts}
    left = [(account, qty) for account, qty in sorted(held.items()) if qty != 0]
    listed = [[account, None if qty is None else amounts.render(qty)] for account, qty in left]
    if len(left) <= UNNAMED_LISTED:
        return listed
    quantities = [qty for _, qty in left if qty is not None]
    return {
        "accounts": len(left),
        "not_known": len(left) - len(quantities),
        "qty": amounts.render(sum(quantities)),
        "hash": blake3(msgspec.json.encode(listed)).hexdigest(),
    }


def _pay(state: State, ca_id: str, asset: Asset, line: events.DividendLine) -> list[Line]:
    due = state.entitlements.get(ca_id, line.account)
    if due is None:
        raise Broken(
            "not_entitled",
            f"found a payment of {ca_id} to {line.account}, to whom none is due; expected those who were entitled",
        )
    gross, tax = units(line.gross), units(line.tax)
    paid_gross, paid_tax = due.paid_gross + gross, due.paid_tax + tax
    for amount, paid, most, what in ((gross, paid_gross, due.gross, "gross"), (tax, paid_tax, due.tax, "tax")):
        check_scale(amount, asset, what)
        if amount * most < 0 or abs(paid) > abs(most):
            raise Broken("beyond_due", f"account {line.account} would have been paid {what} {amounts.render(paid)} of "
                                       f"{amounts.render(most)}; record the rest as a cash movement")  # fmt: skip
    state.entitlements.put(msgspec.structs.replace(due, paid_gross=paid_gross, paid_tax=paid_tax))
    account = line.account
    lines = moved(asset.asset, gross - tax, (account, "unsettled"), (account, "settled"))
    lines += moved(asset.asset, gross, (ISSUER, "settled"), (ISSUER, "unsettled"))
    return lines + moved(asset.asset, tax, (TAX, "unsettled"), (TAX, "settled"))


def pay(state: State, event: events.CashDividendPaid, now: Now) -> Effects:
    """
    A payment with an unused id, of no more than is still due of each line.
    """
    content, prior = now.content(), state.movements.fresh("dividend", event.payment_id)
    check_first_told(prior, now, "payment_id_reused", f"dividend payment {event.payment_id!r}")
    check_come(event.paid_on, now, "value_date_to_come", "a dividend payment with the day")
    action = known(state.corporate_actions, event.ca_id, "corporate_action")
    if action.kind != "dividend" or action.asset is None:
        raise Broken("not_a_dividend", f"corporate action {event.ca_id} is a {action.kind}; expected a dividend")
    if not event.lines or len({line.account for line in event.lines}) != len(event.lines):
        raise Broken("lines", "found no account, or one twice; expected each account that was paid once")
    asset = known(state.assets, action.asset, "asset")
    lines: list[Line] = []
    every: list[new_shares.Parts] = []
    for paid in event.lines:
        settling = _pay(state, event.ca_id, asset, paid)
        lines += settling
        every.append(new_shares.difference(state, paid.account, action.event_seq, settling))
    become = new_shares.together(every)
    net = merged(lines + new_shares.all_lines(become))
    post(state, net, may_refuse=False)
    day = open_day(state, event, event.paid_on, now)
    state.movements.put(Movement("dividend", event.payment_id, now.seq, day, postings_text(lines), content, None))
    state.corporate_actions.put(msgspec.structs.replace(action, version=action.version + 1))
    derived: dict[str, Any] = {"postings_of_many": as_derived_of_many(net)}
    if become:
        derived["in_new_shares"] = new_shares.as_stored(become)
    return Effects(stream_of(event.ca_id), action.version + 1, derived, event.paid_on)


def split(state: State, event: events.SplitApplied, now: Now) -> Effects:
    """
    A split with an unused id, of an instrument that was not traded since its ex-date; open orders go over to the new
    shares, closed ones keep the old.
    """
    content = _claim(state, event.ca_id, now, event.ex_date, "a split with the ex-date")
    instrument = current_name(state, event.instrument)
    derived = apply_split(state, event, now.seq)
    state.corporate_actions.put(
        CorporateAction(event.ca_id, "split", instrument, None, event.ex_date, now.seq, content, 1)
    )
    return Effects(stream_of(event.ca_id), 1, derived, event.ex_date)


def rename(state: State, event: events.InstrumentRenamed, now: Now) -> Effects:
    """
    A name that is not in use takes the place of one that is.

    The new instrument's stream begins with this event.
    """
    content = _claim(state, event.ca_id, now, event.effective, "a new name with the day")
    old = known(state.instruments, event.old, "instrument")
    if old.renamed_to is not None:
        raise Broken("instrument_renamed", f"{event.old} is called {old.renamed_to} already; expected that one")
    if state.instruments.get(event.new) is not None:
        raise Broken(
            "instrument_exists", f"found {event.new!r}, which is an instrument of its own; expected a name that is free"
        )
    state.instruments.put(msgspec.structs.replace(old, instrument=event.new, version=1))
    state.instruments.put(msgspec.structs.replace(old, renamed_to=event.new))
    for account, name in sorted(state.positions.rows):
        if name == event.old:
            position = state.positions.rows[account, name]
            state.positions.put(msgspec.structs.replace(position, instrument=event.new))
            state.positions.put(Position(account, name, 0, 0, 0, 0))
            lots.rename(state, account, event.old, event.new)
    for order in sorted(state.orders.rows.values(), key=lambda order: order.order_id):
        # Closed orders keep the name that they had; memory may have forgotten them, so nothing may rest on them here.
        if order.instrument == event.old and not is_closed(order):
            state.orders.put(msgspec.structs.replace(order, instrument=event.new))
    state.corporate_actions.put(
        CorporateAction(event.ca_id, "rename", event.new, None, event.effective, now.seq, content, 1)
    )
    return Effects(f"instrument/{event.new}", 1, {}, event.effective)


RULES: dict[type[Event], object] = {
    events.CashDividendAccrued: accrue,
    events.CashDividendPaid: pay,
    events.SplitApplied: split,
    events.InstrumentRenamed: rename,
}
