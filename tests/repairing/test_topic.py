"""
Mend from a real topic: what was published is there, and so is what a stranger wrote beside it.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.evidence.policy import decode
from ledger.journal.chain_creation import create_chain
from ledger.repairing.plan import RESTORE
from ledger.repairing.sources import Topic
from ledger.sandbox.kafka import Broker
from ledger.storage import chains, events
from ledger.storage import database as db
from replicator import segment, transport
from replicator.publisher import Publisher
from replicator.segment import Segment
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import applied, planned
from tests.sealing.regions import CHECKPOINT, LOG_KEY, append, sealing, signer
from tests.verifier.intruder import Intruder, report_on

PUBLISHER = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
STRANGER = KeyPair("publisher", "region-a", bytes(31) + b"\x09")


def test_an_event_is_restored_from_the_topic(database: Database, kafka: Broker, tmp_path: Path) -> None:
    """A stranger's record, hashed well, claims the same place: the tree tells which of both was signed."""
    create_chain(database.dsn("owner"), ORIGIN, named([CHECKPOINT, PUBLISHER]), [("writer", "engine")])
    append(database, 20)
    with signer(tmp_path) as place, sealing(database, place) as sealer:
        sealer.seal()
    publisher = Publisher(database.dsn("publisher"), ORIGIN, kafka.bootstrap, PUBLISHER)
    deadline = time.monotonic() + 60
    with db.connect(database.dsn("reader"), "test") as connection:
        chain = chains.find(connection, None)
        head = chains.head(connection, chain.chain)
        true = events.read_seqs(connection, chain.chain, chain.chain_id, [7])[7]
    topic = Topic(kafka.bootstrap, chain.chain_id)
    while len(topic.events([7, head.seq])) < 2:
        publisher.step()
        assert time.monotonic() < deadline
    publisher.close()
    false = msgspec.structs.replace(true, actor="mallory")
    false = msgspec.structs.replace(false, hash=blake3(entries.encode(false)).digest())
    record = segment.encode(
        Segment(chain.chain_id, 1, 7, 7, false.prev_hash, false.hash, False, bytes(32), 0, STRANGER.key_id, (false,)),
        STRANGER,
    )
    transport.Sender(kafka.bootstrap, transport.segments_topic(chain.chain_id)).send([(b"7", record, [])])
    assert {event.actor for event in topic.events([7])[7]} == {"desk", "mallory"}
    with Intruder(database) as intruder:
        intruder.edit("events", "DELETE FROM ledger.events WHERE seq = 7")
    rules = decode(f"log {LOG_KEY.verifier.text()}\nquorum none\n".encode())
    plan = planned(database, rules, [topic])
    assert [(write.seq, write.source) for write in plan.writes if write.what == RESTORE] == [(7, "topic")]
    applied(database, rules, plan, [topic])
    assert report_on(database).findings == []
