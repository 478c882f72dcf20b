"""
Give the replication tests two regions on real servers, and ways to drive them a step at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from ledger.chain.link import ChainHead
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AssetDefined
from ledger.journal.chain_creation import create_chain
from ledger.queries import Books
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from replicator import transport
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.conftest import ORIGIN, Database, copy_database

PUBLISHER = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x02")
ROGUE = KeyPair("publisher", "rogue", bytes(31) + b"\x03")
RECOVERY = KeyPair("recovery", "safe", bytes(31) + b"\x04")


class Regions(msgspec.Struct):
    """Two regions' databases, the broker between them, and the chain's id."""

    a: Database
    b: Database
    kafka: Broker
    chain_id: bytes
    running: list[Publisher | Applier] = []

    def publisher(self) -> Publisher:
        made = Publisher(self.a.dsn("publisher"), ORIGIN, self.kafka.bootstrap, PUBLISHER)
        self.running.append(made)
        return made

    def applier(self) -> Applier:
        made = Applier(
            self.b.dsn("applier"), ORIGIN, self.chain_id, self.kafka.bootstrap, PUBLISHER.public_key, REPLICA
        )
        self.running.append(made)
        return made

    def head(self, region: Database) -> ChainHead:
        with Books(region.dsn("reader"), ORIGIN) as books:
            return books.head()

    def rogue(self, topic: str, value: bytes) -> None:
        sender = transport.Sender(self.kafka.bootstrap, topic)
        sender.send([(self.chain_id, value, [])])
        sender.close()


@pytest.fixture
def regions(pg_server: Server, migrated: str, database: Database, kafka: Broker) -> Iterator[Regions]:
    row, _ = create_chain(database.dsn("owner"), ORIGIN, named([PUBLISHER, REPLICA, RECOVERY]), [("writer", "engine")])
    name = f"{database.name}_b"
    copy_database(pg_server, name, migrated)
    made = Regions(database, Database(pg_server, name), kafka, row.chain_id)
    yield made
    for side in made.running:
        side.close()
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def reference() -> list[Event]:
    """Return enough events for one large transaction."""
    return [AssetDefined(asset=f"X{n}", kind="crypto", scale=8, name="x" * 200) for n in range(60)]


def until(steps: Callable[[], object], reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        steps()


def in_step(publisher: Publisher, applier: Applier, seq: int) -> None:
    def steps() -> None:
        publisher.step()
        applier.step(20)

    until(steps, lambda: publisher.status.acknowledged_seq >= seq)


def segments_of(regions: Regions) -> list[bytes]:
    receiver = transport.Receiver(regions.kafka.bootstrap, transport.segments_topic(regions.chain_id))
    found = list(receiver.newest_first())[::-1]
    receiver.close()
    return found
