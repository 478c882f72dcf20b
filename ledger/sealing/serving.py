"""
Answer over HTTP, on a TCP port or on a socket in the file system, one request after the other.

The order is the point: a checkpoint is judged by what was kept, kept, and only then answered, and no second request
is judged in between. Bodies have a limit, a request has a deadline and connections have a number, and what fails inside
is said to be the server's fault and goes to its log.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from ledger.errors import InvalidInput
from ledger.evidence.witness import REQUEST_LIMIT_BYTES, TEXT_TYPE
from ledger.sealing.connections import CONNECTIONS_LIMIT, SEND_SECONDS, Connections, Cut, Reader


class Reply(msgspec.Struct, frozen=True):
    """
    An HTTP status with a body.
    """

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


WAITING_LIMIT: Final = 1024
"""How many connections may wait to be taken in, where the system lets so many; on a socket file the next is refused."""

Respond = Callable[[str, str, bytes], Reply]
"""What answers a method, a path and a body."""

Complain = Callable[[str], None]
"""Where the server says what went wrong inside it."""


def _handler(
    respond: Respond, complain: Complain, connections: Connections
) -> type[http.server.BaseHTTPRequestHandler]:
    turn = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "trade-ledger"
        sys_version = ""
        timeout = SEND_SECONDS

        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self._place = connections.of(self.request)
            self.rfile = io.BufferedReader(Reader(self._place))

        def handle(self) -> None:
            try:
                super().handle()
            except Cut as cut:
                if cut.is_told:
                    _say_last(self.connection, cut.status, cut.why)
            except (ConnectionError, TimeoutError):
                pass  # the other side went away, which is its right

        def handle_one_request(self) -> None:
            self._place.begin()
            super().handle_one_request()

        def _answer(self, method: str) -> None:
            length = self.headers.get("Content-Length", "0")
            # Zeros before a number would make a huge one of many digits look small in its first ones.
            if not (length.isascii() and length.isdigit()) or len(length) > 12 or int(length) > REQUEST_LIMIT_BYTES:
                self.close_connection = True
                self._send(Reply(413, f"a request has at most {REQUEST_LIMIT_BYTES} bytes\n".encode()))
                return
            body = self.rfile.read(int(length))
            with self._place.answered():
                try:
                    with turn:
                        reply = respond(method, self.path, body)
                except Exception as error:  # whatever it is, the caller must hear that nothing was signed
                    complain(f"{method} {self.path}: {type(error).__name__}: {error}")
                    reply = Reply(500, b"nothing was signed; see the log of this server\n")
            self.close_connection |= connections.are_short()
            with self._place.sent():
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            if self.close_connection:
                self.send_header("Connection", "close")
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


def _say_last(sock: socket.socket, status: int, why: str) -> None:
    """Say why a connection ends, if that can be said at once: nobody is waited for."""
    phrase, body = http.HTTPStatus(status).phrase, f"{why}\n".encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {TEXT_TYPE}\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


class _Bounded(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True
    request_queue_size = WAITING_LIMIT

    def __init__(self, where: Any, handler: Any, connections: Connections) -> None:
        self.connections = connections
        super().__init__(where, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.connections.admit(request, str(client_address[0])):
            super().process_request(request, client_address)
            return
        _say_last(request, 503, f"{CONNECTIONS_LIMIT} requests are being answered; ask again later")
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.leave(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        super().service_actions()
        self.connections.tell()

    def server_close(self) -> None:
        super().server_close()
        self.connections.tell(at_once=True)


class _TcpServer(_Bounded, http.server.HTTPServer):
    allow_reuse_address = True


class _FileServer(_Bounded, socketserver.UnixStreamServer):
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
    connections = Connections(complain)
    handler = _handler(respond, complain, connections)
    host, colon, port = where.rpartition(":")
    try:
        if colon and "/" not in where and port.isascii() and port.isdigit():
            return _TcpServer((host.strip("[]") or "127.0.0.1", int(port)), handler, connections)
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
            return _FileServer(str(path), handler, connections)
        finally:
            os.umask(before)
    except (OSError, OverflowError) as error:
        raise InvalidInput(f"nothing can be served at {where}: {error}; name a free host:port or a path") from error


def to_stderr(what: str) -> None:
    """
    Say *what* on standard error, if that can be written: whoever reads it may have ended, and its disk may be full,
    which is no reason to answer nobody any more.
    """
    with contextlib.suppress(OSError, ValueError):
        print(what, file=sys.stderr, flush=True)


def run(where: str, respond: Respond, who: str, notes: Sequence[str] = ()) -> None:
    """
    Serve at *where* until the process is interrupted or told to end; what fails inside goes to standard error, as do
    *notes* to people once it listens.

    Raises:
        InvalidInput: nothing can be served there.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with serve(where, respond, to_stderr) as server:
        to_stderr(f"{who} listens at {where}")
        for note in notes:
            to_stderr(note)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.1)
    if not isinstance(server.server_address, tuple):
        Path(where).unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except BlockingIOError:
            # Nobody takes in those who wait, and somebody lets them wait.
            return True
        except OSError:
            return False
        return True
