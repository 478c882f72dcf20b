"""
Give the tests of repairs a sealed and archived chain with rows in every table, and copies of it to be broken.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.reading import snapshots
from ledger.reading.follower import Follower
from ledger.sandbox.postgres import Server
from tests.conftest import Database, copy_database
from tests.repairing.mending import Firm, archived
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import LOG_KEY, append, make_chain, members, sealing, signer, witness
from tests.verifier.intruder import Intruder, copied
from tests.verifier.two_regions import two_of_each

AFTER = 3
"""So many events come after the last checkpoint: nothing that was signed covers them."""


@pytest.fixture(scope="package")
def firm(pg_server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    folder = tmp_path_factory.mktemp("repairing")
    database = Database(pg_server, "to_be_repaired")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with Ledger.open(database.dsn("writer")) as ledger:
        two_of_each(ledger)
    with signer(folder) as place, witness(folder, WITNESSES[0]) as url:
        witnesses = members("w", [WITNESSES[0]], [url], 1)
        with sealing(database, place, witnesses=witnesses) as sealer:
            outcomes = [sealer.seal()]
            append(database, 270)
            outcomes.append(sealer.seal())
        text = f"log {LOG_KEY.verifier.text()}\nwitness w {WITNESSES[0].verifier.text()}\nquorum w\n"
        size = append(database, AFTER) - AFTER
    with Follower(database.dsn("writer")) as follower:
        while follower.step():
            pass
    snapshots.make(database.dsn("writer"), None, None)
    archived(database, folder / "archive", text)
    sizes = tuple(x.sealed.size for x in outcomes if x is not None)
    with copied(database) as other:
        follow(other)
        yield Firm(database, folder / "archive", text, size, sizes, other)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def broken(firm: Firm) -> Iterator[Database]:
    """A copy to be broken."""
    with copied(firm.database) as made:
        yield made


def follow(database: Database) -> None:
    """Let a copy be another region's."""
    with Intruder(database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")


@pytest.fixture(scope="module")
def replica(firm: Firm) -> Iterator[Database]:
    """Another region's database, which is whole."""
    with copied(firm.database) as made:
        follow(made)
        yield made
