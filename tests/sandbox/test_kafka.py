"""
Check the private broker where a port it keeps is taken, and where its folder cannot be written.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from ledger.errors import SetupNeeded
from ledger.sandbox import kafka
from ledger.sandbox.kafka import Broker


def test_a_port_that_another_program_took_is_named(tmp_path: Path) -> None:
    """A broker keeps its ports, because clients know them; the sentence says which, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (tmp_path / "ports").write_text(f"{port} {port + 1 if port < 65_535 else port - 1}")
        with pytest.raises(SetupNeeded, match=f"port {port} of 127.0.0.1.*taken by another program.*remove the folder"):
            Broker.start(tmp_path)


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
