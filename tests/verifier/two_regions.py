"""
Make two regions, one that wrote and one that applied from a topic, with two rows in every table.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.cash import HoldPlaced, JournalPosted, Leg, Posting
from ledger.domain.events.control import (
    Difference,
    DivergentEventDisposed,
    DivergentTailRecorded,
    MarkRecorded,
    PeriodClosed,
    ReconciliationRecorded,
    SchemaRegistered,
)
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.operations import IncidentOpened
from ledger.domain.events.orders import OrderAccepted, OrderPlaced
from ledger.domain.events.reference import AccountLimitsSet, AccountOpened, CalendarPublished, InstrumentDefined
from ledger.domain.schemas import schema_hash
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from ledger.storage import events
from replicator import publisher as publishing
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.conftest import ORIGIN, Database, copy_database
from tests.verifier.history import history

PUBLISHER = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x02")
OTHER_REPLICA = KeyPair("replica", "region-c", bytes(31) + b"\x03")


def two_of_each(ledger: Ledger) -> None:
    """Append a history with two rows in every read model, so that one can be deleted and two can be swapped."""
    history(ledger)
    made: list[Any] = [
        CalendarPublished(calendar="dal", calendar_version=2, holidays=("2024-12-26",)),
        AccountLimitsSet(account="A", asset="USDT", floor="0", max_position="2000"),
        OrderAccepted(order_id="nobody", venue="V"),
        InstrumentDefined(instrument="BTC-2", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.1",
                          lot="0.01", multiplier="1", settlement_cycle=0, venue="W"),
        AccountOpened(account="B", owner="firm-2", kind="margin", base_asset="BTC"),
        TradeExecuted(exec_id="E8", venue="W", account="B", instrument="BTC-2", side="sell", qty="0.5", price="99",
                      trade_date="2024-08-09"),
        HoldPlaced(hold_id="I", legs=(Leg(account="A", asset="BTC", amount="0.25"),), ref="r"),
        JournalPosted(journal_id="K", memo="m", postings=tuple(
            Posting(account=a, asset="BTC", bucket="settled", amount=v) for a, v in (("A", "-2"), ("~suspense", "2")))),
        ReconciliationRecorded(origin="bank", statement_hash="00", as_of=2, matched=0,
                               breaks=(Difference(key="j", ledger="3", external="4"),)),
        OrderPlaced(order_id="P1", cl_ord_id="cP1", account="A", instrument="BTCUSDT", side="sell", qty="0.5",
                    ord_type="limit", price="120"),
        MarkRecorded(instrument="BTCUSDT", price="101", kind="settlement", day="2024-08-07", as_of=3),
        PeriodClosed(through="2024-08-02"),
        SchemaRegistered(
            event_type="OrderPlaced", version=1, schema_hash=schema_hash(OrderPlaced), encoder_version="2"
        ),
        DivergentTailRecorded(epoch=3, from_seq=5, to_seq=9, head_hash="cc", bundle_hash="dd", count=5),
        DivergentEventDisposed(epoch=3, seq=6, disposition="duplicate", new_seq=2, reason="r", decided_by="w"),
        IncidentOpened(incident_id="J", severity="major", cause="d", summary="s", at=2),
    ]  # fmt: skip
    for n, event in enumerate(made):
        ledger.append(event, key=f"two-{n}", actor="desk")


def two_regions(pg_server: Server, migrated: str, kafka: Broker, mended: pytest.MonkeyPatch) -> dict[str, Database]:
    """Return a primary and the replica that applied its chain, with a word of two replicas."""
    found = {name: Database(pg_server, f"tamper_{name}") for name in ("primary", "replica")}
    for database in found.values():
        copy_database(pg_server, database.name, migrated)
    primary, replica = found.values()
    keys = named([PUBLISHER, REPLICA, OTHER_REPLICA])
    chain, _ = create_chain(primary.dsn("owner"), ORIGIN, keys, [("writer", "engine")])
    with Ledger.open(primary.dsn("writer")) as ledger:
        two_of_each(ledger)
        goal = ledger.head().seq
    # Few commits a segment, so that the replica has boundaries of its own as well.
    mended.setattr(publishing, "COMMITS_AT_ONCE", 3)
    publisher = Publisher(primary.dsn("publisher"), ORIGIN, kafka.bootstrap, PUBLISHER)
    applier = Applier(replica.dsn("applier"), ORIGIN, chain.chain_id, kafka.bootstrap, PUBLISHER.public_key, REPLICA)
    deadline = time.monotonic() + 60
    while publisher.status.acknowledged_seq < goal:
        publisher.step()
        applier.step(20)
        assert time.monotonic() < deadline, "the replica did not catch up"
    publisher.close()
    applier.close()
    with db.connect(primary.dsn("publisher"), "test") as connection:
        last = stored.commits(connection, chain.chain)[-2]
        head = events.read_seqs(connection, chain.chain, chain.chain_id, [last.last_seq])[last.last_seq]
        said = Acknowledgement(chain.chain_id, 1, head.seq, head.hash, last.state_digest, 7, OTHER_REPLICA.key_id)
        row = (said.key_id, 1, head.seq, head.hash, last.state_digest, 7, time.time_ns())
        signature = acknowledgement.encode(said, OTHER_REPLICA)[-64:]
        stored.upsert(connection, chain.chain, stored.Acknowledgement(*row, signature))
    return found
