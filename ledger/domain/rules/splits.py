"""
Apply a split: what accounts own, what their positions cost, and the terms of open orders.

A split multiplies what each account owns of the asset, and of that what is unsettled; the shares come from the issuer's
account. A position keeps its exact cost, but for a fraction that is paid in cash, which is a sale of it. The ratio is
applied to all that an account has, and position and what is beyond it share what that comes to, and the cash.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events import corporate_actions as events
from ledger.domain.order_status import CANCELED, asked_days, asked_terms, asked_text, derive, is_closed
from ledger.domain.positions import share
from ledger.domain.postings import ISSUER, Line, moved
from ledger.domain.rows import Balance, Entitlement, Instrument, Order, Position
from ledger.domain.rules import lots
from ledger.domain.rules.ground import Broken, as_derived_of_many, check_scale, known, known_instrument, post, units
from ledger.domain.rules.new_shares import Ratio, after_split, check_not_moved, multiplied, of_position
from ledger.domain.rules.of_asset import instruments_of
from ledger.domain.rules.orders import ended, rehold
from ledger.domain.rules.position_moves import is_traded_since
from ledger.domain.state import State
from ledger.domain.terms import terms_on


def _open_orders(state: State, instrument: str) -> list[Order]:
    """Return the orders that are not closed: closed ones may be forgotten, so nothing may depend on them."""
    found = (row for row in state.orders.rows.values() if row.instrument == instrument and not is_closed(row))
    return sorted(found, key=lambda order: order.order_id)


def _of_asset(state: State, asset: str) -> dict[str, Instrument]:
    """Return the instruments that the shares are traded as, by the names that they go by now."""
    found = {row.instrument: row for row in instruments_of(state, asset)}
    return {name: found[name] for name in sorted(found) if found[name].renamed_to is None}


def _check_alone(state: State, instrument: Instrument, same: Iterable[str]) -> None:
    for name in same:
        if name == instrument.instrument:
            continue
        if any(x.qty for (_, at), x in state.positions.rows.items() if at == name) or _open_orders(state, name):
            raise Broken("shared_asset", f"{name} is of the asset {instrument.asset} too, and has positions or open "
                                         "orders; expected all of it in one instrument: move it first")  # fmt: skip


def _check_not_traded(state: State, same: Container[str], ex_date: str) -> None:
    """Raise Broken where old and new shares are mixed: nobody could tell which trades, or fills, are of which."""
    for (account, name), position in sorted(state.positions.rows.items()):
        if name in same and is_traded_since(state, position, ex_date):
            raise Broken(
                "traded_since",
                f"account {account} traded {name} on {ex_date} or later; expected the split before the trades "
                "of its day",
            )


def _check_in_time(
    state: State, instrument: Instrument, same: dict[str, Instrument], event: events.SplitApplied
) -> None:
    """Raise Broken where what is there already is of another split, of new shares, or of several instruments."""
    if instrument.split_on is not None and event.ex_date <= instrument.split_on:
        raise Broken(
            "before_split",
            f"found ex-date {event.ex_date}; expected a day after the last split, which was on {instrument.split_on}",
        )
    _check_alone(state, instrument, same)
    _check_not_traded(state, same, event.ex_date)
    if event.moved_reason is None:
        check_not_moved(known(state.assets, instrument.asset, "asset"), event.ex_date)


def _split_position(
    state: State, old: Position, event: events.SplitApplied, qty: int, paid: tuple[int, int], cash_scale: int
) -> tuple[int, int]:
    """
    Put *old* after the split, of *qty*, and return (cost change, realised change).

    *paid* is the fraction of it that was sold, times the ratio's denominator, and the cash for that.
    """
    ratio, (sold, cash) = (event.ratio_num, event.ratio_den), paid
    fifo = lots.applies(state, old.account)
    if fifo:
        released = lots.split(state, old.account, old.instrument, qty, ratio, sold, cash_scale)
    elif not qty:
        released = old.cost
    else:
        released = share(old.cost, sold, abs(old.qty) * ratio[0], cash_scale) if sold else 0
    realised = cash - released
    state.positions.put(
        Position(
            old.account, old.instrument, qty, old.cost - released, old.realised + realised, old.fees, event.ex_date,
            qty, day_trades=1,
        )
    )  # fmt: skip
    if fifo:
        lots.rebase(state, old.account, old.instrument, old.realised + realised)
    return -released, realised


def _held(state: State, ca_id: str, account: str, balance: Balance | None) -> int:
    """Return what *account* has of the asset; by days what it had when the split was recorded, which is rounded."""
    was = None if state.booked is None else state.booked.entitlements.get(ca_id, account)
    if was is not None:
        return was.qty
    return balance.total if balance else 0


def _holds(state: State, ca_id: str, row: Balance) -> bool:
    """Return whether the account has any of the asset in some bucket; by days whether it had when that was recorded."""
    if state.booked is not None:
        return state.booked.entitlements.get(ca_id, row.account) is not None
    return bool(row.settled or row.unsettled or row.held)


def _split_holder(
    state: State, event: events.SplitApplied, instrument: Instrument, account: str, cash: int | None
) -> list[Line]:
    ratio = (event.ratio_num, event.ratio_den)
    scale = known(state.assets, instrument.asset, "asset").scale
    quote = known(state.assets, instrument.quote_asset, "asset")
    position = state.positions.get(account, instrument.instrument)
    balance = state.balances.get(account, instrument.asset)
    held = _held(state, event.ca_id, account, balance)
    new = multiplied(held, ratio, scale, event.rounding)
    fraction = abs(held) * ratio[0] - abs(new) * ratio[1]
    # A custodian knows nothing of the ledger's own accounts, and sends no cash for a fraction of one.
    left_out = cash is None and postings.is_system(account)
    as_recorded = left_out or state.booked is not None
    if event.rounding == "cash" and bool(fraction) != (cash is not None) and not as_recorded:
        found = "none" if cash is None else amounts.render(cash)
        raise Broken(
            "cash_in_lieu",
            f"found cash in lieu {found} of {account}; expected {'some' if fraction else 'none'}, for its "
            f"{amounts.render(held)} shares come to {amounts.render(new)} and {'a' if fraction else 'no'} fraction",
        )
    if cash is not None:
        check_scale(cash, quote, "cash in lieu")
        if cash * held < 0 and state.booked is None:
            raise Broken("cash_in_lieu", f"found {amounts.render(cash)} to {account}; expected the sign of its holding")
    changes = (0, 0)
    if position is not None and position.qty:
        qty = of_position(position.qty, held, new, ratio, scale)
        sold = abs(position.qty) * ratio[0] - abs(qty) * ratio[1]
        sale = (0, 0)
        if cash is not None and sold > 0:
            # What the rest gives up is not the position's sale.
            sale = (sold, cash if sold >= fraction else share(cash, sold, fraction, quote.scale))
        changes = _split_position(state, position, event, qty, sale, quote.scale)
    paid = cash or 0
    state.entitlements.put(
        Entitlement(event.ca_id, account, instrument.instrument, held, new, paid, 0, paid, 0, *changes)
    )
    # What is not delivered yet is not yet there to be spent, and what there is of it is no debt. Fees that settle with
    # older trades reach the ledger's own account as they were charged, so there all of it is settled.
    unsettled = balance.unsettled if balance and not postings.is_system(account) else 0
    owed = multiplied(unsettled, ratio, scale, event.rounding) - unsettled
    lines = moved(instrument.asset, owed, (ISSUER, "settled"), (account, "unsettled"))
    lines += moved(instrument.asset, new - held - owed, (ISSUER, "settled"), (account, "settled"))
    return lines + moved(instrument.quote_asset, paid, (ISSUER, "settled"), (account, "settled"))


def _to_tick(price: int | None, ratio: Ratio, tick: int, down: bool) -> int | None:
    if price is None:
        return None
    ticks, rest = divmod(price * ratio[1], ratio[0] * tick)
    return max(ticks + (0 if down or not rest else 1), 1) * tick


def _adjusted(state: State, order: Order, instrument: Instrument, event: events.SplitApplied) -> Order | None:
    """
    Return *order* on its terms after the split, with its hold still as it was.

    None where the split ends it: it would be for nothing, or by a lot for less than has filled.
    """
    ratio = (event.ratio_num, event.ratio_den)
    given = next((x for x in event.order_adjustments if x.order_id == order.order_id), None)
    asset = known(state.assets, instrument.asset, "asset")
    cum = multiplied(order.cum_qty, ratio, asset.scale, "down")
    if given is None:
        lots_of = order.qty * ratio[0] // (ratio[1] * instrument.lot)
        # One that has filled is open by a request that waits; it stays filled, in whatever that comes to.
        qty = cum if order.cum_qty == order.qty else lots_of * instrument.lot
        down = order.side == "buy"
        price = _to_tick(order.price, ratio, instrument.tick, down)
        stop = _to_tick(order.stop_price, ratio, instrument.tick, down)
    else:
        qty = units(given.qty)
        check_scale(qty, asset, "quantity")
        price = order.price if given.price is None else units(given.price)
        stop = order.stop_price if given.stop_price is None else units(given.stop_price)
    if not qty or (given is None and qty < cum):
        return None
    if qty < cum:
        would = f"order {order.order_id} would be for {amounts.render(qty)} with {amounts.render(cum)} filled"
        raise Broken("order_adjustment", f"{would}; expected that or more, or 0 where the split ends it")
    asked = tuple(
        # What is asked on the ex-date or later is of new shares.
        asked_text(day, more, at, stop_at)
        if day >= event.ex_date
        else asked_text(
            event.ex_date,
            multiplied(more, ratio, asset.scale, "up"),
            *(_to_tick(x, ratio, instrument.tick, order.side == "buy") for x in (at, stop_at)),
        )
        for day, (more, at, stop_at) in zip(asked_days(order), asked_terms(order), strict=True)
    )
    hold = order.hold_given
    if hold is not None and order.hold_asset == instrument.asset:
        hold = share(hold, ratio[0], ratio[1], asset.scale)
    return msgspec.structs.replace(
        order,
        qty=qty,
        cum_qty=cum,
        price=price,
        stop_price=stop,
        hold_given=hold,
        split_on=event.ex_date,
        terms_day=event.ex_date,
        asked=asked,
    )


def adjust_orders(
    state: State, instrument: Instrument, event: events.SplitApplied
) -> tuple[list[Line], list[list[str | None]], list[str]]:
    """
    Put the open orders after the split; return what holds move, the terms of those that go on, and which end.
    """
    orders, of_day = _open_orders(state, instrument.instrument), terms_on(instrument, event.ex_date)
    unknown = {x.order_id for x in event.order_adjustments} - {order.order_id for order in orders}
    if (unknown and state.booked is None) or len({x.order_id for x in event.order_adjustments}) != len(
        event.order_adjustments
    ):
        raise Broken("order_adjustment", f"found adjustments of {', '.join(sorted(unknown)) or 'one order twice'}; "
                                         f"expected open orders of {instrument.instrument}, each once")  # fmt: skip
    named = {x.order_id for x in event.order_adjustments}
    lines: list[Line] = []
    shown, over = [], []
    for order in orders:
        newest = max([order.terms_day, *asked_days(order)])
        if newest >= event.ex_date and order.order_id not in named and state.booked is None:
            # The venue may have told its new terms by then, as a restatement; or they were asked for.
            raise Broken(
                "order_adjustment",
                f"the terms of order {order.order_id}, or some that it waits for, are of {newest}, when the shares may "
                "have been new ones already; expected the order among the adjustments, or the split before the orders "
                "of its day",
            )
        after = _adjusted(state, order, of_day, event)
        # What the split ends stays in the shares of before, as every order does that was closed by then.
        new, held = rehold(state, ended(order, CANCELED) if after is None else after, event.ex_date)
        # The order's stream does not move: this event is of another one.
        new = msgspec.structs.replace(new, status=derive(new))
        state.orders.put(new)
        lines += held
        if after is None:
            over.append(new.order_id)
            continue
        terms = (new.qty, new.cum_qty, new.price, new.stop_price, new.hold_amount + new.asked_hold)
        shown.append([new.order_id, *(None if x is None else amounts.render(x) for x in terms)])
    return lines, shown, over


def note_split(state: State, asset: str, event: events.SplitApplied, seq: int) -> None:
    """
    Note that every instrument of *asset*, in use or not, is of new shares from *event* on.
    """
    for row in _of_asset(state, asset).values():
        state.instruments.put(msgspec.structs.replace(row, split_on=event.ex_date))
    state.assets.put(after_split(known(state.assets, asset, "asset"), event, seq))


def apply_split(state: State, event: events.SplitApplied, seq: int) -> dict[str, Any]:
    """
    Apply a split of shares that were not traded since its ex-date, and return what is stored as derived.

    Every instrument of the asset is of new shares from then on, in use or not: what is recorded of an earlier day later
    would be of old ones. `orders` lists [order, qty, filled, price, stop price, held] of those that go on, `ended` the
    ids of those that the split ends.
    """
    instrument = known_instrument(state, event.instrument)
    if event.ratio_num <= 0 or event.ratio_den <= 0 or event.ratio_num == event.ratio_den:
        raise Broken("ratio", f"found {event.ratio_num} for {event.ratio_den}; expected two different numbers above 0")
    same = _of_asset(state, instrument.asset)
    if state.booked is None:
        _check_in_time(state, instrument, same, event)
    cash = {line.account: units(line.amount) for line in event.cash_in_lieu}
    if len(cash) != len(event.cash_in_lieu) or (cash and event.rounding != "cash"):
        raise Broken(
            "cash_in_lieu", "found cash for one account twice, or with a rounding other than 'cash'; expected each once"
        )
    # Who owns none in all may have sold what is still there to be delivered.
    holders = {
        account
        for (account, asset), row in state.balances.rows.items()
        if asset == instrument.asset and postings.owns(account) and _holds(state, event.ca_id, row)
    }
    holders |= {
        account for (account, name), row in state.positions.rows.items() if name == instrument.instrument and row.qty
    }
    if cash.keys() - holders and state.booked is None:
        raise Broken(
            "cash_in_lieu",
            f"found cash for {', '.join(sorted(cash.keys() - holders))}, who hold nothing; expected holders alone",
        )
    lines = []
    for account in sorted(holders):
        lines += _split_holder(state, event, instrument, account, cash.get(account))
    held, orders, over = adjust_orders(state, instrument, event)
    # One line for the issuer, not one a holder, and no more of each than has to be: a split has to fit an event.
    lines = postings.merged(lines + held)
    post(state, lines, may_refuse=False)
    note_split(state, instrument.asset, event, seq)
    derived: dict[str, Any] = {"postings_of_many": as_derived_of_many(lines)}
    if orders:
        derived["orders"] = orders
    if over:
        derived["ended"] = over
    return derived
