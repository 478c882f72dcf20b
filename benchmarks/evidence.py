"""
Measure what evidence costs: an append while the tree is grown, signed and kept beside it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from benchmarks import measures
from benchmarks.measures import Pair
from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.sandbox.postgres import Server

KEY: Final = KeyPair("checkpoint", "signer", bytes(range(32)))
"""Its seed is public, as a benchmark's may be."""
START_SECONDS: Final = 30.0


@contextlib.contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run `tradeledger` with these words in a process of its own, and end it.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "ledger", *words], stderr=said)
        try:
            yield process
            if process.poll() is not None:
                said.seek(0)
                raise RuntimeError(f"tradeledger {words[0]} ended by itself: {said.read().decode()[-500:]}")
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def sealed(server: Server, name: str) -> Iterator[None]:
    """
    Seal the chain of database *name* each second, by processes of their own, once the first checkpoint is there.
    """
    with tempfile.TemporaryDirectory(prefix="tl-seal-") as folder:
        key, socket = Path(folder) / "key.json", Path(folder) / "signer"
        signatures.write(key, KEY)
        serve = ("signer", "serve", "--key", str(key), "--origin", measures.ORIGIN, "--state", f"{folder}/state.json",
                 "--listen", str(socket))  # fmt: skip
        with running(*serve), running("seal", "--signer", str(socket), "--dsn", server.dsn("sealer", name)):
            _wait(server, name, 1)
            yield


def _wait(server: Server, name: str, size: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    with psycopg.connect(server.dsn("auditor", name), autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM ledger.checkpoints WHERE size >= %s", [size]).fetchone() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no checkpoint of {size} events or more was sealed in {START_SECONDS:g} s")
            time.sleep(0.05)


def append_with_evidence(server: Server, size: int) -> Pair:
    """
    Return events a second of an append by 2,000 while the chain is sealed each second, beside the same append alone.

    The last event must be sealed soon after: evidence that falls behind for good would cost little.
    """
    with measures.database(server, (KEY,)) as name, sealed(server, name):
        first, spent = measures.append(server, name, size)
        _wait(server, name, first + size)
    with measures.database(server, (KEY,)) as name:
        alone = measures.append(server, name, size)[1]
    return size / spent.seconds, size / alone.seconds
