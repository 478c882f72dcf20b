"""
Check that every reader of JSON from outside names what is none: bytes that are no text, and nesting without end.

The library that decodes raises three errors that are no relatives. Who catches two of them ends in a traceback on a
file of a few bytes, so one place catches all three, and every reader is held to it here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from ledger import foreign_json
from ledger.archiving.layout import CHAIN, ChainFile
from ledger.archiving.stores import Folder
from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.domain import snapshot_bytes
from ledger.domain.state import State
from ledger.errors import InvalidInput, LedgerError, UnknownFormat
from ledger.evidence import payload_file
from ledger.evidence.witness import Kept as Promised
from ledger.keyring import backup, folder
from ledger.sealing import promises
from tests.archiving.chains import CHAIN_ID, ORIGIN, signed
from tests.archiving.written import EVENTS, kinds, verify, write
from verifier import receipts
from verifier.archive.resuming import Kept, Task
from verifier.stored import Unreadable
from verifier.tiled import scrubbed
from verifier.tiled.archives import Archive
from verifier.tiled.scrubbed import Scrubbed
from verifier.walk import saved

KEY = KeyPair("replica", "region-b", bytes(31) + b"\x03")
KEPT = Promised(300, bytes(32), signed(EVENTS, 300))
DEEP = b"[" * 100_000 + b"]" * 100_000


def with_member(good: bytes, member: bytes) -> bytes:
    """Return the JSON object *good* with one more member at its beginning."""
    return b"{" + member + b"," + good.strip()[1:]


def hostile(good: bytes) -> list[bytes]:
    """Return what is no JSON of this shape, each in a way of its own."""
    return [
        b"", b"\xff", b"[", b"null", b"{}", DEEP, with_member(good, b'"x":' + DEEP),
        good.replace(b'":"', b'":"\xff', 1).replace(b'": "', b'": "\xff', 1),
        good.replace(b'":"', b'":"\\ud800', 1).replace(b'": "', b'": "\\ud800', 1),
    ]  # fmt: skip


def members(good: bytes) -> list[bytes]:
    """Return what has a member that nobody knows, of no text or under a name that is none."""
    added = (b'"x":1', b'"x":"\xff"', b'"\xff":1', b'"x":"\xed\xa0\x80"')
    return [with_member(good, member) for member in added]


def in_a_file(read: Callable[[Path], object], place: Path) -> Callable[[bytes], object]:
    def feed(data: bytes) -> object:
        place.write_bytes(data)
        return read(place)

    return feed


STATES = promises.encode({ORIGIN: KEPT})
KEY_FILE = signatures.encode(KEY)
BACKUP = msgspec.json.encode(backup.Backup(1, {"a.json": KEY_FILE.decode()}, STATES.decode()))
PAYLOAD = payload_file.PayloadFile(b"entry", bytes(16), b"{}").encode()

IN_MEMORY: dict[str, tuple[Callable[[bytes], object], bytes, type[LedgerError]]] = {
    "promises": (promises.decode, STATES, InvalidInput),
    "a key file": (signatures.decode, KEY_FILE, InvalidInput),
    "a backup": (backup._checked, BACKUP, UnknownFormat),
    "a payload file": (payload_file.decode, PAYLOAD, UnknownFormat),
    "a receipt": (lambda data: list(receipts.read([data])), b'{"seq":1,"hash":"' + b"00" * 32 + b'"}', Unreadable),
    "a chain file": (
        lambda data: foreign_json.decode(data, ChainFile), ChainFile(CHAIN_ID.hex(), ORIGIN, 1).encode(), UnknownFormat
    ),
}  # fmt: skip
PASSES_OVER: frozenset[str] = frozenset({"a receipt", "a chain file"})
"""Readers that pass over members they do not know, as docs/FORMAT.md lets them; of no text among them."""


def refuses(feed: Callable[[bytes], object], good: bytes, error: type[LedgerError], lenient: bool) -> None:
    """Feed the good one and then each hostile one, which is refused by name."""
    feed(good)
    # An empty line of receipts is passed over too.
    for data in (*hostile(good)[lenient:], *(() if lenient else members(good))):
        with pytest.raises(error):
            feed(data)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_what_is_no_json_of_the_shape_is_refused_by_name(name: str) -> None:
    """Bytes that are no UTF-8, lone surrogates, nesting without end, members that nobody knows."""
    feed, good, error = IN_MEMORY[name]
    refuses(feed, good, error, name in PASSES_OVER)


def test_a_state_that_is_no_json_of_its_shape_is_refused_by_name(tmp_path: Path) -> None:
    """Of a walk, of a scrub, and of the verification of an archive."""
    place, task = tmp_path / "state", Task("here", "00" * 32, 0, 3)
    rounds = msgspec.json.encode(Scrubbed(ORIGIN, CHAIN_ID.hex(), 1))
    refuses(in_a_file(lambda path: scrubbed.read(path), place), rounds, Unreadable, lenient=False)
    for data in (b"\xff", DEEP, b'{"x":' + DEEP + b"}", b'{"origin":"\xff"}'):
        place.write_bytes(data)
        with pytest.raises(Unreadable):
            saved.read(place)
        with pytest.raises(Unreadable):
            Kept(place, task)
        place.write_bytes(msgspec.json.encode(task) + b"\n" + data + b"\n")
        with pytest.raises(Unreadable):
            Kept(place, task)


@pytest.mark.parametrize("number", range(9))
def test_an_archives_chain_file_that_is_no_json_is_a_finding(tmp_path: Path, number: int) -> None:
    """
    Not the end of the verification; read in parts it is no archive. Whose the archive is, is the word of one line, as
    the script for auditors reads it, whatever the others say.
    """
    write(tmp_path, 300)
    good = (tmp_path / CHAIN).read_bytes()
    (tmp_path / CHAIN).write_bytes(hostile(good)[number])
    assert kinds(verify(tmp_path)) == {"BYTES_MODIFIED"}
    with pytest.raises(Unreadable, match="verify it whole"):
        Archive(Folder(tmp_path))
    other = (tmp_path / "checkpoint").read_bytes().replace(ORIGIN.encode(), b"another.example/log")
    (tmp_path / "checkpoint").write_bytes(other)
    if f'  "origin": "{ORIGIN}",'.encode() in hostile(good)[number].split(b"\n"):
        assert kinds(verify(tmp_path)) == {"BYTES_MODIFIED", "CHECKPOINT_SIG"}
        return
    with pytest.raises(Unreadable, match="other logs"):
        verify(tmp_path)


def test_a_file_in_a_folder_of_keys_is_no_reason_to_end(tmp_path: Path) -> None:
    """Whatever it nests, it is listed as one that is broken."""
    tmp_path.chmod(0o700)
    (tmp_path / "a.json").write_bytes(DEEP)
    (tmp_path / "a.json").chmod(0o600)
    (found,) = folder.key_files(tmp_path)
    assert found.pair is None


def test_rows_of_a_snapshot_that_nest_without_end_are_none() -> None:
    """What a database says is read as what a stranger says."""
    name = next(iter(snapshot_bytes.TABLES)).encode()
    whole = zstandard.ZstdCompressor().compress(snapshot_bytes.MAGIC + name + b" " + DEEP + b"\n")
    assert snapshot_bytes.decode(snapshot_bytes.encode(State())) is not None
    with pytest.raises(ValueError, match="recursion"):
        snapshot_bytes.decode(whole)
