"""
Mend a replica's region from its primary, by the commands, and let it go on applying.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.cli.creation import named
from ledger.evidence import policy
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.conftest import ORIGIN, Database, copy_database
from tests.repairing.mending import applied, copies, planned
from tests.sealing.regions import CHECKPOINT, LOG_KEY, append, sealing, signer
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, report_on
from tests.verifier.two_regions import PUBLISHER, REPLICA, two_of_each

POLICY = f"log {LOG_KEY.verifier.text()}\nquorum none\n"


class Regions:
    """A primary and a replica that applies what it publishes."""

    def __init__(self, primary: Database, replica: Database, kafka: Broker) -> None:
        self.primary, self.replica = primary, replica
        keys = named([CHECKPOINT, PUBLISHER, REPLICA])
        chain, _ = create_chain(primary.dsn("owner"), ORIGIN, keys, [("writer", "engine")])
        self._publisher = Publisher(primary.dsn("publisher"), ORIGIN, kafka.bootstrap, PUBLISHER)
        self._applier = Applier(
            replica.dsn("applier"), ORIGIN, chain.chain_id, kafka.bootstrap, PUBLISHER.public_key, REPLICA
        )

    def replicate(self) -> str:
        """Publish and apply until the replica has the primary's head, and return that head's seq."""
        goal = self.primary.sql("SELECT seq FROM ledger.chain_heads")
        deadline = time.monotonic() + 60
        while str(self._publisher.status.acknowledged_seq) != goal:
            self._publisher.step()
            self._applier.step(20)
            assert time.monotonic() < deadline, "the replica did not catch up"
        assert self.replica.sql("SELECT seq FROM ledger.chain_heads") == goal
        return goal

    def close(self) -> None:
        self._publisher.close()
        self._applier.close()


@pytest.fixture
def regions(pg_server: Server, migrated: str, kafka: Broker) -> Iterator[Regions]:
    both = [Database(pg_server, f"mended_{name}") for name in ("primary", "replica")]
    for database in both:
        copy_database(pg_server, database.name, migrated)
    made = Regions(*both, kafka)
    yield made
    made.close()
    for database in both:
        pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


def sealed(regions: Regions, folder: Path) -> None:
    """Let both regions have the same events, all of them signed."""
    with Ledger.open(regions.primary.dsn("writer")) as ledger:
        two_of_each(ledger)
    with signer(folder) as place, sealing(regions.primary, place) as sealer:
        sealer.seal()
    regions.replicate()


def test_a_repair_makes_no_second_primary(regions: Regions, tmp_path: Path) -> None:
    """Head and place in the topic are gone, and with them every word of which role the region has."""
    primary, replica = regions.primary, regions.replica
    sealed(regions, tmp_path)
    with Intruder(replica) as intruder:
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads", least=1)
        intruder.edit("replica_state", "DELETE FROM ledger.replica_state", least=1)
    trust, report, plan = tmp_path / "policy", tmp_path / "report.json", tmp_path / "plan.json"
    trust.write_text(POLICY)
    signed = tmp_path / "checkpoint"
    signed.write_text(primary.sql("SELECT note FROM ledger.checkpoints") + "\n")
    run("verifier", "full", "--dsn", replica.dsn("auditor"), "--report", str(report), expected=3)
    rules = ["--policy", str(trust)]
    copy = ["--replica", primary.dsn("auditor")]
    where = ["--dsn", replica.dsn("owner")]
    more = ["--auditor", replica.dsn("auditor"), "--source", "engine", "--yes", "--writer", primary.dsn("writer")]
    planning = ["repair", "plan", str(report), *rules, *where, "--output", str(plan), "--checkpoint", str(signed)]
    applying = ["repair", "apply", str(plan), *rules, *where, *more]
    # Nobody knows, unless the primary is named or a person says it.
    assert "--role primary once you know" in run("ledger", *planning, expected=3)
    assert "would be a second" in run("ledger", *planning, *copy, "--role", "primary", expected=3)
    run("ledger", *planning, "--role", "primary")
    assert "--writer is an address of another" in run("ledger", *applying, "--role", "primary", expected=8)
    assert "nothing here tells whether" in run("ledger", *applying, expected=3)
    assert "would be a second" in run("ledger", *applying, *copy, "--role", "primary", expected=3)
    assert replica.sql("SELECT count(*) FROM ledger.chain_heads") == "0"
    # A primary that is named may be ahead: this region follows it, as it does by a person's word.
    append(primary, 1)
    run("ledger", *planning, *copy)
    run("ledger", *planning, *copy, "--role", "replica")
    assert "made chain_heads anew" in run("ledger", *applying, *copy, "--role", "replica", expected=3)
    assert replica.sql("SELECT mode FROM ledger.chain_heads") == "replica"
    # Its place in the topic is the applier's to say again.
    assert [finding.kind for finding in report_on(replica).findings] == ["POSITION_MISMATCH"]
    regions.replicate()
    assert (report_on(primary).findings, report_on(replica).findings) == ([], [])


def test_a_region_beside_its_primary_is_a_replica(regions: Regions, tmp_path: Path) -> None:
    """The primary is named, so nobody has to say it; nor does a head that says something else make it one."""
    primary, replica = regions.primary, regions.replica
    sealed(regions, tmp_path)
    with Intruder(replica) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'primary', hash = sha256('x')", least=1)
        intruder.edit("replica_state", "DELETE FROM ledger.replica_state", least=1)
    rules = policy.decode(POLICY.encode())
    with copies(primary) as found:
        (left,) = planned(replica, rules, found).left()
        assert "would be a second" in left.reason
    with Intruder(replica) as intruder:
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads", least=1)
    with copies(primary) as found:
        plan = planned(replica, rules, found)
        assert plan.left() == []
        applied(replica, rules, plan, found)
    assert replica.sql("SELECT mode FROM ledger.chain_heads") == "replica"


def test_a_replica_is_mended_from_its_primary_and_goes_on(regions: Regions, tmp_path: Path) -> None:
    """The record of it is the primary's to append, and comes to the replica as every event does."""
    primary, replica = regions.primary, regions.replica
    sealed(regions, tmp_path)
    # The primary is ahead, as it is while a replica is stopped; no head says which of both this one is.
    append(primary, 1)
    with Intruder(replica) as intruder:
        intruder.edit("chain_heads", "DELETE FROM ledger.chain_heads", least=1)
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 7")
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 9")
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'")
    trust, report, plan = tmp_path / "policy", tmp_path / "report.json", tmp_path / "plan.json"
    trust.write_text(POLICY)
    run("verifier", "full", "--dsn", replica.dsn("auditor"), "--report", str(report), expected=3)
    copies = ["--policy", str(trust), "--replica", primary.dsn("auditor")]
    said = run("ledger", "repair", "plan", str(report), *copies, "--dsn", replica.dsn("reader"), "--output", str(plan))
    assert "restore event 7 (actor) from replica" in said
    apply = ["repair", "apply", str(plan), *copies, "--dsn", replica.dsn("owner"), "--auditor", replica.dsn("auditor"),
             "--source", "engine", "--yes"]  # fmt: skip
    assert "may not append as" in run("ledger", *apply, "--writer", replica.dsn("writer"), expected=8)
    said = run("ledger", *apply, "--writer", primary.dsn("writer"))
    assert "restored event 9" in said
    assert "made chain_heads anew" in said
    assert "VERIFIED" in said
    assert replica.sql("SELECT mode FROM ledger.chain_heads") == "replica"
    append(primary, 3)
    regions.replicate()
    repaired = "SELECT count(*) FROM ledger.events WHERE event_type = 'HistoryRepaired'"
    assert (primary.sql(repaired), replica.sql(repaired)) == ("1", "1")
    assert (report_on(primary).findings, report_on(replica).findings) == ([], [])
