"""
Give the tests of checks in parts a chain of a few tiles, sealed and witnessed, and copies of it to be broken.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.sandbox.postgres import Server
from tests.conftest import Database, copy_database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import append, make_chain, members, sealing, signer, witness
from tests.tiled.sealed import Sealed
from tests.verifier.intruder import copied

SIZES = (3, 700, 1300)
"""Of the three checkpoints; five events come after the last."""


@pytest.fixture(scope="package")
def made(pg_server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """A chain of 1,305 events in six tiles; who signed and cosigned it keeps on answering."""
    folder = tmp_path_factory.mktemp("keys")
    database = Database(pg_server, "sealed_in_parts")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with signer(folder) as place, witness(folder, WITNESSES[0]) as url:
        witnesses = members("w", [WITNESSES[0]], [url], 1)
        with sealing(database, place, witnesses=witnesses) as sealer:
            before = 1
            for size in SIZES:
                append(database, size - before)
                assert sealer.seal() is not None
                before = size
        append(database, 5)
        yield Sealed(database, place.address, url)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def copy(made: Sealed) -> Iterator[Sealed]:
    """A copy to be broken."""
    with copied(made.database) as database:
        yield Sealed(database, made.signer, made.witness)
