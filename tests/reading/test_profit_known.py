"""
Check profit and loss and exposure on a real database: now, as they were, and as they were known to be.
"""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ledger import Ledger
from ledger.cli.app import app
from ledger.domain import registry
from ledger.domain.events.control import MarkRecorded
from ledger.domain.events.executions import TradeBusted, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.queries import Books, Known, RecordedAt, Seq
from ledger.reading.moment import parse_day
from tests.conftest import Database
from tests.domain.books import NOON
from tests.domain.test_marks_and_profit import MONDAY, TUESDAY, mark, market, trade
from tests.reading.days import cells
from tests.reading.test_results import week


class Told:
    """A week that was told as it happened, and what came late; when the first part of it was known, and its seq."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.count = 0
        with Ledger.open(database.dsn("writer")) as ledger:
            self.setup = [registry.decode_given(x.event_type, 1, x.given) for x in market().stored]
            self.seq = self.tell(ledger, [*self.setup, *week()[:7]])
            self.known = next(ledger.events(self.seq - 1)).recorded_at

    def tell(self, ledger: Ledger, events: list[Event]) -> int:
        for event in events:
            self.count += 1
            receipt = ledger.append(event, key=f"k{self.count}", occurred_at=NOON)
            assert not receipt.quarantined, receipt.quarantined
        return receipt.seq


@pytest.fixture
def told(chain: Database) -> Told:
    return Told(chain)


NAMES = "day instrument qty realised unrealised total"
MONDAY_THEN = [[MONDAY, "SAP", "100", "0", "160", "173.8"], [MONDAY, None, "-1042", None, None, "0"]]


def test_what_was_known_on_tuesday_about_monday_stays(told: Told) -> None:
    """A late trade, a bust and a new mark of Monday change what is known now, and nothing of what was known then."""
    first, last = parse_day(MONDAY), parse_day(TUESDAY)
    with Ledger.open(told.database.dsn("writer")) as ledger, Books(told.database.dsn("reader")) as books:
        then, exposed = books.pnl(), books.exposure("A")
        assert then.seq == told.seq
        assert [cells(x, NAMES) for x in then.value if x.day == MONDAY] == MONDAY_THEN
        busted = TradeBusted(exec_id="X", exec_ref="E1", venue="V", trade_date=MONDAY, reason="r")
        seq = told.tell(ledger, [trade("L", "50", "10.50"), busted, mark("13", as_of=9), *week()[7:]])
        for at in (Seq(told.seq), RecordedAt(told.known), Known(told.known, last)):
            assert books.pnl(at=at).value == then.value
            assert books.exposure("A", at=at).value == exposed.value
            assert books.pnl("A", first, first, at=at).value == [x for x in then.value if x.day == MONDAY]
        known = books.pnl(at=Known(told.known, first))
        assert (known.seq, known.by) == (told.seq, "replay")
        assert known.value == [x for x in then.value if x.day == MONDAY]
        # 40 at 11 and 50 at 10.50 cost 965; 90 at 13 are 1170. Fees were 2.
        now = books.pnl(last=first)
        assert now.seq == seq
        assert [cells(x, NAMES) for x in now.value] == [
            [MONDAY, "SAP", "90", "0", "205", "223.3"], [MONDAY, None, "-967", None, None, "0"],
        ]  # fmt: skip
        for day in (first, last, parse_day("2024-08-07"), parse_day("2024-08-08")):
            at = Known(next(ledger.events(seq - 1)).recorded_at, day)
            (position,) = books.positions("A", at=at).value
            rows = [x for x in books.pnl("A", at=at).value if x.instrument]
            assert sum(x.realised or 0 for x in rows) == position.realised
            assert (rows[-1].qty, rows[-1].cost) == (position.qty, position.cost)


def other_market() -> list[Event]:
    """Return an account in pounds, and what it bought of a share in euros: 3 for 10 each."""
    return [
        *(AssetDefined(asset=asset, kind="security", scale=2, name=asset) for asset in ("GBP", "IBM")),
        InstrumentDefined(instrument="IBM", asset="IBM", quote_asset="EUR", settle_asset="EUR", tick="0.01", lot="1",
                          settlement_cycle=2, venue="V"),
        AccountOpened(account="B", owner="o", kind="house", base_asset="GBP"),
        TradeExecuted(exec_id="B1", venue="V", account="B", instrument="IBM", side="buy", qty="3", price="10",
                      trade_date=MONDAY),
    ]  # fmt: skip


def test_exposure_is_valued_at_the_newest_marks_or_says_which_is_missing(told: Told) -> None:
    """Position, cash and open orders in dollars; another account in a share nobody marked, and its total untold."""
    with Ledger.open(told.database.dsn("writer")) as ledger, Books(told.database.dsn("reader")) as books:
        names = "line instrument asset qty mark value rate long short net gross missing"
        assert [cells(x, names) for x in books.exposure().value] == [
            ["position", "SAP", "EUR", "50", "11", "550", "1.2", "660", "0", "660", "660", ()],
            ["cash", None, "EUR", "-392", None, "-392", "1.2", "0", "470.4", "-470.4", "470.4", ()],
            ["total", None, "USD", None, None, None, "1", "660", "470.4", "189.6", "1130.4", ()],
        ]
        orders = [
            OrderPlaced(order_id=f"O{n}", cl_ord_id=f"c{n}", account="A", instrument="SAP", side=side, qty="5",
                        ord_type=kind, price=price)
            for n, (side, kind, price) in enumerate((("buy", "limit", "10"), ("sell", "market", None)))
        ]  # fmt: skip
        seq = told.tell(ledger, [*other_market(), *orders, mark("12", "2024-08-07")])
        at = "line instrument mark_day net working_buy working_sell missing"
        assert [cells(x, at) for x in books.exposure("A").value] == [
            ["position", "SAP", "2024-08-07", "720", "60", "72", ()],
            ["cash", None, None, "-470.4", "0", "0", ()],
            ["total", None, None, "249.6", "60", "72", ()],
        ]
        missing = ("mark of IBM", "mark of EUR/GBP")
        assert [cells(x, at) for x in books.exposure("B").value] == [
            ["position", "IBM", None, None, None, None, missing],
            ["cash", None, None, None, None, None, missing[1:]],
            ["total", None, None, None, None, None, missing],
        ]
        told.tell(ledger, [
            MarkRecorded(instrument="IBM", price="7", kind="intraday", day="2024-08-08", as_of=1),
            MarkRecorded(base="GBP", quote="EUR", price="1.25", kind="eod", day="2024-08-08", as_of=1),
        ])  # fmt: skip
        assert [cells(x, "net rate")[:2] for x in books.exposure("B").value] == [
            ["16.8", "0.8"], ["-24", "0.8"], ["-7.2", "1"],
        ]  # fmt: skip
        assert cells(books.exposure("B", at=Seq(seq)).value[-1], "net missing") == [None, missing]
        # Marks of later days are not known of earlier ones.
        now = next(ledger.events(books.head().seq - 1)).recorded_at
        early = books.exposure("A", at=Known(now, parse_day(TUESDAY))).value
        assert cells(early[0], "mark mark_day mark_kind") == ["11", TUESDAY, "eod"]


def test_a_missing_mark_is_said_on_the_command_line(told: Told) -> None:
    """The rows stand with what can be told, null or empty where it cannot, and stderr names the mark to record."""
    arguments = ["--dsn", told.database.dsn("reader"), "--from", "2024-08-09", "--to", "2024-08-09"]
    done = CliRunner().invoke(app, ["show", "pnl", *arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert [(row["instrument"], row["qty"], row["realised"], row["total"]) for row in rows] == [
        ("SAP", "50", "0", None), (None, "-392", None, None),
    ]  # fmt: skip
    assert rows[0]["missing"] == ["mark of SAP for 2024-08-09", "mark of EUR/USD for 2024-08-09"]
    assert "2 rows cannot be told in full" in done.stderr
    assert "mark of EUR/USD for 2024-08-09; mark of SAP for 2024-08-09; record it" in done.stderr
    known = ["--known-at", str(told.known), "--effective-on", MONDAY]
    done = CliRunner().invoke(app, ["show", "pnl", *arguments[:2], *known, "--format", "csv"])
    assert done.exit_code == 0, done.output
    assert [line.split(",")[:5] for line in done.stdout.splitlines()[1:]] == [
        [str(told.seq), MONDAY, "", "A", "SAP"], [str(told.seq), MONDAY, "", "A", ""],
    ]  # fmt: skip
    assert "cannot be told" not in done.stderr
