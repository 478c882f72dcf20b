"""
Check that whatever an archive, a policy or a checkpoint is, the answer has a class and an exit status that is not 0.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import command
from ledger.evidence import note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.tree import EMPTY_ROOT
from tests.archiving.chains import KEY, ORIGIN, POLICY_TEXT, WITNESS, chain, signed
from tests.archiving.written import EVENTS, SIZE, write
from verifier import cli

FORK = chain(SIZE, seed=2)
SEGMENT, BUNDLE, TILE = "segment/001", "tile/entries/001", "tile/0/001"


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *given: object) -> tuple[int, str, str]:
    """Run `tradeledger-verify archive` in this process; return its status and what it said on both outputs."""
    monkeypatch.setattr(sys, "argv", ["tradeledger-verify", "archive", *map(str, given)])
    status = command.run(cli.app, cli._MANNER)
    said = capsys.readouterr()
    return status, said.out, said.err


def replace(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def broken(copy: Path) -> None:
        path = copy / name
        path.write_bytes(change(path.read_bytes()))

    return broken


def flipped(place: int) -> Callable[[bytes], bytes]:
    """Change one bit of a signature under a checkpoint: of the log's (0) or of the witness's (1)."""

    def change(data: bytes) -> bytes:
        lines = data.decode().splitlines(keepends=True)
        which = len(lines) - 2 + place
        start, _, blob = lines[which].rstrip("\n").rpartition(" ")
        raw = bytearray(base64.b64decode(blob))
        raw[-1] ^= 1
        lines[which] = f"{start} {base64.b64encode(raw).decode()}\n"
        return "".join(lines).encode()

    return change


def _of_another_tree(copy: Path) -> None:
    write(copy.parent / "fork", SIZE, events=FORK)
    shutil.copy(copy.parent / "fork" / TILE, copy / TILE)


def _pipe(copy: Path) -> None:
    (copy / SEGMENT).unlink()
    os.mkfifo(copy / SEGMENT)


def _folder(copy: Path) -> None:
    (copy / BUNDLE).unlink()
    (copy / BUNDLE).mkdir()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a truncated segment": (replace(SEGMENT, lambda data: data[:-20]), "PAYLOAD_MISMATCH"),
    "a segment cut to its header": (replace(SEGMENT, lambda data: data[:10]), "PAYLOAD_MISMATCH"),
    "an empty segment": (replace(SEGMENT, lambda data: b""), "PAYLOAD_MISMATCH"),
    "a segment twice": (replace(SEGMENT, lambda data: data + data), "PAYLOAD_MISMATCH"),
    "two segments in one member": (
        replace(SEGMENT, lambda data: gzip.compress(gzip.decompress(data) * 2)), "PAYLOAD_MISMATCH"
    ),
    "a bomb": (replace(SEGMENT, lambda data: gzip.compress(bytes(1 << 27))), "PAYLOAD_MISMATCH"),
    "a bomb behind the segment": (
        replace(SEGMENT, lambda data: gzip.compress(gzip.decompress(data) + bytes(1 << 27))), "PAYLOAD_MISMATCH"
    ),
    "no gzip": (replace(SEGMENT, lambda data: b"\x1f\x8b" + bytes(500)), "PAYLOAD_MISMATCH"),
    "a pipe": (_pipe, "ARCHIVE_MISSING"),
    "a folder": (_folder, "ARCHIVE_MISSING"),
    "a truncated bundle": (replace(BUNDLE, lambda data: data[:-1]), "BYTES_MODIFIED"),
    "a bundle twice": (replace(BUNDLE, lambda data: data + data), "BYTES_MODIFIED"),
    "a bundle of zeros": (replace(BUNDLE, lambda data: bytes(len(data))), "BYTES_MODIFIED"),
    "a tile of another tree": (_of_another_tree, "TREE_MISMATCH"),
    "a truncated tile": (replace(TILE, lambda data: data[:-32]), "TREE_MISMATCH"),
    "a bad signature of the log": (replace("checkpoint", flipped(0)), "CHECKPOINT_SIG"),
    "a bad signature of the witness": (replace("checkpoint", flipped(1)), "CHECKPOINT_SIG"),
    "a bad signature of an older one": (replace("checkpoints/300", flipped(0)), "CHECKPOINT_SIG"),
    "too few cosignatures": (
        replace("checkpoint", lambda data: signed(EVENTS, SIZE, cosigned=False)), "QUORUM_UNMET"
    ),
    "an older checkpoint": (replace("checkpoint", lambda data: signed(EVENTS, 300)), "ROLLBACK"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_archive_has_its_class_and_ends_with_3(
    case: str, copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both forms, and nothing is said that a finding does not have."""
    change, kind = BROKEN[case]
    change(copy)
    trust = copy.parent / "policy"
    trust.write_bytes(POLICY_TEXT)
    status, said, errors = run(capsys, monkeypatch, copy, "--policy", trust, "--format", "json")
    assert (status, errors) == (3, "")
    report = json.loads(said)
    assert report["verdict"] == "broken"
    assert kind in {finding["kind"] for finding in report["findings"]}
    status, said, errors = run(capsys, monkeypatch, copy, "--policy", trust)
    assert (status, errors) == (3, "")
    assert said.startswith("BROKEN")
    assert kind in said


OTHER = SigningKey("another.example/log", ED25519, bytes(32))
POLICIES: dict[str, bytes | None] = {
    "none": None,
    "empty": b"",
    "no text": bytes(range(256)),
    "two quorum lines": POLICY_TEXT + b"quorum none\n",
    "no quorum line": POLICY_TEXT.replace(b"quorum w1\n", b""),
    "a log's key twice": POLICY_TEXT.replace(b"quorum", f"log {KEY.verifier.text()}\nquorum".encode()),
    "a witness's key twice": POLICY_TEXT.replace(b"quorum", f"witness w2 {WITNESS.verifier.text()}\nquorum".encode()),
    "another name over a key": POLICY_TEXT.replace(ORIGIN.encode(), b"another.example/log"),
    "cut short": POLICY_TEXT[:-1],
    "larger than any": POLICY_TEXT + b"#" * 1_000_000 + b"\n",
}


@pytest.mark.parametrize("case", POLICIES)
def test_without_a_policy_nothing_is_verified(
    case: str, archived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, unreadable, and all that is no policy: 4 in both forms, and why."""
    trust, data = tmp_path / "policy", POLICIES[case]
    if data is not None:
        trust.write_bytes(data)
    for form in ("table", "json"):
        status, said, errors = run(capsys, monkeypatch, archived, "--policy", trust, "--format", form)
        assert status == 4
        assert errors.startswith("could not verify: ")
        assert "nothing is trusted without" in errors
        assert form == "table" or json.loads(said)["verdict"] == "could not verify"


def test_by_a_policy_of_another_log_nothing_is_verified(
    archived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever exchanged the whole log comes no further either; both names are said."""
    trust = tmp_path / "policy"
    trust.write_text(f"log {OTHER.verifier.text()}\nquorum none\n")
    for form in ("table", "json"):
        status, said, errors = run(capsys, monkeypatch, archived, "--policy", trust, "--format", form)
        assert status == 4
        assert f"for other logs ({OTHER.name}), and checkpoint is of {ORIGIN}" in errors
        assert form == "table" or json.loads(said)["verdict"] == "could not verify"


def _nothing(place: Path) -> None:
    place.mkdir()


def _a_file(place: Path) -> None:
    place.write_text("hello")


def _no_events(place: Path) -> None:
    place.mkdir()
    text = Checkpoint(ORIGIN, 0, EMPTY_ROOT).text()
    signatures = (KEY.sign(text), WITNESS.sign(text, 1))
    (place / "checkpoint").write_bytes(note.with_signatures(text, signatures).encode())


def _no_checkpoint(place: Path) -> None:
    write(place, 300)
    (place / "checkpoint").write_text("hello\n")


@pytest.mark.parametrize("make", [None, _nothing, _a_file, _no_events, _no_checkpoint])
def test_where_there_is_nothing_to_verify_nothing_is_verified(
    make: Callable[[Path], None] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No place, an empty one, a file, a checkpoint of nothing, and one that is none."""
    trust, place = tmp_path / "policy", tmp_path / "place"
    trust.write_bytes(POLICY_TEXT)
    if make is not None:
        make(place)
    for form in ("table", "json"):
        status, said, errors = run(capsys, monkeypatch, place, "--policy", trust, "--format", form)
        assert status == 4
        assert errors.startswith("could not verify: ")
        assert "Traceback" not in errors
        assert form == "table" or json.loads(said)["verdict"] == "could not verify"


def test_options_that_fit_nothing_are_refused(
    archived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage is 2; seqs that are not there, another log's checkpoint to expect and URLs of nothing are 4."""
    trust, known = tmp_path / "policy", tmp_path / "known"
    trust.write_bytes(POLICY_TEXT)
    known.write_bytes(signed(EVENTS, 300))
    for more, expected in (
        (("--from", 10, "--to", 9), 2), (("--from", 0), 2), (("--jobs", 0), 2), (("--from", 701), 4),
        (("--expect", tmp_path / "nowhere"), 4), (("--expect", trust), 4), (("--state", tmp_path), 4),
        (("--expect", known), 0), (("--from", 300, "--to", 301, "--jobs", 2), 0),
    ):  # fmt: skip
        status, _, errors = run(capsys, monkeypatch, archived, "--policy", trust, *more)
        assert (status, "Traceback" in errors) == (expected, False), (more, errors)
        if more[0] == "--expect" and status == 4:
            assert str(more[1]) in errors
    asked = ("--from", 300, "--to", 301, "--format", "json", "--expect", known)
    status, said, _ = run(capsys, monkeypatch, archived, "--policy", trust, *asked)
    assert (status, json.loads(said)["spans"]) == (0, [[257, 512]])
    for place in ("ftp://x/y", "s3://", "s3://user:word@bucket/x", "file://host/x", "s3://bucket/x?y=1"):
        status, _, errors = run(capsys, monkeypatch, place, "--policy", trust)
        assert (status, errors.startswith("could not verify: found ")) == (4, True), place
    status, _, _ = run(capsys, monkeypatch, archived.as_uri(), "--policy", trust)
    assert status == 0
