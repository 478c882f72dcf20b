"""
Change and revoke the publisher's key under a running replica, on real servers: it goes on, or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ledger import Ledger
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.control import KeyRevoked, KeyRotated
from ledger.domain.rules import control
from ledger.errors import Corrupt, SignatureInvalid
from replicator import segment, transport
from replicator.publisher import Publisher
from tests.conftest import ORIGIN
from tests.journal.test_ledger import fee, fill
from tests.replicator.conftest import PUBLISHER, RECOVERY, Regions, in_step, segments_of, until
from tests.verifier.intruder import report_on

NEXT = KeyPair("publisher", "region-a", bytes(31) + b"\x05")


@pytest.fixture
def ledger(regions: Regions) -> Iterator[Ledger]:
    with Ledger.open(regions.a.dsn("writer")) as opened:
        fill(opened)
        yield opened


def append(ledger: Ledger, count: int, name: str) -> None:
    for n in range(count):
        ledger.append(fee(f"{name}{n}"), key=f"{name}{n}")


def rotate(ledger: Ledger) -> int:
    """Let NEXT take over from PUBLISHER, and return the seq of that."""
    (new,) = named([NEXT])
    statement = control.rotation_statement(PUBLISHER.key_id, new)
    old, other = (pair.sign(control.ROTATION_DOMAIN, statement).hex() for pair in (PUBLISHER, NEXT))
    event = KeyRotated(old_key_id=PUBLISHER.key_id, new_key=new, old_signature=old, new_signature=other)
    ledger.append(event, key="rotation")
    return ledger.head().seq


def revoke(ledger: Ledger) -> int:
    """Revoke PUBLISHER after what there is, and return the seq of that."""
    last = ledger.head().seq
    statement = control.revocation_statement(PUBLISHER.key_id, last, "stolen")
    signature = RECOVERY.sign(control.REVOCATION_DOMAIN, statement).hex()
    event = KeyRevoked(key_id=PUBLISHER.key_id, last_valid_seq=last, reason="stolen", signature=signature)
    ledger.append(event, key="revocation")
    return ledger.head().seq


def publishing(regions: Regions, key: KeyPair, older: Sequence[KeyPair] = ()) -> Publisher:
    made = Publisher(regions.a.dsn("publisher"), ORIGIN, regions.kafka.bootstrap, key, older=older)
    regions.running.append(made)
    return made


def test_a_new_key_goes_on_where_the_old_one_ended(regions: Regions, ledger: Ledger) -> None:
    """Each signs its part, nothing is sent twice, and the new one alone serves from then on, the old one revoked."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, before := ledger.head().seq)
    append(ledger, 5, "a")
    publisher.close()
    turn = rotate(ledger)
    append(ledger, 5, "b")
    again = publishing(regions, NEXT, [PUBLISHER])
    assert again._seq == before
    in_step(again, applier, ledger.head().seq)
    signers = {(found[2], found[3]): found[1] for found in map(segment.peek, segments_of(regions)) if found[2] > before}
    assert signers == {(before + 1, turn): PUBLISHER.key_id, (turn + 1, ledger.head().seq): NEXT.key_id}
    again.close()
    revoke(ledger)
    append(ledger, 1, "c")
    alone = publishing(regions, NEXT)
    assert alone._seq == again._seq
    in_step(alone, applier, ledger.head().seq)
    assert (applier.status.rejected_records, applier.status.duplicates) == (0, 0)
    assert regions.head(regions.b) == ledger.head()
    assert report_on(regions.b).findings == []


def test_a_replica_made_later_takes_the_whole_history_over_every_change_of_keys(
    regions: Regions, ledger: Ledger
) -> None:
    """Told the first key, it learns the next ones from the chain; a new topic is filled by each key in its turn."""
    rotate(ledger)
    append(ledger, 2, "a")
    revoke(ledger)
    append(ledger, 2, "b")
    publisher = publishing(regions, NEXT, [PUBLISHER])
    in_step(publisher, regions.applier(), ledger.head().seq)
    assert regions.head(regions.b) == ledger.head()


def test_a_new_key_without_the_old_one_says_which_is_missing(regions: Regions, ledger: Ledger) -> None:
    """It publishes nothing that replicas would refuse."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    append(ledger, 1, "a")
    publisher.close()
    rotate(ledger)
    again = publishing(regions, NEXT)
    count = len(segments_of(regions))
    with pytest.raises(SignatureInvalid, match=f"replicas know {PUBLISHER.key_id} there: .*--old-key"):
        again.step()
    assert len(segments_of(regions)) == count


def test_a_running_publisher_ends_when_its_key_is_revoked(regions: Regions, ledger: Ledger) -> None:
    """The revocation itself still travels; what follows it is not signed by that key."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    append(ledger, 1, "a")
    last = revoke(ledger)
    append(ledger, 1, "b")
    with pytest.raises(SignatureInvalid, match=f"may not sign event {last + 1}: it was revoked"):
        until(publisher.step, lambda: False)
    until(lambda: applier.step(20), lambda: applier.status.applied_seq == last)


def test_what_would_follow_and_is_refused_stops_the_replica(regions: Regions, ledger: Ledger) -> None:
    """Signed by a key that it does not know, the next events are a hole, and never waited for in silence."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, before := ledger.head().seq)
    append(ledger, 1, "a")
    (event,) = ledger.events(before)
    (made,) = segment.cut([event], {event.seq: (b"d" * 32, 1)}, NEXT.key_id, event.seq)
    regions.rogue(transport.segments_topic(regions.chain_id), segment.encode(made, NEXT))
    until(lambda: applier.step(20), lambda: applier._gap_since is not None)
    assert applier._gap_since is not None
    applier._gap_since -= 60
    with pytest.raises(Corrupt, match=f"hole after event {before}, and .* was refused: key {NEXT.key_id} is none"):
        applier.step(20)
    assert regions.head(regions.b).seq == before


def test_a_segment_that_comes_before_its_key_is_named_is_read_again(regions: Regions, ledger: Ledger) -> None:
    """Records in another order: what the new key signed arrives before the event that names it."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, ledger.head().seq)
    count = len(segments_of(regions))
    publisher.close()
    rotate(ledger)
    append(ledger, 1, "a")
    again = publishing(regions, NEXT, [PUBLISHER])
    until(again.step, lambda: again.status.published_seq == ledger.head().seq)
    named_by, signed_by = segments_of(regions)[count:]
    again.close()
    applier.close()
    # A second topic of the same chain would need another broker: the replica is sent past both instead.
    receiver = transport.Receiver(regions.kafka.bootstrap, transport.segments_topic(regions.chain_id))
    regions.b.sql(f"UPDATE ledger.replica_state SET next_offset = {receiver.end()}")
    receiver.close()
    for value in (signed_by, named_by):
        regions.rogue(transport.segments_topic(regions.chain_id), value)
    restarted = regions.applier()
    until(lambda: restarted.step(20), lambda: restarted.status.applied_seq == ledger.head().seq)
    assert restarted.status.rejected_records == 1
    assert regions.head(regions.b) == ledger.head()
