"""
Check two regions on real servers: what is published arrives once, and what is forged never counts.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import psycopg
import pytest

from ledger import Ledger
from ledger.chain import acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.domain.rows import TABLES
from ledger.errors import Corrupt, Divergence, Unavailable
from ledger.queries import Books
from replicator import segment, transport
from tests.journal.test_ledger import fee, order
from tests.replicator.conftest import (
    PUBLISHER,
    REPLICA,
    ROGUE,
    Regions,
    in_step,
    reference,
    segments_of,
    until,
)
from tests.verifier.history import history
from tests.verifier.intruder import Intruder, report_on


def test_the_second_region_holds_the_same_books_at_the_same_head(regions: Regions) -> None:
    """Every table equal, both verify, the replica's word is kept, and a restart of each goes on where it was."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
        publisher, applier = regions.publisher(), regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        assert publisher.status.max_rpo_seconds > 0
        with pytest.raises(Unavailable, match="another publisher"):
            regions.publisher()
        publisher.close()
        applier.close()
        for n in range(5):
            ledger.append(fee(f"later{n}"), key=f"later{n}")
        again, restarted = regions.publisher(), regions.applier()
        assert again._seq == publisher.status.published_seq
        in_step(again, restarted, ledger.head().seq)
        assert restarted.status.duplicates == 0
        assert regions.head(regions.a) == regions.head(regions.b) == ledger.head()
    with Books(regions.a.dsn("reader")) as a, Books(regions.b.dsn("reader")) as b:
        for table in TABLES:
            assert set(a.table(table).value) == set(b.table(table).value)
    assert (report_on(regions.a).findings, report_on(regions.b).findings) == ([], [])
    assert regions.a.sql("SELECT seq FROM ledger.acknowledgements") == str(regions.head(regions.a).seq)


def test_a_publisher_that_ended_is_followed_at_once(regions: Regions) -> None:
    """The server may see that a connection ended a while later; the lock is given up before that."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
    with mock.patch.object(psycopg.Connection, "close"):
        first = regions.publisher()
    first.close()
    regions.publisher()
    first._connection.close()


def test_a_rogue_producer_and_a_forged_word_count_for_nothing(regions: Regions) -> None:
    """A perfectly hashed next event under another key, and another's acknowledgement, are rejected and not counted."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
        publisher, applier = regions.publisher(), regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        before = regions.head(regions.b)
        ledger.append(order("next"), key="next")
        last = list(ledger.events(before.seq))[-1]
        forged = segment.Segment(
            regions.chain_id, 1, last.seq, last.seq, before.hash, last.hash, True, b"d" * 32, 1, ROGUE.key_id, (last,)
        )
        topic = transport.segments_topic(regions.chain_id)
        regions.rogue(topic, segment.encode(forged, ROGUE))
        regions.rogue(topic, b"no segment at all")
        until(lambda: applier.step(20), lambda: applier.status.rejected_records == 2)
        assert regions.head(regions.b) == before
        said = acknowledgement.Acknowledgement(regions.chain_id, 1, last.seq, last.hash, b"d" * 32, 1, REPLICA.key_id)
        liar = KeyPair("replica", "region-b", bytes(31) + b"\x09")
        regions.rogue(transport.acknowledgements_topic(regions.chain_id), acknowledgement.encode(said, liar))
        until(publisher.step, lambda: publisher.status.rejected_records == 1)
        assert publisher.status.acknowledged_seq == before.seq
        in_step(publisher, applier, last.seq)
        assert regions.head(regions.b) == ledger.head()


def test_duplicated_records_are_skipped_and_holes_never_filled_by_guessing(regions: Regions) -> None:
    """The same segments again change nothing; with one missing the replica waits, and stops, and applies none after."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
        publisher, applier = regions.publisher(), regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        topic = transport.segments_topic(regions.chain_id)
        for value in segments_of(regions):
            regions.rogue(topic, value)
        until(lambda: applier.step(20), lambda: applier.status.duplicates >= 1)
        head = regions.head(regions.b)
        for n in range(3):
            ledger.append(fee(f"x{n}"), key=f"x{n}")
        late = list(ledger.events(head.seq))
        (skipping,) = segment.cut(late[1:], {late[-1].seq: (b"d" * 32, 1)}, PUBLISHER.key_id, late[1].seq)
        regions.rogue(topic, segment.encode(skipping, PUBLISHER))
        until(lambda: applier.step(50), lambda: applier._gap_since is not None)
        assert applier._gap_since is not None
        applier._gap_since -= 60
        with pytest.raises(Corrupt, match="hole after event"):
            applier.step(20)
        assert regions.head(regions.b) == head


def test_changed_books_in_either_region_show_within_one_acknowledgement(regions: Regions) -> None:
    """An edit of the primary's digest or history is a divergence at the next word of the replica."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
        publisher, applier = regions.publisher(), regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        ledger.append(fee("y"), key="y")
        publisher.step()
        with Intruder(regions.a) as intruder:
            intruder.edit(
                "commits", "UPDATE ledger.commits SET state_digest = sha256('x') WHERE last_seq ="
                " (SELECT max(last_seq) FROM ledger.commits)",
            )  # fmt: skip
        with pytest.raises(Divergence, match="books differ"):
            in_step(publisher, applier, ledger.head().seq)


def test_a_segment_that_is_signed_but_false_is_never_applied(regions: Regions) -> None:
    """Even the publisher's own key cannot make the replica take what its rules or books contradict."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        history(ledger)
        publisher, applier = regions.publisher(), regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        head = regions.head(regions.b)
        ledger.append(fee("z"), key="z")
        (event,) = ledger.events(head.seq)
        (false,) = segment.cut([event], {event.seq: (b"d" * 32, 1)}, PUBLISHER.key_id, event.seq)
        regions.rogue(transport.segments_topic(regions.chain_id), segment.encode(false, PUBLISHER))
        with pytest.raises(Corrupt, match="digest"):
            until(lambda: applier.step(50), lambda: False)
        assert regions.head(regions.b) == head


def test_keys_and_paths_are_what_the_tests_think(tmp_path: Path) -> None:
    """The rogue's key differs from the publisher's, else the tests above would prove nothing."""
    assert len({PUBLISHER.key_id, REPLICA.key_id, ROGUE.key_id}) == 3


def test_a_commit_too_large_for_one_record_travels_in_parts(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica waits for the last part, applies the whole at once, and goes on after a restart between parts."""
    monkeypatch.setattr(segment, "TARGET_BYTES", 1500)
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        futures = [ledger.submit(event, key=f"k{n}") for n, event in enumerate(reference())]
        for future in futures:
            future.result(30)
        publisher = regions.publisher()
        until(publisher.step, lambda: publisher.status.published_seq == ledger.head().seq)
        values = segments_of(regions)
        parts = [segment.decode(value, PUBLISHER.public_key) for value in values]
        assert any(not part.ends_commit for part in parts)
        first = regions.applier()
        until(lambda: first.step(20), lambda: first.status.applied_seq >= 2)
        first.close()
        applier = regions.applier()
        in_step(publisher, applier, ledger.head().seq)
        assert regions.head(regions.b) == ledger.head()
    assert report_on(regions.b).findings == []


def test_a_publisher_with_nothing_to_publish_asks_for_the_head_alone(regions: Regions) -> None:
    """However often it looks, the commits are not read again; and the next commit is published."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, regions.head(regions.a).seq)

    def scans() -> int:
        return int(regions.a.sql(
            "SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relid = 'ledger.commits'::regclass"
        ))  # fmt: skip

    def flush() -> None:
        publisher._connection.execute("SELECT pg_stat_force_next_flush()")
        publisher._connection.execute("SELECT 1")

    flush()
    before = scans()
    assert not any(publisher.step() for _ in range(30))
    flush()
    assert scans() == before
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        seq = ledger.append(reference()[0], key="next").seq
    assert publisher.step()
    in_step(publisher, applier, seq)
