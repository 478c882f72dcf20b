"""
Check that receipts which an engine kept find what was changed and what is gone, in an archive and in a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from ledger import Ledger, Receipt, command
from ledger.archiving.stores import FILE_LIMIT_BYTES, Folder
from ledger.chain.entry import RecordedEvent
from ledger.domain.events.reference import AssetDefined
from ledger.evidence import policy
from tests.archiving.chains import KEY, POLICY, POLICY_TEXT, chain, signed
from tests.archiving.test_archive import write
from tests.conftest import Database
from tests.verifier.intruder import Intruder
from verifier import cli, receipts
from verifier.reader import Reader
from verifier.receipts import ArchiveHolder, DatabaseHolder
from verifier.report import Findings, Report
from verifier.stored import Unreadable

SIZE = 700
EVENTS = chain(SIZE)


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("receipts") / "archive"
    write(folder, 300, SIZE)
    return folder


def line(event: RecordedEvent, **changes: object) -> bytes:
    said = {"seq": event.seq, "hash": event.hash.hex(), "recorded_at": event.recorded_at, **changes}
    return json.dumps(said).encode()


def verify(folder: Path, lines: Iterable[bytes], trust: policy.Policy = POLICY) -> Report:
    findings = Findings()
    holder = ArchiveHolder(Folder(folder), trust, findings)
    return receipts.verify(receipts.read(lines), [holder], findings, lambda what, count: None)


def places(report: Report) -> list[tuple[str, int | None, str | None]]:
    assert (report.verdict == "verified") == (not report.findings)
    return [(finding.kind, finding.seq, finding.column) for finding in report.findings]


def test_receipts_that_fit_are_verified(archived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order, twice, with what else a receipt holds, and as the API's own receipts are encoded; by chunks too."""
    lines = [line(event, replayed=False) for event in reversed(EVENTS)]
    lines += [line(EVENTS[0]), b"\n"]
    for event in EVENTS[:5]:
        receipt = Receipt(event.seq - event.group_index, event.seq, event.hash, event.recorded_at, event.event_id)
        lines.append(msgspec.json.encode(receipt))
    report = verify(archived, lines)
    assert places(report) == []
    assert report.events == SIZE + 6
    assert [by.name for by in report.checkpoints[0].cosigned] == ["w1"]
    monkeypatch.setattr(receipts, "CHUNK", 7)
    assert verify(archived, lines).events == SIZE + 6


def test_another_hash_another_time_and_what_is_gone_are_found(archived: Path) -> None:
    """Each by its line and seq; that one is past the end of an archive, which may be behind, is said beside them."""
    later = chain(SIZE + 40, seed=3)[-1]
    wrong = [
        line(EVENTS[4]), line(EVENTS[9], hash="00" * 32), line(EVENTS[400], recorded_at=5), line(later),
    ]  # fmt: skip
    report = verify(archived, wrong)
    assert places(report) == [
        ("RECEIPT_MISMATCH", 10, "hash"), ("RECEIPT_MISMATCH", 401, "recorded_at"),
    ]  # fmt: skip
    assert [finding.key for finding in report.findings] == [("line 2",), ("line 3",)]
    assert any(f"1 receipts that are newer than the {SIZE} events here" in said for said in report.not_covered)
    assert report.findings[0].expected == "00" * 32
    assert EVENTS[9].hash.hex() in report.findings[0].actual


def test_the_first_seq_of_a_group_is_held_too(archived: Path) -> None:
    """Beside the last one, which hash and time are of."""
    event = next(one for one in EVENTS[100:] if one.group_index)
    first = event.seq - event.group_index
    assert places(verify(archived, [line(event, seq=first, last_seq=event.seq)])) == []
    report = verify(archived, [line(event, seq=first - 3, last_seq=event.seq)])
    assert places(report) == [("RECEIPT_MISMATCH", event.seq, "seq")]
    for seq in (event.seq + 1, 0):
        with pytest.raises(Unreadable, match="line 1 is no receipt"):
            verify(archived, [line(event, seq=seq, last_seq=event.seq)])


def test_receipts_that_an_archive_has_not_got_yet_are_not_called_broken(archived: Path) -> None:
    """It may be behind, or cut back: nothing is verified, and nothing was found either."""
    lines = [line(EVENTS[4]), line(chain(SIZE + 40, seed=3)[-1])]
    with pytest.raises(Unreadable, match=f"found 1 receipts that are newer than the {SIZE} events here.*archive again"):
        verify(archived, lines)


def test_an_archive_that_was_rewritten_is_found_by_the_receipts(tmp_path: Path) -> None:
    """Whole and signed by the stolen key; only the receipts are of the first history."""
    fork = chain(SIZE, seed=2)
    write(tmp_path / "a", SIZE, events=fork)
    report = verify(tmp_path / "a", [line(event) for event in EVENTS[:3]])
    assert places(report) == [("RECEIPT_MISMATCH", seq, "hash") for seq in (1, 2, 3)]


def test_a_bundle_that_is_not_in_the_signed_tree_counts_for_nothing(tmp_path: Path) -> None:
    """Edited, missing or of another history, though its entry hashes to what a forged receipt says."""
    write(tmp_path / "a", SIZE)
    fork = chain(SIZE, seed=2)
    write(tmp_path / "fork", SIZE, events=fork)
    bundle = "tile/entries/001"
    (tmp_path / "a" / bundle).write_bytes((tmp_path / "fork" / bundle).read_bytes())
    report = verify(tmp_path / "a", [line(fork[299]), line(EVENTS[0])])
    assert places(report) == [("TREE_MISMATCH", None, None), ("RECEIPT_MISMATCH", 300, None)]
    (tmp_path / "a" / bundle).unlink()
    report = verify(tmp_path / "a", [line(EVENTS[299])])
    assert places(report) == [("ARCHIVE_MISSING", None, None), ("RECEIPT_MISMATCH", 300, None)]
    (tmp_path / "a" / bundle).write_bytes(b"\0")
    assert places(verify(tmp_path / "a", [line(EVENTS[299])]))[0][0] == "TREE_MISMATCH"


@pytest.mark.parametrize("name", ["tile/entries/001", "tile/0/002.p/188"])
def test_a_file_of_the_archive_that_cannot_be_read_hides_nothing(tmp_path: Path, name: str) -> None:
    """Receipts that need it are not accused, nor verified; what is wrong with others is found."""
    write(tmp_path / "a", SIZE)
    bad = tmp_path / "a" / name
    bad.unlink()
    # What stands at the first address of a process can nobody read.
    bad.symlink_to("/proc/self/mem")
    lines = [line(EVENTS[299]), line(EVENTS[399])]
    with pytest.raises(Unreadable, match=r"found 2 receipts of events that could not be read in .*Input/output error"):
        verify(tmp_path / "a", lines)
    last = "tile/entries/002.p/188"
    write(tmp_path / "fork", SIZE, events=chain(SIZE, seed=2))
    (tmp_path / "a" / last).write_bytes((tmp_path / "fork" / last).read_bytes())
    report = verify(tmp_path / "a", [*lines, line(EVENTS[600])])
    assert ("RECEIPT_MISMATCH", 601, None) in places(report)
    assert {finding.seq for finding in report.findings} == {None, 601}
    assert any(said.startswith("2 receipts of events that could not be read") for said in report.not_covered)


def test_a_file_larger_than_any_of_an_archive_is_a_finding(tmp_path: Path) -> None:
    """It is read no further, and counts for nothing."""
    write(tmp_path, SIZE)
    with (tmp_path / "tile/entries/001").open("wb") as file:
        file.truncate(FILE_LIMIT_BYTES + 1)
    report = verify(tmp_path, [line(EVENTS[299]), line(EVENTS[0])])
    assert places(report) == [("BYTES_MODIFIED", None, None), ("RECEIPT_MISMATCH", 300, None)]


def test_an_archive_under_nobody_s_signature_is_no_witness(tmp_path: Path) -> None:
    """That its entries fit the receipts does not make it verified."""
    write(tmp_path, SIZE)
    (tmp_path / "checkpoint").write_bytes(signed(EVENTS, SIZE, cosigned=False))
    assert places(verify(tmp_path, [line(EVENTS[0])])) == [("QUORUM_UNMET", None, None)]
    (tmp_path / "checkpoint").write_bytes(b"nothing")
    with pytest.raises(Unreadable, match="is no checkpoint"):
        verify(tmp_path, [line(EVENTS[0])])
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(Unreadable, match="name the folder"):
        verify(tmp_path, [line(EVENTS[0])])


@pytest.mark.parametrize(
    "bad",
    [b"{", b"[]", b"7", b"{}", b'{"seq":1}', b"\xff", b"[" * 100_000, b" " * receipts.LINE_LIMIT_BYTES + b"{}",
     line(EVENTS[0], seq=0), line(EVENTS[0], seq=2**63), line(EVENTS[0], seq="1"), line(EVENTS[0], recorded_at=1.5),
     line(EVENTS[0], hash="00"), line(EVENTS[0], hash="zz" * 32), line(EVENTS[0], hash="=" * 44)],
)  # fmt: skip
def test_a_line_that_is_no_receipt_is_named(archived: Path, bad: bytes) -> None:
    """Nothing is said to be verified then, and the line's number is said."""
    with pytest.raises(Unreadable, match="line 2 is no receipt"):
        verify(archived, [line(EVENTS[0]), bad])


def test_a_file_without_receipts_verifies_nothing(archived: Path) -> None:
    """An empty file, or one of empty lines."""
    for lines in ([], [b"\n", b"  \n"]):
        with pytest.raises(Unreadable, match="no receipts"):
            verify(archived, lines)


@pytest.fixture
def appended(chain: Database) -> tuple[Database, list[Receipt]]:
    with Ledger.open(chain.dsn("writer")) as ledger:
        made = [
            ledger.append(AssetDefined(asset=f"A{number}", kind="crypto", scale=8, name="x"), key=f"k{number}")
            for number in range(4)
        ]  # fmt: skip
    return chain, made


def against(database: Database, kept: Sequence[Receipt]) -> Report:
    findings = Findings()
    lines = [msgspec.json.encode(receipt) for receipt in kept]
    with Reader(database.dsn("auditor"), None) as reader:
        return receipts.verify(receipts.read(lines), [DatabaseHolder(reader, findings)], findings, lambda *told: None)


def test_a_database_is_held_against_receipts(appended: tuple[Database, list[Receipt]]) -> None:
    """What was edited, though its hash was left alone; what was deleted; and a tail that was cut with its head."""
    database, made = appended
    report = against(database, made)
    assert places(report) == []
    assert "the database's own word" in " ".join(report.not_covered)
    seqs = [receipt.seq for receipt in made]
    with Intruder(database) as intruder:
        intruder.edit("events", f"UPDATE ledger.events SET actor = 'x' WHERE seq = {seqs[0]}")
        assert places(against(database, made)) == [("RECEIPT_MISMATCH", seqs[0], "hash")]
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {seqs[1]}")
        assert places(against(database, made))[1] == ("RECEIPT_MISMATCH", seqs[1], None)
        intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {seqs[3]}")
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET seq = {seqs[2]}")
        assert places(against(database, made))[2] == ("TRUNCATED", seqs[3], None)


def test_a_row_that_is_wrong_beside_the_events_makes_no_receipt_false(
    appended: tuple[Database, list[Receipt]],
) -> None:
    """The head was set back, or the chain's id changed: it is that row which is named."""
    database, made = appended
    with Intruder(database) as intruder:
        with intruder.undone("chain_heads"):
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = 2")
            (finding,) = against(database, made).findings
            assert (finding.kind, finding.table, finding.column) == ("HEAD_MISMATCH", "chain_heads", "seq")
        intruder.edit("chains", "UPDATE ledger.chains SET chain_id = gen_random_uuid()")
        assert {x.kind for x in against(database, made).findings} == {"CHAIN_MISMATCH"}


def test_the_command_says_what_it_needs(
    archived: Path, tmp_path: Path, appended: tuple[Database, list[Receipt]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """0 where all fit, 3 where one does not, 2 without anything to hold them against, 4 for files that are none."""
    (tmp_path / "receipts").write_bytes(b"\n".join(line(event) for event in EVENTS[::50]))
    (tmp_path / "wrong").write_bytes(line(EVENTS[0], hash="00" * 32))
    (tmp_path / "policy").write_bytes(POLICY_TEXT)
    database, made = appended
    (tmp_path / "own").write_bytes(b"\n".join(map(msgspec.json.encode, made)))

    def run(file: str, *more: str) -> int:
        monkeypatch.setattr("sys.argv", ["tradeledger-verify", "receipts", str(tmp_path / file), *more])
        return command.run(cli.app, cli._MANNER)

    held = ("--archive", str(archived), "--policy", str(tmp_path / "policy"))
    assert run("receipts", *held) == 0
    assert f"chain {KEY.name}" in capsys.readouterr().out
    assert run("wrong", *held, "--format", "json") == 3
    assert json.loads(capsys.readouterr().out)["findings"][0]["repair_sources"]
    assert run("receipts") == 2
    assert run("receipts", "--archive", str(archived)) == 2
    assert run("nothing", *held) == 4
    assert run(".", *held) == 4
    assert run("own", "--dsn", database.dsn("auditor")) == 0
    assert run("receipts", *held, "--dsn", database.dsn("auditor")) == 4
    assert "expected one chain" in capsys.readouterr().err
