"""
Check that the script for auditors says what the verifier says, of all that it claims to look at.

It runs as an auditor runs it, in a process of its own that has nothing of the project.
"""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import entry
from ledger.errors import Unavailable
from ledger.evidence import note, tiles
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, NoteSignature, SigningKey
from ledger.evidence.tree import EMPTY_ROOT
from tests.archiving.chains import (
    CHAIN_ID,
    KEY,
    ORIGIN,
    POLICY_TEXT,
    WITNESS,
    chain,
    edited,
    reader,
    root,
    signed,
    silent,
)  # fmt: skip
from tests.archiving.written import EVENTS, SIZE, verify, write

SCRIPT = Path(__file__).parents[2] / "examples" / "verify_archive.py"
BUNDLE, SEGMENT = "tile/entries/001", "segment/001"
SECOND = SigningKey("witness.example/w2", COSIGNATURE, bytes([2]) * 32)


def run(folder: Path, trust: bytes | None = POLICY_TEXT) -> tuple[int, str]:
    """Return how the script ended and what it said; it never says anything but on its output."""
    path = folder.parent / "trust"
    path.unlink(missing_ok=True)
    if trust is not None:
        path.write_bytes(trust)
    # Isolated: it must need nothing of the project.
    command = [sys.executable, "-I", str(SCRIPT), str(folder), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    return done.returncode, done.stdout


def verifier_says(folder: Path) -> int:
    try:
        return 0 if verify(folder).verdict == "verified" else 3
    except Unavailable:
        return 4


def test_it_is_short_enough_to_be_read() -> None:
    """Under 150 lines, of the standard library and blake3."""
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 150
    imported = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(imported) - sys.stdlib_module_names == {"blake3"}


@pytest.mark.parametrize("size", [1, 255, 256, 257, SIZE])
def test_a_whole_archive_is_verified_with_the_same_head_and_root(tmp_path: Path, size: int) -> None:
    """Of any size; and what was not looked at is said."""
    write(tmp_path / "a", size)
    status, said = run(tmp_path / "a")
    report = verify(tmp_path / "a")
    assert status == 0
    expected = f"VERIFIED: {size} events of {ORIGIN}, head {report.head['hash']}, root {report.head['root']}\n"
    assert said.startswith(f"{expected}Not checked: tiles, checkpoints/, chain.json and policy in the archive; which")


def test_a_script_without_its_arguments_says_what_to_give(tmp_path: Path) -> None:
    """Usage is 2; a folder or policy that is not there is 4."""
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "give FOLDER and POLICY\n")
    (tmp_path / "a").mkdir()
    assert run(tmp_path / "a")[0] == 4
    assert run(tmp_path / "nowhere", None)[0] == 4


def test_an_output_that_cannot_be_written_convicts_no_archive(tmp_path: Path) -> None:
    """It is neither verified nor broken: nobody read what was said."""
    write(tmp_path / "a", 1)
    (tmp_path / "trust").write_bytes(POLICY_TEXT)
    # Unbuffered, so that each sentence is written, or fails, where it is said.
    command = [sys.executable, "-I", "-u", str(SCRIPT), str(tmp_path / "a"), str(tmp_path / "trust")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "During handling" not in done.stderr


def replace(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def broken(copy: Path) -> None:
        (copy / name).write_bytes(change((copy / name).read_bytes()))

    return broken


def _last_length(data: bytes) -> bytes:
    """Make the length before the last entry larger, by more than there is."""
    here = last = 0
    while here < len(data):
        last, here = here, here + 2 + int(struct.unpack_from(">H", data, here)[0])
    return data[:last] + bytes([data[last] ^ 0x80]) + data[last + 1 :]


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(change(gzip.decompress(data)))


def _pipe(copy: Path) -> None:
    (copy / BUNDLE).unlink()
    os.mkfifo(copy / BUNDLE)


def _huge(copy: Path) -> None:
    os.truncate(copy / BUNDLE, 3 << 30)


def _no_events(copy: Path) -> None:
    text = Checkpoint(ORIGIN, 0, EMPTY_ROOT).text()
    signatures = (KEY.sign(text), WITNESS.sign(text, 1))
    (copy / "checkpoint").write_bytes(note.with_signatures(text, signatures).encode())


def _of_another(change: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    """Put another log's checkpoint in place, and change what says whose the archive is."""

    def broken(copy: Path) -> None:
        stranger = SigningKey("another.example/log", ED25519, bytes(32))
        (copy / "checkpoint").write_bytes(signed(EVENTS, SIZE, stranger))
        data = change((copy / "chain.json").read_bytes())
        (copy / "chain.json").unlink()
        if data is not None:
            (copy / "chain.json").write_bytes(data)

    return broken


BAD: dict[str, Callable[[Path], None]] = {
    "a bit of an entry": replace(BUNDLE, lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]),
    "the length of the last entry": replace(BUNDLE, _last_length),
    "a bundle that goes on": replace(BUNDLE, lambda data: data + b"\0\0"),
    "a cut bundle": replace(BUNDLE, lambda data: data[:-1]),
    "an empty bundle": replace(BUNDLE, lambda data: b""),
    "a bundle of zeros": replace(BUNDLE, lambda data: bytes(len(data))),
    "no bundle": lambda copy: (copy / BUNDLE).unlink(),
    "a pipe": _pipe,
    "a huge bundle": _huge,
    "a payload": replace(SEGMENT, repacked(lambda data: data.replace(b'"note"', b'"none"', 1))),
    **{
        f"byte {place} of a segment's head": replace(
            SEGMENT,
            repacked(lambda data, at=place: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]),  # type: ignore[misc]
        )
        for place in (0, 16, 39, 41, 42, 74)
    },
    "no head": replace(SEGMENT, repacked(lambda data: bytes(106) + data[106:])),
    "a segment that goes on": replace(SEGMENT, repacked(lambda data: data + b"\0")),
    "a second member": replace(SEGMENT, lambda data: data + gzip.compress(b"")),
    "bytes after the member": replace(SEGMENT, lambda data: data + bytes(8)),
    "a cut segment": replace(SEGMENT, lambda data: data[:-9]),
    "a bomb": replace(SEGMENT, lambda data: gzip.compress(bytes(1 << 28))),
    "no gzip": replace(SEGMENT, lambda data: b"\x1f\x8b" + bytes(500)),
    "a thief's signature": replace(
        "checkpoint", lambda data: signed(EVENTS, SIZE, SigningKey(ORIGIN, ED25519, bytes(32)))
    ),
    "no cosignature": replace("checkpoint", lambda data: signed(EVENTS, SIZE, cosigned=False)),
    "another root": replace("checkpoint", lambda data: signed(chain(SIZE, seed=2), SIZE)),
    "another log": replace(
        "checkpoint", lambda data: signed(EVENTS, SIZE, SigningKey("another.example/log", ED25519, bytes(32)))
    ),
    **{
        f"another log, and {what}": _of_another(change)
        for what, change in {
            "no chain.json": lambda data: None,
            "a chain.json of that log": lambda data: data.replace(ORIGIN.encode(), b"another.example/log"),
            "a chain.json that is none": lambda data: data[:-3],
            "a chain.json of one line": lambda data: data.replace(b"\n", b""),
            "a chain.json of no text": lambda data: b"\xff\n" + data,
            "a huge chain.json": lambda data: data + bytes(1 << 28),
        }.items()
    },
    "a checkpoint of no events": _no_events,
    "no checkpoint": lambda copy: (copy / "checkpoint").unlink(),
    "a checkpoint with other line ends": replace("checkpoint", lambda data: data.replace(b"\n", b"\r\n")),
    "a checkpoint with another dash": replace("checkpoint", lambda data: data.replace("\u2014".encode(), b"-")),
    "a checkpoint with junk in base64": replace("checkpoint", lambda data: data[:-20] + b"!!" + data[-20:]),
    "a checkpoint without its end": replace("checkpoint", lambda data: data[:-1]),
    "a checkpoint that ends in a form feed": replace("checkpoint", lambda data: data[:-1] + b"\f"),
    **{
        f"a line of {name}": replace("checkpoint", lambda data, line=line: data + line.encode())  # type: ignore[misc]
        for name, line in {
            "a plus sign": "\u2014 a+b AAAAAAAA\n",
            "an id alone": "\u2014 x AAAAAA==\n",
            "no name": "\u2014  AAAAAAAA\n",
            "an escape": "\u2014 a\x1bb AAAAAAAA\n",
            "a no-break space": "\u2014 a\u00a0b AAAAAAAA\n",
            "300 strangers": "\u2014 x AAAAAAAA\n" * 300,
        }.items()
    },
    "hello": replace("checkpoint", lambda data: b"hello\n"),
    "a size with a sign": replace("checkpoint", lambda data: _signed_text(f"{ORIGIN}\n+{SIZE}\n{_root_text()}\n")),
    "a size with zeros": replace("checkpoint", lambda data: _signed_text(f"{ORIGIN}\n00{SIZE}\n{_root_text()}\n")),
    "a negative size": replace("checkpoint", lambda data: _signed_text(f"{ORIGIN}\n-5\n{_root_text()}\n")),
    "a size past all": replace("checkpoint", lambda data: _signed_text(f"{ORIGIN}\n{2**63}\n{_root_text()}\n")),
    **{
        # Signed by the log and by the witness, and no checkpoint all the same.
        f"a text with {name}": replace("checkpoint", lambda data, form=form: _signed_text(form()))  # type: ignore[misc]
        for name, form in {
            "junk after the root": lambda: f"{ORIGIN}\n{SIZE}\n{_root_text()}!!\n",
            "a blank before the root": lambda: f"{ORIGIN}\n{SIZE}\n {_root_text()}\n",
            "a root of 30 bytes": lambda: f"{ORIGIN}\n{SIZE}\n{note.encode_base64(bytes(30))}\n",
            "a root of 33 bytes": lambda: f"{ORIGIN}\n{SIZE}\n{note.encode_base64(root(EVENTS) + bytes(1))}\n",
            "a cut root": lambda: f"{ORIGIN}\n{SIZE}\n{_root_text()[:-4]}\n",
            "bits to spare in the root": lambda: f"{ORIGIN}\n{SIZE}\n{_spare(_root_text())}\n",
            "an empty line": lambda: f"{ORIGIN}\n{SIZE}\n{_root_text()}\n\nmore\n",
            "a control character": lambda: f"{ORIGIN}\n{SIZE}\n{_root_text()}\na\x01b\n",
            "a return": lambda: f"{ORIGIN}\n{SIZE}\n{_root_text()}\na\r\n",
        }.items()
    },
    "a checkpoint with carriage returns": replace("checkpoint", lambda data: data.replace(b"\n", b"\r\n")),
    "a checkpoint of one line": replace("checkpoint", lambda data: data.replace(b"\n", b"")),
    "an empty checkpoint": replace("checkpoint", lambda data: b""),
    "a cosignature of a second that cannot be": replace("checkpoint", lambda data: _cosigned_at(1 << 63)),
}


def _root_text() -> str:
    return note.encode_base64(root(EVENTS))


def _spare(text: str) -> str:
    """Return the same bytes in base64 with a bit set that none of them has."""
    made = text[:-2] + chr(ord(text[-2]) + 1) + text[-1]
    assert base64.b64decode(made) == base64.b64decode(text)
    return made


def _cosigned_at(second: int) -> bytes:
    return _signed_text(Checkpoint(ORIGIN, SIZE, root(EVENTS)).text(), second)


@pytest.mark.parametrize("letter", ["\u200b", "\u00ad", "\u202e", "\x7f", "\x9b", "\ue000", "\u0378", "\U0001f600"])
def test_whatever_can_name_a_key_for_the_verifier_can_for_the_script(copy: Path, letter: str) -> None:
    """Anybody can add a line under a checkpoint; one that is passed over must not keep an auditor from verifying."""
    replace("checkpoint", lambda data: data + f"\u2014 a{letter}b AAAAAAAA\n".encode())(copy)
    assert (run(copy)[0], verifier_says(copy)) == (0, 0)


def _signed_text(text: str, second: int = 1) -> bytes:
    """Return what the keys of the log and the witness have signed, which the ledger's own would refuse to."""
    bare = [
        Ed25519PrivateKey.from_private_bytes(key.seed).sign(message)
        for key, message in ((KEY, text.encode()), (WITNESS, note.cosigned(text, second)))
    ]
    lines = (
        NoteSignature(KEY.name, KEY.verifier.id, bare[0]),
        NoteSignature(WITNESS.name, WITNESS.verifier.id, struct.pack(">Q", second) + bare[1]),
    )
    return (text + "\n" + "".join(line.line() for line in lines)).encode()


@pytest.mark.parametrize("case", BAD)
def test_what_is_broken_for_the_verifier_is_broken_for_the_script(copy: Path, case: str) -> None:
    """And what is nothing to verify for one is so for the other; each in words, and no traceback."""
    BAD[case](copy)
    status, said = run(copy)
    assert status == verifier_says(copy)
    assert status in (3, 4)
    assert said.startswith("BROKEN: " if status == 3 else "could not verify: ")
    assert "values to unpack" not in said


def test_an_entry_of_another_chain_is_found(copy: Path) -> None:
    """The last one, with links, leaves, head and signature made anew over it."""
    events = edited(EVENTS, SIZE, chain_id=bytes(16))
    bundle, segment = copy / "tile/entries/002.p/188", copy / "segment/002.p/188"
    bundle.write_bytes(tiles.encode_bundle(entry.encode(event) for event in events[512:]))
    unpacked = gzip.decompress(segment.read_bytes())
    segment.write_bytes(gzip.compress(unpacked[:74] + events[-1].hash + unpacked[106:]))
    (copy / "checkpoint").write_bytes(signed(events, SIZE))
    status, said = run(copy)
    assert (status, "entry 700 was changed" in said) == (3, True)


def test_a_segment_that_cannot_be_unpacked_is_named(copy: Path) -> None:
    """And so is what is there and no file, or larger than it may be: each as what it is."""
    segment = copy / "segment/002.p/188"
    packed = bytearray(segment.read_bytes())
    packed[40] ^= 0xFF
    segment.write_bytes(packed)
    status, said = run(copy)
    assert (status, said.startswith(f"BROKEN: {segment}")) == (3, True), said
    segment.unlink()
    assert f"{segment} is no file" in run(copy)[1]
    with segment.open("wb") as file:
        file.truncate(70_000_001)
    assert f"{segment} is too large" in run(copy)[1]


@pytest.mark.parametrize("name", [SEGMENT, BUNDLE, "checkpoint"])
def test_a_file_that_cannot_be_read_convicts_no_archive(copy: Path, name: str) -> None:
    """A bad sector is nobody's forgery: 4, as the verifier says, and which file it is."""
    (copy / name).unlink()
    # What stands at the first address of a process can nobody read.
    (copy / name).symlink_to("/proc/self/mem")
    status, said = run(copy)
    assert (status, verifier_says(copy)) == (4, 4)
    assert said == f"could not verify: {copy / name}: [Errno 5] Input/output error\n"


@pytest.mark.parametrize("name", [SEGMENT, BUNDLE, "checkpoint"])
def test_a_link_to_itself_is_no_file(copy: Path, name: str) -> None:
    """For both."""
    (copy / name).unlink()
    (copy / name).symlink_to(Path(name).name)
    status, said = run(copy)
    assert status == verifier_says(copy) == (4 if name == "checkpoint" else 3)
    assert f"{copy / name} is no file" in said


def test_what_the_archive_says_does_not_write_on_the_terminal(tmp_path: Path) -> None:
    """Whatever stands in it is shown with its control characters escaped."""
    write(tmp_path / "\x1b[2K\x1b[1GVERIFIED\x9b8m", SIZE)
    folder = tmp_path / "\x1b[2K\x1b[1GVERIFIED\x9b8m"
    (folder / BUNDLE).unlink()
    status, said = run(folder)
    assert status == 3
    assert "\x1b" not in said
    assert said.rstrip("\n").isprintable()


def test_a_signature_that_stands_there_often_is_checked_once(copy: Path) -> None:
    """A checkpoint may have many lines, and each check takes this script a while."""
    lines = (copy / "checkpoint").read_text().splitlines(keepends=True)
    (copy / "checkpoint").write_text("".join([*lines, *lines[-1:] * 150]))
    began = time.monotonic()
    assert (run(copy)[0], verifier_says(copy)) == (0, 0)
    assert time.monotonic() - began < 10


def test_two_keys_that_signed_count_as_two(tmp_path: Path) -> None:
    """A quorum of two witnesses is met by two cosignatures, in any order, and not by one."""
    text = Checkpoint(ORIGIN, 300, root(EVENTS[:300])).text()
    two = f"log {KEY.verifier.text()}\nwitness w1 {WITNESS.verifier.text()}\nwitness w2 {SECOND.verifier.text()}\n"
    trust = f"{two}group g 2 w1 w2\nquorum g\n".encode()
    for signatures, status in (
        ((KEY.sign(text), SECOND.sign(text, 1), WITNESS.sign(text, 2)), 0),
        ((KEY.sign(text), WITNESS.sign(text, 2)), 3),
        ((SECOND.sign(text, 1), WITNESS.sign(text, 2)), 3),
    ):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        archive = Archive(Folder(tmp_path / "a"), CHAIN_ID, ORIGIN)
        archive.extend(note.with_signatures(text, signatures).encode(), reader(EVENTS), trust, silent)
        assert run(tmp_path / "a", trust)[0] == status
