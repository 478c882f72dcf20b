"""
Say whether a trade's gross is what its quantity comes to at its price, by the multiplier that its instrument had.

That is the multiplier of the trade date. A closed day's terms are amended no more, as they value its figures, which are
frozen: where one was wrong, a trade told late would have no way in. So one of a closed day may be by the multiplier of
the day that it counts for instead, from which on the instrument can be amended.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.domain import amounts
from ledger.domain.events import executions as events
from ledger.domain.events.settlement import TradeAllocated
from ledger.domain.rows import Execution, Instrument
from ledger.domain.rules.ground import Broken, Now, known, known_instrument, units
from ledger.domain.rules.orders import gross_of
from ledger.domain.rules.periods import open_day
from ledger.domain.state import State
from ledger.domain.terms import terms_on


def _comes_to(terms: Instrument, qty: int, price: int, gross: int, scale: int) -> bool:
    """Return whether *gross* is qty x price x multiplier, rounded to *scale* decimals in whichever way."""
    # Venues round their own way: up, down or half; never by a whole unit.
    one, exact = 10 ** (amounts.SCALE - scale), qty * price * terms.multiplier
    return abs(gross * amounts.UNIT**2 - exact) < one * amounts.UNIT**2 and gross * exact >= 0


def check_gross(state: State, event: events.TradeExecuted, qty: int, price: int, now: Now) -> None:
    """
    Raise Broken where the gross that *event* gives is not what its *qty* comes to at its *price*.
    """
    instrument, gross = known_instrument(state, event.instrument), units(event.gross or 0)
    scale = known(state.assets, instrument.quote_asset, "asset").scale
    terms = terms_on(instrument, event.trade_date)
    if _comes_to(terms, qty, price, gross, scale):
        return
    day, way_out = open_day(state, event, event.trade_date, now), ""
    if day != event.trade_date:
        if _comes_to(terms_on(instrument, day), qty, price, gross, scale):
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


def terms_of_block(
    state: State, event: TradeAllocated, block: Sequence[Execution], instrument: Instrument, now: Now
) -> Instrument:
    """
    Return the terms by which the executions of *block* came to what they did: of their day, or of that which *event*
    counts for where their day is closed and only those explain all of them.
    """
    scale = known(state.assets, block[0].gross_asset, "asset").scale
    days = (event.trade_date, open_day(state, event, event.trade_date, now))
    found = [terms_on(instrument, day) for day in dict.fromkeys(days)]
    fit = (x for x in found if all(_comes_to(x, row.qty, row.price, row.gross, scale) for row in block))
    return next(fit, found[0])
