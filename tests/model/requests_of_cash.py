"""
Move value and set it aside as may well be, and now and then as cannot.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger.domain.events.cash import (
    AssetAmount,
    CashMoved,
    FeeCharged,
    FxConverted,
    HoldPlaced,
    HoldReleased,
    JournalPosted,
    JournalReversed,
    Leg,
    Posting,
)
from ledger.domain.events.fields import Event
from tests.model import money
from tests.model.dice import WILD, Dice
from tests.model.firm import ACCOUNTS
from tests.model.history import History, number, rounded
from tests.model.moment import Moment
from tests.model.requests_of_trades import days_before, text

AMOUNTS = ("0.01", "1", "33.3", "250.5", "999")


def amount(dice: Dice) -> str:
    return dice.of("0.001", "0") if dice.often(0.03) else dice.choice(AMOUNTS)


def name(now: Moment, dice: Dice, letter: str) -> str:
    """Return an id that is new, mostly."""
    return f"{letter}{now.seq if not dice.often(0.05) else dice.randint(20, 40)}"


def charged(_: History, now: Moment, dice: Dice) -> Event:
    return FeeCharged(fee_id=name(now, dice, "f"), account=dice.choice(ACCOUNTS), kind="custody",
                      asset=dice.of("USD", "USD", "EUR"), amount=dice.of("", "-") + dice.choice(AMOUNTS))  # fmt: skip


def moved(_: History, now: Moment, dice: Dice) -> Event:
    kind: Any = dice.of("deposit", "withdrawal", "interest", "funding", "tax")
    sign = {"deposit": "", "withdrawal": "-"}.get(kind, dice.of("", "-"))
    if dice.often(0.05):
        sign = dice.of("", "-")
    asset = dice.of("USD", "USD", "EUR", "XYZ", "BTC")
    some = dice.of("1", "0.5", "3") if asset in ("XYZ", "BTC") else dice.choice(AMOUNTS)
    account = "nobody" if dice.often(WILD) else dice.choice(ACCOUNTS)
    return CashMoved(movement_id=name(now, dice, "m"), account=account, asset=asset, amount=sign + some, kind=kind,
                     value_date=days_before(now.day, dice.aimed([0, 0, 0, 1, 3], [-1])))  # fmt: skip


def converted(_: History, now: Moment, dice: Dice) -> Event:
    sold, bought = dice.of(("USD", "EUR"), ("EUR", "USD"))
    much, rate = dice.choice(AMOUNTS), dice.of("0.9174", "1.0000001", "1.25")
    got = rounded(number(much) * number(rate), 2) + Fraction(dice.of(0, 0, 0, 0, 1, -2), 100)
    return FxConverted(
        fx_id=name(now, dice, "x"), account=dice.choice(ACCOUNTS), sold=AssetAmount(asset=sold, amount=much),
        bought=AssetAmount(asset=bought, amount=text(got)), rate=rate, spread=dice.of(None, "0.001"),
        value_date=days_before(now.day, dice.aimed([0], [-1])),
    )  # fmt: skip


def _legs(dice: Dice) -> tuple[Leg, ...]:
    accounts = dice.sample(ACCOUNTS, dice.of(1, 1, 2))
    return tuple(Leg(account=x, asset=dice.of("USD", "USD", "EUR"), amount=dice.choice(AMOUNTS)) for x in accounts)


def held(_: History, now: Moment, dice: Dice) -> Event:
    expires = now.at + dice.of(0, 1, 86_400 * 10**9) if dice.often(0.4) else None
    return HoldPlaced(hold_id=name(now, dice, "h"), legs=_legs(dice), expires_at=expires, ref=dice.of(None, "O-1"))


def released(history: History, _: Moment, dice: Dice) -> Event:
    holds = money.holds(history)
    hold = dice.aimed((x for x, left in holds.items() if left), [*holds, "none"])
    amounts = None
    if dice.often(0.5):
        (account, asset), left = dice.choice([*holds.get(hold, {}).items()] or [(("A", "USD"), Fraction(1))])
        part = left if dice.often(0.3) else dice.of(Fraction(1, 100), Fraction(1), left * 2)
        amounts = (Leg(account=account, asset=asset, amount=text(part)),) if not dice.often(WILD) else ()
    reason: Any = dice.of("void", "captured", "expired")
    return HoldReleased(hold_id=hold, amounts=amounts, reason=reason, ref=dice.of("f1", "f1", "f1", None))


def posted(_: History, now: Moment, dice: Dice) -> Event:
    asset, much = dice.of("USD", "EUR"), dice.choice(AMOUNTS)
    source, target = dice.sample([*ACCOUNTS, "~suspense", "~suspence"], 2)
    bucket: Any = dice.of("settled", "settled", "settled", "unsettled", "held" if dice.often(0.2) else "settled")
    lines = [(source, "settled", f"-{much}"), (target, bucket, much)]
    if dice.often(0.04):
        lines[1] = (target, bucket, "0.02")
    postings = tuple(Posting(account=a, asset=asset, bucket=b, amount=x) for a, b, x in lines)
    return JournalPosted(journal_id=name(now, dice, "j"), postings=postings, memo="m", proposed_by="ann",
                         approved_by=dice.of("bob", "bob", "ann", None))  # fmt: skip


def reverses(history: History, now: Moment, dice: Dice) -> Event:
    found = money.movements(history)
    undone = money.reversed_already(history)
    kind, reversed_id = dice.aimed((x for x in found if x not in undone), [*found, ("fee", "none")])
    return JournalReversed(journal_id=name(now, dice, "r"), reverses_kind=kind, reverses=reversed_id, reason="r",  # type: ignore[arg-type]
                           proposed_by="ann", approved_by=dice.of("bob", "bob", "ann", None))  # fmt: skip


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    FeeCharged: (charged, 3), CashMoved: (moved, 4), FxConverted: (converted, 3), HoldPlaced: (held, 4),
    HoldReleased: (released, 6), JournalPosted: (posted, 4), JournalReversed: (reverses, 3),
}  # fmt: skip
