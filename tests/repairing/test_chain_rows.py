"""
Lose the row that says which chain the events are of, or find it twice, and have it put right from what is signed.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from ledger import Ledger
from ledger.chain import event_id
from ledger.chain.entry import request_hash
from ledger.chain.link import ChainHead
from ledger.domain import registry
from ledger.domain.event_catalogue import example
from ledger.domain.events.control import HistoryRepaired
from ledger.domain.events.reference import AssetDefined
from ledger.repairing.plan import CHAINS, NotProven, Plan
from ledger.storage import chains, events
from ledger.storage import database as db
from tests import commands
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import Firm, applied, copies, planned, report_file, seal
from tests.repairing.test_commands import unkeyed
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, copied, real, report_on

ROW = f"1|{ORIGIN}|1"
SHOWN = "SELECT chain, origin, format_version FROM ledger.chains"
LOST = "DELETE FROM ledger.chains"


def writes(plan: Plan) -> set[tuple[str, str]]:
    return {(write.what, write.table) for write in plan.writes}


def commanded(firm: Firm, broken: Database, folder: Path, given: list[str], status: int) -> tuple[str, list[str]]:
    """Verify and plan by the commands; return what was said, and the words that apply the plan."""
    report, trust, plan = folder / "report.json", folder / "policy", folder / "plan.json"
    report.write_bytes(report_file(broken))
    trust.write_text(firm.policy_text)
    given = ["--policy", str(trust), *given]
    said = commands.run("ledger", "repair", "plan", report, *given, "--dsn", broken.dsn("owner"), "--output", plan)
    assert said.returncode == status, said.stderr
    call = ["repair", "apply", str(plan), *given, "--dsn", broken.dsn("owner"), "--writer", broken.dsn("writer"),
            "--auditor", broken.dsn("auditor"), "--source", "engine", "--yes"]  # fmt: skip
    return said.stderr, call


@pytest.mark.parametrize("copy", ["--archive", "--replica", "--backup"])
def test_a_row_that_is_gone_is_put_back_from_any_copy(firm: Firm, broken: Database, tmp_path: Path, copy: str) -> None:
    """The copy says the id, and the first event proves it; it is recorded, and everything is verified."""
    genesis = broken.sql("SELECT encode(genesis, 'hex'), chain_id FROM ledger.chains")
    with Intruder(broken) as intruder:
        intruder.edit("chains", LOST, least=1)
    given = {"--archive": str(firm.archive), "--replica": firm.other.dsn("auditor"),
             "--backup": firm.database.dsn("auditor")}[copy]  # fmt: skip
    said, call = commanded(firm, broken, tmp_path, [copy, given], 0)
    assert "restore the chain's own row (there is no such row) from database" in said
    # Events after the checkpoint are of nobody's word but another region's, so the record waits until they are signed.
    is_heard = copy == "--replica"
    said = run("ledger", *call, expected=0 if is_heard else 3)
    assert "restored the chain's own row (there was no such row)" in said
    assert "VERIFIED" in said
    if not is_heard:
        assert "is not recorded as an event yet" in said
        seal(broken, tmp_path / "sealed")
        said = run("ledger", *call)
    assert "recorded at seq" in said
    assert broken.sql(SHOWN) == ROW
    assert broken.sql("SELECT encode(genesis, 'hex'), chain_id FROM ledger.chains") == genesis


def test_of_a_row_that_is_gone_the_plan_says_whose_hand_is_needed(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """Where nobody was named who knows the chain's id: a plan that mends nothing, status 3, and what to bring."""
    with Intruder(broken) as intruder:
        intruder.edit("chains", LOST, least=1)
    said, call = commanded(firm, broken, tmp_path, [], 3)
    assert "name a copy of it (--replica, --archive or --backup)" in said
    assert "the plan writes nothing" in run("ledger", *call, expected=8)
    assert broken.sql("SELECT count(*) FROM ledger.chains") == "0"


def test_a_replica_knows_its_chain_by_its_topic(firm: Firm, broken: Database) -> None:
    """Its place is named after the chain's id, and the events of its own prove it: no copy is needed."""
    chain_id = broken.sql("SELECT chain_id FROM ledger.chains").replace("-", "")
    with Intruder(broken) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        for topic in (f"ledger.{'7' * 32}.segments.v1", f"ledger.{chain_id}.segments.v1"):
            intruder.edit("chains", LOST)
            intruder.edit("replica_state", "DELETE FROM ledger.replica_state")
            intruder.edit(
                "replica_state", "INSERT INTO ledger.replica_state (chain, topic, topic_id, next_offset) VALUES "
                "(1, %s, 'x', 5)", topic, least=1,
            )  # fmt: skip
            plan = planned(broken, firm.rules, [])
            assert writes(plan) == (set() if "7777" in topic else {("restore", CHAINS)})
    applied(broken, firm.rules, plan, [])
    assert broken.sql(SHOWN) == ROW


def test_beside_a_row_that_is_gone_nothing_else_is_planned(firm: Firm, broken: Database) -> None:
    """Rows under a number that no chain has are strays to whoever mends them: a second round finds the rest."""
    with Intruder(broken) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 20", least=1)
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
        data = report_file(broken)
        intruder.edit("chains", LOST, least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, data)
        assert writes(plan) == {("restore", CHAINS)}
        assert all("mend that row, verify, and plan again" in judged.reason for judged in plan.left())
        for _ in range(2):
            plan = planned(broken, firm.rules, found)
            assert plan.left() == []
            applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


DOUBLED = {
    "the same twice": "INSERT INTO ledger.chains SELECT * FROM ledger.chains",
    "another id under its number": "INSERT INTO ledger.chains SELECT chain, gen_random_uuid(), origin, 1, genesis FROM "
                                   "ledger.chains",
    "another number": "INSERT INTO ledger.chains SELECT 5, chain_id, origin, 1, genesis FROM ledger.chains",
    "none of both": "INSERT INTO ledger.chains SELECT 0, chain_id, origin, 2, genesis FROM ledger.chains; "
                    "UPDATE ledger.chains SET genesis = sha256('x') WHERE chain = 1",
    "another origin": "INSERT INTO ledger.chains SELECT chain, chain_id, 'example.com/other', 1, genesis FROM "
                      "ledger.chains",
    "three": "INSERT INTO ledger.chains SELECT c.* FROM ledger.chains c, generate_series(1, 2) s",
}  # fmt: skip


@pytest.mark.parametrize("what", DOUBLED)
def test_of_two_rows_the_one_that_is_proven_is_left(firm: Firm, broken: Database, what: str) -> None:
    """And what was edited beside it is mended too; what went is kept. The keys that were taken away are left."""
    with Intruder(broken) as intruder:
        unkeyed(intruder, CHAINS)
        for key in ("chain_id", "origin"):
            intruder.connection.execute(f"ALTER TABLE ledger.chains DROP CONSTRAINT chains_{key}_key")
        intruder.edit("chains", DOUBLED[what])
        intruder.edit("accounts", "UPDATE ledger.accounts SET owner = 'thief'", least=1)
    assert broken.sql("SELECT count(*) FROM ledger.chains") != "1"
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            plan = planned(broken, firm.rules, found)
            applied(broken, firm.rules, plan, found)
            if not real(report_on(broken)):
                break
    assert broken.sql(SHOWN) == ROW
    assert real(report_on(broken)) == []
    assert int(broken.sql("SELECT count(*) FROM ledger.history_changes WHERE reason LIKE '%(chains)'"))


def test_a_row_whose_number_was_changed_gets_it_back(firm: Firm, broken: Database) -> None:
    """The events stand under the number that it had."""
    with Intruder(broken) as intruder:
        intruder.edit("chains", "UPDATE ledger.chains SET chain = 77", least=1)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert plan.left() == []
        applied(broken, firm.rules, plan, found)
    assert broken.sql(SHOWN) == ROW
    assert real(report_on(broken)) == []


MOVED = "UPDATE ledger.events SET chain = 5 WHERE seq {}"
COPIED = (
    """INSERT INTO ledger.events SELECT (jsonb_populate_record(e, '{"chain": 5}')).* FROM ledger.events e"""
    " WHERE seq = 1"
)
LACKING = "DELETE FROM ledger.events WHERE (chain, seq) = (1, 200)"
ROW_5 = "UPDATE ledger.chains SET chain = 5"
HEAD_5 = "UPDATE ledger.chain_heads SET chain = 5"
JUNK_5 = "INSERT INTO ledger.tiles VALUES (5, 0, 0, sha256('x'))"
TILE_5 = "INSERT INTO ledger.tiles SELECT 5, level, number, hashes FROM ledger.tiles WHERE level = 0 AND number = 1"
RENAMED = "UPDATE ledger.chains SET origin = 'zzz.example/x'"
EDITED = "UPDATE ledger.events SET actor = 'mallory' WHERE (chain, seq) = (1, 1)"
ASTRAY = {
    "the first event": [MOVED.format("= 1")],
    "most of them": [MOVED.format("BETWEEN 50 AND 300")],
    "the first event, and the row is gone": [MOVED.format("= 1"), LOST],
    "three events, and the row is gone": [MOVED.format("<= 3"), LOST],
    "the first event, and the row is renamed": [MOVED.format("= 1"), RENAMED],
    "a copy of the first, which is edited": [COPIED, EDITED],
    "a copy of the first, and the row has its number": [COPIED, ROW_5],
    "a tile is copied, and the row has its number": [TILE_5, ROW_5],
    "a tile and the first are copied, and row and head have their number": [TILE_5, COPIED, ROW_5, HEAD_5],
    "all that was signed, with a copy of the first": [
        COPIED, "UPDATE ledger.tiles SET chain = 5", "UPDATE ledger.checkpoints SET chain = 5",
    ],
    "a tile of nobody's, and an event is edited": [ROW_5, EDITED, JUNK_5],
    "all are copied, and one is gone": [COPIED.replace("WHERE seq = 1", ""), LACKING],
}  # fmt: skip


@pytest.mark.parametrize("what", ASTRAY)
def test_events_under_another_number_take_nothing_with_them(firm: Firm, broken: Database, what: str) -> None:
    """The chain is where its checkpoints stand: events that were moved or copied go back, and the row with them."""
    with Intruder(broken) as intruder:
        for statement in ASTRAY[what]:
            (table,) = re.findall("^[A-Z ]+ ledger.([a-z_]+)", statement)
            intruder.edit(table, statement, least=1)
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert broken.sql(SHOWN) == ROW
    # Rows of nobody's stay, as the plan says of them.
    assert [x for x in real(report_on(broken)) if x.kind != "STRAY_ROWS"] == []
    # So do copies of what nobody signed.
    left = int(broken.sql("SELECT count(*) FROM ledger.events WHERE chain <> 1"))
    assert left == (3 if "all are copied" in what else 0)


def test_a_head_that_goes_back_with_its_row_says_the_role(firm: Firm, broken: Database, tmp_path: Path) -> None:
    """So that the repair is recorded: nobody has to say what the head does."""
    with Intruder(broken) as intruder:
        for table in ("chains", "chain_heads"):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 77", least=1)
    given = ["--archive", str(firm.archive), "--replica", firm.other.dsn("auditor")]
    _, call = commanded(firm, broken, tmp_path, given, 3)
    assert "recorded at seq" in run("ledger", *call)


OF_ANOTHER = {
    "a head, and what was signed": ["chains", "chain_heads", "tiles", "checkpoints"],
    "and the digest": ["chains", "chain_heads", "tiles", "checkpoints", "state_digests"],
}


@pytest.mark.parametrize("what", OF_ANOTHER)
def test_a_few_rows_take_no_events_and_books_with_them(firm: Firm, broken: Database, what: str) -> None:
    """The row, the head and all that was signed say another number: the chain is where its events and books are."""
    with Intruder(broken) as intruder:
        for table in OF_ANOTHER[what]:
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 5", least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 200", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert broken.sql(SHOWN) == ROW
    assert {x.kind for x in real(report_on(broken))} <= {"STRAY_ROWS"}
    assert broken.sql("SELECT count(*) FROM ledger.events WHERE chain <> 1 OR actor = 'mallory'") == "0"


def test_a_tile_under_no_number_at_all_hides_nothing_else(firm: Firm, broken: Database) -> None:
    with Intruder(broken) as intruder:
        for table in ("tiles", "checkpoints"):
            intruder.connection.execute(
                f"ALTER TABLE ledger.{table} DROP CONSTRAINT {table}_pkey, ALTER chain DROP NOT NULL"
            )
            row = """(jsonb_populate_record(t, '{"chain": null}')).*"""
            intruder.edit(table, f"INSERT INTO ledger.{table} SELECT {row} FROM ledger.{table} t LIMIT 1", least=1)
        intruder.edit("events", EDITED, least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert {x.kind for x in real(report_on(broken))} == {"STRAY_ROWS"}


def test_a_row_and_a_head_whose_number_was_changed_get_it_back(firm: Firm, broken: Database) -> None:
    """Where its events stand says that the row is wrong: it is put back, and the head goes with it."""
    with Intruder(broken) as intruder:
        for table in ("chains", "chain_heads"):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 77", least=1)
    found_wrong = real(report_on(broken))
    assert {(x.kind, x.table) for x in found_wrong} == {("CHAIN_MISMATCH", "chains"), ("HEAD_MISMATCH", "chain_heads")}
    with copies(archive=firm.archive, other=firm.other) as found:
        applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert (broken.sql(SHOWN), real(report_on(broken))) == (ROW, [])


def test_the_next_round_waits_until_the_record_of_the_one_before_is_known_elsewhere(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """What was recorded no other region has yet. A tile of nobody's says nothing of its leaves."""
    with Intruder(broken) as intruder:
        for table, sql in (
            ("chains", "UPDATE ledger.chains SET chain_id = overlay(chain_id::text PLACING '0000' FROM 1)::uuid"),
            ("events", "DELETE FROM ledger.events WHERE seq BETWEEN 255 AND 258"),
            ("idempotency_keys", "DELETE FROM ledger.idempotency_keys WHERE first_seq = 50"),
            ("tiles", "INSERT INTO ledger.tiles SELECT chain, 0, 5000, hashes FROM ledger.tiles WHERE number = 1"),
        ):
            intruder.edit(table, sql, least=1)
    given = ["--archive", str(firm.archive), "--replica", firm.other.dsn("auditor")]
    _, call = commanded(firm, broken, tmp_path, given, 0)
    # Behind the row nothing was seen in the first round.
    run("ledger", *call, expected=3)
    refused, _ = commanded(firm, broken, tmp_path, given, 3)
    assert "name one once it has applied them" in refused
    with copied(broken) as replica:
        with Intruder(replica) as intruder:
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'", least=1)
        _, call = commanded(firm, broken, tmp_path, [*given[:2], "--replica", replica.dsn("auditor")], 0)
        run("ledger", *call)
    assert real(report_on(broken)) == []


def _forge_a_record(broken: Database, *, twice: bool) -> None:
    """Put the record of a repair in the place of the last event, with good hashes, and perhaps one more behind it."""
    given = registry.encode_given(example(HistoryRepaired))
    with contextlib.closing(db.connect(broken.dsn("auditor"), "test")) as connection:
        row = chains.find(connection, ORIGIN)
        *_, before, last = events.read(connection, row.chain, row.chain_id)
    version = broken.sql("SELECT version + 1 FROM ledger.streams WHERE stream = 'chain/control'")
    made = msgspec.structs.replace(
        last, event_type="HistoryRepaired", schema_version=1, stream="chain/control", stream_version=int(version),
        effective_on=last.occurred_at // 86_400_000_000_000, payload=b'{"derived":{},"given":' + given + b"}",
        request_hash=request_hash(last.salt, [("HistoryRepaired", 1, last.occurred_at, given)]),
    )  # fmt: skip
    hash = ChainHead(before.seq, before.hash).extend(made).hash.hex()
    columns = {
        "event_type": made.event_type, "schema_version": 1, "stream": made.stream, "stream_version": version,
        "payload": made.payload.decode(), "request_hash": f"\\x{made.request_hash.hex()}", "hash": f"\\x{hash}",
    }  # fmt: skip
    with Intruder(broken) as intruder:
        said = ", ".join(f"{name} = '{value}'" for name, value in columns.items())
        intruder.edit("events", f"UPDATE ledger.events SET {said} WHERE seq = {last.seq}", least=1)
        if twice:
            more = msgspec.structs.replace(
                made, seq=last.seq + 1, prev_hash=bytes.fromhex(hash), recorded_at=last.recorded_at + 1,
                stream_version=int(version) + 1, event_id=event_id.make(last.recorded_at + 1, bytes(7)),
            )  # fmt: skip
            after = ChainHead(last.seq, bytes.fromhex(hash)).extend(more).hash.hex()
            given_anew = {
                "seq": more.seq, "recorded_at": more.recorded_at, "stream_version": more.stream_version,
                "event_id": more.event_id.hex(), "prev_hash": f"\\x{hash}", "hash": f"\\x{after}",
            }  # fmt: skip
            copy = f"(jsonb_populate_record(e, '{json.dumps(given_anew)}')).*"
            intruder.edit(
                "events",
                f"INSERT INTO ledger.events SELECT {copy} FROM ledger.events e WHERE seq = {last.seq}",
                least=1,
            )
            hash = after
        last_one = f"(SELECT max(seq), '\\x{hash}'::bytea FROM ledger.events)"
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET (seq, hash) = {last_one}", least=1)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("named", ["archive", "both"])
def test_a_record_that_was_forged_over_an_event_makes_no_books_fit(
    firm: Firm, broken: Database, twice: bool, named: str
) -> None:
    """The other region is one event behind, as replicas are: nobody but the rows here knows what stood there."""
    _forge_a_record(broken, twice=twice)
    with copied(firm.other) as behind:
        with Intruder(behind) as intruder:
            intruder.edit(
                "events", "DELETE FROM ledger.events WHERE seq = (SELECT max(seq) FROM ledger.events)", least=1
            )
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET (seq, hash) = (SELECT seq, hash FROM "
                          "ledger.events ORDER BY seq DESC LIMIT 1)", least=1)  # fmt: skip
        with copies(archive=firm.archive, other=behind if named == "both" else None) as found:
            plan = planned(broken, firm.rules, found)
    assert not {write.table for write in plan.writes} & {"assets", "idempotency_keys", "commits", "state_digests"}
    assert plan.left()


OTHER = "second.example/log"
LOSSES = {
    "the row is gone": ["DELETE FROM ledger.chains WHERE chain = 1"],
    "the row is gone and the first event says nothing": [
        "DELETE FROM ledger.chains WHERE chain = 1",
        "UPDATE ledger.events SET actor = 'mallory' WHERE chain = 1 AND seq = 1",
    ],
    "the row has the other's number": ["UPDATE ledger.chains SET chain = 2 WHERE chain = 1"],
    "the row has another origin": ["UPDATE ledger.chains SET origin = 'zzz.example/x' WHERE chain = 1"],
    "the row has another number": ["UPDATE ledger.chains SET chain = 77 WHERE chain = 1"],
}  # fmt: skip


def _with_another_chain(broken: Database, folder: Path) -> str:
    """Make a second chain in the database, and return its row."""
    run("ledger", "init", "--origin", OTHER, "--dsn", broken.dsn("owner"), "--keys", str(folder / "keys"))
    return broken.sql(f"SELECT * FROM ledger.chains WHERE origin = '{OTHER}'")


HIDDEN = {
    "the one row is gone": ["DELETE FROM ledger.chains WHERE chain = 1"],
    "both rows say the same": [],
}


@pytest.mark.parametrize("what", HIDDEN)
def test_what_stands_under_the_number_of_another_chain_stays(
    firm: Firm, broken: Database, tmp_path: Path, what: str
) -> None:
    """Its row was made to say whose the chain here is: the events under its number are none of this chain's."""
    _with_another_chain(broken, tmp_path)
    asked = (
        "SELECT 'head', chain FROM ledger.chain_heads UNION SELECT 'digest', chain FROM ledger.state_digests ORDER BY 1"
    )
    before = broken.sql(asked)
    with Intruder(broken) as intruder:
        for key in ("chain_id", "origin"):
            intruder.connection.execute(f"ALTER TABLE ledger.chains DROP CONSTRAINT chains_{key}_key")
        said = "(SELECT chain_id, origin, genesis FROM ledger.chains WHERE chain = 1)"
        intruder.edit(
            "chains", f"UPDATE ledger.chains SET (chain_id, origin, genesis) = {said} WHERE chain = 2", least=1
        )
        for statement in HIDDEN[what]:
            intruder.edit("chains", statement, least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, report_file(broken))
    assert not {CHAINS} & {write.table for write in plan.writes}
    assert [
        judged.reason for judged in plan.left() if "row 2 of chains says this chain's origin or id" in judged.reason
    ]
    assert broken.sql(asked) == before


@pytest.mark.parametrize("what", LOSSES)
def test_beside_another_chain_a_row_is_put_right_and_the_others_left(
    firm: Firm, broken: Database, tmp_path: Path, what: str
) -> None:
    """The events under a number say whose they are: what is not of this chain is not taken for it."""
    other = _with_another_chain(broken, tmp_path)
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.chains DROP CONSTRAINT chains_pkey CASCADE")
        for statement in LOSSES[what]:
            intruder.edit("events" if "ledger.events" in statement else "chains", statement, least=1)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found, report_file(broken))
        applied(broken, firm.rules, plan, found)
    assert broken.sql(f"{SHOWN} WHERE origin <> '{OTHER}'") == ROW
    assert broken.sql(f"SELECT * FROM ledger.chains WHERE origin = '{OTHER}'") == other
    assert broken.sql("SELECT count(*), max(seq) FROM ledger.events WHERE chain = 2") == "1|1"


@pytest.mark.parametrize("exchanged", [False, True])
def test_the_only_row_that_says_another_chains_id_stays(
    firm: Firm, broken: Database, tmp_path: Path, exchanged: bool
) -> None:
    """It has the number of this chain, and the first event of its own was edited: the others still say whose it is."""
    _with_another_chain(broken, tmp_path)
    with Ledger.open(broken.dsn("writer"), origin=OTHER) as ledger:
        ledger.append(AssetDefined(asset="B", kind="crypto", scale=8, name="b"), key="b", actor="desk")
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.chains DROP CONSTRAINT chains_pkey CASCADE")
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE (chain, seq) = (2, 1)", least=1)
        if exchanged:
            intruder.edit("chains", "UPDATE ledger.chains SET chain = 3 - chain", least=2)
        else:
            intruder.edit("chains", LOST + " WHERE chain = 1", least=1)
            intruder.edit("chains", "UPDATE ledger.chains SET chain = 1", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found, report_file(broken))
    assert plan.writes == ()
    assert any(f"the row of chain {OTHER} says 1, the number of this chain" in one.reason for one in plan.left())


def test_beside_another_chain_events_that_no_copy_proves_are_this_chains_own(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """The plan says of each why it is not mended, as it does where there is no other chain."""
    _with_another_chain(broken, tmp_path)
    with Intruder(broken) as intruder:
        seqs = f"BETWEEN 10 AND 15 OR seq > {firm.size}"
        intruder.edit("events", f"UPDATE ledger.events SET actor = 'mallory' WHERE chain = 1 AND (seq {seqs})", least=9)
    plan = planned(broken, firm.rules, [], report_file(broken))
    assert {*range(10, 16), firm.size + 1} <= {one.finding.seq for one in plan.left()}


def test_two_rows_whose_numbers_were_exchanged_are_for_whoever_owns_both(
    firm: Firm, broken: Database, tmp_path: Path
) -> None:
    """To set one right takes the place of the other: the plan says which is in the way."""
    _with_another_chain(broken, tmp_path)
    with Intruder(broken) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.chains DROP CONSTRAINT chains_pkey CASCADE")
        intruder.edit("chains", "UPDATE ledger.chains SET chain = 3 - chain", least=2)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found, report_file(broken))
    assert {judged.reason for judged in plan.left() if f"the row of chain {OTHER} says 1" in judged.reason}
    assert not {CHAINS} & {write.table for write in plan.writes}


def test_the_row_of_another_chain_stays(firm: Firm, broken: Database) -> None:
    """One that claims this chain's origin and has a head of its own is for whoever knows whose it is."""
    with Intruder(broken) as intruder:
        for key in ("chain_id", "origin"):
            intruder.connection.execute(f"ALTER TABLE ledger.chains DROP CONSTRAINT chains_{key}_key")
        intruder.edit("chains", "INSERT INTO ledger.chains SELECT 5, gen_random_uuid(), origin, 1, genesis FROM "
                      "ledger.chains", least=1)  # fmt: skip
        intruder.edit("chain_heads", "INSERT INTO ledger.chain_heads VALUES (5, 0, sha256('x'), 0, 1, 'primary')")
    data = report_file(broken)
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found, data)
    assert [judged.reason for judged in plan.left() if "row 5 of chains" in judged.reason]
    assert not {CHAINS} & {write.table for write in plan.writes}


def test_a_plan_of_half_the_rows_is_refused(firm: Firm, broken: Database) -> None:
    """Whoever takes the line out that takes the other row away is told to make the plan anew."""
    with Intruder(broken) as intruder:
        unkeyed(intruder, CHAINS)
        intruder.connection.execute("ALTER TABLE ledger.chains DROP CONSTRAINT chains_chain_id_key")
        intruder.connection.execute("ALTER TABLE ledger.chains DROP CONSTRAINT chains_origin_key")
        intruder.edit("chains", DOUBLED["none of both"])
    with copies(archive=firm.archive) as found:
        plan = planned(broken, firm.rules, found)
        assert writes(plan) >= {("restore", CHAINS), ("remove", CHAINS)}
        half = msgspec.structs.replace(plan, writes=tuple(x for x in plan.writes if x.what == "restore"))
        with pytest.raises(NotProven, match="leaves the others"):
            applied(broken, firm.rules, half, found)
