"""
Check that an archive which grows while it is verified is judged as it stood, and nobody is accused for its growing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.evidence import note
from ledger.evidence.note import ED25519, SigningKey
from tests.archiving.chains import CHAIN_ID, KEY, ORIGIN, POLICY, POLICY_TEXT, WITNESS, chain, reader, signed, silent
from tests.archiving.written import EVENTS, SIZE, kinds, verify, write
from verifier.archive import verification
from verifier.archive.checkpoints import OF_EARLIER
from verifier.archive.seams import finding
from verifier.report import Report

FORK = chain(SIZE, seed=2)


def verify_while(folder: Path, change: Callable[[], object]) -> Report:
    """Verify an archive that is changed once its events have been read."""
    told: list[str] = []

    def tell(what: str, count: int) -> None:
        if not told:
            change()
        told.append(what)

    return verification.verify(str(folder), POLICY, tell)


def test_what_is_archived_meanwhile_is_left_to_the_next_verification(tmp_path: Path) -> None:
    """Verified as far as it stood at the beginning; what came since is named, and its files are no strangers."""
    write(tmp_path, 300)
    report = verify_while(tmp_path, lambda: write(tmp_path, 511, SIZE))
    assert (report.verdict, report.findings, report.events) == ("verified", [], 300)
    assert "events 301 to 700, which were archived meanwhile" in report.not_covered
    assert not any("belong to no archive" in line for line in report.not_covered)
    assert not any("archived meanwhile" in line for line in verify(tmp_path).not_covered)


def test_files_of_earlier_sizes_are_said_not_to_be_read(tmp_path: Path) -> None:
    """They are what an older checkpoint is proven by, and nothing of this size rests on them."""
    write(tmp_path, 300)
    assert not any("earlier sizes" in line for line in verify(tmp_path).not_covered)
    write(tmp_path, SIZE)
    rotten = tmp_path / "segment/001.p/44"
    rotten.write_bytes(rotten.read_bytes()[:-1])
    report = verify(tmp_path)
    assert report.verdict == "verified"
    # A bundle, a segment, and a tile of each of two levels.
    assert f"4 {OF_EARLIER}" in report.not_covered


def test_a_larger_checkpoint_that_nobody_trusts_is_no_growth(tmp_path: Path) -> None:
    """Only what the policy accepts is; a thief's is told as before."""
    write(tmp_path, 300)
    thief = SigningKey(ORIGIN, ED25519, bytes(32))

    def change() -> None:
        (tmp_path / "checkpoint").write_bytes(signed(EVENTS, SIZE, thief))
        (tmp_path / f"checkpoints/{SIZE}").write_bytes(signed(EVENTS, SIZE))

    assert kinds(verify_while(tmp_path, change)) == {"ROLLBACK"}


def test_another_history_that_came_meanwhile_is_a_fork(tmp_path: Path) -> None:
    """Larger and well signed, over files that are its own: the checkpoint that was verified is not one of it."""
    write(tmp_path / "a", 300)
    write(tmp_path / "fork", SIZE, events=FORK)

    def change() -> None:
        (tmp_path / "a").rename(tmp_path / "before")
        (tmp_path / "fork").rename(tmp_path / "a")

    report = verify_while(tmp_path / "a", change)
    both = signed(EVENTS, 300).decode(), signed(FORK, SIZE).decode()
    (found,) = [one for one in report.findings if one.key == ("checkpoint",)]
    assert found == finding("CHECKPOINT_INCONSISTENT", *both, "checkpoint", column="root")


def test_what_others_have_cosigned_since_is_taken_in(tmp_path: Path) -> None:
    """The same tree under more signatures, by a policy that wants them: the archive is good by it afterwards."""
    archive = Archive(Folder(tmp_path), CHAIN_ID, ORIGIN)
    anybody = POLICY_TEXT.replace(b"quorum w1", b"quorum none")
    archive.extend(signed(EVENTS, 300, cosigned=False), reader(EVENTS), anybody, silent)
    assert kinds(verify(tmp_path)) == {"QUORUM_UNMET"}
    assert archive.extend(signed(EVENTS, 300), reader(EVENTS), POLICY_TEXT, silent, dry_run=True) == 0
    assert kinds(verify(tmp_path)) == {"QUORUM_UNMET"}
    assert archive.extend(signed(EVENTS, 300), reader(EVENTS), POLICY_TEXT, silent) == 0
    assert verify(tmp_path).verdict == "verified"
    assert (tmp_path / "checkpoint").read_bytes() == signed(EVENTS, 300)
    # Fewer signatures take nothing away, and others of the same tree are added.
    archive.extend(signed(EVENTS, 300, cosigned=False), reader(EVENTS), anybody, silent)
    assert (tmp_path / "checkpoint").read_bytes() == signed(EVENTS, 300)
    text = note.decode(signed(EVENTS, 300)).text
    later = note.with_signatures(text, (KEY.sign(text), WITNESS.sign(text, 1_800_000_000))).encode()
    archive.extend(later, reader(EVENTS), POLICY_TEXT, silent)
    assert len(note.decode((tmp_path / "checkpoint").read_bytes()).signatures) == 3
    assert verify(tmp_path).verdict == "verified"
