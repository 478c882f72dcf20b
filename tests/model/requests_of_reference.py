"""
Define and change what there is to own and trade as may well be, and now and then as cannot.
"""

from __future__ import annotations

from typing import Any

from ledger.domain.events.fields import Event
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AccountStatusSet,
    AssetDefined,
    CalendarPublished,
    Cycle,
    InstrumentAmended,
    InstrumentDefined,
)
from tests.model import orders, reference
from tests.model.dice import Dice
from tests.model.firm import ACCOUNTS, CYCLES, HOLIDAYS
from tests.model.history import History
from tests.model.moment import Moment
from tests.model.requests_of_trades import days_before, text


def asset(_: History, now: Moment, dice: Dice) -> Event:
    name = dice.aimed([f"T{now.seq}"], ["USD", "XYZ"])
    return AssetDefined(asset=name, kind="crypto", scale=dice.aimed([0, 4, 18], [-1, 19]), name=name)


def instrument(history: History, now: Moment, dice: Dice) -> Event:
    kind, quote, lot = dice.of(("XYZ", "USD", "0.1"), ("BTC", "EUR", "0.001"), ("FUT", "USD", "1"))
    its = dice.aimed([kind], ["NONE", "USD"])
    calendar = dice.of("us", "us", None, None if dice.often(0.9) else "none")
    return InstrumentDefined(
        instrument=dice.aimed([f"I{now.seq}"], ["XYZ.N"]), asset=its, quote_asset=quote,
        settle_asset=dice.aimed([quote], ["USD", "EUR"]),
        tick=dice.aimed(["0.01", "0.005"], ["0"]), lot=dice.aimed([lot], ["0.05"]), multiplier=dice.of("1", "1", "2.5"),
        settlement_cycle=dice.aimed([0, 1, 2], [-1, 31]), calendar=calendar,
        product=dice.aimed([None, "us_equity" if calendar else None], ["us_equity"]), venue=dice.of("N", "V"),
    )  # fmt: skip


def amended(history: History, now: Moment, dice: Dice) -> Event:
    every = list(reference.instruments(history))
    what: dict[str, Any] = dice.of(
        {"tick": "0.01"}, {"lot": "1"}, {"multiplier": "2"}, {"settlement_cycle": 3}, {"calendar": "us"}, {"tick": "0"},
        {"lot": "0.03"}, {"product": "bond", "calendar": "us"}, {"product": "bond"}, {"symbol": "S"}, {"tick": "0.001"},
    )  # fmt: skip
    return InstrumentAmended(
        instrument=dice.aimed(every, ["IBM"]), effective_from=days_before(now.day, dice.of(0, 0, 1, 3, -1)), **what
    )


def published(history: History, now: Moment, dice: Dice) -> Event:
    name = dice.of("us", "us", "eu")
    last = reference.calendars(history).get(name)
    version = dice.aimed([(last.calendar_version if last else 0) + dice.of(1, 1, 5)], [1, 0])
    cycles = [*CYCLES, Cycle(product="bond", days=dice.aimed([0, 2], [31]), effective_from=now.day)]
    holidays = (*HOLIDAYS, f"2024-05-{dice.randint(23, 31)}")
    return CalendarPublished(calendar=name, calendar_version=version, holidays=holidays, cycles=tuple(cycles))


def opened(_: History, now: Moment, dice: Dice) -> Event:
    kind: Any = dice.of("cash", "margin", "house", "fee", "clearing", "suspense")
    method: Any = dice.of("AVG", "FIFO")
    name = dice.aimed([f"A{now.seq}", "nobody", "A2"], ["A", "~own"])
    return AccountOpened(account=name, owner="o", kind=kind, base_asset=dice.aimed(["USD", "EUR"], ["GBP"]),
                         cost_method=method, parent=dice.aimed([None, "A"], ["none"]))  # fmt: skip


def _account(history: History, dice: Dice) -> str:
    every = [*reference.accounts(history)]
    return dice.aimed([x for x in every if x not in ACCOUNTS] if dice.often(0.5) else every, [*every, "none"])


def limited(history: History, _: Moment, dice: Dice) -> Event:
    policy: Any = dice.of("settled_only", "credit_unsettled")
    account, cash = dice.of("M", *ACCOUNTS, _account(history, dice)), dice.often(0.4)
    asset = dice.of("USD", "USD", "EUR") if cash else dice.of("XYZ", "BTC", "FUT")
    most = (
        dice.of("1", "3", "10", "40")
        if not cash and not dice.often(0.1)
        else dice.of(None, "0", "-1", "0.05", "0.000000001")
    )
    working = [x for x in orders.orders(history).values() if x.left]
    if not cash and working and dice.often(0.7):
        # As much as one order may fill, so that another has no room beside it.
        one = dice.choice(working)
        account, asset = one.placed.account, reference.instruments(history)[one.placed.instrument].asset
        most = text(one.left)
    margin = account == "M" and cash and not dice.often(0.1)
    floor = dice.of("-3000", "-500", "-2000", "0") if margin else dice.of("0", "0", "0", "-1", "1", "-0.005")
    return AccountLimitsSet(account=account, asset=asset, floor=floor, hold_policy=policy, max_position=most)


def status(history: History, _: Moment, dice: Dice) -> Event:
    account = _account(history, dice)
    to: Any = dice.of("restricted", "closed", "closed", "open")
    if reference.status_of(history, account) != "open" and dice.often(0.7):
        to = "open"
    return AccountStatusSet(account=account, status=to, reason="r")


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    AssetDefined: (asset, 1), InstrumentDefined: (instrument, 1), InstrumentAmended: (amended, 2),
    CalendarPublished: (published, 1), AccountOpened: (opened, 2), AccountLimitsSet: (limited, 4),
    AccountStatusSet: (status, 3),
}  # fmt: skip
