"""
Check reads of known days on a generated history, which has splits, new names, late corrections and much else.
"""

from __future__ import annotations

import datetime
import time
from random import Random

from ledger import Ledger
from ledger.generation.requests import generate
from ledger.queries import Books, Known, Seq
from tests.conftest import Database

LAST = datetime.date(2030, 1, 1)


def test_with_all_days_known_the_books_are_those_of_now(chain: Database) -> None:
    """Every read; instruments go by the names that they are known by."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append_many(generate(1_100, Random(3), "g"))
        events = {event.event_type for event in ledger.events()}
    assert {"SplitApplied", "InstrumentRenamed", "TradeCorrected", "TradeBusted"} <= events
    with Books(chain.dsn("reader")) as books:
        whole = Known(time.time_ns(), LAST)
        assert books.balances(at=whole).value == books.balances().value
        assert [x for x in books.positions(at=whole).value if x.qty] == [x for x in books.positions().value if x.qty]
        facts = [(x.order_id, x.status, x.qty, x.cum_qty, x.hold_amount) for x in books.orders(at=whole).value]
        assert facts == [(x.order_id, x.status, x.qty, x.cum_qty, x.hold_amount) for x in books.orders().value]
        for read in (books.settlement_ladder, books.quarantine, books.breaks):
            assert read(at=whole).value == read().value
        reports = [(x.exec_id, x.standing, x.settled_qty, x.replaced_by) for x in books.blotter(at=whole).value]
        assert reports == [(x.exec_id, x.standing, x.settled_qty, x.replaced_by) for x in books.blotter().value]


def test_a_day_before_a_split_has_the_positions_of_then(chain: Database) -> None:
    """What is known by now of the day before is in the shares of that day, under the name of now."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append_many(generate(1_100, Random(3), "g"))
        (split,) = [event for event in ledger.events() if event.event_type == "SplitApplied"]
        late = [e for e in ledger.events(split.seq) if e.effective_on < split.effective_on]
    assert late == []
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=split.effective_on - 1)
    with Books(chain.dsn("reader")) as books:
        then = {(x.account, x.instrument): x for x in books.positions(at=Known(time.time_ns(), day)).value if x.qty}
        before = [x for x in books.positions(at=Seq(split.seq - 1)).value if x.qty and x.instrument == "BOLT"]
        assert before
        assert [then[x.account, x.instrument] for x in before] == before
