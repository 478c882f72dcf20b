"""
Change the row that says which chain the events are of, and the events that say it too, alone and together: what was
changed is named, and whatever else is wrong is told beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

import pytest

from ledger.chain.link import genesis
from ledger.errors import UnknownChain
from tests.conftest import ORIGIN, Database
from tests.repairing.conftest import AFTER
from tests.repairing.mending import Firm, applied, copies, mended, planned, silent
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier import chain as chains
from verifier import full, identity
from verifier.forms.objects import objects
from verifier.reader import Reader
from verifier.report import BROKEN, Finding, Report
from verifier.tiled import opening, sample, scrub, streams
from verifier.tiled.databases import Region
from verifier.tiled.outside import Answers
from verifier.tiled.sample import Draw
from verifier.walk import joined

OTHER: Final = "example.com/other"
Place = tuple[str, int | str | None, str | None]

EVENTS: Final[dict[str, tuple[str, int]]] = {
    "nothing": ("SELECT 1", 0),
    "the first edited": ("UPDATE ledger.events SET actor = 'mallory' WHERE seq = 1", 1),
    "two edited": ("UPDATE ledger.events SET actor = 'mallory' WHERE seq <= 2", 2),
    "three edited": ("UPDATE ledger.events SET actor = 'mallory' WHERE seq <= 3", 3),
    "the first's content": ("UPDATE ledger.events SET payload = '{}' WHERE seq = 1", 1),
    "the first's link": ("UPDATE ledger.events SET prev_hash = sha256('x') WHERE seq = 1", 1),
    "the first deleted": ("DELETE FROM ledger.events WHERE seq = 1", 1),
    "two deleted": ("DELETE FROM ledger.events WHERE seq <= 2", 2),
    "three deleted": ("DELETE FROM ledger.events WHERE seq <= 3", 3),
    "payload retyped": ("", 340),
}
"""What becomes of events, and of how many."""
ROWS: Final[dict[str, tuple[str, set[str]]]] = {
    "as it was": ("SELECT 1", set()),
    "renamed": (f"UPDATE ledger.chains SET origin = '{OTHER}'", {"origin"}),
    "renamed with its genesis": (f"UPDATE ledger.chains SET origin = '{OTHER}', genesis = %(renamed)s", {"origin"}),
    "a byte of the id": ("UPDATE ledger.chains SET chain_id = %(near)s", {"chain_id"}),
    "renamed, and a byte of the id": (
        f"UPDATE ledger.chains SET origin = '{OTHER}', chain_id = %(near)s", {"origin", "chain_id"},
    ),
}  # fmt: skip
"""What becomes of the chain's row, and which of its columns are to be named for it."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no small edits of broken events, which take a second each."""
    monkeypatch.setattr(chains, "DEEP_LIMIT", 0)


def retype(intruder: Intruder) -> None:
    """Let the payloads be of another type, which writes each of them in another way."""
    for (name,) in intruder.connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger.events'::regclass AND NOT tgisinternal"
    ).fetchall():
        intruder.connection.execute(f"DROP TRIGGER {name} ON ledger.events")
    intruder.connection.execute("ALTER TABLE ledger.events ALTER payload TYPE jsonb USING payload::jsonb")


def change(intruder: Intruder, events: str, row: str) -> None:
    sql, least = EVENTS[events]
    if sql:
        intruder.edit("events", sql, least=least)
    else:
        retype(intruder)
    chain_id = bytes(intruder.connection.execute("SELECT uuid_send(chain_id) FROM ledger.chains").fetchall()[0][0])
    near = bytes([chain_id[0] ^ 1]) + chain_id[1:]
    sql = ROWS[row][0]
    for name, value in (("near", near), ("renamed", genesis(chain_id, OTHER))):
        text = f"'{value.hex()}'::uuid" if name == "near" else f"decode('{value.hex()}', 'hex')"
        sql = sql.replace(f"%({name})s", text)
    intruder.edit("chains", sql)


def rows_of_chains(found: list[Finding]) -> set[str | None]:
    return {x.column for x in found if x.table == "chains" and x.column != "genesis"}


def in_parts(broken: Database, firm: Firm, folder: Path) -> Iterator[tuple[str, Report]]:
    """Yield what each check in parts says, by the auditor's policy, or by the state of a scrub that came before."""
    dsn, draw, state, rules = broken.dsn("auditor"), Draw(8, b"", Decimal("0.001")), folder / "round", firm.rules
    nobody = Answers([], set(), [], [])
    with Region(firm.database.dsn("auditor"), ORIGIN) as region:
        scrub.verify(region, state, Fraction(1), None, silent, lambda: int(time.time()))
    checks: dict[str, Callable[[Region], Report]] = {
        "sample": lambda region: sample.of_region(region, rules, draw, silent),
        "stream": lambda region: streams.verify(region, "account/A", rules, False, silent),
        "complete": lambda region: streams.verify(region, "account/A", rules, True, silent),
        "scrub": lambda region: scrub.verify(region, state, Fraction(1), None, silent, lambda: int(time.time())),
        "open": lambda region: opening.verify(region, rules, lambda kept: nobody, None, time.time_ns).report,
    }
    for name, check in checks.items():
        with Region(dsn, None) as region:
            yield name, check(region)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("events", EVENTS)
def test_what_was_changed_is_named_and_all_else_is_told(firm: Firm, events: str, row: str) -> None:
    """A balance that was forged and an event that is missing beside it, whoever asks by a policy's names."""
    retyped = events == "payload retyped"
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            change(intruder, events, row)
            intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
            intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 100", least=1)
        with Reader(broken.dsn("auditor"), None) as reader:
            settled = identity.settle(reader, firm.rules.origins())
            report = full.verify(reader, trust=firm.rules, settled=settled)
            edits = reader.edits
        with Region(broken.dsn("auditor"), None) as region:
            assert identity.settle(region, firm.rules.origins()).findings == settled.findings
    if retyped and "a byte of the id" in row:
        # No event is as it was, and no genesis fits: whose they are nobody knows.
        assert (settled.readable, rows_of_chains(settled.findings)) == (False, ROWS[row][1])
        return
    # Small edits are looked for in single events, and not in all of them.
    assert (settled.readable, edits) == (True, not retyped)
    assert rows_of_chains(settled.findings) == ROWS[row][1]
    assert rows_of_chains(report.findings) == ROWS[row][1]
    assert (report.verdict, report.origin) == (BROKEN, ORIGIN)
    assert [x.seq for x in report.findings if x.kind == "SEQ_GAP" and x.seq == 100] == [100]
    assert any(x.table == "balances" and x.key is not None and x.key[0] == "A" for x in report.findings)
    first = {x.seq for x in report.findings if x.kind in ("BYTES_MODIFIED", "SEQ_GAP") and x.seq is not None}
    count = EVENTS[events][1]
    assert first >= ({1} if "deleted" in events else set(range(1, min(count, 3) + 1)))
    assert retyped or first <= {*range(1, count + 1), 100}
    if events == "nothing":
        assert {x.column for x in report.findings if x.table == "checkpoints"} == set()


@pytest.mark.parametrize("renamed", [False, True])
def test_no_event_is_read_by_an_id_that_nobody_knows(firm: Firm, tmp_path: Path, renamed: bool) -> None:
    """No mode accuses an event of an id that none was hashed with, and each says what it knows."""
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            name = f", origin = '{OTHER}'" if renamed else ""
            intruder.edit("chains", f"UPDATE ledger.chains SET chain_id = gen_random_uuid(){name}", least=1)
        for _, report in in_parts(broken, firm, tmp_path):
            assert report.verdict == BROKEN
            assert {x.kind for x in report.findings} == {"CHAIN_MISMATCH"}
            assert rows_of_chains(report.findings) == ({"chain_id", "origin"} if renamed else {"chain_id"})


def swapped(intruder: Intruder) -> None:
    """Let the row say an id that no event has, and the genesis that is of it."""
    chain_id = bytes.fromhex("00112233445566778899aabbccddeeff")
    made = genesis(chain_id, ORIGIN).hex()
    sql = f"UPDATE ledger.chains SET (chain_id, genesis) = ('{chain_id.hex()}'::uuid, decode('{made}', 'hex'))"
    intruder.edit("chains", sql, least=1)


def test_a_row_vouches_for_none_of_its_own_columns(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """An id and the genesis that is of it, both changed: the row is named, no event is, and it is put back."""
    states = {"scrub": tmp_path / "scrub", "chain": tmp_path / "chain", "incremental": tmp_path / "books"}
    for mode, path in states.items():
        run("verifier", mode, "--dsn", broken.dsn("auditor"), "--state", str(path))
    chain_id = broken.sql("SELECT replace(chain_id::text, '-', '') FROM ledger.chains")
    with Intruder(broken) as intruder:
        swapped(intruder)
    for name, report in in_parts(broken, firm, tmp_path):
        assert rows_of_chains(report.findings) == {"chain_id"}, name
        assert not [x for x in report.findings if x.kind in ("BYTES_MODIFIED", "CHAIN_BREAK")], name
    assert rows_of_chains(report_on(broken).findings) == {"chain_id"}
    asked = [[mode, "--dsn", broken.dsn("auditor"), "--state", str(path)] for mode, path in states.items()]
    for how in (*asked, ["diff", broken.dsn("auditor"), firm.other.dsn("auditor")]):
        report = json.loads(run("verifier", *how, "--format", "json", expected=3))
        # Whoever brings the chain's id says which it was, and reads everything with it.
        assert [x["expected"] for x in report["findings"] if x.get("column") == "chain_id"] == [chain_id], how
        assert not [x for x in report["findings"] if x.get("seq")], how
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found)
    assert real(report_on(broken)) == []


def test_where_nothing_but_the_row_says_the_id_the_report_says_so(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Id, genesis and what event 1 follows, changed together: it looks as if every event had been changed."""
    with Intruder(broken) as intruder:
        swapped(intruder)
        intruder.edit(
            "events", "UPDATE ledger.events SET prev_hash = (SELECT genesis FROM ledger.chains) WHERE seq = 1", least=1
        )
    parts = {name: report for name, report in in_parts(broken, firm, tmp_path) if name not in ("scrub", "open")}
    reports = {**parts, "full": report_on(broken), "chain": joined.verify_chain(broken.dsn("auditor"))}
    for name, report in reports.items():
        assert report.verdict == BROKEN, name
        assert "either each of them was changed, or the id and the genesis" in report.vouched[0], name
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert {(write.table, write.seq) for write in plan.writes} == {("chains", None), ("events", 1)}
        # What was signed needs nothing but them; of what was not, nobody can say so before.
        assert {judged.finding.seq for judged in plan.left()} == set(range(firm.size + 1, firm.size + 4))
        applied(broken, firm.rules, plan, found)
    report = report_on(broken)
    assert (real(report), any("either each" in said for said in report.vouched)) == ([], False)


@pytest.mark.parametrize(
    ("events", "row"),
    [
        ("three edited", "a byte of the id"), ("three edited", "renamed"), ("the first's content", "renamed"),
        ("the first's link", "renamed"), ("the first deleted", "renamed"), ("payload retyped", "renamed"),
        ("three deleted", "renamed with its genesis"), ("two edited", "renamed, and a byte of the id"),
    ],
)  # fmt: skip
def test_each_check_in_parts_settles_it_alike(firm: Firm, tmp_path: Path, events: str, row: str) -> None:
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            change(intruder, events, row)
        for name, report in in_parts(broken, firm, tmp_path):
            assert report.verdict == BROKEN, name
            assert (report.origin, rows_of_chains(report.findings)) == (ORIGIN, ROWS[row][1]), name
        report = json.loads(
            run("verifier", "diff", str(firm.archive), broken.dsn("auditor"), "--format", "json", expected=3)
        )
        assert {x["column"] for x in report["findings"] if x.get("table") == "chains"} == ROWS[row][1]


def test_the_commands_know_the_chain_by_policy_and_books(firm: Firm, tmp_path: Path) -> None:
    """Renamed, and its first event gone: it had been taken for another chain, of which nothing is said."""
    rules, books = tmp_path / "policy", tmp_path / "books"
    rules.write_text(firm.policy_text)
    run("verifier", "incremental", "--dsn", firm.database.dsn("auditor"), "--state", str(books))
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            change(intruder, "the first deleted", "renamed")
        for how in (("full", "--policy", rules), ("full", "--policy", rules, "--jobs", 2),
                    ("incremental", "--state", books), ("full", "--origin", ORIGIN)):  # fmt: skip
            call = [*map(str, how), "--dsn", broken.dsn("auditor"), "--format", "json"]
            report = json.loads(run("verifier", *call, expected=3))
            assert report["origin"] == ORIGIN
            assert ("origin", ORIGIN, OTHER) in [
                (x.get("column"), x["expected"], x["actual"]) for x in report["findings"]
            ]


def test_another_chain_is_not_taken_for_the_one_that_was_meant(firm: Firm) -> None:
    """Whatever is wrong with its first event: nothing in it says the name that was brought."""
    with copied(firm.database) as broken:
        for events in ("the first edited", "the first's link", "three deleted"):
            with Intruder(broken) as intruder:
                change(intruder, events, "as it was")
            with Reader(broken.dsn("auditor"), None) as reader:
                settled = identity.settle(reader, [OTHER])
            assert (settled.readable, settled.findings, settled.chain.origin) == (True, [], ORIGIN)


def test_a_chain_is_found_by_the_name_that_it_had(firm: Firm) -> None:
    """Which the genesis in its row is of, where the first event does not say it any more."""
    with copied(firm.database) as broken:
        with Intruder(broken) as intruder:
            change(intruder, "the first's content", "renamed")
        with Reader(broken.dsn("auditor"), ORIGIN) as reader:
            assert identity.settle(reader).chain.origin == ORIGIN


@pytest.mark.parametrize(
    ("events", "row"),
    [
        ("three edited", "as it was"), ("three edited", "renamed"), ("three deleted", "renamed"),
        ("the first's content", "renamed"), ("the first's link", "renamed"),
        ("two edited", "renamed, and a byte of the id"),
    ],
)  # fmt: skip
def test_what_is_named_is_mended(firm: Firm, broken: Database, events: str, row: str) -> None:
    with Intruder(broken) as intruder:
        change(intruder, events, row)
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 100", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        mended(broken, firm, found, objects(report_on(broken, None), 0).encode())
    assert real(report_on(broken)) == []


RELINKED: Final = "UPDATE ledger.events SET prev_hash = sha256(hash) WHERE seq > %s"
"""What nobody signed follows nothing any more, and has no entry of its hash."""


def test_an_unsigned_end_that_was_edited_is_the_chains_where_a_copy_has_it(firm: Firm, broken: Database) -> None:
    """It keeps nothing else from being mended, and is not mended itself: no copy proves what nobody signed."""
    with Intruder(broken) as intruder:
        intruder.edit("events", RELINKED, firm.size)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 100", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert [(write.table, write.seq) for write in plan.writes] == [("events", 100)]
        assert {judged.finding.seq for judged in plan.left()} >= set(range(firm.size + 1, firm.size + AFTER + 1))
        applied(broken, firm.rules, plan, found)
    assert broken.sql("SELECT actor FROM ledger.events WHERE seq = 100") != "mallory"
    assert broken.sql(f"SELECT count(*) FROM ledger.events WHERE prev_hash = sha256(hash) AND seq > {firm.size}") == "3"


@pytest.mark.parametrize("copy", ["has none of it", "has the places, and others stand there"])
def test_an_unsigned_end_that_no_copy_has_may_be_another_chains(firm: Firm, broken: Database, copy: str) -> None:
    """A copy speaks for the events that it has, and for none that is only at the place of one."""
    with Intruder(broken) as intruder:
        intruder.edit("events", RELINKED, firm.size)
        if "others" in copy:
            sql = "UPDATE ledger.events SET hash = sha256(hash), event_id = gen_random_uuid(), group_id ="
            sql += " gen_random_uuid(), request_hash = sha256(request_hash) WHERE seq > %s"
            intruder.edit("events", sql, firm.size)
    with (
        copies(archive=firm.archive, other=firm.other if "others" in copy else None) as found,
        pytest.raises(UnknownChain, match="events of another chain stand under it"),
    ):
        planned(broken, firm.rules, found)
