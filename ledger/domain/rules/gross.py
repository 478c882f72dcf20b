"""
Say whether a trade's gross is what its quantity comes to at its price, by a multiplier that its instrument had.

That is the multiplier of the trade date. A closed day's terms are amended no more, as they value its figures, which are
frozen: where one was wrong, a trade told late would have no way in. So one of a closed day may be by any multiplier
that the instrument had from then up to the day that it counts for, from which on the instrument can be amended. By
which one a trade came is what its gross says, whatever the instrument has by now.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger.domain import amounts
from ledger.domain.events import executions as events
from ledger.domain.rows import Execution, Instrument
from ledger.domain.rules.ground import Broken, Now, known, known_instrument, units
from ledger.domain.rules.orders import gross_of
from ledger.domain.rules.periods import open_day
from ledger.domain.state import State
from ledger.domain.terms import days_from, terms_on


def _comes_to(terms: Instrument, qty: int, price: int, gross: int, scale: int) -> bool:
    """Return whether *gross* is qty x price x multiplier, rounded to *scale* decimals in whichever way."""
    # Venues round their own way: up, down or half; never by a whole unit.
    one, exact = 10 ** (amounts.SCALE - scale), qty * price * terms.multiplier
    return abs(gross * amounts.UNIT**2 - exact) < one * amounts.UNIT**2 and gross * exact >= 0


def _from(instrument: Instrument, day: str) -> dict[str, Instrument]:
    """Return the terms of *day* and of each day after it from which there are others."""
    return {since: terms_on(instrument, since) for since in (day, *days_from(instrument, day))}


def _came_by(instrument: Instrument, row: Execution, scale: int) -> Instrument | None:
    """Return the terms that explain the gross of *row*: of its day rather than of a later one; None where none do."""
    found = _from(instrument, row.trade_date).values()
    return next((x for x in found if _comes_to(x, row.qty, row.price, row.gross, scale)), None)


def terms_of_trade(
    state: State, event: events.TradeExecuted, instrument: Instrument, old: Execution | None, now: Now
) -> Instrument:
    """
    Return the terms of the trade of *event*: those of its day, but where that is closed, and the version *old* that it
    replaces came by the multiplier of a later day than its own, with that.
    """
    own = terms_on(instrument, event.trade_date)
    if old is None or open_day(state, event, event.trade_date, now) == event.trade_date:
        return own
    came = _came_by(instrument, old, known(state.assets, instrument.quote_asset, "asset").scale)
    if came is None or came.multiplier == terms_on(instrument, old.trade_date).multiplier:
        return own
    # A correction may be of another day than what it corrects, and the instrument another one by then.
    later = [x.multiplier for x in _from(instrument, event.trade_date).values()]
    return msgspec.structs.replace(own, multiplier=came.multiplier) if came.multiplier in later else own


def check_gross(state: State, event: events.TradeExecuted, terms: Instrument, qty: int, price: int, now: Now) -> None:
    """
    Raise Broken where the gross that *event* gives is not what its *qty* comes to at its *price*, by *terms* or, where
    its day is closed, by any multiplier since.
    """
    instrument, gross = known_instrument(state, event.instrument), units(event.gross or 0)
    scale = known(state.assets, instrument.quote_asset, "asset").scale
    if _comes_to(terms, qty, price, gross, scale):
        return
    day, way_out = open_day(state, event, event.trade_date, now), ""
    if day != event.trade_date:
        since = _from(instrument, event.trade_date).items()
        if any(_comes_to(x, qty, price, gross, scale) for first, x in since if first <= day):
            return
        way_out = (
            f": if the multiplier is wrong, amend {instrument.instrument} from {day} on, for which this would count as "
            f"{event.trade_date} is closed, and record it again"
        )
    raise Broken(
        "gross",
        f"found gross {event.gross} of {event.exec_id!r}; expected qty x price x multiplier, which is "
        f"{amounts.render(gross_of(terms, qty, price, scale))}{way_out}",
    )


def terms_of_block(state: State, block: Sequence[Execution], instrument: Instrument) -> Instrument:
    """
    Return the terms by which the executions of *block* came to what they did, all by the same multiplier.

    Raises:
        Broken: they came by different ones, or one came by none that the instrument had.
    """
    scale = known(state.assets, block[0].gross_asset, "asset").scale
    found = _from(instrument, block[0].trade_date).values()
    fit = (x for x in found if all(_comes_to(x, row.qty, row.price, row.gross, scale) for row in block))
    if (terms := next(fit, None)) is not None:
        return terms
    if state.booked is not None:
        return terms_on(instrument, block[0].trade_date)
    came = []
    for row in block:
        if (by := _came_by(instrument, row, scale)) is None:
            raise Broken(
                "allocated_price",
                f"{row.exec_id!r} cost {amounts.render(row.gross)} {row.gross_asset}; expected its quantity times its "
                f"price, by a multiplier of {instrument.instrument} since {row.trade_date}: correct it first",
            )
        came.append((row.exec_id, by.multiplier))
    (one, first), *others = came
    other, another = next((x for x in others if x[1] != first), (one, first))
    raise Broken(
        "block_mismatch",
        f"{one!r} came by the multiplier {amounts.render(first)} and {other!r} by {amounts.render(another)}; expected "
        "one multiplier's, so allocate those of each by themselves",
    )
