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
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.conftest import ORIGIN, Database, copy_database
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


def test_a_replica_is_mended_from_its_primary_and_goes_on(regions: Regions, tmp_path: Path) -> None:
    """The record of it is the primary's to append, and comes to the replica as every event does."""
    primary, replica = regions.primary, regions.replica
    with Ledger.open(primary.dsn("writer")) as ledger:
        two_of_each(ledger)
    with signer(tmp_path) as place, sealing(primary, place) as sealer:
        sealer.seal()
    regions.replicate()
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
