"""
Check the sealed file of keys: it opens with its passphrase, and with no bit changed it opens otherwise.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput, LedgerError, UnknownFormat
from ledger.keyring import backup
from ledger.keyring.backup import Backup
from ledger.sealing import promises
from tests.sealing.logs import KEY, Log
from tests.sealing.test_litewitness import kept

PASSPHRASE = b"correct horse battery"
PAIR = KeyPair("checkpoint", "signer", bytes(range(32)))
STATE = promises.encode({KEY.name: kept(Log(), 20)}).decode()
CONTENT = Backup(1_700_000_000, {"checkpoint.json": signatures.encode(PAIR).decode()}, STATE)
SEALED = backup.encode(CONTENT, PASSPHRASE, bytes(range(16)), bytes(range(12)), cost=14)
VECTOR = Path(__file__).parents[1] / "vectors" / "key_backup.json"


def test_it_opens_with_its_passphrase_alone() -> None:
    """What was sealed comes out; a wrong passphrase, and one that is too short, are told."""
    assert backup.decode(SEALED, PASSPHRASE) == CONTENT
    for wrong in (PASSPHRASE[:-1], PASSPHRASE + b"\n", b""):
        with pytest.raises(InvalidInput, match="passphrase is another one"):
            backup.decode(SEALED, wrong)
    with pytest.raises(InvalidInput, match="at least 12"):
        backup.encode(CONTENT, b"short", bytes(16), bytes(12))
    assert PAIR.seed.hex().encode() not in SEALED
    assert PAIR.seed.hex() not in repr(CONTENT)


def test_no_changed_byte_goes_unseen() -> None:
    """Header, content and tag: each is sealed; where scrypt's own numbers were changed, they are refused by name."""
    for place in [*range(48), 200, len(SEALED) - 1]:
        changed = SEALED[:place] + bytes([SEALED[place] ^ 1]) + SEALED[place + 1 :]
        with pytest.raises((InvalidInput, UnknownFormat)):
            backup.decode(changed, PASSPHRASE)
    for cut in (0, 10, 46, 47, 60, len(SEALED) - 1):
        with pytest.raises((InvalidInput, UnknownFormat)):
            backup.decode(SEALED[:cut], PASSPHRASE)
    with pytest.raises(InvalidInput):
        backup.decode(SEALED + b"x", PASSPHRASE)


@pytest.mark.parametrize("cost", [0, 13, 21, 63, 255])
def test_a_hostile_file_cannot_ask_for_more_memory_than_is_read(cost: int) -> None:
    """Nor for so little that its passphrase could be guessed."""
    with pytest.raises(UnknownFormat, match="scrypt's cost"):
        backup.decode(SEALED[:16] + bytes([cost]) + SEALED[17:], PASSPHRASE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (msgspec.structs.replace(CONTENT, schema_version=2), "version 2"),
        (msgspec.structs.replace(CONTENT, keys={"../checkpoint.json": "{}"}), "the name of a key file"),
        (msgspec.structs.replace(CONTENT, keys={".json": "{}"}), "the name of a key file"),
        (msgspec.structs.replace(CONTENT, keys={"checkpoint.json": "{}"}), "no key file"),
        (msgspec.structs.replace(CONTENT, state="{}"), "no state"),
    ],
)
def test_what_was_sealed_by_who_knew_the_passphrase_is_checked_too(content: Backup, says: str) -> None:
    """No name leads out of the folder, and nothing is restored that is no key and no state."""
    data = backup.encode(content, PASSPHRASE, bytes(16), bytes(12), cost=14)
    with pytest.raises(UnknownFormat, match=says):
        backup.decode(data, PASSPHRASE)


def test_a_state_that_is_restored_is_marked() -> None:
    """With what was kept, or with nothing where nothing was backed up."""
    for content, origins in ((CONTENT, [KEY.name]), (msgspec.structs.replace(CONTENT, state=None), [])):
        state = backup.restored_state(content)
        assert (list(promises.decode(state)), b'"restored": true' in state) == (origins, True)


def test_the_format_page_is_enough_to_open_one() -> None:
    """The vector's file, opened by scrypt of the standard library as docs/FORMAT.md says."""
    vector = json.loads(VECTOR.read_text())
    data, passphrase = bytes.fromhex(vector["file"]), vector["passphrase"].encode()
    magic, (cost, block, lanes), salt, nonce = data[:16], data[16:19], data[19:35], data[35:47]
    assert magic == b"trade-ledger/kb1"
    key = hashlib.scrypt(passphrase, salt=salt, n=1 << cost, r=block, p=lanes, maxmem=1 << 28, dklen=32)
    assert key.hex() == vector["key"]
    content = ChaCha20Poly1305(key).decrypt(nonce, data[47:], data[:47])
    assert json.loads(content) == vector["content"]
    assert backup.decode(data, passphrase).keys == vector["content"]["keys"]


def test_random_bytes_are_no_backup() -> None:
    """Only named errors."""
    for data in (b"", b"trade-ledger/kb1", b"trade-ledger/kb2" + SEALED[16:], SEALED[1:], b"{}" * 100):
        with pytest.raises(LedgerError):
            backup.decode(data, PASSPHRASE)
