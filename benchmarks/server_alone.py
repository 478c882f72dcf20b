"""
Send the server once more what a writer sent it, without the writer: no writer can be quicker than that.

What a writer sends is recorded on its way, by a socket of its own in front of the server's, and sent again to a copy of
the database as it was before. The copy's guards, constraints and read models have the same to do, and come to the same.
"""

from __future__ import annotations

import os
import select
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from benchmarks import measures, workload
from benchmarks.measures import Pair
from ledger import Ledger, WriterSettings
from ledger.sandbox.postgres import Server

_SOCKET: Final = ".s.PGSQL.5432"
_CHUNK: Final = 1 << 20
_ENCRYPTION: Final = (80877103, 80877104)
"""What asks for TLS and for GSSAPI in the place of a protocol version, as PostgreSQL's protocol has it."""
_ANSWERED: Final = b"QS"
"""Messages that are answered before a client goes on: a simple query, and the end of a pipeline."""
_COPIED: Final = b"cf"
_SYNC: Final = b"S"
_READY: Final = b"ZG"
"""The server is ready for the next query, or for the rows of a COPY."""
_ERROR: Final = b"E"


class _Recorder(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, folder: Path, onward: str) -> None:
        self.onward = onward
        self.sent: list[bytearray] = []
        super().__init__(str(folder / _SOCKET), _Recorded)


class _Recorded(socketserver.BaseRequestHandler):
    server: _Recorder

    def handle(self) -> None:
        """Hand on what either side sends until one of them is done, and keep what the client sent."""
        sent = bytearray()
        self.server.sent.append(sent)
        with socket.socket(socket.AF_UNIX) as onward:
            onward.connect(self.server.onward)
            while True:
                for side in select.select([self.request, onward], [], [])[0]:
                    data = side.recv(_CHUNK)
                    if not data:
                        return
                    if side is self.request:
                        sent += data
                        onward.sendall(data)
                    else:
                        self.request.sendall(data)


@contextmanager
def _recorder(server: Server) -> Iterator[tuple[_Recorder, str]]:
    """Yield a recorder in front of *server*, and the folder of the socket at which it listens."""
    onward = str(server.socket / _SOCKET)
    with tempfile.TemporaryDirectory(prefix="tl-rec-") as folder, _Recorder(Path(folder), onward) as recorder:
        threading.Thread(target=recorder.serve_forever, daemon=True).start()
        try:
            yield recorder, folder
        finally:
            recorder.shutdown()


def turns(sent: bytes, *, opening: bool) -> list[bytes]:
    """
    Return what a client sent, cut where it waits for the server: each piece is answered before the next is sent.

    With *opening*, *sent* begins with how a session is opened, which is left out, as is how one is closed.
    """
    place = _opened(sent) if opening else 0
    messages = []
    while place < len(sent):
        end = place + 1 + int.from_bytes(sent[place + 1 : place + 5], "big")
        messages.append(sent[place:end])
        place = end
    made, piece = [], b""
    for number, message in enumerate(messages):
        kind = message[:1]
        if kind in b"Xp":
            continue
        piece += message
        ends_copy = kind in _COPIED and messages[number + 1 : number + 2] != [_SYNC + b"\0\0\0\4"]
        if kind in _ANSWERED or ends_copy:
            made.append(piece)
            piece = b""
    return made


def _opened(sent: bytes) -> int:
    """Return where the first message begins after those that have no kind."""
    place = 0
    while True:
        size, asked = (int.from_bytes(sent[place + n : place + n + 4], "big") for n in (0, 4))
        place += size
        if asked not in _ENCRYPTION:
            return place


def _send(to: socket.socket, pieces: Sequence[bytes]) -> None:
    """Send each of *pieces* when the one before it is answered; a refusal is an error."""
    answers = bytearray()
    for piece in pieces:
        to.sendall(piece)
        while not _is_answered(answers):
            data = to.recv(_CHUNK)
            if not data:
                raise RuntimeError("the server ended the session to which a writer's bytes were sent again")
            answers += data


def _is_answered(answers: bytearray) -> bool:
    """Take whole messages from *answers*; return whether the server waits for the client now."""
    while len(answers) >= 5:
        end = 1 + int.from_bytes(answers[1:5], "big")
        if len(answers) < end:
            return False
        kind, text = bytes(answers[:1]), bytes(answers[5:end])
        del answers[:end]
        if kind == _ERROR:
            raise RuntimeError(f"the server refused what a writer had sent before: {text!r}")
        if kind in _READY:
            return True
    return False


def append(server: Server, size: int, transaction: int) -> Pair:
    """
    Return events a second that the server alone takes in by *transaction*, beside COPY of the same rows.
    """
    with measures.database(server) as name, _recorder(server) as (recorder, folder):
        with Ledger.open(server.dsn("writer", name)) as ledger:
            workload.prepare(ledger)
            first = ledger.head().seq
        with _copy(server, name) as copy:
            address, settings = f"postgresql://writer@/{name}?host={folder}", WriterSettings(batch_events=transaction)
            with Ledger.open(address, settings=settings) as ledger:
                opened = [len(sent) for sent in recorder.sent]
                measures.timed(ledger, workload.first_orders("bulk", size))
                head = ledger.head()
            # A writer appends over one connection; what else it has sends little.
            sent, length = max(zip(recorder.sent, opened, strict=False), key=lambda x: len(x[0]))
            seconds = _again(server.dsn("writer", copy), bytes(sent[:length]), bytes(sent[length:]))
            with Ledger.open(server.dsn("writer", copy)) as ledger:
                if ledger.head() != head:
                    raise RuntimeError(f"the copy came to {ledger.head()}, the writer to {head}: nothing was measured")
        return size / seconds, size / measures.copied(server, name, first, transaction)


def _again(address: str, opening: bytes, appending: bytes) -> float:
    """Send both again, in a session of its own, and return how many seconds the second took."""
    with psycopg.connect(address) as session, socket.socket(fileno=os.dup(session.pgconn.socket)) as to:
        to.setblocking(True)
        _send(to, turns(opening, opening=True))
        pieces = turns(appending, opening=False)
        began = time.perf_counter()
        _send(to, pieces)
        return time.perf_counter() - began


@contextmanager
def _copy(server: Server, name: str) -> Iterator[str]:
    """Yield the name of a copy of database *name* as it is now."""
    copy = f"{name}_copy"
    server.sql(f"CREATE DATABASE {copy} TEMPLATE {name} OWNER ledger_owner")
    try:
        yield copy
    finally:
        server.sql(f"DROP DATABASE {copy} WITH (FORCE)")
