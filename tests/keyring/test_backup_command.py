"""
Back keys and state up and restore them, as commands; a signer that is restored learns what it signed before it signs.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.cli import key_backup
from ledger.errors import InvalidInput, NotPermitted, StorageFull
from ledger.evidence import policy
from ledger.sealing import asking, services
from ledger.sealing.asking import Refused
from ledger.sealing.places import NotAnswering, Place
from ledger.sealing.promises import Promises
from tests import commands
from tests.commands import tradeledger
from tests.keyring.terminal import Terminal
from tests.sealing.logs import KEY, WITNESSES, Log, served
from tests.sealing.test_programs import running, sign
from tests.sealing.test_services import witnessing

LOG, FORK = Log(), Log(fork=10)
NOBODY = policy.decode(b"quorum none\n")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the keys of a log and its publisher, and of a witness; the passphrase is in `tmp_path/phrase`."""
    folder = tmp_path / "keys"
    signatures.write(folder / "checkpoint.json", KeyPair("checkpoint", "signer", KEY.seed))
    signatures.write(folder / "publisher.json", KeyPair("publisher", "region-a", bytes(32)))
    signatures.write(folder / "w1.json", KeyPair("witness", "witness.example/w1", bytes(32)))
    (tmp_path / "phrase").write_text("correct horse battery\n")
    (tmp_path / "phrase").chmod(0o600)
    return folder


def run(*arguments: object, status: int = 0) -> tuple[str, str]:
    done = tradeledger("keys", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    return done.stdout, done.stderr


def test_a_backup_with_the_recovery_key_says_so(keys: Path, tmp_path: Path) -> None:
    """It is there to end the others, once they are stolen: with them in one file it is stolen with them."""
    phrase = ("--passphrase-file", tmp_path / "phrase")
    assert "recovery key" not in run("backup", tmp_path / "without", "--keys", keys, *phrase)[1]
    signatures.write(keys / "recovery.json", KeyPair("recovery", "recovery", bytes(32)))
    said, told = run("backup", tmp_path / "with", "--keys", keys, *phrase)
    assert "recovery.json" in said
    assert "has all of them: carry it to a safe, and back up again without it" in told


def test_a_backup_brings_back_keys_and_nothing_by_halves(keys: Path, tmp_path: Path) -> None:
    """The same keys in files of mode 0600; a witness's is left out; no file is ever written over."""
    phrase, file = ("--passphrase-file", tmp_path / "phrase"), tmp_path / "keys.backup"
    said, left_out = run("backup", file, "--keys", keys, *phrase)
    assert ("checkpoint.json, publisher.json" in said, "w1.json" in left_out) == (True, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert KEY.seed.hex().encode() not in file.read_bytes()
    assert "is there already" in run("backup", file, "--keys", keys, *phrase, status=8)[1]
    folder = tmp_path / "restored"
    told, _ = run("restore", file, folder, *phrase, "--dry-run")
    assert ("checkpoint.json, publisher.json" in told, folder.exists()) == (True, False)
    assert re.search(r"was made at 20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC and holds", told)
    folder.mkdir()
    run("restore", file, folder, *phrase)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.json", "publisher.json", "signer.state"]
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    for name in ("checkpoint.json", "publisher.json"):
        assert (folder / name).read_bytes() == (keys / name).read_bytes()
    assert "not empty" in run("restore", file, folder, *phrase, status=8)[1]
    assert [path.name for path in tmp_path.iterdir() if ".new" in path.name] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("backup", "b", "--keys", "nowhere", "--passphrase-file", "phrase"), "cannot be read"),
        (("backup", "b", "--keys", "empty", "--passphrase-file", "phrase"), "holds no keys"),
        (("backup", "b", "--keys", "bad", "--passphrase-file", "phrase"), "nothing was backed up"),
        (("backup", "b", "--keys", "keys", "--passphrase-file", "nowhere"), "cannot be read"),
        (("backup", "b", "--keys", "keys", "--passphrase-file", "open"), "chmod 600"),
        (("backup", "b", "--keys", "keys", "--passphrase-file", "short"), "at least 12"),
        (("backup", "b", "--keys", "keys"), "nobody to ask"),
        (("backup", "b", "--keys", "keys", "--passphrase-file", "phrase", "--state", "nowhere"), "cannot be read"),
        (("backup", "b", "--keys", "keys", "--passphrase-file", "phrase", "--state", "phrase"), "no state"),
        (("backup", "/proc/b", "--keys", "keys", "--passphrase-file", "phrase"), "cannot be written"),
        (("restore", "nowhere", "r", "--passphrase-file", "phrase"), "cannot be read"),
        (("restore", "phrase", "r", "--passphrase-file", "phrase"), "expected a backup of keys"),
        (("restore", "cut", "r", "--passphrase-file", "phrase"), "changed or cut short"),
        (("restore", "good", "r", "--passphrase-file", "other"), "passphrase is another one"),
        (("restore", "good", "/proc/r", "--passphrase-file", "phrase"), "cannot be written"),
        (("restore", "good", "phrase", "--passphrase-file", "phrase"), "not empty"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    keys: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    """Each ends with 8 and a sentence."""
    for name, text in (("open", "correct horse battery"), ("short", "short"), ("other", "another passphrase")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "key.json").write_bytes((keys / "publisher.json").read_bytes())
    key_backup.backup(tmp_path / "good", keys, passphrase_file=tmp_path / "phrase")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-5])
    (tmp_path / "cut").chmod(0o600)
    before = sorted(tmp_path.rglob("*"))
    done = commands.run("ledger", "keys", *arguments, cwd=tmp_path)
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (8, True, False), done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_fills_up_leaves_no_half(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a backup nor of what is restored from it."""
    phrase = tmp_path / "phrase"
    key_backup.backup(tmp_path / "good", keys, passphrase_file=phrase)
    before = sorted(tmp_path.rglob("*"))
    calls, force = [], os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        force(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="nothing was made"):
        key_backup.restore(tmp_path / "good", tmp_path / "restored", passphrase_file=phrase)
    calls[:] = [0, 0]
    with pytest.raises(StorageFull, match="nothing was made"):
        key_backup.backup(tmp_path / "another", keys, passphrase_file=phrase)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("again", "status"), [(b"correct horse\n", 0), (b"correct hose\n", 8)])
def test_a_passphrase_is_typed_twice(keys: Path, tmp_path: Path, again: bytes, status: int) -> None:
    """At a terminal, where it is not shown; two that differ seal nothing."""
    terminal = Terminal("keys", "backup", tmp_path / "b", "--keys", keys)
    terminal.wait_for(b"passphrase: ")
    terminal.type(b"correct horse\n")
    terminal.wait_for(b"the same again: ")
    terminal.type(again)
    assert (terminal.end(), (tmp_path / "b").exists()) == (status, status == 0), terminal.shown
    assert b"correct" not in terminal.shown


def test_ctrl_c_at_the_passphrase_leaves_nothing(keys: Path, tmp_path: Path) -> None:
    """It ends as every command does that is interrupted."""
    before = sorted(tmp_path.rglob("*"))
    terminal = Terminal("keys", "backup", tmp_path / "b", "--keys", keys)
    terminal.wait_for(b"passphrase: ")
    terminal.type(b"\x03")
    assert (terminal.end(), b"interrupted" in terminal.shown, b"Traceback" in terminal.shown) == (130, True, False)
    assert sorted(tmp_path.rglob("*")) == before


@contextlib.contextmanager
def three_witnesses(folder: Path) -> Iterator[policy.Policy]:
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(witnessing(folder, key)) for key in WITNESSES]
        lines = [f"witness w{n} {key.verifier.text()} {urls[n]}" for n, key in enumerate(WITNESSES)]
        yield policy.decode("\n".join([*lines, "group q 2 w0 w1 w2", "quorum q", ""]).encode())


def test_a_restored_signer_signs_nothing_before_it_asked_the_witnesses(keys: Path, tmp_path: Path) -> None:
    """Backed up at 10, it signed 30; restored, it refuses without witnesses, learns of the 30, and refuses a fork."""
    phrase, state = tmp_path / "phrase", tmp_path / "signer.json"
    listen, place = tmp_path / "socket", Place(str(tmp_path / "socket"))

    def signer(state: Path, keys: Path, *more: object) -> tuple[object, ...]:
        return ("ledger", "signer", "serve", "--key", keys / "checkpoint.json", "--origin", KEY.name, "--state", state,
                "--listen", listen, *more)  # fmt: skip

    with three_witnesses(tmp_path) as trusted:
        with running(*signer(state, keys)):
            sign(place, LOG, 10)
            run("backup", tmp_path / "b", "--keys", keys, "--state", state, "--passphrase-file", phrase)
            signed = sign(place, LOG, 30)
        for member in trusted.witnesses:
            asking.cosign(Place(member.url or ""), member.key, signed, 30, LOG.prove(30))
        restored = tmp_path / "restored"
        run("restore", tmp_path / "b", restored, "--passphrase-file", phrase)
        old = restored / "signer.state"
        refused = tradeledger(*signer(old, restored)[1:])
        assert (refused.returncode, "restored from a backup" in refused.stderr) == (8, True)
        nowhere = tmp_path / "nowhere"
        nowhere.write_text(f"witness w {WITNESSES[0].verifier.text()} http://127.0.0.1:1\nquorum w\n")
        with running(*signer(old, restored, "--witnesses", nowhere)), pytest.raises(NotAnswering, match="too few"):
            sign(place, FORK, 40)
        given = tmp_path / "witnesses"
        lines = [f"witness {one.name} {one.key.text()} {one.url}" for one in trusted.witnesses]
        given.write_text("\n".join([*lines, "group q 2 w0 w1 w2", "quorum q", ""]))
        with running(*signer(old, restored, "--witnesses", given)):
            with pytest.raises(Refused, match="fork"):
                sign(place, FORK, 40)
            sign(place, LOG, 40)
    # What the witnesses said is kept, so the mark is gone.
    with Promises(old) as promises:
        assert (promises.restored, promises.kept[KEY.name].size) == (False, 40)


def test_a_backup_without_a_state_is_no_way_around_it(keys: Path, tmp_path: Path) -> None:
    """The restored state is empty and marked all the same; one that the witnesses agree with is kept unmarked."""
    phrase = tmp_path / "phrase"
    said, _ = run("backup", tmp_path / "b", "--keys", keys, "--passphrase-file", phrase)
    assert "learns it from witnesses alone" in said
    run("restore", tmp_path / "b", tmp_path / "r", "--passphrase-file", phrase)
    with Promises(tmp_path / "r" / "signer.state") as state:
        assert (state.kept, state.restored) == ({}, True)
        with pytest.raises(NotPermitted, match="--witnesses"):
            services.signer_of(state, KEY, NOBODY, NOBODY)
        with (
            three_witnesses(tmp_path) as trusted,
            served(services.signer_of(state, KEY, NOBODY, trusted), tmp_path / "s") as address,
        ):
            assert state.restored
            sign(Place(address), LOG, 12)
        assert not state.restored


def test_keys_without_a_signer_bring_no_state(keys: Path, tmp_path: Path) -> None:
    """There is nobody whom it could mislead."""
    (keys / "checkpoint.json").unlink()
    phrase = ("--passphrase-file", tmp_path / "phrase")
    assert "witnesses" not in run("backup", tmp_path / "b", "--keys", keys, *phrase)[0]
    assert "signer.state" not in run("restore", tmp_path / "b", tmp_path / "r", *phrase)[0]
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["publisher.json"]


def test_the_passphrase_is_no_argument() -> None:
    """What stands on a command line is seen by everybody who lists processes."""
    assert "--passphrase " not in tradeledger("keys", "backup", "--help").stdout.replace("--passphrase-file", "")
    with pytest.raises(InvalidInput, match="nobody to ask"):
        key_backup._passphrase(None, twice=True)
