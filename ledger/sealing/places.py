"""
Say where a signer or a witness answers, and ask there: every question has one deadline, for all of its answer.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ledger.errors import InvalidInput, Unavailable, shown
from ledger.evidence import note

DEADLINE_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.02
ANSWER_LIMIT_BYTES: Final = note.NOTE_LIMIT_BYTES


class NotAnswering(Unavailable):
    """
    A signer or a witness is down, or what answers in its place is none.
    """

    code = "not_answering"
    exit_status = 5


class _FileConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_SECONDS)
        until = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self.sock.connect(self._path)
                return
            except BlockingIOError:
                # As many wait to be taken in as the server lets wait: here one more is refused, where TCP asks again.
                if time.monotonic() > until:
                    raise TimeoutError("timed out, as too many wait there already") from None
            time.sleep(_AGAIN_SECONDS)


class _Answer(io.RawIOBase):
    """
    What comes from a socket until a moment of the monotonic clock: who sends byte by byte gains no time by it.
    """

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._sock.recv_into(into)

    def close(self) -> None:
        self._sock.close()
        super().close()


class _Timely:
    """
    What HTTPConnection needs of a socket, with one deadline for the whole exchange.
    """

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until, self._read = sock, until, False

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(max(0.001, self._until - time.monotonic()))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        self._read = True
        return io.BufferedReader(_Answer(self._sock, self._until))

    def close(self) -> None:
        # Who asked for one answer closes the connection before the answer is read, which then closes the socket.
        if not self._read:
            self._sock.close()


class Place(msgspec.Struct, frozen=True):
    """
    Where somebody answers: an http or https URL, or the path of a socket in the file system.
    """

    address: str

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str, bytes]:
        """
        Return the status, the content type and the body of the answer.

        Raises:
            InvalidInput: the address is neither URL nor path.
            NotAnswering: there was no answer in time, one cut short, or too long a one.
        """
        connection, prefix = self._connection()
        until = time.monotonic() + DEADLINE_SECONDS
        try:
            connection.connect()
            connection.sock = _Timely(connection.sock, until)
            connection.request(method, prefix + path, body or None, {"Connection": "close"})
            with connection.getresponse() as answer:
                found, missing = answer.read(ANSWER_LIMIT_BYTES + 1), answer.length
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(f"{self.address} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if len(found) > ANSWER_LIMIT_BYTES:
            raise NotAnswering(f"{self.address} answers with more than {ANSWER_LIMIT_BYTES} bytes")
        if missing:
            raise NotAnswering(f"{self.address} answers with {missing} bytes less than it says")
        return answer.status, answer.getheader("Content-Type", ""), found

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        if self.address.startswith("/"):
            return _FileConnection(self.address), ""
        try:
            parts = urlsplit(self.address)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput(f"found address {shown(self.address)}; expected a URL or a path: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidInput(f"found address {shown(self.address)}; expected an http or https URL, or a path")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(host, port, timeout=DEADLINE_SECONDS), parts.path.rstrip("/")
