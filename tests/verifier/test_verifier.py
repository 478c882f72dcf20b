"""
Check the verifier: a good ledger passes, and whatever is changed behind the ledger's back is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks import workload
from ledger import Ledger, guards
from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.domain.events.control import (
    KeyNamed,
)
from ledger.domain.rows import TABLES
from ledger.errors import LedgerError
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from ledger.storage import events
from tests.commands import run
from tests.conftest import ORIGIN, Database, copy_database
from tests.journal.test_newer_program import new_fee, newer
from tests.verifier.history import NOW, history
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier import moment
from verifier.full import verify
from verifier.reader import Reader
from verifier.stored import Unreadable
from verifier.walk import replaying, rows, tables


@pytest.fixture(scope="module")
def written(pg_server: Server, migrated: str) -> Iterator[Database]:
    name = "verified"
    copy_database(pg_server, name, migrated)
    database = Database(pg_server, name)
    pair = KeyPair("replica", "region-b", b"s" * 32)
    key = KeyNamed(key_id=pair.key_id, purpose="replica", name=pair.name, public_key=pair.public_key.hex())
    chain, _ = create_chain(database.dsn("owner"), ORIGIN, (key,), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        history(ledger)
    with db.connect(database.dsn("publisher"), "test") as connection:
        last = stored.commits(connection, chain.chain)[-2]
        head = events.read_seqs(connection, chain.chain, chain.chain_id, [last.last_seq])[last.last_seq]
        said = Acknowledgement(chain.chain_id, 1, head.seq, head.hash, last.state_digest, NOW, pair.key_id)
        row = (said.key_id, 1, head.seq, head.hash, last.state_digest, NOW, time.time_ns())
        stored.upsert(connection, chain.chain, stored.Acknowledgement(*row, acknowledgement.encode(said, pair)[-64:]))
    yield database
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_good_ledger_verifies_and_the_report_says_what_was_covered(written: Database) -> None:
    """No finding, the head is the ledger's, every read model has rows, and what is not covered is said."""
    report = report_on(written)
    assert report.findings == []
    assert report.verdict == "verified"
    assert report.last_good_seq == report.events == report.head["seq"]
    assert all(report.rows[table] for table in TABLES)
    assert report.covered
    assert report.not_covered


@pytest.fixture
def copy(written: Database) -> Iterator[Database]:
    with copied(written) as made:
        yield made


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("events", "effective_on", "'infinity'"), ("events", "effective_on", "'20000-01-01'"),
        ("events", "payload", """('{"derived":{},"given":' || repeat('[', 3000) || repeat(']', 3000) || '}')::json"""),
        ("balances", "settled", "'NaN'"), ("balances", "settled", "'-Infinity'"), ("balances", "settled", "1e100"),
        ("executions", "settle_date", "'-infinity'"), ("orders", "pending_cancel", "'{NULL}'"),
    ],
)  # fmt: skip
def test_a_value_that_no_ledger_can_hold_is_a_finding(copy: Database, table: str, column: str, value: str) -> None:
    """Infinite dates, days past the calendar, what is no number, and nesting too deep to read end no verification."""
    with Intruder(copy) as intruder:
        for name, in intruder.connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [f"ledger.{table}"]
        ).fetchall():  # fmt: skip
            intruder.connection.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT {name}")
        where = "WHERE seq = 9" if table == "events" else ""
        actor = ", actor = 'someone else'" if table == "events" else ""
        intruder.edit(table, f"UPDATE ledger.{table} SET {column} = {value}{actor} {where}")
    found = real(report_on(copy))
    assert [finding for finding in found if (finding.seq == 9 if table == "events" else finding.table == table)]


def test_an_acknowledgement_that_arrived_before_its_event_is_found(copy: Database) -> None:
    """When it arrived is not signed; it cannot be before the event was recorded, nor after now."""
    with Intruder(copy) as intruder:
        for arrived in (1, 2**62):
            intruder.edit("acknowledgements", f"UPDATE ledger.acknowledgements SET received_at = {arrived}")
            assert [(x.table, x.column) for x in real(report_on(copy))] == [("acknowledgements", "received_at")]


def test_an_acknowledgement_is_held_against_its_event_where_a_newer_program_went_on(copy: Database) -> None:
    """What was signed under a key that is known needs no rule; of it nothing is lost by an event that is not."""
    with newer(), Ledger.open(copy.dsn("writer")) as ledger:
        ledger.append(new_fee("new"), key="new")
    assert {x.kind for x in real(report_on(copy))} == {"UNKNOWN_FORMAT"}
    with Intruder(copy) as intruder:
        intruder.edit("acknowledgements", "UPDATE ledger.acknowledgements SET hash = sha256('x')")
    assert [(x.kind, x.column) for x in real(report_on(copy))] == [
        ("UNKNOWN_FORMAT", "schema_version"), ("ACK_MISMATCH", "hash")
    ]  # fmt: skip


def test_the_catalogue_is_what_the_migrations_make(copy: Database) -> None:
    """The expected guards are not stale, on this version of PostgreSQL."""
    with Reader(copy.dsn("auditor"), ORIGIN) as reader:
        assert guards.facts(reader.query) == json.loads(guards.EXPECTED.read_text())


def test_the_command_ends_with_a_status_that_can_be_trusted(copy: Database, database: Database, tmp_path: Path) -> None:
    """0 verified, 3 broken, 4 where nothing could be verified, 2 for a typo; the same in every format."""
    good = run("verifier", "full", "--format", "json", LEDGER_DSN=copy.dsn("auditor"))
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["verdict"] == "verified"
    with Intruder(copy) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    for form in ("table", "json"):
        assert run("verifier", "full", "--format", form, LEDGER_DSN=copy.dsn("auditor")).returncode == 3
    kept = tmp_path / "report.html"
    assert run("verifier", "full", "--report", str(kept), LEDGER_DSN=copy.dsn("auditor")).returncode == 3
    assert "A figure in the books is wrong" in kept.read_text()
    assert "balances A/BTC, column settled" in run("verifier", "full", LEDGER_DSN=copy.dsn("auditor")).stdout
    for dsn in (database.dsn("auditor"), "postgresql://auditor@/x?host=/nowhere", "nonsense"):
        assert run("verifier", "full", LEDGER_DSN=dsn).returncode == 4
    assert run("verifier", "ful", LEDGER_DSN=copy.dsn("auditor")).returncode == 2
    with pytest.raises(Unreadable, match="--origin"):
        Reader(copy.dsn("auditor"), "example.com/other")
    assert issubclass(Unreadable, LedgerError)
    for dsn, words in (
        (database.dsn("auditor"), "has no chain; make one with `tradeledger init"),
        ("postgresql://auditor@/x?host=/nowhere", "cannot be reached: .*; start it, or name another"),
        (database.server.dsn("auditor", "nowhere"), "the server refused the auditor: .*nowhere"),
        ("nonsense", "address cannot be read"),
    ):
        with pytest.raises(Unreadable, match=words):
            Reader(dsn, None)


def test_every_answer_is_one_json_object_where_json_was_asked_for(
    copy: Database, database: Database, empty_database: Database
) -> None:
    """Also where nothing could be verified: no server, no schema, no chain, no right to read, another origin."""
    for dsn, origin in (
        ("postgresql://auditor@/x?host=/nowhere", ORIGIN), ("nonsense", ORIGIN),
        (empty_database.dsn("auditor"), ORIGIN),
        (database.dsn("auditor"), ORIGIN), (copy.dsn("publisher"), ORIGIN), (copy.dsn("auditor"), "example.com/none"),
    ):  # fmt: skip
        done = run("verifier", "full", "--format", "json", "--origin", origin, LEDGER_DSN=dsn)
        said = json.loads(done.stdout)
        assert (done.returncode, said["verdict"]) == (4, "could not verify"), dsn
        assert said["message"]
        assert "Traceback" not in done.stderr
    helped = run("verifier", "full", "--help")
    assert helped.returncode == 0
    assert "--origin" in helped.stdout
    assert run("verifier", "full", "--format", "xml", LEDGER_DSN=copy.dsn("auditor")).returncode == 2


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C, and again where the driver's request to cancel was lost on a busy machine; return the output."""
    for patience in (15, 15, 30):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)
    process.kill()
    process.communicate()
    raise AssertionError("three interruptions did not end the verifier")


def test_an_interruption_ends_with_130_and_says_that_nothing_was_verified(copy: Database) -> None:
    """Ctrl-C while the verifier waits for rows: the verdict is that there is none, in the form that was asked for."""
    with psycopg.connect(copy.server.dsn("postgres", copy.name)) as other:
        # What the verifier has to wait for, until it is interrupted.
        other.execute("LOCK TABLE ledger.events IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-m", "verifier", "full", "--format", "json"], cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "LEDGER_DSN": copy.dsn("auditor")},
        )  # fmt: skip
        deadline = time.monotonic() + 30
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tradeledger-verify' "
            f"AND wait_event_type = 'Lock' AND datname = '{copy.name}'"
        )
        while copy.sql(waiting) == "0":
            assert time.monotonic() < deadline, "the verifier did not reach the events"
            time.sleep(0.05)
        out, err = interrupted(process)
    said = json.loads(out)
    assert (process.returncode, said["verdict"], said["code"]) == (130, "could not verify", "interrupted")
    assert "came to no verdict" in err


def test_progress_is_shown_on_a_terminal_and_nowhere_else(copy: Database) -> None:
    """On standard error, where that is a terminal; the report alone goes to standard output."""
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "verifier", "full", "--format", "json"], cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE, stderr=follower, check=False,
        env={**os.environ, "LEDGER_DSN": copy.dsn("auditor"), "TERM": "xterm"},
    )  # fmt: skip
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert json.loads(done.stdout)["verdict"] == "verified"
    assert "checking" in shown
    assert run("verifier", "full", LEDGER_DSN=copy.dsn("auditor")).stderr == ""


def test_memory_does_not_grow_with_the_history(chain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the events, keys, orders and executions, and the same peak: what is closed is spilled, not held."""

    # Little at a time, so that only what is kept could differ.
    monkeypatch.setattr(moment, "FETCH_ROWS", 100)
    # What is held at once has a size of its own, which both histories should pass.
    monkeypatch.setattr(rows, "ROWS", 100)
    monkeypatch.setattr(replaying, "FLUSH", 100)
    monkeypatch.setattr(tables, "SOME", 100)

    def peak() -> int:
        tracemalloc.start()
        with Reader(chain.dsn("auditor"), None) as reader:
            assert verify(reader).findings == []
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    def closed_orders(ledger: Ledger, rounds: range) -> None:
        """Append 150 orders a round that are all filled or canceled at its end."""
        for number in rounds:
            ledger.append_many(workload.first_orders(f"r{number}", 450))

    with Ledger.open(chain.dsn("writer")) as ledger:
        workload.prepare(ledger)
        closed_orders(ledger, range(3))
        peak()
        small = peak()
        closed_orders(ledger, range(3, 12))
    assert peak() < small * 1.25
