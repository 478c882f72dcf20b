"""
Check over real sockets that nobody who is silent or slow keeps a server from answering others.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ledger.errors import InvalidInput
from ledger.evidence import witness
from ledger.evidence.witness import Request
from ledger.sealing import connections, places, services, serving
from ledger.sealing.connections import CONNECTIONS_LIMIT
from ledger.sealing.places import NotAnswering, Place
from ledger.sealing.promises import Promises
from ledger.sealing.serving import Reply
from tests.sealing.logs import KEY, WITNESSES, Log, served

LOG = Log()
SHORT_SECONDS = 0.4
START = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n"


def answer(method: str, path: str, body: bytes) -> Reply:
    return Reply(200, b"it is answered\n")


def connect(address: str, source: str = "127.0.0.1") -> socket.socket:
    if address.startswith("/"):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(address)
    else:
        parts = urlsplit(address)
        raw = socket.create_connection((parts.hostname or "", parts.port or 0), source_address=(source, 0))
    raw.settimeout(5)
    return raw


def said(raw: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := raw.recv(1000):
            found += part
    return found


@contextlib.contextmanager
def crowd(address: str, count: int, start: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Open so many connections that send *start* and then nothing."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(address, source)) for _ in range(count)]
        for raw in opened:
            raw.sendall(start)
        yield opened


@pytest.mark.parametrize("start", [b"", START], ids=["silent", "begun"])
@pytest.mark.parametrize("is_file", [False, True], ids=["port", "socket"])
def test_silent_connections_keep_a_witness_from_nobody(tmp_path: Path, start: bytes, is_file: bool) -> None:
    """As many as it takes at once, three times over, and who asks meanwhile has his cosignature at once."""
    logged: list[str] = []
    with Promises(tmp_path / "state.json") as state, contextlib.ExitStack() as stack:
        respond = services.witness_of(state, {KEY.name: [KEY.verifier]}, WITNESSES[0], lambda: 5, tmp_path / "evidence")
        where = tmp_path / "socket" if is_file else "127.0.0.1:0"
        place = Place(stack.enter_context(served(respond, where, logged)))
        for size in (10, 20, 30):
            stack.enter_context(crowd(place.address, CONNECTIONS_LIMIT + 3, start))
            time.sleep(0.2)
            old = size - 10
            body = Request(old, tuple(LOG.prove(size)(old)) if old else (), LOG.signed(size)).encode()
            began = time.monotonic()
            status, _, _ = place.ask("POST", witness.ADD_CHECKPOINT, body)
            assert (status, time.monotonic() - began < 2) == (200, True)
        assert threading.active_count() < CONNECTIONS_LIMIT + 20
    # Once as it began, once as it ended; not one line a connection.
    assert len(logged) == 2
    assert "closed for newer ones" in logged[0]
    assert "from a local process" in logged[1] if is_file else "from 127.0.0.1" in logged[1]
    assert f"At most {CONNECTIONS_LIMIT} are open" in logged[0]


def test_who_is_shed_in_the_middle_of_a_request_is_told() -> None:
    """A status that says the request was not looked at, and what to do; the silent are closed without a word."""
    logged: list[str] = []
    with served(answer, complaints=logged) as address, crowd(address, 1) as silent, crowd(address, 1, START) as begun:
        time.sleep(0.1)
        with crowd(address, CONNECTIONS_LIMIT):
            assert said(silent[0]) == b""
            found = said(begun[0])
            assert b" 503 " in found
            assert b"ask again, all at once" in found


def test_whoever_holds_the_most_connections_makes_room() -> None:
    """A flood from one address takes its own places, and not the one of another, however long that waits."""
    with (
        served(answer, complaints=[]) as address,
        crowd(address, 1, START, source="127.0.0.2") as honest,
        crowd(address, 3 * CONNECTIONS_LIMIT),
    ):
        honest[0].sendall(b"Connection: close\r\n\r\n")
        assert b"it is answered" in said(honest[0])


@pytest.mark.parametrize("is_silent", [False, True])
def test_one_address_that_asks_and_asks_takes_no_others_place(is_silent: bool) -> None:
    """
    Each of its requests is whole and waits for its turn: they make room, and not who still sends, or is answered.
    """
    going = threading.Event()

    def slow(method: str, path: str, body: bytes) -> Reply:
        if path == "/slow":
            going.wait(10)
        return Reply(200, b"it is answered\n")

    ask = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        served(slow, complaints=[]) as address,
        crowd(address, 1, START, source="127.0.0.2") as honest,
        crowd(address, CONNECTIONS_LIMIT, ask, source="127.0.0.9"),
        crowd(address, 1, b"" if is_silent else ask, source="127.0.0.3") as late,
    ):
        time.sleep(0.3)
        with crowd(address, CONNECTIONS_LIMIT, ask, source="127.0.0.9"):
            time.sleep(0.3)
            honest[0].sendall(b"Connection: close\r\n\r\n")
            late[0].sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            going.set()
            assert b"it is answered" in said(honest[0])
            assert b"it is answered" in said(late[0])


def test_a_server_whose_standard_error_cannot_be_written_answers_on(tmp_path: Path) -> None:
    """Its reader may have ended, or its disk be full: what it would say of a crowd ends nothing."""
    key, place = tmp_path / "key.json", tmp_path / "socket"
    run = [sys.executable, "-m", "verifier", "witness"]
    subprocess.run([*run, "key", "witness.example/w", "--key", key], check=True, capture_output=True)
    with Path("/dev/full").open("w") as full:
        server = subprocess.Popen(
            [
                *run,
                "serve",
                "--key",
                key,
                "--log",
                KEY.verifier.text(),
                "--state",
                tmp_path / "state",
                "--listen",
                place,
            ],
            stderr=full,
        )
    try:
        deadline = time.monotonic() + 20
        while not place.is_socket():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with crowd(str(place), CONNECTIONS_LIMIT + 3):
            time.sleep(0.3)
            assert Place(str(place)).ask("GET", "/nothing")[0] == 404
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait()


def drip(raw: socket.socket, piece: bytes) -> float:
    """Send *piece* again and again until the other side answers or closes; return after how many seconds."""
    began = time.monotonic()
    raw.settimeout(0.02)
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 8 * SHORT_SECONDS:
            raw.sendall(piece)
            with contextlib.suppress(TimeoutError):
                raw.recv(1, socket.MSG_PEEK)
                break
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("start", "piece"),
    [(START, b"X"), (b"", b"G"), (START + b"Content-Length: 5000\r\n\r\n", b"b"), (START, b"X: y\r\n")],
    ids=["header", "first line", "body", "headers"],
)
def test_a_request_byte_by_byte_has_one_deadline(monkeypatch: pytest.MonkeyPatch, start: bytes, piece: bytes) -> None:
    """However the bytes are spread; who sends so is told that it was too slow, and the log is."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SHORT_SECONDS)
    logged: list[str] = []
    with served(answer, complaints=logged) as address, crowd(address, 1, start) as (raw,):
        assert SHORT_SECONDS * 0.8 < drip(raw, piece) < 4 * SHORT_SECONDS
        raw.settimeout(5)
        found = said(raw)
        assert found == b"" or b" 408 " in found  # a byte on its way as it was closed takes the answer away
    assert any("1 whose request was not whole in time" in line for line in logged)


def test_each_request_of_a_connection_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, longer than a request may take; who then asks no more is closed without a word."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", SHORT_SECONDS)
    with served(answer) as address, crowd(address, 1) as (raw,):
        for _ in range(4):
            raw.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            found = b""
            while not found.endswith(b"it is answered\n"):
                found += raw.recv(1000)
            time.sleep(SHORT_SECONDS / 2)
        assert said(raw) == b""


def test_a_request_that_is_whole_is_answered_before_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not shed, however long the answer takes; where all are being answered, the newcomer is told so."""
    going, entered = threading.Event(), threading.Semaphore(0)

    def slow(method: str, path: str, body: bytes) -> Reply:
        entered.release()
        going.wait(10)
        return Reply(200, b"it is answered\n")

    whole = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    logged: list[str] = []
    with served(slow, complaints=logged) as address, crowd(address, CONNECTIONS_LIMIT, whole) as waiting:
        try:
            assert entered.acquire(timeout=5)
            time.sleep(0.3)
            with crowd(address, 1) as (late,):
                assert b" 503 " in said(late)
        finally:
            going.set()
        assert all(b"it is answered" in said(raw) for raw in waiting)
    assert "1 refused, since each one that is open is being answered" in logged[0]


def test_who_takes_no_answers_gives_room_too() -> None:
    """Connections that ask on and on and read nothing do not hold their places."""
    ask = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
    large = Reply(200, b"x" * 1_000_000)
    with (
        served(lambda method, path, body: large, complaints=[]) as address,
        crowd(address, CONNECTIONS_LIMIT, ask * 20),
    ):
        time.sleep(0.5)
        began = time.monotonic()
        assert Place(address).ask("GET", "/x")[0] == 200
        assert time.monotonic() - began < 3


@contextlib.contextmanager
def crowded(path: Path) -> Iterator[serving.Server]:
    """Yield a server on a socket in the file system that takes in nobody, and before which as many wait as may."""
    with contextlib.ExitStack() as open_, serving.serve(str(path), answer, silent) as server:
        while True:
            waiting = open_.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                break
        yield server


def silent(what: str) -> None:
    """Hear nothing."""


def test_a_burst_on_a_socket_in_the_file_system_waits_to_be_taken_in(tmp_path: Path) -> None:
    """Many times as many as there are places for, before the server has taken in the first."""
    path = tmp_path / "witness.socket"
    with serving.serve(str(path), answer, silent), contextlib.ExitStack() as open_:
        for _ in range(5 * CONNECTIONS_LIMIT):
            waiting = open_.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect(str(path))


def test_who_finds_no_room_to_wait_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses at once there; the question has its deadline all the same."""
    monkeypatch.setattr(serving._FileServer, "request_queue_size", 1)
    path = tmp_path / "signer.socket"
    with crowded(path) as server:
        later = threading.Timer(0.3, server.serve_forever, (0.05,))
        later.start()
        try:
            assert Place(str(path)).ask("GET", "/")[::2] == (200, b"it is answered\n")
        finally:
            server.shutdown()
            later.join()
    monkeypatch.setattr(places, "DEADLINE_SECONDS", 0.3)
    with crowded(tmp_path / "other.socket"):
        began = time.monotonic()
        with pytest.raises(NotAnswering, match="too many wait there already"):
            Place(str(tmp_path / "other.socket")).ask("GET", "/")
        assert 0.3 <= time.monotonic() - began < 3
        # Nor does a second server take the place of one that is busy, or wait for it.
        with pytest.raises(InvalidInput, match="nothing can be served"):
            serving.serve(str(tmp_path / "other.socket"), answer, silent)
