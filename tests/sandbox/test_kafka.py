"""
Check the private broker where a port it keeps is taken, and where its folder cannot be written.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ledger.errors import SetupNeeded
from ledger.sandbox import kafka
from ledger.sandbox.kafka import Broker
from tests.commands import ROOT


def test_a_port_that_another_program_took_is_named(tmp_path: Path) -> None:
    """A broker keeps its ports, because clients know them; the sentence says which, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (tmp_path / "ports").write_text(f"{port} {port + 1 if port < 65_535 else port - 1}")
        with pytest.raises(SetupNeeded, match=f"port {port} of 127.0.0.1.*taken by another program.*remove the folder"):
            Broker.start(tmp_path)


_FETCH = """
import pathlib, sys
from ledger.sandbox import kafka
kafka.LOCK = pathlib.Path(sys.argv[1])
kafka.jars()
"""
_SMALL = "org.slf4j:slf4j-api:1.7.36"


def test_jars_are_fetched_once_by_many_and_whatever_an_interrupted_fetch_left(tmp_path: Path) -> None:
    """A new machine's first run starts a broker in each of its processes; a fetch may have been killed before."""
    lock, cache = tmp_path / "lock", tmp_path / "cache"
    lock.write_text(
        "".join(line for line in kafka.LOCK.read_text().splitlines(keepends=True) if line.startswith(f"{_SMALL} "))
    )
    torn = cache / "trade-ledger" / "kafka-4.3.1" / "repository" / "org" / "slf4j" / "slf4j-api" / "1.7.36"
    torn.mkdir(parents=True)
    (torn / "slf4j-api-1.7.36.jar").write_bytes(b"half of it")
    together = [
        subprocess.Popen(
            [sys.executable, "-c", _FETCH, str(lock)], env={**os.environ, "XDG_CACHE_HOME": str(cache)}, cwd=ROOT,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    said = [one.communicate()[1] for one in together]
    assert [one.returncode for one in together] == [0] * 4, said
    assert sum("fetching 1 jars" in words for words in said) == 1
    kept = list((cache / "trade-ledger" / "kafka-4.3.1").glob("*.jar"))
    assert [f"sha256:{hashlib.sha256(jar.read_bytes()).hexdigest()}" for jar in kept] == [lock.read_text().split()[1]]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the folder's place is a sentence, and no traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupNeeded, match=r"file.*cannot be written"):
        Broker.start(tmp_path / "file" / "kafka")


def test_a_start_is_seen_however_much_is_said_after_it_and_never_taken_from_an_earlier_one(tmp_path: Path) -> None:
    """A broker of many topics writes pages about each right after it started; its log has the last start as well."""
    log = tmp_path / "log"
    log.write_text("Kafka Server started\n")
    with socket.create_server(("127.0.0.1", 0)) as listening, subprocess.Popen(["sleep", "60"]) as process:
        port, written = listening.getsockname()[1], log.stat().st_size
        with log.open("a") as more:
            more.write("Kafka Server started\n" + "leader of a topic\n" * 5_000)
        assert kafka._is_up(process, port, log, written)
        log.write_text("Kafka Server started\n")
        threading.Timer(1, process.kill).start()
        assert not kafka._is_up(process, port, log, written)
