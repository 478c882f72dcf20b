"""
Stand between a client and PostgreSQL on a Unix socket, and let a COMMIT meet a fate.

What happens is what happens on a network: the client's side of the connection ends, and the server's session does not
know it yet. So a COMMIT can be lost on the way there, its answer on the way back, or it can arrive long after the
client gave up, while the session still holds every lock.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ledger.storage import small_transactions

Fate = Literal["lost before", "answer lost", "late", "cut"]
LATE_S = 0.15
_NAME = ".s.PGSQL.5432"
_COMMITS = (b"COMMIT\0", b"\0" + small_transactions.STATEMENT + b"\0")
"""A statement, and the call of a prepared one, which is a transaction by itself."""


Deliver = Callable[[bytes, socket.socket], None]


def _soon(data: bytes, server: socket.socket) -> None:
    time.sleep(LATE_S)
    server.sendall(data)


class Relay:
    """
    A socket that leads to the server's. `arm` decides what becomes of the next COMMIT.

    "lost before": it never arrives. "answer lost": it takes effect, and the client is not told. "late": it arrives
    once the client has seen its connection end. "cut": as "answer lost", and no connection is let through any more
    until `let_through`.
    """

    def __init__(self, server: Path) -> None:
        self._server = str(server / _NAME)
        self._folder = tempfile.TemporaryDirectory(prefix="tl-relay-")
        self._fate: Fate | None = None
        self._deliver: Deliver = _soon
        self._closed = threading.Event()
        self.through = True
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / _NAME))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def dsn(self, dsn: str) -> str:
        """Return *dsn* with this relay in the place of the server."""
        return f"{dsn.partition('?')[0]}?host={self._folder.name}"

    def arm(self, fate: Fate, deliver: Deliver | None = None) -> None:
        """Let the next COMMIT meet *fate*; *deliver* decides when a late one arrives."""
        self._fate, self._deliver = fate, deliver or _soon

    def let_through(self) -> None:
        self.through = True

    def close(self) -> None:
        self._closed.set()
        # Closing alone would leave the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(10)
        self._folder.cleanup()

    def _start(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.through:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            self._start(self._to_server, client, server)
            self._start(self._to_client, server, client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(1 << 16):
                    if self._fate is not None and any(x in data for x in _COMMITS):
                        self._meet(client, server, data)
                        return
                    server.sendall(data)
            except OSError:
                pass
            _end(server)

    def _meet(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        fate, self._fate = self._fate, None
        if fate == "cut":
            self.through = False
        if fate in ("late", "lost before"):
            _end(client)
            if fate == "late":
                # The session reads the end of its client only after it has done what was asked.
                with contextlib.ExitStack() as last:
                    last.callback(server.shutdown, socket.SHUT_WR)
                    self._deliver(data, server)
                return
            _end(server)
            return
        # The other thread would pass the answer on: the client's end is shut first, and then read no more.
        client.shutdown(socket.SHUT_WR)
        server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with server:
            try:
                while data := server.recv(1 << 16):
                    with contextlib.suppress(OSError):
                        client.sendall(data)
            except OSError:
                pass
            _end(client)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
