"""
Measure how fast an archive is verified from its files, by one process and by two.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from benchmarks import measures
from benchmarks.measures import Pair, database
from ledger.archiving.layout import POLICY
from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import entry
from ledger.evidence import note, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.sandbox.postgres import Server
from ledger.storage import chains, events
from ledger.storage.database import connect


def _silent(what: str, count: int) -> None:
    """Hear of progress, and say nothing."""


@contextmanager
def archive(server: Server, size: int) -> Iterator[Path]:
    """
    Yield an archive of a chain of that many order events and what came before them; its own policy accepts it.
    """
    with tempfile.TemporaryDirectory(prefix="tl-archive-") as folder, database(server) as name:
        head = measures.fill(server, name, size, "appending what is archived")
        with closing(connect(server.dsn("reader", name), "benchmark")) as connection:
            chain = chains.find(connection, None)
            edge = tree.Frontier()
            for event in events.read(connection, chain.chain, chain.chain_id):
                edge.add(tree.leaf_hash(entry.encode(event)))
            key = SigningKey(chain.origin, ED25519, secrets.token_bytes(32))
            text = Checkpoint(chain.origin, head, edge.root()).text()
            signed = note.with_signatures(text, (key.sign(text),)).encode()
            said = f"log {key.verifier.text()}\nquorum none\n".encode()
            Archive(Folder(Path(folder)), chain.chain_id, chain.origin).extend(
                signed, lambda after: events.read(connection, chain.chain, chain.chain_id, after), said, _silent
            )
        yield Path(folder)


def verified(place: Path, jobs: int) -> float:
    """
    Return events a second of a whole verification by so many processes, their start and the command's own included.

    An archive that is not verified is an error.
    """
    command = [sys.executable, "-m", "verifier", "archive", str(place), "--policy", str(place / POLICY)]
    began = time.perf_counter()
    said = subprocess.run([*command, "--jobs", str(jobs), "--format", "json"], capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if said.returncode:
        raise RuntimeError(f"the archive was not verified: {said.stdout.decode()[:500]} {said.stderr.decode()[-500:]}")
    events: int = msgspec.json.decode(said.stdout)["events"]
    return events / seconds


def two_by_one(place: Path) -> Pair:
    """
    Return events a second by two processes, beside those by one.
    """
    return verified(place, 2), verified(place, 1)
