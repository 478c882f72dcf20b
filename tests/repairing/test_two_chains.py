"""
Let two chains be in one database, and the rows that say which is whose be false: nothing of the other one goes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

import msgspec
import pytest

from ledger import Ledger
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.cli.seal import opened
from ledger.domain.events.reference import AssetDefined
from ledger.errors import InvalidInput, UnknownChain
from ledger.evidence.note import ED25519, SigningKey
from ledger.journal.chain_creation import create_chain
from ledger.repairing.plan import REMOVE, NotProven, Write
from ledger.sealing.sealer import Sealer
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import Firm, applied, copies, planned, report_file
from tests.sealing.regions import NOBODY, signer
from tests.verifier.intruder import Intruder, copied, real, report_on
from verifier import chain as chains

OTHER: Final = "second.example/log"
SEED: Final = bytes([77]) * 32
SHARED: Final = 20
"""So many assets both chains define, in the same words."""
COUNT: Final = 61
"""How many events the other chain has, which are sealed."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no small edits of broken events, which take a second each."""
    monkeypatch.setattr(chains, "DEEP_LIMIT", 0)


@pytest.fixture(scope="module")
def both(firm: Firm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A copy with another chain beside the firm's, sealed by a key of its own."""
    folder = tmp_path_factory.mktemp("second")
    with copied(firm.database) as made:
        create_chain(made.dsn("owner"), OTHER, named([KeyPair("checkpoint", "signer", SEED)]), [])
        # Which names the firm's assets have depends on how many were defined before it.
        shared = f"SELECT asset FROM ledger.assets WHERE asset ~ '^A[0-9]+$' ORDER BY asset LIMIT {SHARED}"
        names = [*made.sql(shared).split(), *(f"B{number}" for number in range(COUNT - 1 - SHARED))]
        with Ledger.open(made.dsn("writer"), origin=OTHER) as ledger:
            for name in names:
                ledger.append(AssetDefined(asset=name, kind="crypto", scale=8, name="a"), key=name, actor="desk")
        with signer(folder, key=SigningKey(OTHER, ED25519, SEED)) as place:
            connection, chain = opened(made.dsn("sealer"), OTHER)
            with contextlib.closing(connection), Sealer(connection, chain, place, NOBODY, NOBODY, time.time_ns) as it:
                it.seal()
        assert made.sql("SELECT max(seq) FROM ledger.events WHERE chain = 2") == str(COUNT)
        yield made


@pytest.fixture
def two(both: Database) -> Iterator[Database]:
    """A copy of both to be broken."""
    with copied(both) as made:
        yield made


def edited(database: Database, *statements: str) -> None:
    with Intruder(database) as intruder:
        for constraint in ("pkey", "chain_id_key", "origin_key"):
            intruder.connection.execute(
                f"ALTER TABLE ledger.chains DROP CONSTRAINT IF EXISTS chains_{constraint} CASCADE"
            )
        for statement in statements:
            table = statement.split("ledger.")[1].split(" ")[0]
            intruder.edit(table, statement, least=1)


def edited_here(database: Database, statement: str) -> None:
    with Intruder(database) as intruder:
        intruder.edit("checkpoints", statement, least=1)


TAKEN: Final = [
    "DELETE FROM ledger.chain_heads WHERE chain = 1",
    "DELETE FROM ledger.state_digests WHERE chain = 1",
    "UPDATE ledger.chains SET (chain_id, origin, genesis) = (SELECT chain_id, origin, genesis FROM ledger.chains WHERE "
    "chain = 1) WHERE chain = 2",
    "DELETE FROM ledger.chains WHERE chain = 1",
    "DELETE FROM ledger.tiles WHERE chain = 1",
]
"""The other chain's row says that it is this one, whose own are gone."""
BEHIND: Final = (
    f"UPDATE ledger.events SET chain = 2 WHERE chain = 1 AND seq > {COUNT} AND stream NOT IN (SELECT stream FROM "
    "ledger.events WHERE chain = 2)"
)
GROUND: Final = {
    "every second event is gone": [BEHIND, "DELETE FROM ledger.events WHERE chain = 2 AND seq % 2 = 1 AND seq <= 61"],
    "the first is gone, and no other links": [
        BEHIND, "DELETE FROM ledger.events WHERE chain = 2 AND seq = 1",
        "UPDATE ledger.events SET prev_hash = sha256(prev_hash) WHERE chain = 2 AND seq <= 61",
    ],
    "every second hash is another, and the first says nothing": [
        BEHIND, "UPDATE ledger.events SET hash = sha256(hash) WHERE chain = 2 AND seq % 2 = 1 AND seq <= 61",
        "UPDATE ledger.events SET payload = '{}' WHERE chain = 2 AND seq = 1",
    ],
    "one event is left, and the note": [BEHIND, "DELETE FROM ledger.events WHERE chain = 2 AND seq <= 61 AND seq <> 9"],
    "no events are elsewhere": [
        "DELETE FROM ledger.events WHERE chain = 1", "DELETE FROM ledger.events WHERE chain = 2 AND seq = 1",
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", GROUND)
def test_no_event_of_another_chain_is_written_over_whatever_links_or_is_gone(
    firm: Firm, two: Database, what: str
) -> None:
    edited(two, *TAKEN, *GROUND[what])
    with copies(archive=firm.archive, other=firm.other) as found, pytest.raises(UnknownChain, match="events of"):
        planned(two, firm.rules, found)


@pytest.mark.parametrize("gone", [("tiles", "checkpoints"), ("tiles", "checkpoints", "chain_heads")])
def test_what_another_chain_has_is_left_where_its_own_events_are_gone(
    firm: Firm, two: Database, gone: tuple[str, ...]
) -> None:
    """Its row, head, note and books are as they were; only the events under its number are this chain's."""
    edited(
        two, *(f"DELETE FROM ledger.{table} WHERE chain = 1" for table in (*gone, "chains")),
        "DELETE FROM ledger.events WHERE chain = 2", "UPDATE ledger.events SET chain = 2 WHERE chain = 1",
    )  # fmt: skip
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(two, firm.rules, found)
    assert [write for write in plan.writes if write.table != "events"] == []
    assert any("may be another chain's" in judged.reason for judged in plan.findings)


@pytest.mark.parametrize(("gone", "by"), [(100, -1), (300, 1)])
def test_events_of_the_chain_that_were_moved_along_are_its_own(
    firm: Firm, broken: Database, gone: int, by: int
) -> None:
    """One was taken away, and two hundred fill its place: none of them is what was signed for where it stands."""
    with Intruder(broken) as intruder:
        for statement in (f"DELETE FROM ledger.events WHERE seq = {gone}",
                          f"UPDATE ledger.events SET seq = seq + {100_000 + by} WHERE seq BETWEEN 100 AND 300",
                          "UPDATE ledger.events SET seq = seq - 100000 WHERE seq > 9999"):  # fmt: skip
            intruder.edit("events", statement, least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert len([write for write in plan.writes if write.table == "events"]) == 201
        applied(broken, firm.rules, plan, found)
    assert real(report_on(broken)) == []


def test_the_note_of_another_chain_stays(firm: Firm, two: Database) -> None:
    """Under a size of its own, and where this chain has one, of which a copy is there; one that was edited is not."""
    last = firm.sealed[-1]
    edited(two, "UPDATE ledger.checkpoints SET chain = 1 WHERE chain = 2")
    removed = Write(what=REMOVE, table="checkpoints", source="replay", size=COUNT)
    rows = "SELECT size, root, note FROM ledger.checkpoints ORDER BY size"
    with copies(archive=firm.archive, other=firm.other) as found:
        for statement in ("UPDATE ledger.checkpoints SET sealed_at = sealed_at", "UPDATE ledger.checkpoints SET "
                          f"(root, note) = (SELECT root, note FROM ledger.checkpoints WHERE size = {COUNT})"
                          f" WHERE size = {last}"):  # fmt: skip
            edited_here(two, statement)
            before, plan = two.sql(rows), planned(two, firm.rules, found)
            assert [x for x in plan.writes if x.table == "checkpoints"] == []
            assert any(f"is of another chain, '{OTHER}'" in one.reason for one in plan.left())
            # One that says otherwise is not believed.
            with pytest.raises(NotProven, match="is of another chain"):
                applied(two, firm.rules, msgspec.structs.replace(plan, writes=(removed,)), found)
            assert two.sql(rows) == before
    with copied(firm.database) as broken, copies(archive=firm.archive, other=firm.other) as found:
        for change in (f"note = replace(note, '{ORIGIN}', '{OTHER}')", "note = replace(note, 'a', 'b')"):
            edited_here(broken, f"UPDATE ledger.checkpoints SET {change} WHERE size = {last}")
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
            assert real(report_on(broken)) == []


REFERRED: Final = {
    "its row and events have another number": [
        "UPDATE ledger.events SET chain = 7 WHERE chain = 2", "UPDATE ledger.chains SET chain = 7 WHERE chain = 2",
    ],
    "its row and events are gone": [
        "DELETE FROM ledger.events WHERE chain = 2", "DELETE FROM ledger.chains WHERE chain = 2",
    ],
    "and its head": [
        "DELETE FROM ledger.events WHERE chain = 2", "DELETE FROM ledger.chains WHERE chain = 2",
        "DELETE FROM ledger.chain_heads WHERE chain = 2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", REFERRED)
def test_what_refers_to_another_chain_by_its_number_is_not_taken_for_this_ones(
    firm: Firm, two: Database, what: str
) -> None:
    """This chain's row has the number under which its head or digest stands, and no event any more."""
    edited(two, *REFERRED[what], "UPDATE ledger.chains SET chain = 2 WHERE chain = 1")
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(two, firm.rules, found)
    table = "state_digests" if "head" in what else "chain_heads"
    assert plan.writes == ()
    assert any(f"the row of {table} under the number 2" in one.reason for one in plan.left())


@pytest.mark.parametrize("edit", ["", ", hash = sha256('x')", ", seq = 999"])
def test_a_head_that_stands_elsewhere_is_the_chains_by_its_event(firm: Firm, broken: Database, edit: str) -> None:
    """By its hash, or the time that it says."""
    with Intruder(broken) as intruder:
        for table, more in (("chains", ""), ("chain_heads", edit), ("state_digests", "")):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 5{more}", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert broken.sql("SELECT chain FROM ledger.chain_heads") == "1"
    # One that says more events than there are is a person's to judge.
    assert {x.table for x in real(report_on(broken))} <= ({"chain_heads", "events"} if "999" in edit else set())


def test_a_digest_that_stands_elsewhere_with_its_commits_is_the_chains_by_their_times(
    firm: Firm, broken: Database
) -> None:
    """The head is where it was, and names no other place."""
    with Intruder(broken) as intruder:
        for table in ("chains", "state_digests", "commits", "idempotency_keys", "assets"):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 5", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert real(report_on(broken)) == []


def test_snapshots_and_histories_go_where_the_row_and_head_go(firm: Firm, broken: Database) -> None:
    """All that was signed says another number than all that is made of it."""
    with Intruder(broken) as intruder:
        for table in ("events", "tiles", "checkpoints"):
            intruder.edit(table, f"UPDATE ledger.{table} SET chain = 0", least=1)
    with copies(archive=firm.archive, other=firm.other) as found:
        for _ in range(2):
            applied(broken, firm.rules, planned(broken, firm.rules, found), found)
    assert real(report_on(broken)) == []
    assert broken.sql("SELECT count(*) FROM ledger.snapshots") == "1"


@pytest.mark.parametrize(
    "row", ["DELETE FROM ledger.chains WHERE chain = 2", "UPDATE ledger.chains SET chain = 9 WHERE chain = 2"]
)
def test_rows_that_are_the_same_in_two_chains_stay_each_in_its_own(firm: Firm, two: Database, row: str) -> None:
    """Both define the same assets; no row says whose those of the other are, and its events do."""
    tables = (
        "assets",
        "idempotency_keys",
        "commits",
        "streams",
        "chain_keys",
        "chain_heads",
        "state_digests",
        "events",
    )
    asked = " UNION ALL ".join(f"SELECT '{table}', to_jsonb(t)::text FROM ledger.{table} t WHERE chain = 2"
                               for table in tables)  # fmt: skip
    before = two.sql(f"{asked} ORDER BY 1, 2")
    own = "SELECT min(asset) FROM ledger.assets t WHERE chain = 1 AND asset ~ '^A[0-9]+$' AND {}EXISTS (SELECT FROM "
    own += "ledger.assets o WHERE o.chain = 2 AND o.asset = t.asset)"
    lost = f"ledger.assets WHERE chain = 1 AND asset IN ('{two.sql(own.format(''))}', '{two.sql(own.format('NOT '))}')"
    edited(two, row, "DELETE FROM ledger.idempotency_keys WHERE chain = 1 AND first_seq = 50",
           f"DELETE FROM {lost}",
           "DELETE FROM ledger.commits WHERE chain = 1 AND last_seq > 200")  # fmt: skip
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(two, firm.rules, found, report_file(two))
        assert ("rebuild", "assets") in {(write.what, write.table) for write in plan.writes}
        applied(two, firm.rules, plan, found)
    assert two.sql(f"{asked} ORDER BY 1, 2") == before
    assert two.sql(f"SELECT count(*) FROM {lost}") == "2"


BROUGHT: Final = {
    "all were moved": (["UPDATE ledger.checkpoints SET chain = -5"], {"restore"}),
    "one was moved": (["UPDATE ledger.checkpoints SET chain = 5 WHERE size < 100"], {"restore"}),
    "all were copied": (
        ["INSERT INTO ledger.checkpoints SELECT 5, size, root, note, sealed_at FROM ledger.checkpoints"], {"remove"},
    ),
    "they were moved to other sizes": (["UPDATE ledger.checkpoints SET (chain, size) = (5, size + 1)"], {"restore"}),
}  # fmt: skip


@pytest.mark.parametrize("what", BROUGHT)
def test_a_note_under_the_number_of_no_chain_comes_back(firm: Firm, broken: Database, what: str) -> None:
    """It says whose it is, and of how many events; it keeps its time."""
    rows = "SELECT chain, size, root, note, sealed_at FROM ledger.checkpoints ORDER BY chain, size"
    before, (statements, expected) = broken.sql(rows), BROUGHT[what]
    for statement in statements:
        edited_here(broken, statement)
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(broken, firm.rules, found)
        assert ({write.what for write in plan.writes}, plan.left()) == (expected, [])
        applied(broken, firm.rules, plan, found)
        assert (broken.sql(rows), real(report_on(broken))) == (before, [])
        # Applied again it finds all as it is to be.
        assert applied(broken, firm.rules, plan, found).done == []


def test_of_notes_under_the_number_of_no_chain_none_of_anothers_comes(firm: Firm, two: Database) -> None:
    """What is another chain's, or nobody's, or has its place taken, stays where it is, and the plan counts it."""
    last = firm.sealed[-1]
    edited(
        two, "UPDATE ledger.checkpoints SET chain = 5",
        "INSERT INTO ledger.checkpoints SELECT 1, size, sha256('x'), note || 'x', 1 FROM ledger.checkpoints "
        f"WHERE size = {last}",
        f"INSERT INTO ledger.checkpoints SELECT 5, 7, root, 'junk', 1 FROM ledger.checkpoints WHERE size = {last} "
        "AND chain = 5",
    )  # fmt: skip
    with copies(archive=firm.archive, other=firm.other) as found:
        plan = planned(two, firm.rules, found)
        (moved,) = [write for write in plan.writes if write.key]
        assert (moved.what, moved.size, moved.key) == ("restore", firm.sealed[0], ("5", str(firm.sealed[0])))
        assert any("3 of 4: rows of nobody" in one.reason for one in plan.left())
        applied(two, firm.rules, plan, found)
        # In a second round its place has the same note, of which one row is enough.
        applied(two, firm.rules, planned(two, firm.rules, found), found)
    left = two.sql("SELECT string_agg(size::text, ' ' ORDER BY size) FROM ledger.checkpoints WHERE chain = 5")
    assert left == f"7 {COUNT}"


def test_a_note_is_brought_from_where_no_chain_is_alone(firm: Firm, two: Database) -> None:
    """A plan that was edited takes none from under the number of another chain."""
    edited(two, "UPDATE ledger.checkpoints SET chain = 5 WHERE chain = 1")
    with copies(archive=firm.archive, other=firm.other) as found:
        made = planned(two, firm.rules, found)
        edited(two, "UPDATE ledger.checkpoints SET chain = 2 WHERE chain = 5")
        from_two = [msgspec.structs.replace(write, key=("2", str(write.size))) for write in made.writes]
        with pytest.raises(NotProven, match="no other chain's"):
            applied(two, firm.rules, msgspec.structs.replace(made, writes=tuple(from_two)), found)
        odd = tuple(msgspec.structs.replace(write, key=("2", "x")) for write in made.writes)
        with pytest.raises(InvalidInput, match="a place that is none"):
            applied(two, firm.rules, msgspec.structs.replace(made, writes=odd), found)
