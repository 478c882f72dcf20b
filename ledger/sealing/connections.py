"""
Bound how many connections a server holds open, and for how long one may take over a request.

Whoever connects and says nothing, or a header a byte at a time, takes a place from others. So a request has one
deadline, from when its connection was opened or the answer before it was ready; and where no place is left, the
newcomer gets that of the connection that has waited longest, of whichever address holds the most of them. A request
that is whole is answered, and never cut for a newer one, unless its address holds more places than the newcomer's does:
one address that asks and asks keeps no other out, and takes no other's place.

What was cut is told to whoever had begun a request, as an HTTP status, and to the server's log in a line that counts:
a flood fills neither.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

REQUEST_SECONDS: Final = 10.0
"""How long a request may take to come in, however its bytes are spread."""

SEND_SECONDS: Final = 10.0
"""How long an answer may take to be taken."""

CONNECTIONS_LIMIT: Final = 64

TELL_EVERY_SECONDS: Final = 60.0
"""How often the log hears of connections that were cut."""

LATE: Final = "whose request was not whole in time"
SHED: Final = "closed for newer ones"
REFUSED: Final = "refused, since each one that is open is being answered"


class Cut(Exception):
    """
    A connection was cut; *status* and *why* are for the other side, if it had begun to ask.
    """

    def __init__(self, status: int, why: str, *, is_told: bool) -> None:
        super().__init__(why)
        self.status, self.why, self.is_told = status, why, is_told


class Connection:
    """
    One connection, and how it stands with its request.
    """

    def __init__(self, sock: socket.socket, address: str, connections: Connections) -> None:
        self.address = address
        self.since = time.monotonic()
        self.has_asked = self.has_begun = self.is_answered = self.is_sent = self.is_shed = False
        self._sock, self._connections = sock, connections

    def begin(self) -> None:
        """
        Let the next request's time begin.
        """
        self.since, self.has_begun = time.monotonic(), False

    def receive(self, into: Any) -> int:
        """
        Read what has come of the request, and return how many bytes it is; 0 at the end.

        Raises:
            Cut: the time for the request is over, or a newer connection has this one's place.
        """
        left = self.since + REQUEST_SECONDS - time.monotonic()
        if not self.is_shed and left > 0:
            self._sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                count = self._sock.recv_into(into)
                if not self.is_shed:
                    self.has_begun |= bool(count)
                    return count
        raise self._cut()

    @contextlib.contextmanager
    def answered(self) -> Iterator[None]:
        """
        Keep the connection from being shed while its request, which is whole, is answered.

        Raises:
            Cut: it was shed before.
        """
        self._connections.hold(self)
        if self.is_shed:
            raise self._cut()
        try:
            yield
        finally:
            self.is_sent, self.is_answered = True, False

    @contextlib.contextmanager
    def sent(self) -> Iterator[None]:
        """
        Let the answer be taken, which has its own time; what comes then is another request.
        """
        self._sock.settimeout(SEND_SECONDS)
        try:
            yield
        finally:
            self.has_asked, self.has_begun, self.is_sent = True, False, False
            self.since = time.monotonic()

    def shed(self) -> None:
        """
        Wake whoever reads from the connection, or writes to it, and let them find it cut.
        """
        self.is_shed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD if self.has_begun else socket.SHUT_RDWR)

    def _cut(self) -> Cut:
        if self.is_shed:
            return Cut(503, f"at most {CONNECTIONS_LIMIT} connections are open here, and a newer one has the place of "
                       "this; ask again, all at once", is_told=self.has_begun)  # fmt: skip
        # One that was answered and asks no more has its right to be silent, and goes without a word.
        if self.has_begun or not self.has_asked:
            self._connections.count(LATE, self.address)
        return Cut(408, f"the request was not whole after {REQUEST_SECONDS:g} seconds; ask again, all at once",
                   is_told=self.has_begun)  # fmt: skip


class Reader(io.RawIOBase):
    """
    What comes over a connection, within its time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, into: Any) -> int:
        """Read what has come."""
        return self._connection.receive(into)


class Connections:
    """
    The connections that a server has open; *tell* hears, from time to time, which were cut.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._open: dict[socket.socket, Connection] = {}
        self._lock = threading.Lock()
        self._cut: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._told_at: float | None = None

    def of(self, sock: socket.socket) -> Connection:
        """
        Return the connection that was admitted.
        """
        with self._lock:
            return self._open[sock]

    def admit(self, sock: socket.socket, address: str) -> bool:
        """
        Give a new connection a place, if need be that of an older one; return False where all are being answered.
        """
        with self._lock:
            places = [each for each in self._open.values() if not each.is_shed]
            if len(places) >= CONNECTIONS_LIMIT:
                oldest = _yielding(places, address)
                if oldest is None:
                    self._note(REFUSED, address)
                    return False
                oldest.shed()
                self._note(SHED, oldest.address)
            self._open[sock] = Connection(sock, address, self)
            return True

    def are_short(self) -> bool:
        """
        Return whether so many are open that one which was answered had better come again than stay.
        """
        with self._lock:
            return len(self._open) > CONNECTIONS_LIMIT // 2

    def hold(self, connection: Connection) -> None:
        """
        Let a connection be answered, unless it was shed.
        """
        with self._lock:
            connection.is_answered = not connection.is_shed

    def leave(self, sock: socket.socket) -> None:
        """
        Give up the place of a connection that has ended.
        """
        with self._lock:
            self._open.pop(sock, None)

    def count(self, what: str, address: str) -> None:
        """
        Count a connection that was cut, for the log.
        """
        with self._lock:
            self._note(what, address)

    def _note(self, what: str, address: str) -> None:
        self._cut[what] += 1
        # Of who comes from ever other addresses not every one is kept in mind.
        if address in self._addresses or len(self._addresses) < CONNECTIONS_LIMIT:
            self._addresses[address] += 1

    def tell(self, *, at_once: bool = False) -> None:
        """
        Say which connections were cut since this was last said, unless that was a moment ago.
        """
        now = time.monotonic()
        with self._lock:
            is_soon = self._told_at is not None and now < self._told_at + TELL_EVERY_SECONDS
            if not self._cut or (is_soon and not at_once):
                return
            (most, count), *_ = self._addresses.most_common(1)
            total, parts = self._cut.total(), ", ".join(f"{count} {what}" for what, count in self._cut.items())
            self._told_at = now
            self._cut.clear()
            self._addresses.clear()
        self._tell(
            f"cut off {total} connections: {parts}; {count} of them from {most}. At most {CONNECTIONS_LIMIT} are open, "
            f"and a request has {REQUEST_SECONDS:g} seconds; if it goes on, keep who does that from this address"
        )


def _yielding(places: Sequence[Connection], address: str) -> Connection | None:
    """
    Return which of *places* a newcomer from *address* gets, or None where each is another's by right.

    The fullest address yields first, and of it who waits, then who takes an answer; who is being answered only to an
    address that holds fewer. None yields to an address that holds more.
    """
    held = Counter(each.address for each in places)
    most = max(held.values())
    is_fewer = held[address] + 1 < most

    def yields(each: Connection) -> bool:
        mine = held[each.address]
        if each.is_answered:
            return is_fewer and mine == most
        return mine == most if each.is_sent else mine >= held[address]

    return min(
        filter(yields, places),
        key=lambda each: (-held[each.address], each.is_answered, each.is_sent, each.since),
        default=None,
    )
