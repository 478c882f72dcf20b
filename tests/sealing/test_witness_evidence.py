"""
Check what a witness leaves of proofs that failed: a fork always, and of what anybody can send no more than a few files.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.evidence import note, witness
from ledger.evidence.note import NoteSignature
from ledger.evidence.witness import Request
from ledger.sealing import asking, services
from ledger.sealing.asking import Refused
from ledger.sealing.places import Place
from ledger.sealing.promises import Promises
from tests.sealing.logs import KEY as LOG_KEY
from tests.sealing.logs import WITNESSES, Log
from tests.sealing.test_services import FORK, LOG, LOGS, witnessing

LOG_NAME = LOG_KEY.name
ORIGIN_HASH = sha256(LOG_NAME.encode()).hexdigest()[:8]
KEY = WITNESSES[0].verifier


def ask(place: Place, old: int, signed: bytes, proof: tuple[bytes, ...] = (bytes(32),)) -> int:
    return place.ask("POST", witness.ADD_CHECKPOINT, Request(old, proof, signed).encode())[0]


def left(folder: Path) -> list[dict[str, object]]:
    found = sorted((folder / "w0" / "evidence").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_bytes()) for path in found]


def test_false_proofs_against_an_honest_log_fill_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can send what the log did sign with a proof that is none: one file a pair, told from a fork, and few."""
    monkeypatch.setattr(services, "UNJOINED_LIMIT", 3)
    with witnessing(tmp_path, WITNESSES[0]) as url:
        asking.cosign(Place(url), KEY, LOG.signed(20), 20, LOG.prove(20))
        for size in (30, 31, 32, 33, 34):
            for number in range(2):
                assert ask(Place(url), 20, LOG.signed(size), (bytes([number]) * 32,)) == 422
        with pytest.raises(Refused, match="fork"):
            asking.cosign(Place(url), KEY, FORK.signed(20), 20, FORK.prove(20), 20)
    found = left(tmp_path)
    assert [one["kind"] for one in found] == [witness.UNJOINED] * 3 + [witness.INCONSISTENT]
    assert [one["newer"] for one in found[:3]] == [LOG.signed(size).decode() for size in (30, 33, 34)]
    assert sum(file.name.startswith("unjoined-") for file in (tmp_path / "w0" / "evidence").iterdir()) == 3


def test_forks_of_one_size_fill_no_disk_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the log's key makes them without end, and each convicts it; what a kill left half is no file."""
    monkeypatch.setattr(services, "FORK_LIMIT", 3)
    forks = [Log(fork=number) for number in range(5)]
    half = tmp_path / "w0" / "evidence" / ".new"
    with witnessing(tmp_path, WITNESSES[0]) as url:
        asking.cosign(Place(url), KEY, LOG.signed(20), 20, LOG.prove(20))
        half.parent.mkdir(parents=True)
        half.write_bytes(b"{")
        for fork in forks:
            for _ in range(2):
                assert ask(Place(url), 20, fork.signed(20), ()) in (409, 422)
    found = left(tmp_path)
    assert [one["newer"] for one in found] == [forks[number].signed(20).decode() for number in (0, 3, 4)]
    assert {one["kind"] for one in found} == {witness.INCONSISTENT}
    assert not half.exists()


def test_what_was_kept_said_again_is_no_evidence(tmp_path: Path) -> None:
    """With a proof that is none it is refused, and contradicts nothing: it would push out what convicts."""
    with witnessing(tmp_path, WITNESSES[0]) as url:
        for size in (10, 20, 30):
            asking.cosign(Place(url), KEY, LOG.signed(size), size, LOG.prove(size), size - 10)
            assert ask(Place(url), size, LOG.signed(size)) == 422
        assert not (tmp_path / "w0" / "evidence").exists()
        with pytest.raises(Refused, match="fork"):
            asking.cosign(Place(url), KEY, FORK.signed(30), 30, FORK.prove(30), 30)
        assert len(left(tmp_path)) == 1


def test_the_first_fork_stays_whatever_comes_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the clock was set back between the two; the log hears of it once, and once that others went."""
    monkeypatch.setattr(services, "FORK_LIMIT", 4)
    told: list[str] = []
    evidence = tmp_path / "w0" / "evidence"
    with Promises(tmp_path / "state") as state:
        respond = services.witness_of(state, LOGS, WITNESSES[0], lambda: 5, evidence, tell=told.append)
        respond("POST", witness.ADD_CHECKPOINT, Request(0, (), LOG.signed(20)).encode())
        for number in range(9):
            forked = Request(20, (), Log(fork=number).signed(20)).encode()
            assert respond("POST", witness.ADD_CHECKPOINT, forked).status == 422
            for path in evidence.iterdir():
                os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**15))
    assert [one["newer"] for one in left(tmp_path)] == [Log(fork=number).signed(20).decode() for number in (0, 1, 7, 8)]
    assert [line.split(",")[0] for line in told] == [
        f"{LOG_NAME} has signed two roots of one size", f"of {LOG_NAME} there are 4 files fork-{ORIGIN_HASH}-… in "
        f"{evidence}",
    ]  # fmt: skip


@pytest.mark.parametrize("old", [0, 10])
def test_a_fork_is_left_also_of_who_says_another_size_is_kept(tmp_path: Path, old: int) -> None:
    """As a log does that is on the fork itself: it hears which size is kept, and both notes are left and told of."""
    told: list[str] = []
    with Promises(tmp_path / "state") as state:
        evidence = tmp_path / "w0" / "evidence"
        respond = services.witness_of(state, LOGS, WITNESSES[0], lambda: 5, evidence, tell=told.append)
        respond("POST", witness.ADD_CHECKPOINT, Request(0, (), LOG.signed(20)).encode())
        said = respond("POST", witness.ADD_CHECKPOINT, Request(old, (), FORK.signed(20)).encode())
    assert (said.status, said.body) == (409, b"20\n")
    (found,) = left(tmp_path)
    assert (found["kind"], found["newer"]) == (witness.INCONSISTENT, FORK.signed(20).decode())
    assert len(told) == 1


def test_a_fork_of_two_sizes_is_left_whatever_was_sent_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the log published by anybody, with lines of their own under it; then the fork, which is larger."""
    monkeypatch.setattr(services, "UNJOINED_LIMIT", 2)
    with witnessing(tmp_path, WITNESSES[0]) as url:
        asking.cosign(Place(url), KEY, LOG.signed(20), 20, LOG.prove(20))
        for size in (31, 32, 33):
            assert ask(Place(url), 20, LOG.signed(size)) == 422
        assert ask(Place(url), 20, FORK.signed(40), tuple(FORK.prove(40)(20))) == 422
    assert left(tmp_path)[-1]["newer"] == FORK.signed(40).decode()


def test_a_fork_of_two_sizes_is_left_whatever_is_sent_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the log that made it could, whose signature any number of later checkpoints have."""
    monkeypatch.setattr(services, "UNJOINED_LIMIT", 2)
    with witnessing(tmp_path, WITNESSES[0]) as url:
        asking.cosign(Place(url), KEY, LOG.signed(20), 20, LOG.prove(20))
        assert ask(Place(url), 20, FORK.signed(40), tuple(FORK.prove(40)(20))) == 422
        for size in range(31, 36):
            assert ask(Place(url), 20, LOG.signed(size)) == 422
    assert [one["newer"] for one in left(tmp_path)] == [FORK.signed(40).decode(), LOG.signed(35).decode()]


def test_two_checkpoints_leave_one_file_whoever_signs_beside_the_log(tmp_path: Path) -> None:
    """Neither lines of unknown keys nor a cosignature that was given once more make another file, or push one out."""
    public = note.decode(LOG.signed(33))
    with witnessing(tmp_path, WITNESSES[0]) as url:
        for number in range(3):
            asking.cosign(Place(url), KEY, LOG.signed(20), 20, LOG.prove(20), 20 if number else 0)
            line = NoteSignature(f"anybody{number}", b"abcd", b"a signature")
            assert ask(Place(url), 20, note.with_signatures(public.text, [*public.signatures, line]).encode()) == 422
    (found,) = left(tmp_path)
    assert found["newer"] == LOG.signed(33).decode()
