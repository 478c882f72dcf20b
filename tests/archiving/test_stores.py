"""
Hold every store to the same contract: a folder, an S3 server and the memory of a process.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.archiving.places import open_store
from ledger.archiving.stores import ArchiveDiffers, MovedMeanwhile, Store, TooLong
from ledger.archiving.writer import Archive
from ledger.errors import InvalidInput, LedgerError, Unavailable
from tests.archiving import s3
from tests.archiving.chains import CHAIN_ID, ORIGIN, POLICY, POLICY_TEXT, reader, signed, silent
from tests.archiving.written import EVENTS, SIZE
from tests.commands import run
from verifier.archive import verification
from verifier.archive.verification import Wanted

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3.server() as address, pytest.MonkeyPatch.context() as environment:
        for name, value in {**s3.CREDENTIALS, "AWS_ENDPOINT_URL": address}.items():
            environment.setenv(name, value)
        yield address


@pytest.fixture(params=["folder", "file", "memory", "s3", "s3 under a path"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of an empty place."""
    number = next(_NUMBERS)
    match request.param:
        case "folder":
            return str(tmp_path / "a")
        case "file":
            return (tmp_path / "a b").as_uri()
        case "memory":
            return f"memory://{number}"
    bucket = s3.make_bucket(request.getfixturevalue("server"), f"bucket-{number}")
    return bucket if request.param == "s3" else f"{bucket}/under/a/path"


def test_a_file_is_written_once(place: str) -> None:
    """The same again is no change, another content is refused, and what was first stays."""
    store = open_store(place)
    assert store.read("tile/0/x001/000.p/2") is None
    store.create("tile/0/x001/000.p/2", b"one")
    store.create("tile/0/x001/000.p/2", b"one")
    with pytest.raises(ArchiveDiffers, match="another 3 bytes than the 5"):
        store.create("tile/0/x001/000.p/2", b"other")
    assert open_store(place).read("tile/0/x001/000.p/2") == b"one"
    store.create("empty", b"")
    assert store.read("empty") == b""
    assert sorted(store.names()) == ["empty", "tile/0/x001/000.p/2"]


def test_a_name_moves_from_what_was_seen_there(place: str) -> None:
    """Whoever saw something else, or something where there is nothing by now, is told and moves nothing."""
    store = open_store(place)
    with pytest.raises(MovedMeanwhile):
        store.move("checkpoint", b"1", b"0")
    store.create("a", b"")
    store.move("checkpoint", b"1", None)
    for seen in (None, b"0", b"2"):
        with pytest.raises(MovedMeanwhile, match="run the same again"):
            store.move("checkpoint", b"2", seen)
    store.move("checkpoint", b"2", b"1")
    assert store.read("checkpoint") == b"2"


def test_buckets_of_one_name_in_two_stores_are_two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a mirror and of what it mirrors are; the same bucket asked again is the same place."""
    places = []
    for address in ("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1"):
        for name, value in {**s3.CREDENTIALS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        places.append(open_store("s3://bucket/path/").place)
    assert places[0] != places[1]
    assert places[0] == places[2]
    assert not any(secret in places[0] for secret in s3.CREDENTIALS.values())


def race(count: int, act: Callable[[int], None]) -> list[type[Exception] | None]:
    """Let so many threads act at the same time, and return what each was told."""
    told: list[type[Exception] | None] = [None] * count
    gate = threading.Barrier(count)

    def one(number: int) -> None:
        gate.wait()
        try:
            act(number)
        except LedgerError as error:
            told[number] = type(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_of_many_who_write_or_move_at_once_one_does(place: str) -> None:
    """Each with a content of its own: one is there, and all others are told."""
    store = open_store(place)
    store.create("checkpoint", b"before")
    created = race(8, lambda number: store.create("x", b"%d" % number))
    moved = race(8, lambda number: store.move("checkpoint", b"%d" % number, b"before"))
    assert (created.count(None), created.count(ArchiveDiffers)) == (1, 7)
    assert (moved.count(None), moved.count(MovedMeanwhile)) == (1, 7)
    assert store.read("x") == b"%d" % created.index(None)
    assert store.read("checkpoint") == b"%d" % moved.index(None)


def archive(store: Store, *sizes: int) -> None:
    for size in sizes:
        Archive(store, CHAIN_ID, ORIGIN).extend(signed(EVENTS, size), reader(EVENTS), POLICY_TEXT, silent)


def test_an_archive_is_the_same_wherever_it_is(place: str, archived: Path) -> None:
    """File by file what a folder holds, verified by workers too; a change is found there as in a folder."""
    store = open_store(place)
    archive(store, 1, 256, 300, SIZE)
    assert sorted(store.names()) == sorted(open_store(str(archived)).names())
    assert all(store.read(name) == open_store(str(archived)).read(name) for name in store.names())
    jobs = 1 if place.startswith("memory") else 2
    report = verification.verify(place, POLICY, silent, Wanted(jobs))
    assert (report.findings, report.events) == ([], SIZE)
    good = store.read("checkpoint")
    store.move("checkpoint", signed(EVENTS, 300), good)
    assert {one.kind for one in verification.verify(place, POLICY, silent).findings} == {"ROLLBACK"}


def test_two_who_archive_at_once_leave_one_archive(place: str) -> None:
    """Whoever is second at a checkpoint is told, or finds a larger one there; what is there is whole."""
    told = race(2, lambda number: archive(open_store(place), 300, SIZE))
    assert None in told
    assert set(told) <= {None, MovedMeanwhile, InvalidInput}
    assert verification.verify(place, POLICY, silent).findings == []


def test_a_file_larger_than_any_of_an_archive_is_not_read(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the store says that it is."""
    store = open_store(place)
    store.create("large", bytes(1_001))
    store.create("small", bytes(1_000))
    monkeypatch.setattr("ledger.archiving.stores.FILE_LIMIT_BYTES", 1_000)
    assert store.read("small") == bytes(1_000)
    with pytest.raises(TooLong, match="large has more than 1000 bytes"):
        store.read("large")


def verify(*given: object) -> subprocess.CompletedProcess[str]:
    return run("verifier", "archive", *given)


def test_a_store_that_cannot_be_reached_is_not_verified(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bucket, no server, no right: 4, and a sentence; whoever writes there is told to try later."""
    trust = tmp_path / "policy"
    trust.write_bytes(POLICY_TEXT)
    said = verify("s3://no-such-bucket/x", "--policy", trust, "--format", "json")
    assert (said.returncode, json.loads(said.stdout)["verdict"]) == (4, "could not verify")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.free_port()}")
    said = verify("s3://bucket/x", "--policy", trust)
    assert (said.returncode, "Traceback" in said.stderr) == (4, False), said
    assert "cannot be read" in said.stderr
    store = open_store("s3://bucket/x")
    with pytest.raises(Unavailable, match="see that the store is there and lets you in"):
        store.create("x", b"y")
    with pytest.raises(Unavailable, match="cannot be listed"):
        list(store.names())


def test_a_place_that_is_none_is_named() -> None:
    """Other schemes, no bucket, a login in the URL, a host before a path."""
    for where in ("http://x/y", "s3://", "gs:///x", "s3://a:b@bucket", "s3://bucket?x", "s3://bucket#x", "file://h/x"):
        with pytest.raises(InvalidInput, match="expected"):
            open_store(where)
