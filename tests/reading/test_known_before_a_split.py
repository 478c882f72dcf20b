"""
Check that what the order of days cannot tell in its turn is told in the shares that it was of, once those split.
"""

from __future__ import annotations

import datetime

import pytest

from ledger.domain.amounts import render
from ledger.domain.events.fields import Event
from tests.domain.books import Books
from tests.domain.equities import DAY, DUE, market, settled, trade
from tests.reading.days import pnl
from tests.reading.test_known_settlement import LAST, MONDAY, TUESDAY, has, known, now
from tests.reading.test_known_splits import bust, order, split


def after_midnight(books: Books) -> None:
    """Let the clock stand in Friday's UTC day, while Thursday's session goes on."""
    books.clock = int(datetime.datetime.fromisoformat(f"{DUE}T00:30:00+00:00").timestamp()) * 10**9


def fill(exec_id: str, day: str) -> Event:
    return trade(exec_id, fee="0", qty="10", trade_date=day, order_id="O")


@pytest.mark.parametrize("settles", [False, True])
def test_a_fill_that_the_order_of_days_cannot_give_to_its_order_stays_readable(settles: bool) -> None:
    """It came with the wrong trade date, was busted and sent again: by days its order has filled before it comes."""
    books = market()
    after_midnight(books)
    busted = [fill("E", DUE), *([settled("S", "E", "10", trade_date=DUE)] if settles else []), bust("E", DUE, DUE)]
    given = [order("O", "10", "10"), *busted, fill("F", DAY)]
    assert [books.give(x).rule for x in given] == [None] * len(given)
    books.set_day(MONDAY)
    assert books.give(split()).rule is None
    for day, shares in ((DAY, "10"), (DUE, "10"), (MONDAY, "20"), (LAST, "20")):
        source = known(books, day)
        (position,) = source.rows("positions", account="A")
        assert (render(position.qty), render(position.cost)) == (shares, "100")
        assert has(source) == ("0", shares)
    assert known(books, LAST).rows("balances") == now(books).rows("balances")
    assert [render(row.qty) for row in pnl(books, last=TUESDAY) if row.instrument][-1] == "20"
