"""
Give the topic into the hands of somebody hostile; each way has two small regions and a topic of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.link import ChainHead
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.errors import LedgerError
from ledger.journal.chain_creation import create_chain
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from replicator import segment, transport
from tests.conftest import ORIGIN
from tests.journal.test_ledger import fee, fill
from tests.replicator.conftest import PUBLISHER, REPLICA, ROGUE, Regions, in_step, until
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Unexpected, way

_HOW: Final = "who can write to the topic: a record beside the publisher's"


def _regions(scene: Scene) -> Regions:
    a, b = scene.empty(0), scene.empty(1)
    row, _ = create_chain(a.dsn("owner"), ORIGIN, named([PUBLISHER, REPLICA]), [("writer", "engine")])
    made = Regions(a, b, scene.firm.kafka, row.chain_id, [])

    def ended() -> None:
        for side in made.running:
            side.close()

    scene.stack.callback(ended)
    with Ledger.open(a.dsn("writer")) as ledger:
        fill(ledger)
        head = ledger.head().seq
    in_step(made.publisher(), made.applier(), head)
    made.running[0].close()
    return made


def _next(regions: Regions, count: int = 1, key: KeyPair = PUBLISHER, **changes: Any) -> list[bytes]:
    """Append events that region B has not, and return the records that would carry them, changed as said."""
    before = regions.head(regions.b)
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        for n in range(count):
            ledger.append(fee(f"n{n}"), key=f"n{n}")
        events = list(ledger.events(before.seq))
    with db.connect(regions.a.dsn("publisher"), "tamper") as connection:
        ends = {commit.last_seq: (commit.state_digest, commit.committed_at)
                for commit in stored.commits(connection, 1, before.seq)}  # fmt: skip
    values, head = [], before
    for event in events:
        if changes:
            event = msgspec.structs.replace(event, prev_hash=head.hash, **changes)
            event = msgspec.structs.replace(event, hash=head.extend(event).hash)
        head = ChainHead(event.seq, event.hash)
        (made,) = segment.cut([event], ends, key.key_id, event.seq)
        values.append(segment.encode(made, key))
    return values


def _not_applied(regions: Regions, values: list[bytes]) -> Caught:
    """Put records into the topic, and return why the replica does not apply them; it stays where it is."""
    applier, before = regions.running[1], regions.head(regions.b)
    for value in values:
        regions.rogue(transport.segments_topic(regions.chain_id), value)
    try:
        until(lambda: applier.step(20), lambda: applier.status.rejected_records > 0)
        said = applier.status.reasons[-1]  # type: ignore[union-attr]
        caught = Caught(kind="rejected_record", said=said)
    except LedgerError as error:
        caught = Caught(kind=error.code, said=str(error))
    if regions.head(regions.b) != before:
        raise Unexpected("the replica applied it")
    return caught


@way("a byte of a record is changed", "topic", (11,), "applier", _HOW)
def a_record_altered(scene: Scene) -> Caught:
    regions = _regions(scene)
    (good,) = _next(regions)
    return _not_applied(regions, [good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]])


@way("a next event, well hashed and linked, is signed with a key of somebody's own", "topic", (11,), "applier", _HOW)
def a_rogue_publisher(scene: Scene) -> Caught:
    regions = _regions(scene)
    return _not_applied(regions, _next(regions, key=ROGUE))


@way("an event that nobody recorded is signed with the stolen key of the publisher", "topic", (8, 11), "applier",
     "who has the publisher's key: another actor, well hashed and linked")  # fmt: skip
def a_fork_by_the_publisher(scene: Scene) -> Caught:
    regions = _regions(scene)
    first = regions.head(regions.b)
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        (last,) = ledger.events(first.seq - 1)
    event = msgspec.structs.replace(last, actor="nobody")
    event = msgspec.structs.replace(event, hash=ChainHead(last.seq - 1, last.prev_hash).extend(event).hash)
    (made,) = segment.cut([event], {event.seq: (b"d" * 32, 1)}, PUBLISHER.key_id, event.seq)
    return _not_applied(regions, [segment.encode(made, PUBLISHER)])


@way("a next event of a reign that has ended", "topic", (11, 14), "applier", "an old primary that goes on publishing")
def an_ended_epoch(scene: Scene) -> Caught:
    regions = _regions(scene)
    return _not_applied(regions, _next(regions, epoch=0))


@way("a record is dropped", "topic", (11, 18), "applier", "who runs the topic: the record never arrives")
def a_record_dropped(scene: Scene) -> Caught:
    regions = _regions(scene)
    applier: Any = regions.running[1]
    before = regions.head(regions.b)
    for value in _next(regions, 3)[1:]:
        regions.rogue(transport.segments_topic(regions.chain_id), value)
    until(lambda: applier.step(20), lambda: applier._gap_since is not None)
    # A hole is waited for; nobody here has so much patience.
    applier._gap_since -= 60
    try:
        applier.step(20)
    except LedgerError as error:
        if regions.head(regions.b) != before:
            raise Unexpected("the replica applied what came behind the hole") from error
        return Caught(kind=error.code, said=str(error), seq=before.seq + 1)
    raise Unexpected("the hole was not noticed")


@way("a segment of another chain is put into the topic", "topic", (11, 15), "applier", _HOW)
def a_segment_of_another_chain(scene: Scene) -> Caught:
    regions = _regions(scene)
    create_chain(regions.a.dsn("owner"), "example.com/other", named([PUBLISHER]), [])
    with Ledger.open(regions.a.dsn("writer"), origin="example.com/other") as other:
        (made,) = segment.cut(list(other.events()), {1: (b"d" * 32, 1)}, PUBLISHER.key_id, 1)
    return _not_applied(regions, [segment.encode(made, PUBLISHER)])


def _not_counted(regions: Regions, key: KeyPair, **changes: Any) -> Caught:
    """Say in a replica's name what it did not say, and return why the publisher does not count it."""
    publisher: Any = regions.publisher()
    head = regions.head(regions.a)
    with db.connect(regions.a.dsn("publisher"), "tamper") as connection:
        digest = stored.commits(connection, 1, head.seq - 1)[0].state_digest
    said = Acknowledgement(regions.chain_id, 1, head.seq, head.hash, digest, 1, key.key_id)
    lie = acknowledgement.encode(msgspec.structs.replace(said, **changes), key)
    known = publisher.status.acknowledgements
    regions.rogue(transport.acknowledgements_topic(regions.chain_id), lie)
    steps: Callable[[], object] = publisher.step
    try:
        until(steps, lambda: publisher.status.rejected_records > 0)
    except LedgerError as error:
        return Caught(kind=error.code, said=str(error))
    assert publisher.status.acknowledgements == known
    return Caught(kind="rejected_record", said="an acknowledgement by a key that is no replica's of this chain")


@way("an acknowledgement is forged with a key of somebody's own", "topic", (11,), "publisher", _HOW)
def a_forged_acknowledgement(scene: Scene) -> Caught:
    regions = _regions(scene)
    with contextlib.suppress(IndexError):
        regions.running.pop().close()
    return _not_counted(regions, KeyPair("replica", "stranger", bytes(31) + b"\x77"))


@way("a replica's own key acknowledges another history", "topic", (10, 11), "publisher",
     "who has the replica's key: another hash")  # fmt: skip
def a_lying_replica(scene: Scene) -> Caught:
    regions = _regions(scene)
    _next(regions)
    publisher: Any = regions.publisher()
    until(publisher.step, lambda: publisher.status.published_seq == regions.head(regions.a).seq)
    publisher.close()
    return _not_counted(regions, REPLICA, hash=bytes(32))
