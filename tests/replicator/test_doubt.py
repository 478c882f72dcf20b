"""
Lose events, records, words and processes, on real servers: what was lost is noticed, counted and made good.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient

from ledger import Ledger
from ledger.domain.events.executions import FactQuarantined
from ledger.errors import Divergence, SequenceGap
from replicator import segment, transport
from replicator.publisher import Publisher
from tests.conftest import ORIGIN
from tests.journal.test_ledger import fill
from tests.replicator.conftest import PUBLISHER, Regions, in_step, segments_of, until
from tests.verifier.intruder import Intruder, report_on


@pytest.fixture
def ledger(regions: Regions) -> Iterator[Ledger]:
    with Ledger.open(regions.a.dsn("writer")) as opened:
        fill(opened)
        yield opened


def publish_all(regions: Regions, ledger: Ledger) -> Publisher:
    publisher = regions.publisher()
    until(publisher.step, lambda: publisher.status.published_seq == ledger.head().seq)
    return publisher


def topic_of(regions: Regions) -> str:
    return transport.segments_topic(regions.chain_id)


def test_junk_at_the_tail_hides_nothing_that_was_published(regions: Regions, ledger: Ledger) -> None:
    """However many records of others follow its own, a publisher goes on where it was, or sees that events are lost."""
    publish_all(regions, ledger).close()
    sender = transport.Sender(regions.kafka.bootstrap, topic_of(regions))
    sender.send([(regions.chain_id, b"junk", [])] * 200)
    sender.close()
    again = regions.publisher()
    assert (again._seq, again.status.rejected_records) == (ledger.head().seq, 200)
    again.close()
    last = ledger.head().seq
    with Intruder(regions.a) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {last}")
    with pytest.raises(Divergence, match=f"event {last}, which this database has not"):
        regions.publisher()


@pytest.mark.parametrize("lost", [1, 4, 7])
def test_an_event_missing_from_the_table_ends_the_publisher(regions: Regions, ledger: Ledger, lost: int) -> None:
    """The first, one in the middle or the last to be sent: a hole is never signed over."""
    publisher = regions.publisher()
    assert ledger.head().seq == 7
    with Intruder(regions.a) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {lost}")
    with pytest.raises(SequenceGap, match=f"{lost}"):
        until(publisher.step, lambda: False)


def test_what_nobody_acknowledged_keeps_its_age_over_a_restart(regions: Regions, ledger: Ledger) -> None:
    """Published is not acknowledged: the oldest such commit is counted from its own time by each publisher anew."""
    publish_all(regions, ledger).close()
    time.sleep(1.5)
    again = regions.publisher()
    again.step()
    assert again.status.rpo_seconds >= 1.5
    in_step(again, regions.applier(), ledger.head().seq)
    again.step()
    assert (again.status.rpo_seconds, again.status.max_rpo_seconds >= 1.5) == (0, True)


@pytest.mark.parametrize("restart", [True, False])
def test_a_word_that_was_lost_is_said_again(
    regions: Regions, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    """Ended between its commit and its word, a replica says it at the start; running, when asked by a repetition."""
    publisher, applier = publish_all(regions, ledger), regions.applier()
    head = ledger.head().seq
    with monkeypatch.context() as lost:
        lost.setattr(applier._sender, "send", lambda records: None)
        until(lambda: applier.step(20), lambda: applier.status.applied_seq == head)
        applier.step(20)
    publisher.step()
    assert publisher.status.acknowledged_seq == 0
    if restart:
        applier.close()
        applier = regions.applier()
    else:
        regions.rogue(topic_of(regions), segments_of(regions)[-1])
    in_step(publisher, applier, head)
    count = publisher.status.acknowledgements
    for _ in range(20):
        applier.step(100)
        publisher.step()
    assert publisher.status.acknowledgements == count == 1


def large_commit(ledger: Ledger) -> None:
    """Append one commit of several MiB after a small one."""

    def raw(n: int) -> FactQuarantined:
        return FactQuarantined(original_type="X", original="x" * 60_000 + str(n), rule="unreadable", detail="d")

    reached, gate = threading.Event(), threading.Event()

    def hold(moment: str, count: int) -> None:
        if moment == "before commit":
            reached.set()
            gate.wait(20)

    ledger._writer.fault = hold
    futures = [ledger.submit(raw(0), key="g0")]
    assert reached.wait(10)
    futures += [ledger.submit(raw(n), key=f"g{n}") for n in range(1, 70)]
    ledger._writer.fault = lambda moment, count: None
    gate.set()
    for future in futures:
        future.result(30)


def test_a_part_of_a_large_commit_that_was_lost_is_published_again(regions: Regions, ledger: Ledger) -> None:
    """Cut in other places than at first it heals the replica too, which holds overlapping parts against each other."""
    large_commit(ledger)
    publish_all(regions, ledger).close()
    values = segments_of(regions)
    parts = [segment.decode(value, PUBLISHER.public_key) for value in values]
    middle = [n for n, part in enumerate(parts) if not part.ends_commit][1]
    client = KafkaAdminClient(bootstrap_servers=regions.kafka.bootstrap)
    client.delete_topics([topic_of(regions)])
    until(lambda: time.sleep(0.1), lambda: topic_of(regions) not in client.list_topics())
    client.close()
    transport.make_topics(regions.kafka.bootstrap, regions.chain_id)
    for n, value in enumerate(values):
        if n != middle:
            regions.rogue(topic_of(regions), value)
    applier = regions.applier()
    until(lambda: applier.step(50), lambda: applier._gap_since is not None)
    hole = parts[middle].first_seq - 1
    # Cut elsewhere than at first, as an earlier release might have: held and new parts overlap.
    events = list(ledger.events(hole - 3))
    ends = {part.last_seq: (part.state_digest, part.committed_at) for part in parts if part.ends_commit}
    for made in segment.cut(events, ends, PUBLISHER.key_id, hole - 2):
        assert made.first_seq != parts[middle].first_seq
        regions.rogue(topic_of(regions), segment.encode(made, PUBLISHER))
    until(lambda: applier.step(50), lambda: applier.status.applied_seq == ledger.head().seq)
    assert report_on(regions.b).findings == []


def test_the_remedy_for_a_hole_in_a_large_commit_heals_a_replica_that_stopped(regions: Regions, ledger: Ledger) -> None:
    """Parts are cut from the commit's own start, so that those sent again are the ones that were lost."""
    large_commit(ledger)
    publish_all(regions, ledger).close()
    values = segments_of(regions)
    parts = [segment.decode(value, PUBLISHER.public_key) for value in values]
    middle = [n for n, part in enumerate(parts) if not part.ends_commit][1]
    hole = parts[middle].first_seq - 1
    again = Publisher(regions.a.dsn("publisher"), ORIGIN, regions.kafka.bootstrap, PUBLISHER, again_after=hole)
    regions.running.append(again)
    until(again.step, lambda: again.status.published_seq == ledger.head().seq)
    sent = [segment.decode(value, PUBLISHER.public_key) for value in segments_of(regions)[len(values) :]]
    assert parts[middle] in sent
    in_step(again, regions.applier(), ledger.head().seq)
