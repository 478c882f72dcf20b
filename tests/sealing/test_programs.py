"""
Run signer and witness as their users do: as processes, killed at any moment, and started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.evidence import note, signer
from ledger.sealing import asking
from ledger.sealing.asking import Refused
from ledger.sealing.places import Place
from tests.sealing.logs import KEY, Log

LOG, FORK = Log(), Log(fork=10)


def command(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", program, *map(str, arguments)]


@contextlib.contextmanager
def running(*arguments: object, end: int = signal.SIGTERM) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command(*map(str, arguments)), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert " listens at " in line, line + process.stderr.read()
        yield process
    finally:
        process.send_signal(end)
        process.wait(20)
        process.stderr.close()


def signer_arguments(folder: Path, *more: object) -> tuple[object, ...]:
    key = folder / "checkpoint.json"
    if not key.exists():
        signatures.write(key, KeyPair("checkpoint", "signer", KEY.seed))
    given = ("--key", key, "--origin", KEY.name, "--state", folder / "state.json", "--listen", folder / "socket")
    return ("ledger", "signer", "serve", *given, *more)


def sign(place: Place, log: Log, size: int) -> bytes:
    (signature,) = asking.submit(place, signer.SIGN_CHECKPOINT, log.unsigned(size), size, log.prove(size))
    return note.with_signatures(log.text(size), (signature,)).encode()


def test_a_signer_killed_at_any_moment_never_contradicts_itself(tmp_path: Path) -> None:
    """Killed again and again while it signs: what was answered was kept, and the fork is always refused."""
    place, size = Place(str(tmp_path / "socket")), 12
    for round in range(6):
        with running(*signer_arguments(tmp_path), end=signal.SIGKILL) as process:
            sign(place, LOG, size)
            with pytest.raises(Refused):
                sign(place, FORK, size)
            process.send_signal(signal.SIGSTOP if round % 2 else signal.SIGCONT)
            if round % 2:
                os.kill(process.pid, signal.SIGKILL)
            size += 3
    with running(*signer_arguments(tmp_path)):
        with pytest.raises(Refused, match="went back"):
            sign(place, LOG, 11)
        sign(place, LOG, 60)
    assert not (tmp_path / "socket").exists()


def test_witness_and_signer_work_together_as_processes(tmp_path: Path) -> None:
    """Keys are made and shown, a checkpoint is signed and cosigned, and a second witness on the state is refused."""
    key_file, state = tmp_path / "w1.json", tmp_path / "w1.state"
    made = subprocess.run(
        command("verifier", "witness", "key", "witness.example/w1", "--key", key_file),
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    shown = subprocess.run(
        command("verifier", "witness", "show", "--key", key_file), capture_output=True, text=True, check=True
    ).stdout.strip()
    assert made == shown
    witness_key = note.read_key(made)
    given = ("--key", key_file, "--state", state, "--log", KEY.verifier.text(), "--listen", tmp_path / "w1.socket")
    with running("verifier", "witness", "serve", *given):
        second = subprocess.run(
            command("verifier", "witness", "serve", *given), capture_output=True, text=True, check=False
        )
        assert (second.returncode, "held by another process" in second.stderr) == (4, True)
        policy = tmp_path / "witnesses"
        policy.write_text(f"witness w1 {made} {tmp_path / 'w1.socket'}\nquorum w1\n")
        with running(*signer_arguments(tmp_path, "--witnesses", policy)):
            signed = sign(Place(str(tmp_path / "socket")), LOG, 20)
        asking.cosign(Place(str(tmp_path / "w1.socket")), witness_key, signed, 20, LOG.prove(20))
        (tmp_path / "state.json").unlink()
        # A signer without its memory asks, learns what its key signed, and goes on from there.
        with running(*signer_arguments(tmp_path, "--witnesses", policy)):
            with pytest.raises(Refused, match="fork"):
                sign(Place(str(tmp_path / "socket")), FORK, 30)
            sign(Place(str(tmp_path / "socket")), LOG, 30)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("verifier", "witness", "key", "no name", "--key", "x.json"), 4, "key name"),
        (("verifier", "witness", "key", "w", "--key", "taken.json"), 4, "is there already"),
        (("verifier", "witness", "show", "--key", "open.json"), 4, "chmod 600"),
        (("verifier", "witness", "show", "--key", "checkpoint.json"), 4, "is the key of a checkpoint"),
        (("verifier", "witness", "show", "--key", "nowhere.json"), 4, "cannot be read"),
        (("verifier", "witness", "serve", "--key", "w.json", "--state", "s", "--log", "x"), 4, "verifier key"),
        (("ledger", "signer", "show", "--key", "w.json", "--origin", "x"), 8, "is the key of a witness"),
        (("ledger", "signer", "show", "--key", "checkpoint.json", "--origin", "a b"), 8, "key name"),
        (
            ("ledger", "signer", "serve", "--key", "checkpoint.json", "--origin", "x", "--state", "s", "--listen", "s",
             "--needs", "nowhere"), 8, "cannot be read",
        ),
        (
            ("ledger", "signer", "serve", "--key", "checkpoint.json", "--origin", "x", "--state", "s", "--listen", "s",
             "--needs", "bad"), 8, "line 1 of the policy",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_keys_and_policies_is_said(
    tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """Each ends with its status and a sentence, and no traceback."""
    for name, purpose in (("taken", "witness"), ("open", "witness"), ("w", "witness"), ("checkpoint", "checkpoint")):
        signatures.write(tmp_path / f"{name}.json", KeyPair(purpose, "witness.example/w1", bytes(32)))
    (tmp_path / "open.json").chmod(0o644)
    (tmp_path / "bad").write_text("quorum\n")
    ended = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (ended.returncode, says in ended.stderr, "Traceback" in ended.stderr) == (status, True, False), ended.stderr


def test_ctrl_c_ends_a_witness_quietly(tmp_path: Path) -> None:
    """That is how it is meant to end."""
    key_file = tmp_path / "w.json"
    signatures.write(key_file, KeyPair("witness", "witness.example/w1", bytes(32)))
    given = ("--key", key_file, "--state", tmp_path / "s", "--log", KEY.verifier.text(), "--listen", "127.0.0.1:0")
    with running("verifier", "witness", "serve", *given, end=signal.SIGINT) as process:
        time.sleep(0.05)
    assert process.returncode == 0
