"""
Check `tradeledger keys` as operators use it, on a real chain: make, show, rotate, revoke, and every way to go wrong.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.cli import access, creation, key_changes
from ledger.domain.events.control import KeyRotated
from ledger.errors import OutcomeUnknown
from ledger.evidence import note
from ledger.evidence.note import COSIGNATURE, ED25519, VerifierKey
from ledger.queries import Books
from tests.commands import ROOT, run, tradeledger
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import check_whole
from tests.keyring.terminal import Terminal

PURPOSES = ("checkpoint", "publisher", "replica", "recovery")


@pytest.fixture
def keyed(database: Database, tmp_path: Path) -> Database:
    """A database with one chain that names a key of each purpose, whose files are in `tmp_path/keys`."""
    creation.make(access.Access(database.dsn("owner"), None), ORIGIN, tmp_path / "keys", "writer")
    return database


def keys(
    database: Database, *arguments: object, status: int = 0, login: str = "writer"
) -> subprocess.CompletedProcess[str]:
    done = tradeledger("keys", *arguments, LEDGER_DSN=database.dsn(login))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def named(database: Database) -> dict[str, Any]:
    with Books(database.dsn("reader")) as books:
        return {row.key_id: row for row in books.table("chain_keys").value}


def test_a_key_is_made_once_and_shown_as_policies_list_it(tmp_path: Path) -> None:
    """One file of mode 0600 a purpose; the public half is printed, the private one never; nothing is written over."""
    folder = tmp_path / "keys"
    name = "holder.example/1"
    for purpose in (*PURPOSES, "witness"):
        made = tradeledger("keys", "create", purpose, "--name", name, "--keys", folder, "--origin", ORIGIN)
        assert made.returncode == 0, made.stderr
        path = folder / f"{purpose}.json"
        pair = signatures.read(path)
        assert (pair.purpose, pair.name, path.stat().st_mode & 0o777) == (purpose, name, 0o600)
        said = dict(line.rsplit(" ", 1) for line in made.stdout.splitlines())
        assert (said["file"], said["key id"], said["public key"]) == (str(path), pair.key_id, pair.public_key.hex())
        assert pair.seed.hex() not in made.stdout + made.stderr
        listed = {
            "checkpoint": VerifierKey(ORIGIN, ED25519, pair.public_key),
            "replica": VerifierKey(name, COSIGNATURE, pair.public_key),
            "witness": VerifierKey(name, COSIGNATURE, pair.public_key),
        }.get(purpose)
        assert said.get("verifier key") == (listed.text() if listed else None)
        before = path.read_bytes()
        again = tradeledger("keys", "create", purpose, "--name", "x", "--keys", folder)
        assert (again.returncode, "is there already" in again.stderr, path.read_bytes()) == (8, True, before)
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("create", "master", "--name", "x", "--keys", "k"), 2, "master"),
        (("create", "checkpoint", "--keys", "k"), 2, "--name"),
        (("create", "checkpoint", "--name", "é", "--keys", "k"), 8, "printable ASCII"),
        (("create", "checkpoint", "--name", "", "--keys", "k"), 8, "printable ASCII"),
        (("create", "witness", "--name", "a b", "--keys", "k"), 8, "key name"),
        (("create", "checkpoint", "--name", "x", "--keys", "k", "--origin", "a b"), 8, "key name"),
        (("create", "checkpoint", "--name", "x", "--keys", "k", "--file", "../x.json"), 8, "name of a file"),
        (("create", "checkpoint", "--name", "x", "--keys", "k", "--file", "x.txt"), 8, "ends in .json"),
        (("create", "checkpoint", "--name", "x", "--keys", "k", "--file", ".x.json"), 8, "begins with no dot"),
        (("create", "checkpoint", "--name", "x", "--keys", "open"), 8, "chmod go-w"),
        (("create", "checkpoint", "--name", "x", "--keys", "file"), 8, "cannot be written"),
        (("show", "--offline"), 8, "--keys"),
        (("show", "--offline", "--keys", "nowhere"), 8, "No such file"),
        (("show", "--offline", "--keys", "file"), 8, "Not a directory"),
        (("show", "--offline", "--keys", "k", "--format", "xml"), 2, "table or json"),
        (("rotate", "nowhere.json"), 8, "cannot be read"),
        (("rotate", "file"), 8, "no key file"),
        (("rotate", "w.json"), 8, "which no chain names"),
        (("revoke", "0123456789abcdef", "--last-valid-size", "5", "--reason", "x"), 2, "--recovery or"),
        (("revoke", "0123456789abcdef", "--last-valid-size", "-5", "--reason", "x", "--recovery", "x"), 2,
         "--last-valid-size"),
        (("sign-revocation", "nonsense", "--last-valid-size", "5", "--reason", "x", "--recovery", "w.json"), 8,
         "key id"),
        (("sign-revocation", "0123456789abcdef", "--last-valid-size", "5", "--reason", "x", "--recovery", "w.json"), 8,
         "signed by a recovery key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_done(
    tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """Each ends with its status and a sentence, no traceback, and no file."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("{}")
    (tmp_path / "file").chmod(0o600)
    signatures.write(tmp_path / "w.json", KeyPair("witness", "w", bytes(32)))
    before = sorted(tmp_path.rglob("*"))
    done = run("ledger", "keys", *arguments, cwd=tmp_path, LEDGER_DSN="postgresql://nobody@127.0.0.1:1/none")
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_every_command_says_what_it_is_for() -> None:
    """Help for the group and for each of its commands."""
    listed = tradeledger("keys", "--help").stdout
    for command in ("create", "show", "rotate", "revoke", "sign-revocation", "backup", "restore"):
        assert command in listed
        told = tradeledger("keys", command, "--help")
        assert (told.returncode, "Usage" in told.stdout) == (0, True)


def test_show_says_of_each_file_what_the_chain_says(keyed: Database, tmp_path: Path) -> None:
    """Files in force, strangers, those that cannot be used, and keys whose file is elsewhere; never a private half."""
    folder = tmp_path / "keys"
    (folder / "recovery.json").rename(tmp_path / "recovery.json")
    stranger = KeyPair("checkpoint", "signer", bytes(32))
    signatures.write(folder / "stranger.json", stranger)
    (folder / "signer.json").write_text('{"schema_version": 1, "checkpoints": {}}')
    (folder / "signer.json").chmod(0o600)
    shown = keys(keyed, "show", "--keys", folder, "--format", "json").stdout
    told = {Path(row["file"]).stem if row["file"] else "elsewhere": row for row in json.loads(shown)["keys"]}
    assert sorted(told) == ["checkpoint", "elsewhere", "publisher", "replica", "stranger"]
    assert told["elsewhere"]["purpose"] == "recovery"
    assert {row["standing"] for name, row in told.items() if name != "stranger"} == {"in force since 1"}
    assert told["stranger"]["standing"] == "not named by this chain"
    pair = signatures.read(folder / "checkpoint.json")
    assert note.read_key(told["checkpoint"]["verifier_key"]) == VerifierKey(ORIGIN, ED25519, pair.public_key)
    table = keys(keyed, "show", "--keys", folder).stdout
    for row in told.values():
        assert row["key_id"] in table
    assert "(not here)" in table
    (folder / "replica.json").chmod(0o644)
    done = keys(keyed, "show", "--keys", folder, "--format", "json", status=8)
    assert "chmod 600" in done.stderr
    (broken,) = [row for row in json.loads(done.stdout)["keys"] if row["problem"]]
    assert (Path(broken["file"]).name, broken["key_id"]) == ("replica.json", None)
    offline = tradeledger("keys", "show", "--offline", "--keys", folder, LEDGER_DSN="postgresql://nobody@127.0.0.1:1/x")
    assert (offline.returncode, pair.key_id in offline.stdout, "in force" in offline.stdout) == (8, True, False)
    for path in folder.glob("*.json"):
        seed = json.loads(path.read_bytes()).get("seed", "no seed at all")
        assert seed not in shown + table + done.stdout + offline.stdout + done.stderr


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_key_is_rotated_and_then_revoked(keyed: Database, tmp_path: Path, purpose: str) -> None:
    """The new one is named by both signatures; said again it is the same; the old one ends where it was told to."""
    folder = tmp_path / "keys"
    old = signatures.read(folder / f"{purpose}.json")
    recovery = folder / "recovery.json"
    revoking = ("revoke", old.key_id, "--last-valid-size", 1, "--reason", "stolen", "--recovery", recovery, "--yes")
    refused = keys(keyed, *revoking, status=8)
    assert "`tradeledger keys rotate` first" in refused.stderr
    would = keys(keyed, "rotate", folder / f"{purpose}.json", "--dry-run")
    assert ("would take over" in would.stdout, len(named(keyed)), len(list(folder.iterdir()))) == (True, 4, 4)
    done = keys(keyed, "rotate", folder / f"{purpose}.json")
    new = signatures.read(folder / f"{purpose}-2.json")
    rows = named(keyed)
    assert (rows[new.key_id].valid_from_seq, rows[old.key_id].revoked) == (2, False)
    assert f"key {new.key_id} in {folder / f'{purpose}-2.json'} took over from {old.key_id} at seq 2" in done.stdout
    again = keys(keyed, "rotate", folder / f"{purpose}.json")
    assert again.stdout.splitlines()[1:] == done.stdout.splitlines()[1:]
    assert (named(keyed), len(list(folder.iterdir()))) == (rows, 5)
    would = keys(keyed, *revoking, "--dry-run")
    assert ("would be revoked" in would.stdout, named(keyed)) == (True, rows)
    done = keys(keyed, *revoking)
    assert f"key {old.key_id} is revoked at seq 3; it counts up to 1" in done.stdout
    listed = {"checkpoint": f"revoked {VerifierKey(ORIGIN, ED25519, old.public_key).text()} 1",
              "replica": f"revoked {VerifierKey(old.name, COSIGNATURE, old.public_key).text()} 1"}  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("revoked ")] == [
        line for line in [listed.get(purpose)] if line
    ]
    row = named(keyed)[old.key_id]
    assert (row.revoked, row.valid_to_seq) == (True, 1)
    assert "is revoked already" in keys(keyed, *revoking).stdout
    assert "for good" in keys(keyed, *revoking[:3], 2, *revoking[4:], status=8).stderr
    assert "names no successor" in keys(keyed, "rotate", folder / f"{purpose}.json", status=8).stderr
    third = keys(keyed, "rotate", folder / f"{purpose}-2.json")
    assert f"{purpose}-3.json took over from {new.key_id} at seq 4" in third.stdout
    assert check_whole(keyed) == 4


def test_a_lost_successor_is_followed_by_another(keyed: Database, tmp_path: Path) -> None:
    """Its file gone, a second rotation says so, and takes another file when that is named."""
    folder = tmp_path / "keys"
    keys(keyed, "rotate", folder / "checkpoint.json")
    (folder / "checkpoint-2.json").unlink()
    said = keys(keyed, "rotate", folder / "checkpoint.json", status=8).stderr
    assert "name the file of yet another with --new" in said
    keys(keyed, "rotate", folder / "checkpoint.json", "--new", tmp_path / "other.json")
    assert signatures.read(tmp_path / "other.json").key_id in named(keyed)


def test_a_rotation_that_cannot_be_leaves_no_key(keyed: Database, tmp_path: Path) -> None:
    """A stranger's key, a login that may not append, a key of another purpose, a folder that is full or not there."""
    folder = tmp_path / "keys"
    stranger = tmp_path / "stranger.json"
    signatures.write(stranger, KeyPair("checkpoint", "signer", bytes(32)))
    assert "names no key" in keys(keyed, "rotate", stranger, status=8).stderr
    assert "names already" in keys(
        keyed, "rotate", folder / "checkpoint.json", "--new", folder / "publisher.json", status=8
    ).stderr  # fmt: skip
    for hidden in ("checkpoint-2.key", ".checkpoint.json"):
        said = keys(keyed, "rotate", folder / "checkpoint.json", "--new", folder / hidden, status=8).stderr
        assert "a backup would pass over another" in said
        assert not (folder / hidden).exists()
    assert "may not append" in keys(keyed, "rotate", folder / "checkpoint.json", status=8, login="reader").stderr
    for place in ("/proc/none.json", "/dev/full/none.json"):
        said = keys(keyed, "rotate", folder / "checkpoint.json", "--new", place, status=8).stderr
        assert f"{place} cannot be written" in said
    assert (len(named(keyed)), len(list(folder.iterdir()))) == (4, 4)


def test_a_rotation_whose_answer_was_lost_goes_on(
    keyed: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit or after it: the key stays, and the same command again ends with it named once."""
    folder, append = tmp_path / "keys", Ledger.append

    def lost(self: Ledger, event: KeyRotated, **more: Any) -> Any:
        if event.new_key.purpose == "publisher":
            append(self, event, **more)
        raise OutcomeUnknown("the answer was lost")

    for purpose in ("checkpoint", "publisher"):
        monkeypatch.setattr(Ledger, "append", lost)
        with pytest.raises(OutcomeUnknown, match="run this again"):
            key_changes.rotate(folder / f"{purpose}.json", dsn=keyed.dsn("writer"))
        monkeypatch.setattr(Ledger, "append", append)
        left = signatures.read(folder / f"{purpose}-2.json")
        keys(keyed, "rotate", folder / f"{purpose}.json")
        assert signatures.read(folder / f"{purpose}-2.json") == left
        assert [row.name for row in named(keyed).values()].count(left.name) == 2


def test_ctrl_c_in_a_rotation_leaves_what_the_next_one_needs(keyed: Database, tmp_path: Path) -> None:
    """The head is locked by somebody, so the event waits; interrupted, it is done by the second run."""
    folder = tmp_path / "keys"
    holder = subprocess.Popen(
        [sys.executable, "-c",
         f"import psycopg,sys\nwith psycopg.connect({keyed.dsn('owner')!r}) as c:\n"
         " c.execute('SELECT * FROM ledger.chain_heads FOR UPDATE')\n print(flush=True)\n sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    rotating = subprocess.Popen(
        [sys.executable, "-m", "ledger", "keys", "rotate", str(folder / "checkpoint.json")], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LEDGER_DSN": keyed.dsn("writer")},
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not (folder / "checkpoint-2.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    rotating.send_signal(signal.SIGINT)
    time.sleep(0.2)
    holder.communicate("")
    said = rotating.communicate(timeout=30)[1]
    assert (rotating.returncode, "run this again" in said, "Traceback" in said) == (130, True, False), said
    left = signatures.read(folder / "checkpoint-2.json")
    keys(keyed, "rotate", folder / "checkpoint.json")
    assert left.key_id in named(keyed)
    assert len(named(keyed)) == 5


def test_a_revocation_that_cannot_be_changes_nothing(keyed: Database, tmp_path: Path) -> None:
    """An unknown key, a size to come, a stranger's recovery key, a false signature, and nobody to ask."""
    folder = tmp_path / "keys"
    keys(keyed, "rotate", folder / "checkpoint.json")
    old = signatures.read(folder / "checkpoint.json").key_id
    stranger = tmp_path / "stranger.json"
    signatures.write(stranger, KeyPair("recovery", "safe", bytes(32)))
    recovery = folder / "recovery.json"

    def revoke(*more: object, key_id: str = old, size: int = 1, status: int = 8) -> str:
        return keys(
            keyed, "revoke", key_id, "--last-valid-size", size, "--reason", "stolen", *more, status=status
        ).stderr  # fmt: skip

    assert "names no key" in revoke("--recovery", recovery, "--yes", key_id="0" * 16)
    assert "the chain has 2 events" in revoke("--recovery", recovery, "--yes", size=3)
    assert "no recovery key in force" in revoke("--recovery", stranger, "--yes")
    assert "signed by a recovery key" in revoke("--recovery", folder / "publisher.json", "--yes")
    assert "signature is not a recovery key's" in revoke("--signature", "ab" * 64, "--yes")
    assert "say --yes" in revoke("--recovery", recovery)
    assert "either --recovery or" in revoke("--recovery", recovery, "--signature", "ab", status=2)
    assert not any(row.revoked for row in named(keyed).values())
    signed = tradeledger(
        "keys", "sign-revocation", old, "--last-valid-size", 1, "--reason", "stolen", "--recovery", recovery,
        LEDGER_DSN="postgresql://nobody@127.0.0.1:1/none",
    ).stdout.strip()  # fmt: skip
    revoke("--signature", signed, "--yes", status=0)
    assert named(keyed)[old].revoked


@pytest.mark.parametrize(("answer", "status"), [(b"n\n", 8), (b"\n", 8), (b"y\n", 0), (b"\x03", 130)])
def test_a_revocation_is_asked_about(keyed: Database, tmp_path: Path, answer: bytes, status: int) -> None:
    """At a terminal it says what is about to happen, and takes no for an answer."""
    folder = tmp_path / "keys"
    keys(keyed, "rotate", folder / "publisher.json")
    old = signatures.read(folder / "publisher.json").key_id
    terminal = Terminal(
        "keys", "revoke", old, "--last-valid-size", 1, "--reason", "lost", "--recovery", folder / "recovery.json",
        LEDGER_DSN=keyed.dsn("writer"),
    )  # fmt: skip
    terminal.wait_for(b"cannot be undone")
    terminal.wait_for(b"[y/N]")
    terminal.type(answer)
    assert (terminal.end(), named(keyed)[old].revoked) == (status, status == 0), terminal.shown
    assert b"Traceback" not in terminal.shown


def test_the_last_key_of_its_kind_is_revoked_only_when_that_is_said(keyed: Database, tmp_path: Path) -> None:
    """A revoked key names no successor, so this is the end of its kind, and has to be meant."""
    folder = tmp_path / "keys"
    old = signatures.read(folder / "recovery.json").key_id
    given = ("revoke", old, "--last-valid-size", 1, "--reason", "x", "--recovery", folder / "recovery.json", "--yes")
    assert "--without-successor" in keys(keyed, *given, status=8).stderr
    keys(keyed, *given, "--without-successor")
    assert named(keyed)[old].revoked
    with Ledger.open(keyed.dsn("writer")) as ledger:
        assert ledger.head().seq == 2
