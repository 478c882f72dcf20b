"""
Check what an operator hears of a broker that is not there, or whose address cannot be one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.chain.signatures import write
from ledger.cli.creation import named
from ledger.errors import InvalidInput
from ledger.journal.chain_creation import create_chain
from replicator.transport import check_bootstrap
from tests.commands import ROOT, run
from tests.conftest import ORIGIN, Database
from tests.replicator.conftest import PUBLISHER


@pytest.mark.parametrize("address", ["nonsense", "host:", ":9092", "host:0", "host:65536", "host:9x", "a:1,b", ""])
def test_an_address_without_host_and_port_is_usage(address: str) -> None:
    """The client would look for it for most of a minute."""
    with pytest.raises(InvalidInput, match="expected host:port"):
        check_bootstrap(address)


def test_addresses_of_one_and_of_several_brokers_are_taken() -> None:
    """With names, numbers and commas."""
    for address in ("127.0.0.1:9092", "a.example:1, b.example:65535", "[::1]:9092"):
        check_bootstrap(address)


def test_a_wrong_address_ends_both_commands_with_usage(tmp_path: Path) -> None:
    """Exit 2 before any server is asked."""
    told = ("--origin", ORIGIN, "--chain-id", "0" * 32, "--trust", "0" * 64)
    for command in (("publish",), ("apply", *told)):
        done = run("replicator", *command, "--kafka", "nonsense", "--key", tmp_path / "none", "--dsn", "none")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "expected host:port" in " ".join(done.stderr.replace("│", " ").split())


def test_a_broker_that_does_not_answer_is_said_at_once(database: Database, tmp_path: Path) -> None:
    """While publish waits, and long before it gives up, it says for what."""
    create_chain(database.dsn("owner"), ORIGIN, named([PUBLISHER]), [])
    write(tmp_path / "key.json", PUBLISHER)
    process = subprocess.Popen(
        [sys.executable, "-m", "replicator", "publish", "--kafka", "127.0.0.1:1", "--dsn", database.dsn("publisher"),
         "--key", str(tmp_path / "key.json")],
        cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        begun = time.monotonic()
        line = process.stderr.readline()
        print(f"said after {time.monotonic() - begun:.1f} s")
        assert line == "waiting for Kafka at 127.0.0.1:1, which does not answer\n"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
