"""
Check that a payload file gives back the bytes it was made of, and that nothing else is taken for one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.errors import UnknownFormat
from ledger.evidence import payload_file
from ledger.evidence.payload_file import PayloadFile

PAYLOAD = '{"derived":{},"given":{"memo":"\\u0000 \\" é \N{LATIN SMALL LETTER O WITH STROKE} 𝄞"}}'.encode()
FILE = PayloadFile(bytes(range(256)), bytes(16), PAYLOAD)


def test_a_payload_file_gives_back_its_bytes() -> None:
    """The payload stands in it as text that people read, and comes out to the byte."""
    assert payload_file.decode(FILE.encode()) == FILE
    shape = json.loads(FILE.encode())
    assert (shape["kind"], shape["schema_version"]) == ("trade-ledger payload", 1)
    assert shape["payload"].encode() == PAYLOAD


def changed(**changes: Any) -> bytes:
    shape = {**json.loads(FILE.encode()), **changes}
    return json.dumps({name: value for name, value in shape.items() if value is not None}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"\xff", b"null", FILE.encode()[:-3], FILE.encode() + b"{}", changed(kind="payload"),
        changed(schema_version=2), changed(more=1), changed(salt="00"), changed(salt="AB" * 16),
        changed(salt="zz" * 16), changed(salt=None), changed(entry="a"), changed(entry="AA"), changed(payload=7),
        FILE.encode().replace(b"derived", b"\\ud800"), b"[" * 100_000, b" " * (payload_file.FILE_LIMIT_BYTES + 1),
    ],
)  # fmt: skip
def test_what_is_no_payload_file_is_refused_by_name(data: bytes) -> None:
    """Also one of another version, with members that are not known, cut, doubled, nested or too large."""
    with pytest.raises(UnknownFormat):
        payload_file.decode(data)


@pytest.mark.parametrize("name", ["kind", "entry", "salt", "payload", "p\\u0061yload"])
def test_a_member_stands_once(name: str) -> None:
    """Of two the checker takes one, and who reads the file sees the other: also where it is spelled in another way."""
    file = FILE.encode().replace(b"{", b'{"' + name.encode() + b'": "another",', 1)
    with pytest.raises(UnknownFormat, match="stands in it more than once"):
        payload_file.decode(file)


def test_a_payload_file_may_be_as_long_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte; its lines are indented by one blank."""
    data = FILE.encode()
    assert data.splitlines()[1].startswith(b' "kind"')
    monkeypatch.setattr(payload_file, "FILE_LIMIT_BYTES", len(data))
    assert payload_file.decode(data) == FILE
    monkeypatch.setattr(payload_file, "FILE_LIMIT_BYTES", len(data) - 1)
    with pytest.raises(UnknownFormat, match="at most"):
        payload_file.decode(data)
