"""
Seal, archive and verify a chain by the commands, as their users do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from ledger.chain import signatures
from tests import commands
from tests.conftest import ORIGIN, Database
from tests.sealing.regions import CHECKPOINT, LOG_KEY, REPLICA, append, make_chain
from tests.verifier.intruder import copied


def run(program: str, *words: str, expected: int = 0) -> str:
    """Run a command to its end, and return what it says."""
    done = commands.run(program, *words, NO_COLOR="1")
    assert done.returncode == expected, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def started(place: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a server, and wait until its socket is there."""
    process = subprocess.Popen([sys.executable, "-m", "ledger", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not place.is_socket():
        assert process.poll() is None, words
        assert time.monotonic() < deadline, words
        time.sleep(0.02)
    return process


def test_a_chain_is_sealed_archived_and_verified(database: Database, tmp_path: Path) -> None:
    """With a replica that cosigns; each refusal before it is there has its status and says what to do."""
    make_chain(database)
    append(database, 300)
    log, replica = tmp_path / "checkpoint.json", tmp_path / "replica.json"
    signatures.write(log, CHECKPOINT)
    signatures.write(replica, REPLICA)
    signer, cosigner = tmp_path / "signer", tmp_path / "cosigner"
    said = run("ledger", "chain", "--dsn", database.dsn("reader"))
    (witness,) = (line.strip() for line in said.splitlines() if line.strip().startswith("witness "))
    assert f"log {LOG_KEY.verifier.text()}" in said
    needed, trust, archive = tmp_path / "needed", tmp_path / "trust", tmp_path / "archive"
    needed.write_text(f"{witness} {cosigner}\nquorum region-b\n")
    trust.write_text(f"log {LOG_KEY.verifier.text()}\n{witness}\nquorum region-b\n")
    seal = ("seal", "--once", "--signer", str(signer), "--replicas", str(needed), "--dsn", database.dsn("sealer"))
    assert "does not answer" in run("ledger", *seal, expected=5)
    assert "ledger_sealer" in run("ledger", *seal[:-1], database.dsn("reader"), expected=8)
    assert "tradeledger seal" in run("ledger", "archive", str(archive), "--policy", str(trust), "--dsn",
                                     database.dsn("reader"), expected=5)  # fmt: skip
    assert "QUORUM_UNMET" in run("verifier", "full", "--policy", str(trust), "--dsn", database.dsn("auditor"),
                                 expected=3)  # fmt: skip
    # One region cosigns its own chain here: two that share no server are in test_sealer.py.
    servers = [
        started(signer, "signer", "serve", "--key", str(log), "--origin", ORIGIN, "--state", str(tmp_path / "s.json"),
                "--listen", str(signer), "--needs", str(needed)),
    ]  # fmt: skip
    with copied(database) as other:
        try:
            servers.append(
                started(cosigner, "cosign", "--key", str(replica), "--state", str(tmp_path / "c.json"), "--listen",
                        str(cosigner), "--dsn", other.dsn("sealer"))
            )  # fmt: skip
            assert "sealed 301 events" in run("ledger", *seal)
            assert "sealed before" in run("ledger", *seal)
        finally:
            for process in servers:
                process.terminate()
                process.wait()
    assert "archived 301 events" in run("ledger", "archive", str(archive), "--policy", str(trust), "--dsn",
                                        database.dsn("reader"))  # fmt: skip
    for words in (
        ("archive", str(archive), "--policy", str(trust)),
        ("full", "--policy", str(trust), "--expect", str(archive / "checkpoint"), "--dsn", database.dsn("auditor")),
    ):
        report = json.loads(run("verifier", *words, "--format", "json"))
        assert report["verdict"] == "verified"
        assert "region-b" in " ".join(report["trusted"])
    trust.write_text(f"log {LOG_KEY.verifier.text().replace(ORIGIN, 'other.example')}\nquorum none\n")
    said = run("verifier", "full", "--policy", str(trust), "--dsn", database.dsn("auditor"), expected=4)
    assert "policy" in said
