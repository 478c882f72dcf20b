"""
Give the topic into the hands of someone hostile, on a real broker: nothing false is ever applied or counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.control import KeyRevoked
from ledger.domain.rules.control import REVOCATION_DOMAIN, revocation_statement
from ledger.errors import Corrupt, Divergence, InvalidInput
from ledger.journal.chain_creation import create_chain
from ledger.storage import acknowledgements as stored
from ledger.storage import database as db
from replicator import segment, transport
from replicator.publisher import Publisher
from tests.conftest import ORIGIN
from tests.journal.test_ledger import fee, fill
from tests.replicator.conftest import (
    PUBLISHER,
    RECOVERY,
    REPLICA,
    ROGUE,
    Regions,
    in_step,
    segments_of,
    until,
)
from tests.verifier.intruder import Intruder, report_on


@pytest.fixture
def ledger(regions: Regions) -> Iterator[Ledger]:
    with Ledger.open(regions.a.dsn("writer")) as opened:
        fill(opened)
        yield opened


def cut(regions: Regions, ledger: Ledger, after: int, key: KeyPair = PUBLISHER) -> list[bytes]:
    """Return the records that a publisher would write for each commit after a seq, one a commit."""
    with db.connect(regions.a.dsn("publisher"), "test") as connection:
        commits = stored.commits(connection, 1, after)
    events = {event.seq: event for event in ledger.events(after)}
    values = []
    for commit in commits:
        run = [events[seq] for seq in range(commit.first_seq, commit.last_seq + 1)]
        ends = {commit.last_seq: (commit.state_digest, commit.committed_at)}
        (made,) = segment.cut(run, ends, key.key_id, commit.first_seq)
        values.append(segment.encode(made, key))
    return values


def topic_of(regions: Regions) -> str:
    return transport.segments_topic(regions.chain_id)


def append(ledger: Ledger, count: int, name: str = "n") -> None:
    for n in range(count):
        ledger.append(fee(f"{name}{n}"), key=f"{name}{n}")


def test_bytes_altered_anywhere_in_a_record_are_rejected_and_the_true_record_applied(
    regions: Regions, ledger: Ledger
) -> None:
    """Every field of the header, the signature, and the body's start, middle and end; cut short and made longer."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    before = regions.head(regions.b)
    append(ledger, 1)
    (good,) = cut(regions, ledger, before.seq)
    fields = [0, 16, 32, 36, 44, 52, 84, 116, 117, 149, 157, 165]
    body = 197 + segment.SIGNATURE_BYTES
    places = [*fields, 197, 197 + 63, body, (body + len(good)) // 2, len(good) - 1]
    altered = [good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :] for place in places]
    altered += [good[:-1], good[:body], good[:100], good + b"\0", b"", good[:197] + bytes(64) + good[body:]]
    for value in altered:
        with pytest.raises(Corrupt):
            segment.decode(value, PUBLISHER.public_key)
        regions.rogue(topic_of(regions), value)
    until(lambda: applier.step(20), lambda: applier.status.rejected_records == len(altered))
    assert regions.head(regions.b) == before
    in_step(publisher, applier, ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()
    assert report_on(regions.b).findings == []


def test_a_signed_header_that_is_not_of_its_events_is_rejected(regions: Regions, ledger: Ledger) -> None:
    """Epoch, hashes and chain of the header are those of the events, or nothing of the segment counts."""
    (value, *_) = cut(regions, ledger, 1)
    good = segment.decode(value, PUBLISHER.public_key)
    for change in ({"epoch": 9}, {"prev_hash": bytes(32)}, {"head_hash": bytes(32)}, {"chain_id": bytes(16)}):
        with pytest.raises(Corrupt, match="not those that its header names"):
            segment.decode(segment.encode(msgspec.structs.replace(good, **change), PUBLISHER), PUBLISHER.public_key)


def test_records_in_any_order_and_more_than_once_are_applied_once(regions: Regions, ledger: Ledger) -> None:
    """Backwards, twice over: what comes too early is read again when its turn is there, also after a restart."""
    append(ledger, 4)
    values = cut(regions, ledger, 0)
    applier = regions.applier()
    for value in [*values[:2], *reversed(values[2:]), *values[2:4]]:
        regions.rogue(topic_of(regions), value)
    until(lambda: applier.step(20), lambda: applier.status.applied_seq >= ledger.head().seq - 3)
    applier.close()
    again = regions.applier()
    until(lambda: again.step(20), lambda: again.status.applied_seq == ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()
    assert applier.status.rejected_records == again.status.rejected_records == 0
    assert report_on(regions.b).findings == []


def test_a_dropped_record_stops_the_replica_until_it_is_published_again(regions: Regions, ledger: Ledger) -> None:
    """Nothing after the hole is applied; published again from there, all of it is, those passed over included."""
    append(ledger, 3)
    values = cut(regions, ledger, 0)
    applier = regions.applier()
    for value in [*values[:-3], *values[-2:]]:
        regions.rogue(topic_of(regions), value)
    until(lambda: applier.step(20), lambda: applier._gap_since is not None)
    hole = ledger.head().seq - 3
    assert regions.head(regions.b).seq == hole
    assert applier._gap_since is not None
    applier._gap_since -= 60
    with pytest.raises(Corrupt, match=f"--again-after {hole}"):
        applier.step(20)
    applier.close()
    publisher = Publisher(regions.a.dsn("publisher"), ORIGIN, regions.kafka.bootstrap, PUBLISHER, again_after=hole)
    regions.running.append(publisher)
    in_step(publisher, regions.applier(), ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()
    assert report_on(regions.b).findings == []


def admin(regions: Regions) -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=regions.kafka.bootstrap)


def test_a_start_that_retention_deleted_is_a_hole_and_not_a_skip(regions: Regions, ledger: Ledger) -> None:
    """A replica whose offset is gone goes to the first record there is, misses events by seq, and applies none."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    applier.close()
    before = regions.head(regions.b)
    append(ledger, 1, "gone")
    publisher.step()
    lost = ledger.head().seq
    append(ledger, 1, "kept")
    receiver = transport.Receiver(regions.kafka.bootstrap, topic_of(regions))
    end = receiver.end()
    receiver.close()
    publisher.step()
    client = admin(regions)
    client.delete_records({TopicPartition(topic_of(regions), 0): end})
    client.close()
    again = regions.applier()
    until(lambda: again.step(20), lambda: again._gap_since is not None)
    assert again.status.relocations >= 1
    assert regions.head(regions.b) == before
    publisher.close()
    healing = Publisher(regions.a.dsn("publisher"), ORIGIN, regions.kafka.bootstrap, PUBLISHER, again_after=lost - 1)
    regions.running.append(healing)
    in_step(healing, again, ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()


@pytest.mark.parametrize("offset", [0, 2, 10**6])
def test_a_false_offset_in_the_replica_skips_nothing(regions: Regions, ledger: Ledger, offset: int) -> None:
    """Too far back, too far on or beyond the end: the place is found by seq."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    applier.close()
    for n in range(4):
        append(ledger, 1, f"m{n}")
        publisher.step()
    regions.b.sql(
        f"UPDATE ledger.replica_state SET next_offset = CASE {offset} WHEN 2 THEN next_offset + 4 ELSE {offset} END"
    )
    in_step(publisher, regions.applier(), ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()


def test_a_topic_made_anew_is_read_from_its_start(regions: Regions, ledger: Ledger) -> None:
    """The offset that was kept is of another topic; the publisher fills the new one, and nothing is skipped."""
    append(ledger, 3)
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    publisher.close()
    applier.close()
    client = admin(regions)
    before = transport.topic_id(regions.kafka.bootstrap, topic_of(regions))
    client.delete_topics([topic_of(regions)])
    until(lambda: None, lambda: topic_of(regions) not in client.list_topics())
    client.close()
    append(ledger, 3, "after")
    fresh = regions.publisher()
    until(fresh.step, lambda: fresh.status.published_seq == ledger.head().seq)
    in_step(fresh, regions.applier(), ledger.head().seq)
    assert transport.topic_id(regions.kafka.bootstrap, topic_of(regions)) != before
    assert regions.head(regions.b) == ledger.head()
    assert report_on(regions.b).findings == []


def relinked(event: RecordedEvent, head: ChainHead, **changes: object) -> RecordedEvent:
    changed = msgspec.structs.replace(event, **changes)
    return msgspec.structs.replace(changed, hash=head.extend(changed).hash)


def test_an_ended_epoch_stops_the_replica(regions: Regions, ledger: Ledger) -> None:
    """A next event of an earlier reign, hashed, linked and signed by the publisher's own key, is never applied."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    before = regions.head(regions.b)
    append(ledger, 1)
    (event,) = ledger.events(before.seq)
    zombie = relinked(event, before, epoch=0)
    (made,) = segment.cut([zombie], {zombie.seq: (b"d" * 32, 1)}, PUBLISHER.key_id, zombie.seq)
    regions.rogue(topic_of(regions), segment.encode(made, PUBLISHER))
    with pytest.raises(Divergence, match="epoch 0, which has ended"):
        until(lambda: applier.step(20), lambda: False)
    assert regions.head(regions.b) == before


def test_a_fork_by_the_publisher_s_own_key_stops_the_replica(regions: Regions, ledger: Ledger) -> None:
    """Another event at a seq that is here, and a next one on another head, are forks, whoever signed them."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    before = regions.head(regions.b)
    last = next(iter(ledger.events(before.seq - 1)))
    fork = relinked(last, ChainHead(last.seq - 1, last.prev_hash), actor="mallory")
    (made,) = segment.cut([fork], {fork.seq: (b"d" * 32, 1)}, PUBLISHER.key_id, fork.seq)
    regions.rogue(topic_of(regions), segment.encode(made, PUBLISHER))
    with pytest.raises(Divergence, match="a fork; keep both"):
        until(lambda: applier.step(20), lambda: False)
    assert regions.head(regions.b) == before


def test_a_revoked_key_and_another_chain_s_segment_are_rejected(regions: Regions, ledger: Ledger) -> None:
    """After its revocation the publisher's own key signs for nothing; another chain's segment is none here."""
    create_chain(regions.a.dsn("owner"), "example.com/other", named([PUBLISHER]), [])
    with Ledger.open(regions.a.dsn("writer"), origin="example.com/other") as other:
        append(other, 0)
        (foreign,) = segment.cut(list(other.events()), {1: (b"d" * 32, 1)}, PUBLISHER.key_id, 1)
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    regions.rogue(topic_of(regions), segment.encode(foreign, PUBLISHER))
    until(lambda: applier.step(20), lambda: applier.status.rejected_records == 1)
    assert "another chain" in applier.status.reasons[-1]
    last = ledger.head().seq
    statement = revocation_statement(PUBLISHER.key_id, last, "stolen")
    signature = RECOVERY.sign(REVOCATION_DOMAIN, statement).hex()
    ledger.append(
        KeyRevoked(key_id=PUBLISHER.key_id, last_valid_seq=last, reason="stolen", signature=signature), key="r"
    )
    in_step(publisher, applier, ledger.head().seq)
    before = regions.head(regions.b)
    append(ledger, 1)
    for value in cut(regions, ledger, before.seq):
        regions.rogue(topic_of(regions), value)
    until(lambda: applier.step(20), lambda: applier.status.rejected_records == 2)
    assert regions.head(regions.b) == before
    publisher.close()
    with pytest.raises(InvalidInput, match="none that this chain names"):
        regions.publisher()


def acknowledgements_of(regions: Regions) -> list[bytes]:
    receiver = transport.Receiver(regions.kafka.bootstrap, transport.acknowledgements_topic(regions.chain_id))
    found = list(receiver.newest_first())[::-1]
    receiver.close()
    return found


def test_an_acknowledgement_of_the_past_or_of_another_counts_for_nothing(regions: Regions, ledger: Ledger) -> None:
    """Replayed, of another chain, by a publisher's key or a stranger's: what is known stays, arrival time included."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    append(ledger, 1)
    in_step(publisher, applier, ledger.head().seq)
    known = regions.a.sql("SELECT * FROM ledger.acknowledgements")
    counted = publisher.status.acknowledgements
    past = acknowledgements_of(regions)
    head = ledger.head()
    said = acknowledgement.Acknowledgement(regions.chain_id, 1, head.seq, head.hash, b"d" * 32, 1, REPLICA.key_id)
    false = [
        acknowledgement.encode(msgspec.structs.replace(said, chain_id=bytes(16)), REPLICA),
        acknowledgement.encode(said, KeyPair("replica", "stranger", bytes(31) + b"\x77")),
        acknowledgement.encode(said, KeyPair("replica", "as-publisher", PUBLISHER.seed)),
        acknowledgement.encode(said, ROGUE), past[-1][:-1], b"", past[-1][:40] + b"\xff" + past[-1][41:],
    ]  # fmt: skip
    topic = transport.acknowledgements_topic(regions.chain_id)
    for value in [*past, *false, *past]:
        regions.rogue(topic, value)
    until(publisher.step, lambda: publisher.status.repeated_acknowledgements == 2 * len(past))
    assert publisher.status.rejected_records == len(false)
    assert (publisher.status.acknowledgements, publisher.status.acknowledged_seq) == (counted, head.seq)
    assert regions.a.sql("SELECT * FROM ledger.acknowledgements") == known
    publisher.close()
    assert regions.publisher().status.acknowledged_seq == head.seq


@pytest.mark.parametrize(("change", "words"), [
    ({"hash": bytes(32)}, "halt, verify both"), ({"state_digest": bytes(32)}, "books differ"),
    ({"seq": 10**6}, "which this database has not"),
])  # fmt: skip
def test_a_replica_s_own_word_that_contradicts_this_region_stops_the_publisher(
    regions: Regions, ledger: Ledger, change: dict[str, object], words: str
) -> None:
    """A wrong head, a wrong digest, an event that is not here: nothing is counted."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    known = regions.a.sql("SELECT * FROM ledger.acknowledgements")
    append(ledger, 1)
    publisher.step()
    head = ledger.head()
    with db.connect(regions.a.dsn("publisher"), "test") as connection:
        digest = stored.commits(connection, 1, head.seq - 1)[0].state_digest
    said = acknowledgement.Acknowledgement(regions.chain_id, 1, head.seq, head.hash, digest, 1, REPLICA.key_id)
    lie = acknowledgement.encode(msgspec.structs.replace(said, **change), REPLICA)
    regions.rogue(transport.acknowledgements_topic(regions.chain_id), lie)
    with pytest.raises(Divergence, match=words):
        until(publisher.step, lambda: False)
    assert publisher.status.acknowledged_seq < head.seq
    assert regions.a.sql("SELECT * FROM ledger.acknowledgements") == known


def test_an_acknowledgement_edited_in_its_row_or_without_its_boundary_stops_the_publisher(
    regions: Regions, ledger: Ledger
) -> None:
    """A seq raised by an intruder would shut out the replica's true word; a deleted boundary would hide its digest."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    append(ledger, 1)
    publisher.step()
    with Intruder(regions.a) as intruder:
        intruder.edit("commits", f"DELETE FROM ledger.commits WHERE last_seq = {ledger.head().seq}")
        with pytest.raises(Divergence, match="no commit ends here"):
            in_step(publisher, applier, ledger.head().seq)
        publisher.close()
        intruder.edit("acknowledgements", "UPDATE ledger.acknowledgements SET seq = seq + 1")
    with pytest.raises(Divergence, match="not one that it signed"):
        regions.publisher()


def test_an_offset_that_a_topic_has_not_is_an_error(regions: Regions, ledger: Ledger) -> None:
    """Neither the first nor the last record is taken in its place."""
    publisher = regions.publisher()
    until(publisher.step, lambda: publisher.status.published_seq == ledger.head().seq)
    assert segments_of(regions)
    for offset in (10**6, 10**9):
        receiver = transport.Receiver(regions.kafka.bootstrap, topic_of(regions), offset)
        with pytest.raises(transport.OffsetLost, match="no such offset"):
            until(lambda receiver=receiver: receiver.poll(100), lambda: False)  # type: ignore[misc]
        receiver.close()
