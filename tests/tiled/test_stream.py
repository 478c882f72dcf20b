"""
Check a stream of several events, and take some of it away.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountOpened, AccountStatusSet, AssetDefined
from ledger.evidence import checkpoint
from ledger.evidence.checkpoint import Checkpoint
from ledger.sandbox.postgres import Server
from tests.conftest import Database, copy_database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import append, make_chain, members, sealing, signer, witness
from tests.tiled.sealed import Sealed, silent, stands
from tests.verifier.intruder import Intruder, copied
from verifier.report import Report
from verifier.stored import Unreadable
from verifier.tiled import streams

STREAM = "account/A-1"


def amended(database: Database, version: int) -> None:
    """Append the next event of the account's life."""
    status = "restricted" if version % 2 else "open"
    event: Event = (
        AccountOpened(account="A-1", owner="o", kind="house", base_asset="USD") if version == 1
        else AccountStatusSet(account="A-1", status=status, reason="r")
    )  # fmt: skip
    with Ledger.open(database.dsn("writer")) as ledger:
        ledger.append([event], key=f"account-{version}", actor="desk")


@pytest.fixture(scope="module")
def made(pg_server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """A stream of four events among some hundred, the last of them after the newest checkpoint."""
    folder = tmp_path_factory.mktemp("keys")
    database = Database(pg_server, "sealed_stream")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with Ledger.open(database.dsn("writer")) as ledger:
        ledger.append([AssetDefined(asset="USD", kind="currency", scale=2, name="dollar")], key="usd", actor="desk")
    with signer(folder) as place, witness(folder, WITNESSES[0]) as url:
        with sealing(database, place, witnesses=members("w", [WITNESSES[0]], [url], 1)) as sealer:
            for version in (1, 2, 3):
                amended(database, version)
                append(database, 100)
            assert sealer.seal() is not None
        amended(database, 4)
        yield Sealed(database, place.address, url)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def copy(made: Sealed) -> Iterator[Sealed]:
    with copied(made.database) as database:
        yield Sealed(database, made.signer, made.witness)


def report_on(sealed: Sealed, stream: str = STREAM, complete: bool = False) -> Report:
    with sealed.region() as region:
        return streams.verify(region, stream, sealed.policy(), complete, silent)


def newest(sealed: Sealed) -> Checkpoint:
    with sealed.region() as region:
        return checkpoint.decode_note(next(region.newest_checkpoints()).note)[0]


def seqs(sealed: Sealed) -> list[int]:
    return [int(seq) for seq in sealed.database.sql(
        f"SELECT seq FROM ledger.events WHERE stream = '{STREAM}' ORDER BY seq").split()]  # fmt: skip


def test_a_stream_is_proven_event_by_event_and_what_is_not_is_said(made: Sealed) -> None:
    report = report_on(made)
    assert (report.verdict, report.findings, report.events) == ("verified", [], 4)
    assert "that 3 of them stand in the cosigned root, by an inclusion proof each" in report.covered
    left = " ".join(report.not_covered)
    assert "that version 4 is the stream's last" in left
    assert "the last 1 events of the stream, after event 305: no accepted checkpoint covers them yet" in left
    whole = report_on(made, complete=True)
    assert whole.verdict == "verified"
    assert (
        "that events 1 to 305 have no other event of this stream: all of them make the cosigned root" in whole.covered
    )
    assert "stream's last" not in " ".join(whole.not_covered)


def test_a_version_that_is_gone_or_moved_or_changed_is_named(copy: Sealed) -> None:
    first, second, third, _ = seqs(copy)
    edits = {
        f"DELETE FROM ledger.events WHERE seq = {second}": ("STREAM_GAP", third, None, None, "stream_version"),
        f"DELETE FROM ledger.events WHERE seq = {first}": ("STREAM_GAP", second, None, None, "stream_version"),
        f"UPDATE ledger.events SET stream = 'account/B' WHERE seq = {second}":
            ("STREAM_GAP", third, None, None, "stream_version"),
        f"UPDATE ledger.events SET actor = 'nobody' WHERE seq = {second}":
            ("BYTES_MODIFIED", second, None, None, "actor"),
        f"UPDATE ledger.events SET stream_version = 7 WHERE seq = {second}":
            ("BYTES_MODIFIED", second, None, None, "stream_version"),
    }  # fmt: skip
    with Intruder(copy.database) as intruder:
        for edit, expected in edits.items():
            with intruder.undone("events"):
                intruder.edit("events", edit)
                report = report_on(copy)
                assert expected in stands(report.findings), edit
                assert report.verdict == "broken"
        # An event that hashes to what it says and is none that was signed.
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from "
                      f"{32 * (second - 1) + 33}) WHERE level = 0 AND number = 0")  # fmt: skip
        assert "TREE_MISMATCH" in {x.kind for x in report_on(copy).findings}


def test_an_end_that_is_gone_shows_where_all_is_hashed_and_only_there(copy: Sealed) -> None:
    """The last sealed event and the one after it, with a head that fits: only the cosigned root knows of them."""
    _, _, third, fourth = seqs(copy)
    with Intruder(copy.database) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq IN ({third}, {fourth})")
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET seq = {fourth - 1}")
        assert report_on(copy).findings == []
        found = report_on(copy, complete=True).findings
        assert stands(found) == [("TREE_MISMATCH", 305, None, None, None)]
        assert "one is missing or was changed" in found[0].actual


def test_a_region_that_holds_fewer_events_than_it_names_is_cut_off(copy: Sealed) -> None:
    """Which streams the events were of that are gone nobody can say; a stream of which nothing is left may be one."""
    first, _, _, fourth = seqs(copy)
    size = newest(copy).size
    with Intruder(copy.database) as intruder:
        for last, named, accepted in ((fourth - 1, "which the head names", True),
                                      (size - 1, "which a checkpoint covers", False),
                                      (first - 1, "which a checkpoint covers", False)):  # fmt: skip
            intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {last}")
            report = report_on(copy)
            assert ("TRUNCATED", last + 1, None, None, "seq") in stands(report.findings)
            assert [x.expected.endswith(named) for x in report.findings if x.kind == "TRUNCATED"] == [True]
            assert [seen.accepted for seen in report.checkpoints] == [accepted]


def test_what_was_found_is_not_said_to_have_been_checked_and_good(copy: Sealed) -> None:
    """A version that is gone contradicts that all are there, and other events that nobody else's are."""
    size = newest(copy).size
    with Intruder(copy.database) as intruder:
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {seqs(copy)[1]}")
        report = report_on(copy, complete=True)
    assert report.verdict == "broken"
    assert report.covered[0].startswith(f"stream {STREAM}: whether its versions are each there once")
    last = f"whether events 1 to {size} make the cosigned root, and have no other event of this stream"
    assert report.covered[-1] == last
    assert [seen.accepted for seen in report.checkpoints] == [True]


def test_a_stream_that_was_renamed_as_a_whole_shows_where_all_is_hashed(copy: Sealed) -> None:
    """Under the name that was asked for there is nothing, and no other is named in its place: events were changed."""
    with Intruder(copy.database) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET stream = '{STREAM}1' WHERE stream = '{STREAM}'", least=4)
    with pytest.raises(Unreadable, match="did you mean"):
        report_on(copy)
    report = report_on(copy, complete=True)
    assert ([x.kind for x in report.findings], report.events, report.covered) == (["TREE_MISMATCH"], 0, [])


def test_an_event_that_the_index_does_not_lead_to_shows_where_all_is_hashed(made: Sealed) -> None:
    """The whole walk is told of two of three sealed events, as a broken index would."""
    first, second, third, _ = seqs(made)
    stated = newest(made)
    with made.region() as region:
        found = list(streams.complete(region, STREAM, stated, {first: 1, third: 3}, silent))
        assert list(streams.complete(region, STREAM, stated, {first: 1, second: 2, third: 3}, silent)) == []
    assert stands(found) == [("STREAM_GAP", second, None, None, "stream")]


@pytest.mark.parametrize(
    ("typed", "meant"), [("account/A1", "account/A-1"), ("acount/A-1", "account/A-1"), ("asset/usd", "asset/USD")]
)
def test_a_stream_that_is_none_is_no_verification_and_names_the_nearest(made: Sealed, typed: str, meant: str) -> None:
    with pytest.raises(Unreadable, match=f"did you mean '{meant}'"):
        report_on(made, typed)
