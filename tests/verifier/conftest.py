"""
Give the tests of tampering two real regions, and copies of them to be broken.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from tests.conftest import Database
from tests.verifier.intruder import copied
from tests.verifier.two_regions import two_regions


@pytest.fixture(scope="package")
def regions(pg_server: Server, migrated: str, kafka: Broker) -> Iterator[dict[str, Database]]:
    with pytest.MonkeyPatch.context() as mended:
        found = two_regions(pg_server, migrated, kafka, mended)
    yield found
    for database in found.values():
        pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module", params=["primary", "replica"])
def region(request: pytest.FixtureRequest, regions: dict[str, Database]) -> Iterator[Database]:
    """A copy to be broken; whoever breaks it mends it."""
    with copied(regions[request.param]) as made:
        yield made
