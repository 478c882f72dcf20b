"""
Say from a history what positions and conversions earned: what prices did, apart from what currencies did.
"""

from __future__ import annotations

from fractions import Fraction

from tests.model import control, holdings, money, reference
from tests.model.history import History, asked, rounded
from tests.model.holdings import Place

CLOSING = ("settlement", "eod")
KINDS = (*CLOSING, "intraday")
"""The best first."""


def _names(history: History, instrument: str) -> list[str]:
    """Return the names that an instrument has had, the newest first."""
    every = reference.instruments(history)
    return [x for x in reversed(every) if reference.called_now(history, x) == instrument]


def price_on(history: History, instrument: str, day: str) -> Fraction | None:
    marks = control.marks(history)
    places = ((name, day, kind) for kind in CLOSING for name in _names(history, instrument))
    return next((marks[x][0] for x in places if x in marks), None)


def rate_on(history: History, base: str, quote: str, day: str) -> Fraction | None:
    marks = control.marks(history)
    straight = [marks[f"{base}/{quote}", day, kind][0] for kind in CLOSING if (f"{base}/{quote}", day, kind) in marks]
    inverse = [marks[f"{quote}/{base}", day, kind][0] for kind in CLOSING if (f"{quote}/{base}", day, kind) in marks]
    if base == quote:
        return Fraction(1)
    return straight[0] if straight else 1 / inverse[0] if inverse else None


@asked
def days(history: History) -> list[str]:
    return sorted({day for _, day, _ in control.marks(history)})


def valued(history: History) -> dict[tuple[Place, str], Fraction]:
    """Return what each open position is worth by the marks of each day since its shares are what they are."""
    found: dict[tuple[Place, str], Fraction] = {}
    for place, holding in holdings.holdings(history).items():
        for day in days(history):
            its, price = reference.instruments(history, day)[place[1]], price_on(history, place[1], day)
            if holding.qty and price is not None and day >= its.split_on:
                found[place, day] = reference.gross_of(history, its, holding.qty, price)
    return found


def results(history: History) -> dict[tuple[Place, str, str], tuple[Fraction, Fraction]]:
    """Return what prices and what currencies did, from a day to the next with marks, to what is held now."""
    worth, found = valued(history), {}
    for place, day in worth:
        owner = reference.accounts(history)[place[0]]
        quote, base = reference.instruments(history)[place[1]].quote, owner.base_asset
        for later in days(history):
            then, now = (rate_on(history, quote, base, x) for x in (day, later))
            if later <= day or (place, later) not in worth or then is None or now is None:
                continue
            scale = reference.scales(history)[base]
            currency = worth[place, day] * (now - then)
            total = (worth[place, later] - worth[place, day]) * now + currency
            rest = rounded(total, scale) - rounded(currency, scale)
            found[place, day, later] = rest, rounded(currency, scale)
    return found


def _newest(history: History, pair: str) -> tuple[str, Fraction] | None:
    """Return the newest price of a pair, of the best kind there is for its day, and the day."""
    marks = control.marks(history)
    last = max((day for subject, day, _ in marks if subject == pair), default="")
    return next(((last, marks[pair, last, kind][0]) for kind in KINDS if (pair, last, kind) in marks), None)


def converted(history: History, worth_in: str) -> Fraction | None:
    """Return what all conversions earned at the newest rates, None where one is missing."""
    exact = Fraction(0)
    for (account, asset, _), amount in money.buckets(history).items():
        if not account.startswith("~fx_clearing.") or asset == worth_in:
            exact += amount if account.startswith("~fx_clearing.") else 0
            continue
        straight, inverse = _newest(history, f"{asset}/{worth_in}"), _newest(history, f"{worth_in}/{asset}")
        if straight is not None and (inverse is None or straight[0] >= inverse[0]):
            exact += amount * straight[1]
        elif inverse is not None:
            exact += amount / inverse[1]
        else:
            return None
    return rounded(exact, reference.scales(history)[worth_in])
