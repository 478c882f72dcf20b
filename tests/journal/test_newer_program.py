"""
Check what a program does with a chain that a newer program wrote, or one with other fields: it stops, and says why.

The newer program exists here only. Its FeeCharged has a second version, which names who agreed to the fee.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ledger import Ledger
from ledger.domain import amounts, fold, registry, schemas
from ledger.domain.events import cash
from ledger.domain.events.control import SchemaRegistered
from ledger.domain.events.fields import Amount, Date, Event, Identifier
from ledger.domain.rules.ground import Effects, Now
from ledger.domain.state import State
from ledger.errors import RuleBroken, StateMismatch, UnknownFormat
from ledger.queries import Books, Known, Seq
from ledger.reading import snapshots
from ledger.reading.follower import Follower
from tests.commands import run
from tests.conftest import Database
from tests.domain.books import DAY
from tests.domain.test_rule_versions import mended, withdrawn
from tests.journal.test_ledger import check_whole, deposit, fee, fill
from tests.verifier.intruder import report_on


class FeeCharged(Event, frozen=True, kw_only=True):
    """A fee of the newer program."""

    KIND: ClassVar = "command"
    SCHEMA_VERSION: ClassVar = 2
    fee_id: Identifier
    account: Identifier
    kind: Identifier
    asset: Identifier
    amount: Amount
    ref: Identifier | None = None
    agreed_by: Identifier


def _to_2(old: cash.FeeCharged) -> FeeCharged:
    given = {name: getattr(old, name) for name in old.__struct_fields__}
    return FeeCharged(**given, agreed_by="unknown")


def _charge(state: State, event: FeeCharged, now: Now) -> Effects:
    names = cash.FeeCharged.__struct_fields__
    return fold.RULES[cash.FeeCharged](state, cash.FeeCharged(**{x: getattr(event, x) for x in names}), now)


class CashMoved(Event, frozen=True, kw_only=True):
    """A deposit of the newer program."""

    KIND: ClassVar = "fact"
    SCHEMA_VERSION: ClassVar = 2
    movement_id: Identifier
    account: Identifier
    asset: Identifier
    amount: Amount
    on: Date


def _moved_on(old: cash.CashMoved) -> CashMoved:
    return CashMoved(
        movement_id=old.movement_id, account=old.account, asset=old.asset, amount=old.amount, on=old.value_date
    )  # fmt: skip


def _move(state: State, event: CashMoved, now: Now) -> Effects:
    meant = cash.CashMoved(
        movement_id=event.movement_id, account=event.account, asset=event.asset, amount=event.amount, kind="deposit",
        value_date=event.on,
    )  # fmt: skip
    return fold.RULES[cash.CashMoved](state, meant, now)


@contextlib.contextmanager
def moved_on() -> Iterator[None]:
    """Be the newer program; its deposits name their day otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.EVENT_TYPES, "CashMoved", CashMoved)
        patch.setitem(registry.PAST, ("CashMoved", 1), registry.Past(cash.CashMoved, _moved_on))
        patch.setitem(fold.RULES, CashMoved, _move)
        yield


def new_fee(name: str) -> FeeCharged:
    return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount="1", agreed_by="desk")


@contextlib.contextmanager
def newer(first: bool = False) -> Iterator[None]:
    """Be the newer program; as the *first* version, one whose fields are other ones under the same version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.EVENT_TYPES, "FeeCharged", FeeCharged)
        patch.setitem(fold.RULES, FeeCharged, _charge)
        if first:
            patch.setattr(FeeCharged, "SCHEMA_VERSION", 1)
        else:
            patch.setitem(registry.PAST, ("FeeCharged", 1), registry.Past(cash.FeeCharged, _to_2))
        yield


@pytest.fixture
def mixed(chain: Database) -> Database:
    """A chain with a fee of either version."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(fee("old"), key="old")
    with newer(), Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append(new_fee("new"), key="new")
    return chain


def follow(database: Database) -> None:
    with Follower(database.dsn("owner")) as follower:
        while follower.step():
            pass


def cli(database: Database, *words: str) -> subprocess.CompletedProcess[str]:
    return run("ledger", *words, "--dsn", database.dsn("owner"))


def test_a_newer_program_registers_its_version_and_reads_both(mixed: Database) -> None:
    """Registered once, before it is used; old rows are read as they stand, by rules, reads and the verifier alike."""
    with newer(), Ledger.open(mixed.dsn("writer")) as ledger:
        told = [(x.event_type, x.schema_version) for x in ledger.events(ledger.head().seq - 4)]
        assert told == [("FeeCharged", 1), ("SchemaRegistered", 1), ("SchemaRegistered", 1), ("FeeCharged", 2)]
        assert ledger.append(fold.original_of(new_fee("new")), key="new").replayed
        assert check_whole(mixed, ledger) == ledger.head().seq
        with Books(mixed.dsn("reader")) as books:
            assert books.balance("~fees", "USDT", at=Seq(ledger.head().seq)).value.settled == 2 * amounts.UNIT
        assert report_on(mixed).findings == []


def test_a_program_of_mended_rules_judges_what_is_old_by_the_old_ones(chain: Database) -> None:
    """The writer, reads of the past, known days and the verifier: what it would refuse itself stays recorded."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(fee("large", "7"), key="old")
        assert ledger.append(withdrawn("W"), key="waits").quarantined
    with mended(), Ledger.open(chain.dsn("writer")) as ledger:
        assert ledger.append(fee("small"), key="new").seq > 0
        assert not ledger.append(withdrawn("X"), key="taken").quarantined
        with pytest.raises(RuleBroken, match="expected at most 5"):
            ledger.append(fee("too large", "7"), key="no")
        last = check_whole(chain, ledger)
        with Books(chain.dsn("reader")) as books:
            known = Known(time.time_ns(), datetime.date(2999, 12, 31))
            for at in (Seq(last), known):
                assert books.balance("~fees", "USDT", at=at).value.settled == 8 * amounts.UNIT
        assert report_on(chain).findings == []
    with mended(forgetful=True):
        (finding, *_) = report_on(chain).findings
        assert (finding.kind, finding.column, "expected at most 5" in finding.actual) == (
            "STATE_MISMATCH", "payload", True,
        )  # fmt: skip


def test_a_fact_told_again_to_a_newer_program_is_the_one_that_is_recorded(chain: Database) -> None:
    """Its bytes are others, in the version whose fields changed; what it says is the same."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        first = ledger.append(deposit("D"), key="told")
    with moved_on(), Ledger.open(chain.dsn("writer")) as ledger:
        head = ledger.head().seq
        again = ledger.append(CashMoved(movement_id="D", account="A", asset="USDT", amount="1", on=DAY), key="again")
        assert (again.replayed, again.seq, again.hash) == (True, first.seq, first.hash)
        assert ledger.head().seq == head
        other = CashMoved(movement_id="D", account="A", asset="USDT", amount="2", on=DAY)
        assert [x.rule for x in ledger.append(other, key="other").quarantined] == ["movement_id_reused"]
        check_whole(chain, ledger)
        assert report_on(chain).findings == []


def test_an_older_program_stops_whatever_it_was_about_to_do(mixed: Database) -> None:
    """Writer at load, books of now and then, snapshots, histories and every command; the verifier names it."""
    words = r"FeeCharged of schema version 2.* this program knows up to 1: use the release"
    openings: list[Callable[[], Any]] = [
        lambda: Ledger.open(mixed.dsn("writer")),
        lambda: Books(mixed.dsn("reader")),
        lambda: snapshots.make(mixed.dsn("owner"), None, None),
        lambda: Follower(mixed.dsn("owner")),
    ]
    for opening in openings:
        with pytest.raises(UnknownFormat, match=words):
            opening()
    for command in (["show", "balances"], ["export", "hledger"]):
        done = cli(mixed, *command)
        assert (done.returncode, done.stdout) == (3, ""), command
        assert "schema version 2" in done.stderr
    (finding,) = report_on(mixed).findings
    assert (finding.kind, finding.column) == ("UNKNOWN_FORMAT", "schema_version")


@pytest.mark.parametrize("words", [["full"], ["full", "--jobs", "2"], ["state"], ["incremental", "--state"]])
def test_an_older_verifier_accuses_nothing_that_follows_from_what_it_does_not_know(
    chain: Database, tmp_path: Path, words: list[str]
) -> None:
    """Balances, keys and snapshots after the first newer event are honest; what is before it is held against it."""
    state = tmp_path / "state"
    words = [*words, *([str(state)] if words[-1] == "--state" else [])]

    def told() -> tuple[int, dict[str, Any]]:
        done = run("verifier", *words, "--dsn", chain.dsn("auditor"), "--format", "json")
        return done.returncode, json.loads(done.stdout)

    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(fee("old"), key="old")
    follow(chain)
    assert told()[0] == 0
    with newer(), Ledger.open(chain.dsn("writer")) as ledger:
        # What registers the version is the first event that stops an older program.
        before = ledger.append(new_fee("new"), key="new").seq - 2
        ledger.append(deposit("D"), key="D")
        snapshots.make(chain.dsn("owner"), None, None)
        follow(chain)
    code, report = told()
    assert code == 3
    (finding,) = report["findings"]
    assert (finding["kind"], finding["seq"]) == ("UNKNOWN_FORMAT", before + 1)
    assert report["last_good_seq"] == before
    assert [line for line in report["not_covered"] if f"from event {before + 1} and those after it" in line]
    assert [line for line in report["covered"] if f"events before {before + 1}" in line]


def test_a_writer_that_runs_stops_once_a_newer_one_has_written(chain: Database) -> None:
    """It finds the head moved, loads anew, and appends nothing on what it cannot read."""
    with Ledger.open(chain.dsn("writer")) as older:
        fill(older)
        with newer(), Ledger.open(chain.dsn("writer")) as other:
            head = other.append(new_fee("new"), key="new").seq
        with pytest.raises(UnknownFormat, match="use the release that wrote it"):
            older.append(deposit("D"), key="D")
    with newer(), Ledger.open(chain.dsn("writer")) as other:
        assert other.head().seq == head


def test_other_fields_under_the_same_version_are_found_by_their_hash(chain: Database) -> None:
    """Once schemas are registered, a program with other fields reads nothing, and its verifier says why."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        assert ledger.register_schemas() == len(registry.EVENT_TYPES)
        assert ledger.register_schemas() == 0
        check_whole(chain, ledger)
    assert report_on(chain).findings == []
    with newer(first=True):
        for opening in (lambda: Ledger.open(chain.dsn("writer")), lambda: Books(chain.dsn("reader"))):
            with pytest.raises(StateMismatch, match=r"FeeCharged of schema version 1 with hash .* same bytes"):
                opening()
        (finding, *_) = report_on(chain).findings
        assert (finding.kind, finding.column) == ("STATE_MISMATCH", "payload")
        assert "that of this program's fields" in finding.actual


def test_a_hash_is_registered_as_it_is_and_for_what_there_is(chain: Database) -> None:
    """A slip of the pen would stop every program for ever, so it is refused."""
    true = schemas.schema_hash(cash.FeeCharged)
    with Ledger.open(chain.dsn("writer")) as ledger:
        for kind, version, digest, words in (
            ("FeeCharged", 1, "aa", f"expected {true}, that of this program's fields"),
            ("FeeCharged", 2, true, "knows: up to 1"),
            ("FeeCharged", 0, true, "knows: up to 1"),
            ("FeeWaived", 1, true, "knows: no such type"),
        ):
            event = SchemaRegistered(event_type=kind, version=version, schema_hash=digest, encoder_version="1")
            with pytest.raises(RuleBroken, match=words):
                ledger.append(event, key=f"{kind}{version}{digest}")


def test_a_version_that_is_not_registered_is_not_written(chain: Database) -> None:
    """Else an older program could not tell from the schemas that it is there."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        with newer(), pytest.raises(RuleBroken, match="its version 2 is not registered"):
            ledger.append(new_fee("new"), key="new")


def test_a_chain_of_another_format_is_not_read(chain: Database) -> None:
    """Its bytes are laid out in a way that this program does not know."""
    chain.sql("ALTER TABLE ledger.chains DISABLE TRIGGER ALL; UPDATE ledger.chains SET format_version = 2")
    for opening in (lambda: Ledger.open(chain.dsn("writer")), lambda: Books(chain.dsn("reader"))):
        with pytest.raises(UnknownFormat, match="format version 2; this program knows 1: use the release that made it"):
            opening()
