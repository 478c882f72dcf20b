"""
Check `tradeledger show`: every format says the same rows and their seq, and what cannot be told has a status.
"""

from __future__ import annotations

import csv
import inspect
import io
import json
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from ledger import Ledger
from ledger.cli.answer import NAMED_MARKS, report_missing
from ledger.cli.app import app
from ledger.cli.show import show
from ledger.domain.ladder import Rung
from ledger.domain.rows import Balance, Break, Hold, Order, Position, Quarantined
from ledger.domain.times import time_text
from ledger.errors import Rejected
from ledger.queries import Books, Seq
from ledger.reading.moment import parse_day, parse_time
from ledger.reading.plain_rows import TIMES, Structured, plain
from ledger.reading.statement import StatementLine
from ledger.reading.views import BlotterLine, HistoryLine
from tests.commands import run
from tests.conftest import Database
from tests.reading.histories import DAYS, Teller

READS = ("balances", "positions", "orders", "open-orders", "blotter", "exposure", "pnl", "settlement-ladder",
         "quarantine", "breaks")  # fmt: skip


@pytest.fixture
def told(chain: Database) -> Database:
    """Return a chain on which something of everything happened."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        teller = Teller(ledger)
        teller.setup()
        for step in (
            ("place", DAYS[1], DAYS[1], 0), ("trade", DAYS[1], DAYS[1], 0), ("correct", DAYS[1], DAYS[2], 1),
            ("odd", DAYS[2], DAYS[2], 0), ("lone trade", DAYS[2], DAYS[2], 1), ("bust", DAYS[3], DAYS[3], 1),
        ):  # fmt: skip
            teller.tell(*step)
    return chain


def shown(database: Database, *arguments: object) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["show", *map(str, arguments), "--dsn", database.dsn("reader")])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", READS)
def test_each_read_is_what_python_reads_in_every_format(told: Database, name: str) -> None:
    """JSON, JSON lines and CSV carry the rows of Python and their seq, a table the seq; nothing is rounded."""
    with Books(told.dsn("reader")) as books:
        seq = books.head().seq - 1
        answer = getattr(books, name.replace("-", "_"))(at=Seq(seq))
        expected = [plain(row) for row in answer.value]
    moment = ("--at-seq", seq)
    found = json.loads(shown(told, name, *moment, "--format", "json")[0])
    as_json = [{k: json.loads(v) if isinstance(v, Structured) else v for k, v in row.items()} for row in expected]
    assert found == {"schema_version": 1, "seq": seq, "read_from": found["read_from"], "rows": as_json}
    lines = [json.loads(line) for line in shown(told, name, *moment, "--format", "jsonl")[0].splitlines()]
    assert lines == [{"at_seq": seq, **row} for row in as_json]
    table = list(csv.DictReader(io.StringIO(shown(told, name, *moment, "--format", "csv")[0])))
    assert table == [{"at_seq": str(seq), **{k: as_text(v) for k, v in row.items()}} for row in expected]
    out, err = shown(told, name, *moment)
    assert f"true at seq {seq}" in out
    assert f"{len(expected)} rows, true at seq {seq}" in err
    shown_ones = ("available", "cost", "net", "realised")
    amounts = {value for row in expected for key, value in row.items() if key in shown_ones and value is not None}
    assert all(value in out for value in amounts)


def test_order_history_and_statement_are_shown(told: Database) -> None:
    """An order's audit trail and an account's statement, of now and of known days, with digest and hash."""
    with Books(told.dsn("reader")) as books:
        head = books.head()
        trail = books.history("order/x1").value
        made = books.statement("A", parse_day(DAYS[2]), parse_day(DAYS[3])).value
    found = json.loads(shown(told, "history", "order/x1", "--format", "json")[0])
    told_by = [plain(line) | {name: json.loads(getattr(line, name)) for name in ("given", "derived")} for line in trail]
    assert found["rows"] == told_by
    assert [row["event_type"] for row in found["rows"]] == ["OrderPlaced", "TradeExecuted", "TradeCorrected"]
    one = json.loads(shown(told, "order", "x1", "--at-seq", trail[0].seq, "--format", "json")[0])
    assert (one["seq"], one["rows"][0]["status"], one["rows"][0]["cum_qty"]) == (trail[0].seq, "PENDING_NEW", "0")
    days = ("--from", DAYS[2], "--to", DAYS[3])
    stated = json.loads(shown(told, "statement", "A", *days, "--format", "json")[0])
    assert (stated["seq"], stated["hash"], stated["digest"]) == (head.seq, head.hash.hex(), made.digest)
    kinds = [row["line"] for row in stated["rows"]]
    assert kinds == ["opening"] * len(made.opening) + ["posting"] * len(made.lines) + ["closing"] * len(made.closing)
    assert "posting" in kinds
    table = shown(told, "statement", "A", *days)[0]
    assert f"digest: {made.digest}" in table
    known = ("--known-at", trail[-1].recorded_at, "--effective-on", DAYS[1])
    assert json.loads(shown(told, "blotter", *known, "--format", "json")[0])["rows"][-1]["standing"] == "live"
    at_time = ("--at-time", trail[1].recorded_at)
    assert json.loads(shown(told, "blotter", *at_time, "--format", "json")[0])["seq"] == trail[1].seq


def test_a_table_tells_times_as_at_time_takes_them(told: Database) -> None:
    """Numbers of 19 digits are for programs; to the nanosecond the text names the same moment."""
    with Books(told.dsn("reader")) as books:
        trail = books.history("order/x1").value
    table = shown(told, "history", "order/x1")[0].splitlines()
    start = table[1].index("recorded_at")
    times = [line[start:].split()[0] for line in table[2 : 2 + len(trail)]]
    assert times == [time_text(line.recorded_at) for line in trail]
    assert [parse_time(time) for time in times] == [line.recorded_at for line in trail]
    assert not any(
        str(number) in line for line in table for one in trail for number in (one.recorded_at, one.occurred_at)
    )
    by_time = shown(told, "blotter", "--at-time", times[1], "--format", "json")[0]
    assert json.loads(by_time)["seq"] == trail[1].seq


def test_every_time_of_a_row_is_told_as_one() -> None:
    """Those that a read shows; `replaced_at` is the seq of an event, and `made_at` would be found here."""
    kinds = (Balance, Position, Order, Quarantined, Break, Hold, BlotterLine, HistoryLine, StatementLine, Rung)
    columns = {name for kind in kinds for name in kind.__struct_fields__}
    assert {name for name in columns if name.endswith(("_at", "as_of"))} - {"replaced_at"} == TIMES


def test_every_read_takes_every_moment(told: Database) -> None:
    """By seq, by time and by known days, each says the seq it is true at; the list of reads is that of the program."""
    with Books(told.dsn("reader")) as books:
        trail = books.history("order/x1").value
    own = {
        "fx-result": ["USDT"], "order": ["x1"], "history": ["order/x1"],
        "statement": ["A", "--from", DAYS[0], "--to", DAYS[2]],
    }  # fmt: skip
    seq, recorded = trail[-1].seq, trail[-1].recorded_at
    names = [x.name or "" for x in show.registered_commands]
    assert {*READS, *own} == set(names)
    for name in names:
        for moment in (("--at-seq", seq), ("--at-time", recorded), ("--known-at", recorded, "--effective-on", DAYS[2])):
            out, err = shown(told, name, *own.get(name, ()), *moment, "--format", "json")
            assert json.loads(out)["seq"] == seq, (name, moment)
            assert f"true at seq {seq}, read from" in err


def test_what_cannot_be_told_is_a_status_and_a_sentence(told: Database) -> None:
    """Nothing on stdout: 8 for a moment or a name that was not, 2 for options that do not go together."""
    with Books(told.dsn("reader")) as books:
        last = books.history("order/x1").value[-1].recorded_at
    for status, words, arguments in (
        (8, "this chain has events 1 to", ("balances", "--at-seq", "99")),
        (8, "the first event was recorded at", ("positions", "--at-time", "5")),
        (8, "expected nanoseconds", ("positions", "--at-time", "yesterday")),
        (8, "found the time '2999-01-01T00:00:00Z'", ("positions", "--at-time", "2999-01-01T00:00:00Z")),
        (8, "account 'B'", ("balances", "--account", "B")),
        (8, "order 'none'", ("order", "none")),
        (8, "counts for a day before", ("blotter", "--known-at", last, "--effective-on", "2024-01-01")),
        (8, "first day comes first", ("statement", "A", "--from", DAYS[1], "--to", DAYS[0])),
        (8, "first day comes first", ("pnl", "--from", DAYS[1], "--to", DAYS[0])),
        (8, "end them there", ("pnl", "--to", DAYS[3], "--known-at", last, "--effective-on", DAYS[2])),
        (8, "account 'B'", ("pnl", "--account", "B")),
        (8, "ledger's own", ("exposure", "--account", "~fees")),
        (8, "asset 'XXX'", ("fx-result", "XXX")),
        (2, "together", ("balances", "--known-at", "5")),
        (2, "name one moment", ("balances", "--at-seq", "5", "--at-time", "5")),
        (2, "table, json, jsonl, csv", ("breaks", "--format", "xml")),
    ):
        done = CliRunner().invoke(app, ["show", *map(str, arguments), "--dsn", told.dsn("reader")])
        # A refusal is the program's to word and to give its status; what is wrong with options, the command line's.
        said = str(done.exception) if isinstance(done.exception, Rejected) else done.stderr
        assert (done.exit_code == 2, isinstance(done.exception, Rejected)) == (status == 2, status == 8), arguments
        assert done.stdout == ""
        assert words in said.replace("\n", " "), (arguments, said)
    for status, arguments in ((8, ("balances", "--at-seq", "99")), (2, ("balances", "--known-at", "5"))):
        ended = run("ledger", "show", *arguments, "--dsn", told.dsn("reader"))
        assert (ended.returncode, ended.stdout) == (status, ""), (arguments, ended.stderr)


ABOUT_ACCOUNTS = [
    x.name or "" for x in show.registered_commands if "account" in inspect.signature(x.callback).parameters
]


@pytest.mark.parametrize("name", sorted({*ABOUT_ACCOUNTS} - {"statement"}))
def test_an_account_without_a_name_is_none_and_not_all(told: Database, name: str) -> None:
    """What was asked of one account is never answered with that of all."""
    for account, words in (("", "'' as account"), ("B", "account 'B'")):
        done = CliRunner().invoke(app, ["show", name, "--account", account, "--dsn", told.dsn("reader")])
        assert isinstance(done.exception, Rejected), (account, done.exception)
        assert words in str(done.exception)
        assert done.stdout == ""


def test_an_open_ledger_reads_what_it_appended(told: Database) -> None:
    """Balance, positions, orders, blotter, exposure and statement straight from the ledger, now and then."""
    with Ledger.open(told.dsn("writer")) as ledger, ledger.books() as books:
        head = ledger.head().seq
        assert ledger.balance("A", "USDT") == books.balance("A", "USDT")
        for name in (
            "balances",
            "positions",
            "orders",
            "open_orders",
            "blotter",
            "exposure",
            "pnl",
            "settlement_ladder",
        ):
            for at in (None, Seq(head - 2)):
                assert getattr(ledger, name)("A", at=at) == getattr(books, name)("A", at=at)
        assert ledger.order("x1") == books.order("x1")
        assert (ledger.quarantine(), ledger.breaks()) == (books.quarantine(), books.breaks())
        assert ledger.quarantine(at=Seq(1)).value == []
        day = parse_day(DAYS[1])
        assert ledger.statement("A", day, day) == books.statement("A", day, day)


def test_many_missing_marks_are_counted_and_some_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of stderr is for people to read: it names the first, and says how many more there are."""

    class Row(NamedTuple):
        missing: tuple[str, ...]

    report_missing([Row((f"mark of S{n:03}", "mark of S000")) for n in range(NAMED_MARKS + 5)] + [Row(())])
    said = capsys.readouterr().err
    assert said.startswith(f"{NAMED_MARKS + 5} rows cannot be told in full for want of a mark of S000; mark of S001; ")
    assert said.endswith(f"mark of S{NAMED_MARKS - 1:03}; and 5 more; record it\n")
