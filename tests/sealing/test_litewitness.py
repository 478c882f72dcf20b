"""
Have checkpoints cosigned by litewitness, a witness that other people wrote, and let it see a log that forks.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.evidence import note, policy, tree
from ledger.evidence.note import VerifierKey
from ledger.evidence.witness import NOTHING, Kept
from ledger.sealing import asking
from ledger.sealing.asking import Refused, StateIsOld
from ledger.sealing.places import Place
from tests import programs
from tests.sealing.logs import KEY, Log, root_of

PROGRAM = programs.path_of("litewitness")
LOG, FORK = Log(), Log(fork=10)
WITH_PROGRAM = [pytest.param(PROGRAM, id="litewitness")] if PROGRAM else []


@contextlib.contextmanager
def litewitness(program: Path, folder: Path) -> Iterator[tuple[Place, VerifierKey]]:
    """Run the witness with a key in an agent of its own, knowing our log, until the block ends."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    agent_socket = str(folder / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL)
    witness = None
    try:
        wait(lambda: Path(agent_socket).exists())
        own = {"SSH_AUTH_SOCK": agent_socket, "PATH": "/usr/bin:/bin"}
        subprocess.run(["ssh-add", "-q", str(folder / "key")], check=True, env=own)
        listing = ["ssh-keygen", "-l", "-f", str(folder / "key")]
        fingerprint = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()[1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (folder / "log").open("w")
        witness = subprocess.Popen(
            [str(program), "-name", "witness.example/other", "-key", fingerprint, "-ssh-agent", agent_socket,
             "-db", str(folder / "db"), "-listen", f"127.0.0.1:{port}"], stdout=log, stderr=log,
        )  # fmt: skip
        wait(lambda: "msg=listening" in (folder / "log").read_text())
        key = re.search(r"witness\.example/other\+[0-9a-f]{8}\+\S+", (folder / "log").read_text())
        assert key, (folder / "log").read_text()
        with sqlite3.connect(folder / "db") as db:
            db.execute("insert into log values (?, 0, ?)", (KEY.name, base64.b64encode(tree.EMPTY_ROOT).decode()))
            db.execute("insert into key values (?, ?)", (KEY.name, KEY.verifier.text()))
        db.close()
        log.close()
        yield Place(f"http://127.0.0.1:{port}"), note.read_key(key[0].strip('"'))
    finally:
        for process in (witness, agent):
            if process is not None:
                process.terminate()
                process.wait(10)


def kept(log: Log, size: int) -> Kept:
    return Kept(size, root_of(log.leaves[:size]), log.signed(size))


def wait(ready: object) -> None:
    deadline = time.monotonic() + 20
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("program", WITH_PROGRAM)
def test_a_witness_of_other_people_cosigns_and_refuses(tmp_path: Path, program: Path) -> None:
    """It cosigns a log that grows, says the size it keeps, and refuses a fork and a history that went back."""
    with litewitness(program, tmp_path) as (place, key):
        assert asking.cosign(place, key, LOG.signed(5), 5, LOG.prove(5)).claims(key)
        assert asking.cosign(place, key, LOG.signed(30), 30, LOG.prove(30), 5).claims(key)
        assert asking.cosign(place, key, LOG.signed(40), 40, LOG.prove(40), 7).claims(key)
        for log, size in ((FORK, 40), (FORK, 50)):
            with pytest.raises(Refused, match="422"):
                asking.cosign(place, key, log.signed(size), size, log.prove(size), 40)
        with pytest.raises(Refused, match="went back"):
            asking.cosign(place, key, LOG.signed(20), 20, LOG.prove(20), 20)
        assert asking.kept_by(place, LOG.signed(40), 40) == 40
        trust = policy.decode(f"witness w {key.text()} {place.address}\nquorum w\n".encode())
        assert asking.seen_by_quorum(trust, KEY, kept(LOG, 40)) == []
        with pytest.raises(StateIsOld, match="keeps a checkpoint of 40"):
            asking.seen_by_quorum(trust, KEY, kept(LOG, 30))
        with pytest.raises(StateIsOld, match="keeps a checkpoint of 40"):
            asking.seen_by_quorum(trust, KEY, NOTHING)
        with pytest.raises(Refused, match="422"):
            asking.seen_by_quorum(trust, KEY, kept(FORK, 40))
