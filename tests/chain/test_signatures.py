"""
Check signatures and the files that keep keys.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.chain import signatures
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
