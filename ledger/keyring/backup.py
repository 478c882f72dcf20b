"""
Seal key files and a signer's state into one file, under a passphrase.

A key for the cipher is made of the passphrase by scrypt (RFC 7914), slow and hungry on purpose, and everything is
sealed by ChaCha20-Poly1305 (RFC 8439) together with the header, so that no bit of the file can be changed unseen. The
bytes are specified in docs/FORMAT.md; to change them, give the magic another number.

A wrong passphrase and a changed file look the same from here, and nobody can tell them apart.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ledger.chain import signatures
from ledger.errors import InvalidInput, LedgerError, UnknownFormat, shown
from ledger.sealing import promises

MAGIC: Final = b"trade-ledger/kb1"
_HEADER: Final = struct.Struct(">16sBBB16s12s")
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
COST: Final = 17
"""Binary logarithm of scrypt's N: 2^17 blocks of 1 KiB, so a guess takes 128 MiB and a third of a second."""
COSTS: Final = range(14, 21)
"""What is read: less is no protection, and more would take a gigabyte from whoever opens a hostile file."""
_BLOCK: Final = 8
_LANES: Final = 1
PASSPHRASE_LEAST: Final = 12
"""Characters; a shorter one is guessed whatever scrypt costs."""


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is backed up: when (seconds since 1970), each key file's text by name, and the text of a signer's state.
    """

    made_at: int
    keys: dict[str, str]
    state: str | None
    schema_version: int = 1

    def __repr__(self) -> str:
        """
        Return what may stand in a log or a traceback: names, and never what is in the files.
        """
        return f"Backup({self.made_at}, {sorted(self.keys)}, state={self.state is not None})"


def check_passphrase(passphrase: bytes) -> None:
    """
    Raise InvalidInput where a passphrase is too short to seal anything.
    """
    if len(passphrase) < PASSPHRASE_LEAST:
        raise InvalidInput(f"the passphrase has {len(passphrase)} bytes; expected at least {PASSPHRASE_LEAST}")


def _cipher(passphrase: bytes, header: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    _, cost, block, lanes, salt, nonce = _HEADER.unpack(header)
    key = Scrypt(salt=salt, length=32, n=1 << cost, r=block, p=lanes).derive(passphrase)
    return ChaCha20Poly1305(key), nonce


def encode(backup: Backup, passphrase: bytes, salt: bytes, nonce: bytes, cost: int = COST) -> bytes:
    """
    Return the bytes of the sealed file; *salt* (16 bytes) and *nonce* (12) are random and used once.

    Raises:
        InvalidInput: the passphrase is too short.
    """
    check_passphrase(passphrase)
    header = _HEADER.pack(MAGIC, cost, _BLOCK, _LANES, salt, nonce)
    cipher, nonce = _cipher(passphrase, header)
    return header + cipher.encrypt(nonce, msgspec.json.encode(backup), header)


def decode(data: bytes, passphrase: bytes) -> Backup:
    """
    Return what was sealed.

    Raises:
        UnknownFormat: it is no backup, or one of a later version.
        InvalidInput: the passphrase is another, or the file was changed.
    """
    header = data[: _HEADER.size]
    if not header.startswith(MAGIC) or len(data) < _HEADER.size:
        raise UnknownFormat(f"found a file that begins with {data[:16].hex() or 'nothing'}; expected a backup of keys")
    _, cost, block, lanes, _, _ = _HEADER.unpack(header)
    if cost not in COSTS or (block, lanes) != (_BLOCK, _LANES):
        raise UnknownFormat(f"found scrypt's cost 2^{cost}, {block}, {lanes}; expected 2^14 to 2^20, 8, 1")
    try:
        cipher, nonce = _cipher(passphrase, header)
        return _checked(cipher.decrypt(nonce, data[_HEADER.size :], header))
    except MemoryError as error:
        raise InvalidInput(f"there is no memory to open it: {1 << cost - 10} MiB are needed") from error
    except InvalidTag:
        raise InvalidInput("the passphrase is another one, or the file was changed or cut short") from None


def _checked(content: bytes) -> Backup:
    """Return the backup in what was sealed: whoever knew the passphrase may still have sealed nonsense."""
    try:
        found = msgspec.json.decode(content, type=Backup)
        if found.schema_version != 1:
            raise UnknownFormat(f"found a backup of version {found.schema_version}; expected 1")
        for name, text in found.keys.items():
            check_name(name)
            signatures.decode(text.encode())
        if found.state is not None:
            promises.decode(found.state.encode())
    except (msgspec.MsgspecError, LedgerError, UnicodeError) as error:
        raise UnknownFormat(f"what was sealed is no backup of keys: {error}") from None
    return found


def check_name(name: str) -> None:
    """
    Raise InvalidInput unless *name* can be that of a key file, in the folder and not elsewhere.
    """
    if not name.endswith(".json") or name.startswith(".") or "/" in name or "\0" in name or len(name) > 200:
        raise InvalidInput(f"found {shown(name)}; expected the name of a key file, such as checkpoint.json")


def restored_state(backup: Backup) -> bytes:
    """
    Return the signer's state as it is restored: marked, so that nothing is signed before witnesses were asked.

    That there was none is no reason to trust it: the key may have signed all the same.
    """
    kept = {} if backup.state is None else promises.decode(backup.state.encode())
    return promises.encode(kept, restored=True)
