"""
Answer over HTTP, on a TCP port or on a socket in the file system, one request after the other.

The order is the point: a checkpoint is judged by what was kept, kept, and only then answered, and no second request
is judged in between. Bodies have a limit, silence has a deadline, and what fails inside is said to be the server's
fault and goes to its log.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from ledger.errors import InvalidInput
from ledger.evidence.witness import REQUEST_LIMIT_BYTES, TEXT_TYPE

SILENCE_SECONDS: Final = 10.0
"""How long a connection may say nothing before it is closed."""

CONNECTIONS_LIMIT: Final = 64


class Reply(msgspec.Struct, frozen=True):
    """
    An HTTP status with a body.
    """

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


Respond = Callable[[str, str, bytes], Reply]
"""What answers a method, a path and a body."""

Complain = Callable[[str], None]
"""Where the server says what went wrong inside it."""


def _handler(respond: Respond, complain: Complain) -> type[http.server.BaseHTTPRequestHandler]:
    turn = threading.Lock()
    places = threading.BoundedSemaphore(CONNECTIONS_LIMIT)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "trade-ledger"
        sys_version = ""
        timeout = SILENCE_SECONDS

        def handle(self) -> None:
            if not places.acquire(blocking=False):
                return  # closed without a word: whoever floods the port is owed none
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                pass  # the other side went away, which is its right
            finally:
                places.release()

        def _answer(self, method: str) -> None:
            length = self.headers.get("Content-Length", "0")
            # Zeros before a number would make a huge one of many digits look small in its first ones.
            if not (length.isascii() and length.isdigit()) or len(length) > 12 or int(length) > REQUEST_LIMIT_BYTES:
                self.close_connection = True
                self._send(Reply(413, f"a request has at most {REQUEST_LIMIT_BYTES} bytes\n".encode()))
                return
            body = self.rfile.read(int(length))
            try:
                with turn:
                    reply = respond(method, self.path, body)
            except Exception as error:  # whatever it is, the caller must hear that nothing was signed
                complain(f"{method} {self.path}: {type(error).__name__}: {error}")
                reply = Reply(500, b"nothing was signed; see the log of this server\n")
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def address_string(self) -> str:
            return str(self.client_address[0]) if self.client_address else "a local process"

        def log_message(self, format: str, *arguments: object) -> None:
            return  # a line a second for each log would bury what matters

    return Handler


class _TcpServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _FileServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("a local process", 0)


Server = socketserver.BaseServer


_SOCKET: Final = ".socket"
"""What a name without a folder ends in if it is meant for a socket."""


def serve(where: str, respond: Respond, complain: Complain) -> Server:
    """
    Return a server at *where*, `host:port` or the path of a socket; `serve_forever` runs it, `shutdown` ends it.

    A socket in the file system can be reached by its owner alone.

    Raises:
        InvalidInput: nothing can be served there.
    """
    handler = _handler(respond, complain)
    host, colon, port = where.rpartition(":")
    try:
        if colon and "/" not in where and port.isascii() and port.isdigit():
            return _TcpServer((host.strip("[]") or "127.0.0.1", int(port)), handler)
        if "/" not in where and not where.endswith(_SOCKET):
            port = where if where.isdigit() else "9464"
            raise InvalidInput(f"found {where!r} to listen at; expected host:port, such as 127.0.0.1:{port}, or the "
                               f"path of a socket, such as ./{where}{_SOCKET}")  # fmt: skip
        path = Path(where)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_socket() and not _is_served(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            return _FileServer(str(path), handler)
        finally:
            os.umask(before)
    except (OSError, OverflowError) as error:
        raise InvalidInput(f"nothing can be served at {where}: {error}; name a free host:port or a path") from error


def run(where: str, respond: Respond, who: str) -> None:
    """
    Serve at *where* until the process is interrupted or told to end; what fails inside goes to standard error.

    Raises:
        InvalidInput: nothing can be served there.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with serve(where, respond, lambda what: print(what, file=sys.stderr, flush=True)) as server:
        print(f"{who} listens at {where}", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.1)
    if not isinstance(server.server_address, tuple):
        Path(where).unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return False
        return True
