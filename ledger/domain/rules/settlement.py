"""
Rule on settlement: trades move from unsettled to settled as the depository says, or fail and are tried again.

Delivery is versus payment: one event moves both legs, on the account's side and on the venue's. A trade settles at
most its quantity, in as many parts as it takes, and the last part takes what is left of the cash to the last digit.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.domain import amounts, postings
from ledger.domain.events import settlement as events
from ledger.domain.events.fields import Event
from ledger.domain.positions import share
from ledger.domain.postings import Line
from ledger.domain.rows import Execution, Movement, SettlementFail
from ledger.domain.rules import new_shares, trades
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_come,
    check_scale,
    current_name,
    known,
    post,
    touch_account,
    units,
)
from ledger.domain.rules.periods import closed_before, open_day
from ledger.domain.rules.told import check_first_told
from ledger.domain.state import State


def _is_told_late(event: events.TradeSettled | events.SettlementFailed) -> bool:
    return isinstance(event, events.SettlementFailed) and event.qty is not None


def _late(event: events.TradeSettled | events.SettlementFailed) -> str:
    """Return how a fail is told once what failed has settled."""
    if isinstance(event, events.TradeSettled):
        return ""
    one = " of each execution" if event.net else ""
    return f", or `qty`{one}: how much was left of it on {event.date}, if it failed before it settled{_each(event)}"


def _each(event: events.TradeSettled | events.SettlementFailed) -> str:
    """Return under which ids the fails of the executions of a net are told, so that the net is accepted as the one."""
    if not event.net:
        return ""
    return (
        f"; tell the first under {event.settlement_id!r}, as which this one is then accepted, and the others under ids "
        "of their own"
    )


def _executions(state: State, event: events.TradeSettled | events.SettlementFailed) -> list[Execution]:
    """Return the executions that are meant, which wait for settlement: of one account and instrument."""
    names = [(name.trade_date, name.exec_id) for name in event.net]
    if event.exec_id is not None and event.trade_date is not None and not names:
        names = [(event.trade_date, event.exec_id)]
    elif event.exec_id is not None or event.trade_date is not None or len(set(names)) < max(2, len(names)):
        raise Broken(
            "settles_what", "give trade_date and exec_id of one execution, or two or more different ones in net"
        )
    rows = [trades.live(state, event.venue, trade_date, exec_id) for trade_date, exec_id in names]
    if len({(row.account, current_name(state, row.instrument)) for row in rows}) > 1:
        raise Broken(
            "net_mismatch",
            f"{event.settlement_id!r}: found executions of several accounts or instruments; expected one of each",
        )
    for row in rows:
        name = f"execution {row.exec_id!r} of {row.trade_date}"
        if row.bucket == "settled":
            raise Broken("settled_with_trade", f"{name} settled with the trade; expected one that waits")
        # Where the days are gone through, what settled on earlier ones may have been told later.
        if row.settled_qty == row.qty and state.booked is None and not _is_told_late(event):
            raise Broken(
                "over_settlement", f"{name} has settled as a whole; expected something left of it{_late(event)}"
            )
        if event.date < row.trade_date:
            raise Broken(
                "settled_before_trade",
                f"found {event.date}; expected {row.trade_date}, the trade date of {name}, or later",
            )
    return rows


def _gross(state: State, row: Execution, qty: int, given: int | None, scale: int) -> int:
    """Return the cash of *qty*: what was given, if it is the share that goes with the quantity, rounded either way."""
    left, open_qty = row.gross - row.settled_gross, row.qty - row.settled_qty
    meant = share(left, qty, open_qty, scale)
    if given is None or given == meant:
        return meant
    if state.booked is not None:
        # It was the share of what was left when it was told, which other parts were settled of by then.
        return given
    one = 10 ** (amounts.SCALE - scale)
    if abs(given * open_qty - left * qty) >= one * open_qty:
        raise Broken(
            "settlement_amount",
            f"found {amounts.render(given)} {row.gross_asset} for {amounts.render(qty)} of {row.exec_id!r}; "
            f"expected {amounts.render(meant)}",
        )
    return given


def _one(state: State, event: events.TradeSettled, row: Execution, scale: int) -> tuple[int, int]:
    qty, open_qty = units(event.qty), row.qty - row.settled_qty
    if qty <= 0:
        raise Broken("quantity", f"found quantity {event.qty} of {row.exec_id!r}; expected more than 0")
    if qty > open_qty:
        raise Broken(
            "over_settlement",
            f"found a settlement of {event.qty} of {row.exec_id!r}; expected at most "
            f"{amounts.render(open_qty)}, which waits for settlement",
        )
    if qty < open_qty and not event.partial and state.booked is None:
        raise Broken(
            "not_whole",
            f"found {event.qty} of {row.exec_id!r}, of which {amounts.render(open_qty)} is left: give "
            "that, or `partial`",
        )
    check_scale(qty, known(state.assets, row.asset, "asset"), "quantity")
    return qty, _gross(state, row, qty, None if event.amount is None else units(event.amount), scale)


def _whole(event: events.TradeSettled, rows: list[Execution]) -> tuple[int, int]:
    qty = sum(trades.signed(row.side, row.qty - row.settled_qty) for row in rows)
    gross = sum(trades.signed(row.side, row.gross - row.settled_gross) for row in rows)
    if units(event.qty) != qty or event.partial:
        raise Broken(
            "net_quantity",
            f"{event.settlement_id!r}: found {event.qty}; expected {amounts.render(qty)}, all that is left, net",
        )
    if event.amount is not None and units(event.amount) != gross:
        raise Broken(
            "settlement_amount",
            f"{event.settlement_id!r}: found {event.amount}; expected {amounts.render(gross)}, all that is left, net",
        )
    return qty, gross


def _by_day(row: Execution) -> dict[str, int]:
    """Return how much of *row* has settled, by the day that its settlements gave."""
    return {day: amounts.read(qty) for day, qty in (entry.split() for entry in row.settled_days)}


def _with(row: Execution, day: str, qty: int) -> tuple[str, ...]:
    """Return the days of *row* once *qty* more has settled on *day*: in whatever order they were told, the same."""
    found = _by_day(row)
    found[day] = found.get(day, 0) + qty
    return tuple(f"{one} {amounts.render(part)}" for one, part in sorted(found.items()))


def settle(state: State, event: events.TradeSettled, now: Now) -> Effects:
    """
    What waits for settlement settles, at most all of it; the id is unused, unless the same was said before.
    """
    prior = state.movements.fresh("settlement", event.settlement_id)
    check_first_told(prior, now, "settlement_id_reused", f"settlement {event.settlement_id!r}")
    check_come(event.date, now, "settlement_to_come", "a settlement with the day")
    rows = _executions(state, event)
    quote = known(state.assets, rows[0].gross_asset, "asset")
    if event.amount is not None:
        check_scale(units(event.amount), quote, "amount")
    lines: list[Line] = []
    every: list[new_shares.Parts] = []
    if event.net:
        _, amount = _whole(event, rows)
        parts = [(row, row.qty - row.settled_qty, row.gross - row.settled_gross) for row in rows]
    else:
        qty, amount = _one(state, event, rows[0], quote.scale)
        parts = [(rows[0], qty, amount)]
    for row, qty, gross in parts:
        settling = trades.settling(state, row, qty, gross)
        lines += settling
        every.append(new_shares.difference(state, row.account, row.event_seq, settling))
        state.executions.put(
            msgspec.structs.replace(
                row, settled_qty=row.settled_qty + qty, settled_gross=row.settled_gross + gross,
                settled_days=_with(row, event.date, qty),
            )
        )  # fmt: skip
    as_traded, become = postings.text(postings.merged(lines)), new_shares.together(every)
    lines = postings.merged(lines + new_shares.all_lines(become))
    post(state, lines, may_refuse=False)
    day = open_day(state, event, event.date, now)
    # What has settled is told in the shares that were traded, as what is due and what failed are.
    state.movements.put(Movement("settlement", event.settlement_id, now.seq, day, as_traded, now.content(), None))
    account = rows[0].account
    derived: dict[str, Any] = {"postings": as_derived(lines)}
    if become:
        derived["in_new_shares"] = new_shares.as_stored(become)
    if event.amount is None:
        derived["amount"] = amounts.render(amount)
    return Effects(f"account/{account}", touch_account(state, account), derived, event.date)


def _failed(state: State, event: events.SettlementFailed, now: Now, rows: list[Execution]) -> list[SettlementFail]:
    """Return what failed of *rows*: all that was left of each on the day, and fees in other assets."""
    if state.booked is not None:
        # All that was left when it was told need not be left by days.
        return _failed_before(state.booked, event)
    parts: list[tuple[Execution, int, str, int]] = []
    if event.qty is None:
        _check_left(event, rows)
    for row in rows if event.qty is None else [_as_left(state, event, rows, units(event.qty))]:
        owed = trades.outstanding(row, lambda asset: known(state.assets, asset, "asset").scale)
        parts.append((row, owed.pop(row.asset), row.gross_asset, owed.pop(row.gross_asset, 0)))
        # Fees in other assets wait with the trade, and have rows of their own.
        parts += [(row, 0, asset, amount) for asset, amount in sorted(owed.items()) if amount]
    return [
        SettlementFail(
            event.settlement_id, event.date, number, now.seq, row.venue, row.trade_date, row.exec_id, row.account,
            row.asset, qty, asset, amount, event.leg, event.reason, event.new_intended_date, now.content(),
        )
        for number, (row, qty, asset, amount) in enumerate(parts)
    ]  # fmt: skip


def _check_left(event: events.SettlementFailed, rows: list[Execution]) -> None:
    """Raise Broken where some of what was left of *rows* on the day has settled on a later one."""
    for row in rows:
        since = sum(part for day, part in _by_day(row).items() if day > event.date)
        if since:
            raise Broken(
                "settled_before",
                f"found a fail on {event.date} of execution {row.exec_id!r} of {row.trade_date}, of which "
                f"{amounts.render(since)} settled on days after it; expected one of what waits{_late(event)}",
            )


def _as_left(state: State, event: events.SettlementFailed, rows: list[Execution], qty: int) -> Execution:
    """Return the execution with *qty* left of it, as on the day that failed; some of that may have settled since."""
    if event.net:
        raise Broken(
            "settles_what",
            f"found `qty` with net; expected it of one execution, in a fail of each{_each(event)}",
        )
    row = rows[0]
    days = _by_day(row).items()
    # What settled on the day itself may have done so after it had failed.
    most = row.qty - sum(part for day, part in days if day < event.date)
    least = row.qty - sum(part for day, part in days if day <= event.date)
    if not most:
        raise Broken(
            "over_settlement",
            f"execution {row.exec_id!r} of {row.trade_date} had settled as a whole before {event.date}; expected "
            "something left of it on that day",
        )
    check_scale(qty, known(state.assets, row.asset, "asset"), "quantity")
    if not max(least, 1) <= qty <= most:
        low = f"at least {amounts.render(least)}, which its end left" if least else "more than 0"
        raise Broken(
            "quantity",
            f"found {event.qty} of {row.exec_id!r} that failed; expected all that was left on {event.date}: {low}, "
            f"at most {amounts.render(most)}",
        )
    if qty == row.qty - row.settled_qty:
        return row
    # What had been paid by then is not known by days: its share is.
    scale = known(state.assets, row.gross_asset, "asset").scale
    paid = share(row.gross, row.qty - qty, row.qty, scale)
    return msgspec.structs.replace(row, settled_qty=row.qty - qty, settled_gross=paid)


def _failed_before(booked: State, event: events.SettlementFailed) -> list[SettlementFail]:
    rows: list[SettlementFail] = []
    row = booked.settlement_fails.get(event.settlement_id, event.date, 0)
    while row is not None:
        rows.append(row)
        row = booked.settlement_fails.get(event.settlement_id, event.date, len(rows))
    return rows


def _check_not_done(state: State, event: events.SettlementFailed, rows: list[Execution], done: Movement) -> None:
    """Raise Broken where the settlement that was *done* under the id can have settled on no day from that one on."""
    # The day that it gave is the movement's, or one that was closed by then: which of these, if several, nothing says.
    closed = closed_before(state, done.event_seq)
    given = {day for row in rows for day in _by_day(row)}
    last = max((day for day in given if day <= closed or day == done.effective_on), default=done.effective_on)
    if last < event.date:
        raise Broken(
            "settled_before",
            f"found a fail on {event.date} of settlement {event.settlement_id!r}, of which the last settled on {last}; "
            "expected one that waits, under an id of its own",
        )


def fail(state: State, event: events.SettlementFailed, now: Now) -> Effects:
    """
    What waits for settlement goes on waiting, until another day; a settlement fails once a day. What has settled since
    failed before that, as its quantity says.
    """
    prior = state.settlement_fails.fresh(event.settlement_id, event.date, 0)
    check_first_told(prior, now, "settlement_id_reused", f"a fail of {event.settlement_id!r} on {event.date}")
    # Looked up: this fact puts no movement, so no constraint of the store would catch one that memory has forgotten.
    done = None if state.booked is not None else state.movements.get("settlement", event.settlement_id)
    if done is not None and event.qty is None:
        raise Broken(
            "settled_before",
            f"found a fail of settlement {event.settlement_id!r}, which has settled; expected one that waits, under an "
            f"id of its own{_late(event)}",
        )
    check_come(event.date, now, "settlement_to_come", "a failed settlement with the day")
    rows = _executions(state, event)
    if done is not None:
        _check_not_done(state, event, rows, done)
    if event.new_intended_date < event.date:
        raise Broken("new_intended_date", f"found {event.new_intended_date}; expected {event.date} or later")
    for row in _failed(state, event, now, rows):
        state.settlement_fails.put(row)
    account = rows[0].account
    return Effects(f"account/{account}", touch_account(state, account), effective_on=event.date)


RULES: dict[type[Event], object] = {events.TradeSettled: settle, events.SettlementFailed: fail}
