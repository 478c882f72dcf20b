"""
Check every read at every form of moment, from Python and from the command line, in every format.

The slow and obvious way to know what a read should have said is to have asked it then: a firm's first day is told, all
reads are kept, and a second day follows. What is asked later of the first day must be what was kept; what is said of
now must be what a replay of every event from the first makes. What cannot be told is refused by every read.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from typer.testing import CliRunner

from ledger import Ledger
from ledger.cli.app import app
from ledger.cli.show import show
from ledger.domain import registry
from ledger.domain.events.cash import AssetAmount, FxConverted
from ledger.domain.events.control import Difference, MarkRecorded, ReconciliationRecorded
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.domain.events.reference import AccountOpened
from ledger.errors import InvalidInput, NoSuchMoment, NotFound, Rejected
from ledger.journal.chain_creation import create_chain
from ledger.queries import At, Books, Known, Moment, RecordedAt, Seq
from ledger.reading.moment import parse_day
from ledger.reading.plain_rows import Structured, plain
from ledger.reading.statement import Statement
from tests.conftest import ORIGIN, Database, copy_database
from tests.domain.equities import DAY, DUE, market, settled

NOONS: Final = {DAY: 1_723_118_400 * 10**9, DUE: 1_723_204_800 * 10**9}
FIRST, LAST = parse_day(DAY), parse_day(DUE)
FORMATS: Final = ("table", "json", "jsonl", "csv")


class Read(msgspec.Struct, frozen=True):
    """
    One read: how Python asks for it, how the command line does, and the same of what nobody knows.
    """

    ask: Callable[[Any, Moment | None], At[Any]]
    shown: tuple[str, ...]
    unknown: Callable[[Any, Moment | None], At[Any]] | None = None
    unknown_shown: tuple[str, ...] = ()


def by_account(method: str, *more: Any) -> Read:
    """Return a read that takes an account."""
    name = method.replace("_", "-")
    return Read(
        lambda books, at: getattr(books, method)("A", at=at), (name, "--account", "A"),
        lambda books, at: getattr(books, method)("AA", at=at), (name, "--account", "AA"),
    )  # fmt: skip


def whole(method: str) -> Read:
    """Return a read of everything."""
    return Read(lambda books, at: getattr(books, method)(at=at), (method.replace("_", "-"),))


ACCOUNTED: Final = ("balances", "positions", "orders", "open_orders", "blotter", "settlement_ladder", "exposure", "pnl")
READS: Final[dict[str, Read]] = {
    **{f"{method} of one account": by_account(method) for method in ACCOUNTED},
    **{f"{method} of all": whole(method) for method in (*ACCOUNTED, "quarantine", "breaks")},
    "order": Read(
        lambda books, at: books.order("O", at=at), ("order", "O"),
        lambda books, at: books.order("AA", at=at), ("order", "AA"),
    ),
    "history": Read(
        lambda books, at: books.history("order/O", at=at), ("history", "order/O"),
        lambda books, at: books.history("order/AA", at=at), ("history", "order/AA"),
    ),
    "fx_result": Read(
        lambda books, at: books.fx_result("USD", at=at), ("fx-result", "USD"),
        lambda books, at: books.fx_result("AA", at=at), ("fx-result", "AA"),
    ),
    "statement": Read(
        lambda books, at: books.statement("A", FIRST, FIRST, at=at), ("statement", "A", "--from", DAY, "--to", DAY),
        lambda books, at: books.statement("AA", FIRST, FIRST, at=at), ("statement", "AA", "--from", DAY, "--to", DAY),
    ),
}  # fmt: skip
BY_NAME: Final = [name for name, read in READS.items() if read.unknown is not None]


class Firm(msgspec.Struct):
    """
    Two days of a firm: where its first ended, when that was recorded, the head, and what was read at the first's end.
    """

    database: Database
    first: int
    recorded_at: int
    head: int
    then: dict[str, At[Any]]

    def moments(self) -> dict[str, tuple[Moment | None, tuple[str, ...]]]:
        """Return each form of moment, as Python and as the command line take it."""
        now = time.time_ns()
        return {
            "now": (None, ()),
            "seq": (Seq(self.first), ("--at-seq", str(self.first))),
            "time": (RecordedAt(self.recorded_at), ("--at-time", str(self.recorded_at))),
            "known": (Known(now, FIRST), ("--known-at", str(now), "--effective-on", DAY)),
        }


def trade(exec_id: str, qty: str, day: str, price: str = "10", **more: Any) -> TradeExecuted:
    given = {"account": "A", "instrument": "XYZ.N", "side": "buy", "venue": "N", "trade_date": day, **more}
    return TradeExecuted(exec_id=exec_id, qty=qty, price=price, **given)


def mark(price: str, day: str) -> MarkRecorded:
    return MarkRecorded(instrument="XYZ.N", price=price, kind="eod", day=day, as_of=1)


def broken(number: str) -> ReconciliationRecorded:
    difference = Difference(key="A:USD", ledger="1", external=number)
    return ReconciliationRecorded(origin="custodian", statement_hash="00", as_of=1, matched=1, breaks=(difference,))


def first_day() -> list[Event]:
    given = [registry.decode_given(x.event_type, 1, x.given) for x in market().stored]
    return [
        *given,
        AccountOpened(account="IDLE", owner="o", kind="cash", base_asset="USD"),
        OrderPlaced(order_id="O", cl_ord_id="c", account="A", instrument="XYZ.N", side="buy", qty="100",
                    ord_type="limit", price="10", tif="gtc"),
        OrderAccepted(order_id="O", venue="N"),
        trade("E1", "40", DAY, order_id="O"),
        trade("E2", "7", DAY, account="B"),
        TradeCorrected(exec_id="C1", exec_ref="E1", order_id="O", account="A", instrument="XYZ.N", side="buy",
                       qty="50", price="9", venue="N", trade_date=DAY),
        FxConverted(fx_id="F", account="A", sold=AssetAmount(asset="USD", amount="110"), rate="0.9",
                    bought=AssetAmount(asset="EUR", amount="99"), value_date=DAY),
        mark("11", DAY),
        MarkRecorded(base="EUR", quote="USD", price="1.1", kind="eod", day=DAY, as_of=1),
        trade("Q1", "1", DAY, order_id="nobody's"),
        broken("2"),
    ]  # fmt: skip


def second_day() -> list[Event]:
    return [
        trade("E3", "20", DUE, order_id="O"),
        TradeBusted(exec_id="B2", exec_ref="E2", venue="N", trade_date=DUE, ref_trade_date=DAY, reason="r"),
        settled("S1", exec_id="C1", qty="50", amount="450", date=DUE),
        mark("12", DUE),
        MarkRecorded(base="EUR", quote="USD", price="1.2", kind="eod", day=DUE, as_of=2),
        FxConverted(fx_id="F2", account="A", sold=AssetAmount(asset="USD", amount="10"), rate="0.9",
                    bought=AssetAmount(asset="EUR", amount="9"), value_date=DUE),
        OrderCanceled(order_id="O", unsolicited=True),
        OrderPlaced(order_id="P", cl_ord_id="p", account="A", instrument="XYZ.N", side="sell", qty="5",
                    ord_type="limit", price="20", tif="gtc"),
        trade("Q2", "1", DUE, order_id="nobody's"),
        broken("3"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def firm(pg_server: Any, migrated: str) -> Any:
    """Tell both days once, and keep what every read said in between."""
    copy_database(pg_server, "every_read", migrated)
    database = Database(pg_server, "every_read")
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger, Books(database.dsn("reader")) as books:
        last = {}
        for day, told in ((DAY, first_day()), (DUE, second_day())):
            for number, event in enumerate(told):
                last[day] = ledger.append(event, key=f"{day}-{number}", occurred_at=NOONS[day])
            if day == DAY:
                then = {name: read.ask(books, None) for name, read in READS.items()}
    yield Firm(database, last[DAY].seq, last[DAY].recorded_at, last[DUE].seq, then)
    pg_server.sql("DROP DATABASE every_read WITH (FORCE)")


def told(value: Any) -> Any:
    """Return what an answer says of the books, whatever seq it was asked at."""
    return (value.opening, value.lines, value.closing) if isinstance(value, Statement) else value


@pytest.mark.parametrize("name", READS)
def test_python_reads_every_moment_as_it_was(firm: Firm, name: str) -> None:
    """By seq, by time and as known of the day, what was kept; of now, what a replay makes; from the ledger as well."""
    read, moments = READS[name], firm.moments()
    with (
        Ledger.open(firm.database.dsn("writer")) as ledger,
        Books(firm.database.dsn("reader")) as books,
        Books(firm.database.dsn("reader"), from_start=True) as slow,
    ):
        now = read.ask(books, None)
        assert (now.seq, now.value) == (firm.head, read.ask(slow, Seq(firm.head)).value)
        assert told(now.value) != told(firm.then[name].value) or name in ("statement", "breaks of all")
        for form, (at, _) in moments.items():
            found = read.ask(books, at)
            assert found.seq == (firm.first if form in ("seq", "time") else firm.head), form
            assert read.ask(ledger, at).value == found.value, form
            assert read.ask(slow, at).value == found.value, form
            if form in ("seq", "time"):
                assert found.value == firm.then[name].value, form
            if form == "known":
                assert told(found.value) == told(firm.then[name].value), form
            assert found.value not in ([], None), form


def plain_rows(value: Any) -> list[dict[str, Any]]:
    """Return the rows that every format shows of *value*."""
    if isinstance(value, Statement):
        return [plain(line) for line in value.lines]
    return [plain(row) for row in (value if isinstance(value, list) else [value])]


def run(firm: Firm, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["show", *arguments, "--dsn", firm.database.dsn("reader")])


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", READS)
def test_the_command_shows_what_python_reads_in_every_format(firm: Firm, name: str) -> None:
    """Each format carries the seq and the same rows to the last digit; a table is for people, and has every amount."""
    read = READS[name]
    with Books(firm.database.dsn("reader")) as books:
        for at, options in firm.moments().values():
            answer = read.ask(books, at)
            expected, seq = plain_rows(answer.value), answer.seq
            out = {}
            for form in FORMATS:
                done = run(firm, *read.shown, *options, "--format", form)
                assert done.exit_code == 0, done.output
                assert f"true at seq {seq}, read from {answer.by}" in done.stderr
                out[form] = done.stdout
            found = json.loads(out["json"])
            assert (found["seq"], found["read_from"], found["schema_version"]) == (seq, answer.by, 1)
            lines = [json.loads(line) for line in out["jsonl"].splitlines()]
            cells = list(csv.DictReader(io.StringIO(out["csv"])))
            assert {line["at_seq"] for line in lines} == {seq}
            assert {line["at_seq"] for line in cells} == {str(seq)}
            structured = [
                {key: json.loads(value) if isinstance(value, Structured) else value for key, value in row.items()}
                for row in expected
            ]
            for shown in (found["rows"], lines):
                ours = [{key: row[key] for key in expected[0]} for row in shown if row.get("line") in _OWN]
                assert ours == structured
            assert [{key: row[key] for key in expected[0]} for row in cells if row.get("line") in _OWN] == [
                {key: as_text(value) for key, value in row.items()} for row in expected
            ]
            assert f"true at seq {seq}" in out["table"]
            assert all(str(row[key]) in out["table"] for row in expected for key in ("amount", "qty") if row.get(key))
            if isinstance(answer.value, Statement):
                for said in (found, lines[0], cells[0]):
                    assert (said["digest"], said["hash"]) == (answer.value.digest, answer.value.hash)


_OWN: Final = (None, "posting", "position", "cash", "asset", "total")
"""What `line` says of rows that Python has too: a statement is shown with its opening and closing."""


@pytest.mark.parametrize("name", READS)
def test_no_read_answers_for_a_moment_that_was_not(firm: Firm, name: str) -> None:
    """Before the first event, beyond the head, to come, a day before all, and what is no moment: refused, and why."""
    read = READS[name]
    future = 4 * 10**18
    refused: dict[str, tuple[Any, tuple[str, ...], str]] = {
        "seq 0": (Seq(0), ("--at-seq", "0"), "events 1 to"),
        "beyond": (Seq(firm.head + 1), ("--at-seq", str(firm.head + 1)), f"events 1 to {firm.head}"),
        "before": (RecordedAt(5), ("--at-time", "5"), "the first event was recorded at"),
        "to come": (RecordedAt(future), ("--at-time", str(future)), "has not come"),
        "known to come": (Known(future, FIRST), ("--known-at", str(future), "--effective-on", DAY), "has not come"),
        "known before": (Known(5, FIRST), ("--known-at", "5", "--effective-on", DAY), "first event was recorded at"),
        "a day before": (
            Known(firm.recorded_at, parse_day("1990-01-01")),
            ("--known-at", str(firm.recorded_at), "--effective-on", "1990-01-01"), "1990-01-01",
        ),
        "no moment": (5, ("--at-time", "noon"), "expected"),
        "an odd seq": (Seq(2**70), ("--at-seq", str(2**70)), "64 bits"),
    }  # fmt: skip
    with Books(firm.database.dsn("reader")) as books:
        for which, (at, options, words) in refused.items():
            with pytest.raises((NoSuchMoment, NotFound, InvalidInput), match=words):
                read.ask(books, at)
            if which not in ("beyond", "to come", "a day before", "no moment"):
                # Options become a moment in one place.
                continue
            done = run(firm, *read.shown, *options)
            assert isinstance(done.exception, Rejected), (which, done.output)
            assert (done.stdout, words in str(done.exception)) == ("", True), (which, done.exception)


@pytest.mark.parametrize("name", BY_NAME)
def test_no_read_answers_for_a_name_that_nobody_knows(firm: Firm, name: str) -> None:
    """At every moment, and at one before the name was known, the name and the seq are said; nothing is on stdout."""
    read = READS[name]
    assert read.unknown is not None
    with Books(firm.database.dsn("reader")) as books:
        for at, options in firm.moments().values():
            with pytest.raises(NotFound, match="AA'"):
                read.unknown(books, at)
            done = run(firm, *read.unknown_shown, *options)
            assert isinstance(done.exception, NotFound), done.output
            assert (done.stdout, "AA'" in str(done.exception)) == ("", True)
        with pytest.raises(NotFound, match="at seq 1"):
            read.ask(books, Seq(1))


@pytest.mark.parametrize("method", [*ACCOUNTED[1:], "executions"])
def test_the_ledgers_own_accounts_have_balances_and_nothing_else(firm: Firm, method: str) -> None:
    """What they cannot have is refused at every moment, whether anything was posted to them or not."""
    with Books(firm.database.dsn("reader")) as books:
        for at, options in firm.moments().values():
            for account in ("~clearing.N", "~fees", "~nobody"):
                with pytest.raises(InvalidInput, match=f"account '{account}', which is the ledger's own and has no"):
                    getattr(books, method)(account, at=at)
            if method != "executions":
                done = run(firm, method.replace("_", "-"), "--account", "~fees", *options)
                assert (isinstance(done.exception, InvalidInput), done.stdout) == (True, ""), done.output
            assert books.balances("~clearing.N", at=at).value


@pytest.mark.parametrize("method", ACCOUNTED)
def test_who_is_known_and_has_nothing_has_an_empty_answer(firm: Firm, method: str) -> None:
    """An idle account is no error: no rows, and the seq at which there are none, in every format."""
    with Books(firm.database.dsn("reader")) as books:
        for at, options in firm.moments().values():
            found = getattr(books, method)("IDLE", at=at)
            assert (found.value, found.seq > 0) == ([], True)
            for form in FORMATS:
                done = run(firm, method.replace("_", "-"), "--account", "IDLE", *options, "--format", form)
                assert (done.exit_code, f"0 rows, true at seq {found.seq}" in done.stderr) == (0, True), done.output
        assert books.statement("IDLE", FIRST, LAST).value.lines == []
        assert [x.event_type for x in books.history("account/IDLE").value] == ["AccountOpened"]


def test_the_table_has_every_read_there_is() -> None:
    """A command that is added to `show` is added here."""
    assert {read.shown[0] for read in READS.values()} == {x.name for x in show.registered_commands}
