"""
Rule on conversions: one asset is sold and another bought, through the accounts that stand for open currency.

What the ledger's owner gains or loses by converting collects in `~fx_clearing.<asset>`, apart from the result of
trades: valued at any rates, those balances are the FX result. At the rate before the spread, that is the spread.
"""

from __future__ import annotations

from typing import Any

from ledger.domain import amounts, postings
from ledger.domain.events import cash as events
from ledger.domain.events.fields import Event
from ledger.domain.postings import moved
from ledger.domain.rows import Movement
from ledger.domain.rules.ground import (
    Broken,
    Effects,
    Now,
    as_derived,
    check_come,
    check_scale,
    known,
    post,
    touch_account,
    units,
)
from ledger.domain.rules.new_shares import check_day, note_moved
from ledger.domain.rules.periods import open_day
from ledger.domain.rules.told import check_first_told
from ledger.domain.state import State


def _check_rate(event: events.FxConverted, sold: int, bought: int, scale: int) -> None:
    exact, one = sold * units(event.rate), 10 ** (amounts.SCALE - scale)
    if abs(bought * amounts.UNIT - exact) >= one * amounts.UNIT:
        meant, _ = amounts.multiply(sold, units(event.rate), scale)
        raise Broken(
            "rate",
            f"found {event.bought.amount} {event.bought.asset} for {event.sold.amount} {event.sold.asset} at "
            f"{event.rate}; expected {amounts.render(meant)}, rounded either way",
        )


def convert(state: State, event: events.FxConverted, now: Now) -> Effects:
    """
    A conversion with an unused id, whose amounts go with its rate.
    """
    check_first_told(state.movements.fresh("fx", event.fx_id), now, "fx_id_reused", f"conversion {event.fx_id!r}")
    check_come(event.value_date, now, "value_date_to_come", "a conversion with the value date")
    known(state.accounts, event.account, "account")
    sold, bought = units(event.sold.amount), units(event.bought.amount)
    if event.sold.asset == event.bought.asset:
        raise Broken("fx_assets", f"found {event.sold.asset} on both sides; expected two assets")
    for side, amount in ((event.sold, sold), (event.bought, bought)):
        if amount <= 0:
            raise Broken("amount", f"found {side.amount} {side.asset}; expected more than 0 on both sides")
        asset = known(state.assets, side.asset, "asset")
        check_scale(amount, asset, "amount")
        check_day(asset, event.value_date, "a conversion", now)
    scale = known(state.assets, event.bought.asset, "asset").scale
    _check_rate(event, sold, bought, scale)
    clearing = postings.fx_clearing
    lines = moved(event.sold.asset, sold, (event.account, "settled"), (clearing(event.sold.asset), "settled"))
    lines += moved(event.bought.asset, bought, (clearing(event.bought.asset), "settled"), (event.account, "settled"))
    post(state, lines, may_refuse=False)
    for side in (event.sold, event.bought):
        note_moved(state, known(state.assets, side.asset, "asset"), event.value_date)
    day = open_day(state, event, event.value_date, now)
    movement = Movement("fx", event.fx_id, now.seq, day, postings.text(lines), now.content(), None)
    state.movements.put(movement)
    derived: dict[str, Any] = {"postings": as_derived(lines)}
    if event.spread is not None:
        earned, _ = amounts.multiply(sold, units(event.spread), scale)
        derived["spread_amount"] = amounts.render(earned)
    return Effects(f"account/{event.account}", touch_account(state, event.account), derived, event.value_date)


RULES: dict[type[Event], object] = {events.FxConverted: convert}
