"""
Check signatures and the files that keep keys.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.chain import acknowledgement, signatures
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput, NotPermitted, SignatureInvalid

PAIR = KeyPair("publisher", "region-a", bytes(range(32)))


def test_a_signature_is_of_one_statement_in_one_domain_by_one_key() -> None:
    """RFC 8032's first vector holds, and any other statement, domain, key or signature does not."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    known = KeyPair("recovery", "test", seed)
    assert known.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert known.sign(b"", b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f")
    good = PAIR.sign(b"d", b"statement")
    signatures.check(PAIR.public_key, b"d", b"statement", good)
    for key, domain, statement, signature in (
        (known.public_key, b"d", b"statement", good),
        (PAIR.public_key, b"e", b"statement", good),
        (PAIR.public_key, b"d", b"statemenu", good),
        (PAIR.public_key, b"d", b"statement", good[:-1] + bytes([good[-1] ^ 1])),
        (PAIR.public_key, b"d", b"statement", b""),
        (b"short", b"d", b"statement", good),
    ):
        with pytest.raises(SignatureInvalid):
            signatures.check(key, domain, statement, signature)


def test_a_key_id_is_of_one_purpose() -> None:
    """The same key under another purpose is another key."""
    assert PAIR.key_id != KeyPair("replica", "region-a", PAIR.seed).key_id


def test_a_key_of_another_purpose_is_refused_by_name(tmp_path: Path) -> None:
    pair = KeyPair("publisher", "p", bytes(32))
    signatures.write(tmp_path / "p.json", pair)
    assert signatures.read_for(tmp_path / "p.json", "publisher") == pair
    with pytest.raises(InvalidInput, match="is the key of a publisher; expected that of a checkpoint"):
        signatures.read_for(tmp_path / "p.json", "checkpoint")


def test_key_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Written with mode 0600, never over another, refused when others may read them or when they were changed."""
    path = tmp_path / "keys" / "publisher.json"
    signatures.write(path, PAIR)
    assert path.stat().st_mode & 0o777 == 0o600
    assert signatures.read(path) == PAIR
    with pytest.raises(FileExistsError):
        signatures.write(path, PAIR)
    path.chmod(0o640)
    with pytest.raises(NotPermitted, match="chmod 600"):
        signatures.read(path)
    path.chmod(0o600)
    path.write_text(path.read_text().replace("00010203", "ff010203"))
    with pytest.raises(InvalidInput, match="was changed"):
        signatures.read(path)
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="no key file"):
        signatures.read(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        signatures.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("read", "width", "what"),
    [
        (signatures.key_id_bytes, 8, "key id"),
        (signatures.public_key_bytes, 32, "public key"),
        (signatures.signature_bytes, 64, "signature"),
    ],
)
def test_what_is_written_in_digits_has_one_spelling(read: Callable[[str], bytes], width: int, what: str) -> None:
    """So many lower-case digits; the error says what was looked for."""
    raw = bytes(range(256))[-width:]
    assert read(raw.hex()) == raw
    for text in (
        "",
        raw.hex()[2:],
        raw.hex() + "00",
        raw.hex().upper(),
        "X" * 2 * width,
        " " + raw.hex()[1:],
        "x" * 99,
    ):
        with pytest.raises(InvalidInput, match=f"found {what} '.*expected {2 * width} lower-case"):
            read(text)


def test_an_acknowledgement_is_checked_by_its_replicas_key() -> None:
    """The signature over it is good, under the id of the key that signed; of another key, body or purpose it is not."""
    replica, other = KeyPair("replica", "b", bytes(31) + b"\x03"), KeyPair("replica", "c", bytes(31) + b"\x04")
    said = Acknowledgement(bytes(16), 1, 7, b"h" * 32, b"d" * 32, -9, other.key_id)
    value = acknowledgement.encode(said, replica)
    found = acknowledgement.decode(value, replica.public_key)
    assert found == msgspec.structs.replace(said, key_id=replica.key_id)
    acknowledgement.check(found, value[-64:], replica.public_key)
    wrong = replica.sign(b"trade-ledger/another", value[:-64])
    for changed, signature, key in (
        (found, value[-64:], other.public_key),
        (found, wrong, replica.public_key),
        (found, bytes(64), replica.public_key),
        (msgspec.structs.replace(found, seq=8), value[-64:], replica.public_key),
    ):
        with pytest.raises(SignatureInvalid):
            acknowledgement.check(changed, signature, key)
