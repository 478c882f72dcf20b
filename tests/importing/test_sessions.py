"""
Check the import on sessions made from a seed: every event accounted for, books and breaks to the last digit.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ledger import Ledger
from ledger.errors import InvalidInput
from ledger.importing import run
from tests.commands import tradeledger
from tests.conftest import Database
from tests.importing.sessions import INSTRUMENTS, Session
from tests.journal.test_ledger import check_whole

SEED = int(os.environ.get("LEDGER_TEST_SEED", time.time_ns() % 1_000_000))
MAIN = {
    "OrderPlaced", "OrderAccepted", "OrderRejected", "OrderCanceled", "OrderExpired", "TradeExecuted", "AccountOpened",
    "FactQuarantined",
}  # fmt: skip
"""The events of the ledger of which each comes from one event of the engine."""


def take(chain: Database, path: Path) -> run.Report:
    """Import *path* through the API."""
    with Ledger.open(chain.dsn("writer"), source="nautilus") as ledger, ledger.books() as books:
        return run.import_session(ledger, books, path, INSTRUMENTS)


def written(tmp_path: Path, content: bytes, name: str = "events.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def agree(report: run.Report, session: Session) -> None:
    """Assert that the report's books, positions, breaks and quarantine are the session's own."""
    for (account, asset), total in session.totals.items():
        shown = report.balances.get(account, {}).get(asset, {"total": "0"})
        assert Decimal(shown["total"]) == total, (account, asset)
    for (account, instrument), quantity in session.positions.items():
        assert Decimal(report.positions[account][instrument]["quantity"]) == quantity
    assert {x["key"]: Decimal(x["ledger"]) - Decimal(x["external"]) for x in report.breaks} == {
        key: Decimal(ours) - Decimal(theirs)
        for key, (ours, _, theirs) in ((key, pair.partition("/")) for key, pair in session.breaks.items())
    }
    assert [x["rule"] for x in report.quarantined] == session.quarantined
    assert all(x["type"] == "TradeExecuted" and x["status"] == "open" for x in report.quarantined)


def accounted(report: run.Report) -> int:
    """Return how many events of the engine were recorded, or counted in a class."""
    recorded = sum(count for kind, count in report.appended.items() if kind in MAIN)
    return recorded + sum(report.not_appended.values())


@pytest.mark.parametrize("offset", range(6))
def test_every_event_is_recorded_or_in_a_class_and_the_books_are_the_engines(
    chain: Database, tmp_path: Path, offset: int
) -> None:
    """Counts, totals, positions, breaks that come, change and go; and a second run appends nothing and sums up too."""
    print(f"seed {SEED + offset}")
    session = Session(SEED + offset)
    path = written(tmp_path, session.text())
    report = take(chain, path)
    assert report.read == session.read
    assert report.not_appended == session.classes
    assert accounted(report) == sum(session.read.values())
    assert report.appended["ReconciliationRecorded"] == session.changes
    agree(report, session)
    head = check_whole(chain)
    again = take(chain, path)
    assert (again.appended, again.head["seq"]) == (Counter(), head)
    assert accounted(again) == sum(session.read.values())
    agree(again, session)


@pytest.mark.parametrize("offset", range(3))
def test_an_interrupted_import_goes_on_and_ends_as_if_it_had_not_been(
    chain: Database, tmp_path: Path, offset: int
) -> None:
    """The file is cut at three places, as a recording that grows; each run takes the rest, the last has all."""
    print(f"seed {SEED + offset}")
    session = Session(SEED + offset)
    cuts = sorted(session.rng.sample(range(1, len(session.lines)), 3))
    for last in (*cuts, None):
        report = take(chain, written(tmp_path, session.text(0, last)))
        assert accounted(report) == sum(report.read.values())
    agree(report, session)
    assert take(chain, written(tmp_path, session.text())).appended == Counter()
    check_whole(chain)


@pytest.mark.parametrize("offset", range(3))
def test_a_file_that_continues_another_is_compared_and_opens_nothing_again(
    chain: Database, tmp_path: Path, offset: int
) -> None:
    """Two files of one session: accounts stay open, totals and breaks go on, each file again appends nothing."""
    print(f"seed {SEED + offset}")
    session = Session(SEED + offset)
    middle = session.rng.choice(session.quiet[5:-5])
    files = [written(tmp_path, session.text(0, middle), "1"), written(tmp_path, session.text(middle), "2")]
    first = take(chain, files[0])
    second = take(chain, files[1])
    assert "AccountOpened" not in second.appended
    assert accounted(first) + accounted(second) == sum(session.read.values())
    # A stranger's fill that is delivered again in the second file is listed with both.
    second.quarantined = list({x["seq"]: x for x in first.quarantined + second.quarantined}.values())
    agree(second, session)
    for path in (*files, *files):
        assert take(chain, path).appended == Counter()
    check_whole(chain)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_the_command_prints_the_same_of_plain_gzip_and_zstd(
    chain: Database, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """JSON has every key with its shape; the table says the same in words, with no escape and no figure cut short."""
    session = Session(SEED)
    path, instruments = written(tmp_path, pack(session.text())), tmp_path / "instruments.json"
    instruments.write_text(json.dumps({"instruments": INSTRUMENTS}))
    command = ("import", "nautilus", path, "--instruments", instruments)
    done = tradeledger(*command, "--format", "json", LEDGER_DSN=chain.dsn("writer"))
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert set(report) == {
        "read", "appended", "not_appended", "balances", "positions", "breaks", "quarantined", "head", "schema_version",
    }  # fmt: skip
    assert report["read"] == session.read
    assert all(set(x) == {"total", "held", "available"} for of in report["balances"].values() for x in of.values())
    assert all(set(x) == {"quantity", "cost", "realised"} for of in report["positions"].values() for x in of.values())
    assert set(report["head"]) == {"seq", "hash"}
    shown = tradeledger(*command, LEDGER_DSN=chain.dsn("writer"), COLUMNS="40")
    assert shown.returncode == 0
    assert shown.stdout.isascii()
    assert "\x1b" not in shown.stdout
    for assets in report["balances"].values():
        assert all(figure in shown.stdout for one in assets.values() for figure in one.values())
    assert f"quarantined: {len(session.quarantined)}; breaks: {len(report['breaks'])}" in shown.stdout
    assert all(one["detail"] in shown.stdout for one in report["quarantined"])
    assert f"head: {report['head']['seq']} {report['head']['hash']}" in shown.stdout


def test_a_held_amount_that_differs_at_the_end_is_a_break_until_a_longer_file_ends_it(
    chain: Database, tmp_path: Path
) -> None:
    """What is held counts at the end of a file alone; the break is listed, and ends when a later end agrees."""
    session = Session(SEED)
    lines = [dict(line) for line in session.lines]
    last = max(n for n, line in enumerate(lines) if line.get("account_id") == "XNAS-001" and "balances" in line)
    end = {**lines[last], "event_id": "e-end", "balances": [{**lines[last]["balances"][0], "locked": "7.50"}]}
    lied = b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, end])
    report = take(chain, written(tmp_path, lied))
    assert [(x["ledger"], x["external"]) for x in report.breaks if x["key"] == "XNAS-001:USD:held"] == [("0", "7.5")]
    assert take(chain, written(tmp_path, lied)).appended == Counter()
    mended = lied + json.dumps({**lines[last], "event_id": "e-mended"}).encode()
    report = take(chain, written(tmp_path, mended))
    assert report.appended == {"ReconciliationRecorded": 1}
    agree(report, session)
    assert take(chain, written(tmp_path, mended)).appended == Counter()


def test_an_order_that_no_account_ever_had_is_counted_and_an_id_used_twice_is_refused(
    chain: Database, tmp_path: Path
) -> None:
    """Made and never submitted is `unplaced`; another order under its id would hide it, and is named."""
    session = Session(SEED)
    made = {**next(line for line in session.lines if line["type"] == "OrderInitialized")}
    odd = {**made, "event_id": "e-odd", "client_order_id": "O-odd"}
    text = session.text() + json.dumps(odd).encode() + b"\n"
    report = take(chain, written(tmp_path, text + json.dumps(odd).encode()))
    assert (report.not_appended["unplaced"], report.not_appended["duplicate"]) == (1, session.classes["duplicate"] + 1)
    with pytest.raises(InvalidInput, match="second order of client_order_id 'O-odd'"):
        take(chain, written(tmp_path, text + json.dumps({**odd, "event_id": "e-odder"}).encode()))
