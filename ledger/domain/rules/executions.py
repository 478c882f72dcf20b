"""
Rule on trades, their corrections and busts: facts of the venue, recorded when they fit and quarantined when not.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events import executions as events
from ledger.domain.events.fields import Event
from ledger.domain.postings import Line, negated
from ledger.domain.rows import Execution, Instrument, Order
from ledger.domain.rules.fills import filled, filled_otherwise, order_of_fill, unfilled
from ledger.domain.rules.gross import check_gross, terms_of_trade
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_scale,
    current_name,
    known,
    known_instrument,
    post,
    touch_account,
    units,
)
from ledger.domain.rules.new_shares import check_day, note_moved
from ledger.domain.rules.orders import gross_of
from ledger.domain.rules.position_moves import move_position, unmove_position
from ledger.domain.rules.reference import settles_on
from ledger.domain.rules.told import check_first_told
from ledger.domain.rules.trades import as_booked, booked, lines_of, live, unsplit
from ledger.domain.state import State

LONGEST_SESSION_DAYS: Final = 7
"""How many days to come a trade may be of: a session opens on the evening before its day, or before a long holiday."""


def fees_text(fees: tuple[events.Fee, ...]) -> str:
    """
    Return fees as a row keeps them.
    """
    return "[]" if not fees else msgspec.json.encode([[fee.kind, fee.asset, str(fee.amount)] for fee in fees]).decode()


def note_fees(state: State, fees: tuple[events.Fee, ...], known_of: tuple[str, str], trade_date: str) -> None:
    """
    Note that a trade of *trade_date* is charged in other assets than those *known_of*: its own and what it is paid in.
    """
    for fee in fees:
        if fee.asset not in known_of:
            note_moved(state, known(state.assets, fee.asset, "asset"), trade_date)


def check_fees(state: State, fees: tuple[events.Fee, ...], trade_date: str, now: Now) -> None:
    """
    Raise Broken where a fee of a trade has more decimals than its asset, or is of old shares.
    """
    for fee in fees:
        asset = known(state.assets, fee.asset, "asset")
        check_scale(units(fee.amount), asset, "fee")
        check_day(asset, trade_date, "a fee", now)


def _unused(state: State, venue: str, trade_date: str, exec_id: str, now: Now) -> str:
    """Return the content of a report with an unused id, of a session that may have opened."""
    what = f"execution {exec_id!r} of {venue} and {trade_date}"
    check_first_told(state.executions.fresh(venue, trade_date, exec_id), now, "exec_id_reused", what)
    # A slip of the pen would hide from splits and dividends, until then, who held what.
    newest = now.in_days(LONGEST_SESSION_DAYS)
    if trade_date > newest:
        raise Broken(
            "trade_date_to_come",
            f"found the trade date {trade_date} of {exec_id!r}; expected {newest} or earlier, which is "
            f"{LONGEST_SESSION_DAYS} days after today: record it with the day that it is of, or once that is near",
        )
    return now.content()


def _row_of(
    state: State, event: events.TradeExecuted, old: Execution | None, now: Now, content: str
) -> tuple[Execution, Instrument, int]:
    known(state.accounts, event.account, "account")
    instrument = terms_of_trade(state, event, known_instrument(state, event.instrument), old, now)
    if instrument.split_on is not None and event.trade_date < instrument.split_on:
        raise Broken(
            "before_split",
            f"found a trade of {event.trade_date}; expected {instrument.split_on}, when {instrument.instrument} was "
            "split, or later: book it by hand, in shares of today",
        )
    base = known(state.assets, instrument.asset, "asset")
    quote = known(state.assets, instrument.quote_asset, "asset")
    check_day(quote, event.trade_date, f"the payment for {event.exec_id!r}", now)
    qty, price = units(event.qty), units(event.price)
    if qty <= 0:
        raise Broken("quantity", f"found quantity {event.qty} of {event.exec_id!r}; expected more than 0")
    check_scale(qty, base, "quantity")
    as_was = as_booked(state, event.venue, event.trade_date, event.exec_id)
    if price % instrument.tick and not (event.reconciliation or event.historical or as_was):
        # The past was on other ticks, and what reconciliation infers is an average.
        raise Broken(
            "price",
            f"found price {event.price} of {event.exec_id!r}; expected a multiple of {amounts.render(instrument.tick)}",
        )
    gross = gross_of(instrument, qty, price, quote.scale)
    if as_was is not None:
        gross = as_was.gross
    elif event.gross is not None:
        given = units(event.gross)
        check_scale(given, quote, "gross")
        check_gross(state, event, instrument, qty, price, now)
        gross = given
    check_fees(state, event.fees, event.trade_date, now)
    note_moved(state, quote, event.trade_date)
    note_fees(state, event.fees, (instrument.asset, instrument.quote_asset), event.trade_date)
    due, at_once = settles_on(state, instrument, event.trade_date)
    if as_was is not None:
        due, at_once = as_was.settle_date, as_was.bucket == "settled"
    elif event.settle_date not in (None, due):
        if event.settle_date_reason is None:
            raise Broken(
                "settle_date",
                f"found {event.settle_date} of {event.exec_id!r}; expected {due}, as the calendar says, or a reason",
            )
        if str(event.settle_date) < event.trade_date:
            raise Broken(
                "settle_date",
                f"found {event.settle_date} of {event.exec_id!r}; expected {event.trade_date}, the "
                "trade date, or later",
            )
        # What settles on another day than that of the trade waits for it, whatever its cycle is.
        due, at_once = str(event.settle_date), False
    row = Execution(
        event.venue, event.trade_date, event.exec_id, "trade", now.seq, event.order_id, event.account,
        instrument.instrument, event.side, qty, price, instrument.asset, gross, instrument.quote_asset,
        fees_text(event.fees), "settled" if at_once else "unsettled", due, True, None, None,
        event.trade_date, event.exec_id, 0, 0, 0, 0, False, None, content,
    )  # fmt: skip
    return row, instrument, quote.scale


def _stream(state: State, order: Order | None, account: str) -> tuple[str, int]:
    if order is not None:
        return f"order/{order.order_id}", order.version
    return f"account/{account}", touch_account(state, account)


def _derived(row: Execution, lines: list[Line], given: events.TradeExecuted) -> dict[str, Any]:
    derived: dict[str, Any] = {"postings": as_derived(lines)}
    if given.gross is None:
        derived["gross"] = amounts.render(row.gross)
    if given.settle_date is None:
        derived["settle_date"] = row.settle_date
    if row.late:
        derived["late"] = True
    return derived


def execute(state: State, event: events.TradeExecuted, now: Now) -> Effects:
    """
    A trade with an unused execution id, of a session that may have opened, within its order's quantity, in its shares,
    paid in shares of today; late after its end, never refused.
    """
    content = _unused(state, event.venue, event.trade_date, event.exec_id, now)
    order = order_of_fill(state, event, 0)
    row, instrument, scale = _row_of(state, event, None, now, content)
    if order is not None and order.terminal:
        msgspec.structs.force_setattr(row, "late", True)
    lines = lines_of(row)
    if order is not None:
        order, held = filled(state, order, row, now.day)
        lines = held + lines
    post(state, lines, may_refuse=False)
    state.executions.put(move_position(state, row, instrument, scale))
    stream, version = _stream(state, order, event.account)
    return Effects(stream, version, _derived(row, lines, event), event.trade_date)


def _superseded(state: State, event: events.TradeCorrected | events.TradeBusted, now: Now) -> Execution:
    old = live(state, event.venue, event.ref_trade_date or event.trade_date, event.exec_ref)
    if old.kind == "allocation":
        raise Broken(
            "ref_is_allocation", f"{event.exec_ref!r} is a line of allocation {old.allocation_id}; reverse that"
        )
    if (event.trade_date, event.exec_id) == (old.trade_date, old.exec_id):
        # The row was just looked up, so memory would change it, and no constraint of the store catch a second one.
        raise Broken(
            "exec_id_reused", f"{event.exec_id!r} is the execution that it is to replace; expected an id of its own"
        )
    unsplit(state, old, now)
    return old


def _lineage(old: Execution) -> dict[str, str]:
    return {
        "ref_trade_date": old.trade_date, "ref_exec_id": old.exec_id, "root_trade_date": old.root_trade_date,
        "root_exec_id": old.root_exec_id,
    }  # fmt: skip


def correct(state: State, event: events.TradeCorrected, now: Now) -> Effects:
    """
    The newest version of a trade is replaced as a whole: its postings negated exactly, the new ones made.
    """
    content = _unused(state, event.venue, event.trade_date, event.exec_id, now)
    old = _superseded(state, event, now)
    if (old.order_id, old.account, current_name(state, old.instrument)) != (
        event.order_id, event.account, current_name(state, event.instrument)
    ):  # fmt: skip
        raise Broken(
            "ref_mismatch",
            f"execution {event.exec_ref!r} is of order {old.order_id}, {old.account} and "
            f"{old.instrument}; expected those in {event.exec_id!r}",
        )
    order = order_of_fill(state, event, old.qty)
    row, instrument, scale = _row_of(state, event, old, now, content)
    row = msgspec.structs.replace(row, kind="correct", late=old.late, **_lineage(old))
    lines = negated(booked(state, old)) + lines_of(row)
    if order is not None:
        order, held = filled_otherwise(state, order, old, row, now.day)
        lines = held + lines
    post(state, lines, may_refuse=False)
    after = unmove_position(state, old, instrument, scale)
    state.executions.put(msgspec.structs.replace(old, live=False, follows=()))
    state.executions.put(move_position(state, row, instrument, scale, after=after))
    stream, version = _stream(state, order, event.account)
    return Effects(stream, version, _derived(row, lines, event), event.trade_date)


def bust(state: State, event: events.TradeBusted, now: Now) -> Effects:
    """
    A trade is undone exactly; its order works what had filled again, unless the venue says that it does not.
    """
    content = _unused(state, event.venue, event.trade_date, event.exec_id, now)
    old = _superseded(state, event, now)
    instrument = known_instrument(state, old.instrument)
    scale = known(state.assets, instrument.quote_asset, "asset").scale
    lines = negated(booked(state, old))
    order = known(state.orders, old.order_id, "order") if old.order_id is not None else None
    derived: dict[str, Any] = {}
    if order is not None:
        lived = order.terminal is None
        order, held = unfilled(state, order, old, now.day, reopens=event.reopens_order)
        if lived and order.terminal is not None:
            derived["ended"] = [order.order_id]
        lines = held + lines
    post(state, lines, may_refuse=False)
    unmove_position(state, old, instrument, scale)
    state.executions.put(msgspec.structs.replace(old, live=False, follows=()))
    state.executions.put(
        msgspec.structs.replace(
            old, trade_date=event.trade_date, exec_id=event.exec_id, kind="bust", event_seq=now.seq, live=False,
            settled_qty=0, settled_gross=0, settled_days=(), cost_change=0, realised_change=0, content=content,
            follows=(), **_lineage(old),
        )
    )  # fmt: skip
    stream, version = _stream(state, order, old.account)
    return Effects(stream, version, {"postings": as_derived(lines), **derived}, event.trade_date)


RULES: dict[type[Event], object] = {
    events.TradeExecuted: execute,
    events.TradeCorrected: correct,
    events.TradeBusted: bust,
}
