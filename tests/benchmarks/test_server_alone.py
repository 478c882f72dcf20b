"""
Cut what a client sent where it waits, and let a server refuse what does not follow.
"""

from __future__ import annotations

import pytest

from benchmarks import server_alone
from ledger.sandbox.postgres import Server


def _message(kind: bytes, text: bytes = b"") -> bytes:
    return kind + (4 + len(text)).to_bytes(4, "big") + text


OPENING = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big") + (12).to_bytes(4, "big") + b"\0\3\0\0user"
BEGIN, COPY = _message(b"Q", b"BEGIN\0"), _message(b"Q", b"COPY t FROM STDIN\0")
ROWS, DONE, SYNC = _message(b"d", b"rows"), _message(b"c"), _message(b"S")
PARSE, EXECUTE = _message(b"P", b"text"), _message(b"E", b"1")


@pytest.mark.parametrize(
    ("sent", "opening", "cut"),
    [
        (BEGIN + COPY + ROWS + ROWS + DONE + BEGIN, False, [BEGIN, COPY, ROWS + ROWS + DONE, BEGIN]),
        (PARSE + EXECUTE + SYNC + ROWS + DONE + SYNC, False, [PARSE + EXECUTE + SYNC, ROWS + DONE + SYNC]),
        (OPENING + _message(b"p", b"password") + BEGIN + _message(b"X"), True, [BEGIN]),
        (b"", False, []),
    ],
)
def test_what_was_sent_is_cut_where_the_client_waits(sent: bytes, opening: bool, cut: list[bytes]) -> None:
    """A COPY is two pieces: the server has to say that it takes rows, and then that it took them."""
    assert server_alone.turns(sent, opening=opening) == cut


def test_what_the_server_refuses_is_an_error(pg_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that were changed on their way are no writer's: a rate of what was not done would be a lie."""
    turns = server_alone.turns

    def spoilt(sent: bytes, *, opening: bool) -> list[bytes]:
        return [piece.replace(b"ledger.events ", b"ledger.nothing") for piece in turns(sent, opening=opening)]

    monkeypatch.setattr(server_alone, "turns", spoilt)
    with pytest.raises(RuntimeError, match="the server refused what a writer had sent before"):
        server_alone.append(pg_server, 90, 90)
