"""
Fill the disk of a real PostgreSQL, and of its write-ahead log alone, while a ledger appends.

The disk is a small file system that the test mounts, with a ballast that leaves little room; where mounting is not
allowed, the server's files are limited instead. Room is made by taking the ballast away. In between the ledger must
say so, lose nothing it acknowledged and leave nothing half-written.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.domain.events.cash import JournalPosted, Posting
from ledger.errors import StorageFull, Unavailable
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade
from tests.commands import tradeledger
from tests.conftest import ORIGIN, Database, binaries
from tests.importing.test_bad_input import SESSION, session_files
from tests.importing.test_sessions import take
from tests.journal.test_ledger import check_whole, fill

MIB = 1 << 20


class Disk:
    """A small file system with a ballast."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self, left: int) -> None:
        """Leave room for *left* bytes."""
        free = shutil.disk_usage(self.folder).free
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - left)

    def free(self) -> None:
        self.ballast.unlink()


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[Disk | None]:
    """Yield a file system of *size* bytes at *folder*, or None where mounting is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
    if done.returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class Limit:
    """A limit on the size of the server's files, raised and lowered while it runs."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def fill(self, left: int) -> None:
        """Let no file be longer than *left* bytes from now on."""
        self._set(str(left))

    def free(self) -> None:
        self._set("unlimited")

    def _set(self, size: str) -> None:
        if not self.server.is_running():
            return
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        # Only who a process belongs to may limit it.
        owner = self.server.folder.stat()
        own = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        for pid in (self.server.pid, *map(int, children)):
            subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size}:"], check=False, **own)  # type: ignore[call-overload]


def place_log(server: Server, disk: Path) -> None:
    """Move the server's write-ahead log to *disk*."""
    server.stop()
    log = server.folder / "data" / "pg_wal"
    owner = log.stat()
    shutil.move(log, disk / "pg_wal")
    for path in (disk, disk / "pg_wal", *(disk / "pg_wal").rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    log.symlink_to(disk / "pg_wal")
    os.chown(log, owner.st_uid, owner.st_gid, follow_symlinks=False)
    server.restart()


@contextlib.contextmanager
def small(what: str, tmp_path: Path) -> Iterator[tuple[Database, Disk | Limit]]:
    """Yield a chain on a server whose data, or whose log, lie on a small disk."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(mounted(tmp_path / "disk", 96 * MIB)) if what != "limit" else None
        server = Server.start((disk.folder if disk and what == "data" else tmp_path) / "server", binaries=binaries())
        stack.callback(server.stop)
        if disk and what == "log":
            place_log(server, disk.folder)
        upgrade.upgrade(server.dsn("owner"))
        create_chain(server.dsn("owner"), ORIGIN, (), [("writer", "engine"), ("writer", "nautilus")])
        yield Database(server, "ledger"), disk or Limit(server)


def recover(database: Database) -> None:
    """Do what an operator does once there is room: start the server if it ended, and wait until it answers."""
    deadline = time.monotonic() + 60
    while True:
        if not database.server.is_running():
            database.server.stop()
            database.server.restart()
        try:
            database.sql("SELECT 1")
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def large(number: int) -> JournalPosted:
    legs = [Posting(account="A", asset="USDT", bucket="settled", amount=amount) for amount in ("-1", "1")]
    # Random text, because PostgreSQL would compress any other.
    return JournalPosted(
        journal_id=f"j{number}", postings=tuple(legs), memo=random.Random(number).randbytes(60_000).hex()
    )


@pytest.mark.parametrize("what", ["data", "log", "limit"])
def test_a_full_disk_loses_nothing_and_appends_go_on_once_there_is_room(tmp_path: Path, what: str) -> None:
    """Unavailable while it is full, for many requests; what was acknowledged stays, the refused ones are then taken."""
    with small(what, tmp_path) as (database, disk), Ledger.open(database.dsn("writer")) as ledger:
        fill(ledger)
        acknowledged: dict[str, int] = {}
        refused: dict[int, Unavailable] = {}
        if what == "data":
            # The log lies there as well, in files of 16 MiB: a new one now has room for all that follows, so that it is
            # the data which find none.
            database.sql("SELECT pg_switch_wal()")
            database.sql("CHECKPOINT")
        # The log is written in files of 16 MiB; a limit above that is one on the data alone.
        disk.fill(17 * MIB if isinstance(disk, Limit) else 3 * MIB)
        for number in range(600):
            try:
                acknowledged[f"k{number}"] = ledger.append(large(number), key=f"k{number}", timeout=60).seq
            except Unavailable as error:
                refused[number] = error
            if len(refused) == 5:
                break
        assert len(refused) == 5
        assert acknowledged
        if what == "data" and isinstance(disk, Disk):
            assert {type(error) for error in refused.values()} == {StorageFull}
            assert all("No space left" in str(error) for error in refused.values())
        disk.free()
        recover(database)
        for number in range(max(refused) + 3):
            receipt = ledger.append(large(number), key=f"k{number}", timeout=60)
            assert acknowledged.get(f"k{number}", receipt.seq) == receipt.seq
        assert check_whole(database, ledger) == ledger.head().seq


def test_an_import_on_a_full_disk_ends_with_its_status_and_a_second_run_is_complete(tmp_path: Path) -> None:
    """Exit 5 and a sentence; nothing half-written; with room again the same command takes the rest."""
    with small("data", tmp_path) as (database, disk):
        arguments = session_files(tmp_path)
        disk.fill(8192 if isinstance(disk, Limit) else 0)
        done = tradeledger(*arguments, LEDGER_DSN=database.dsn("writer"))
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert "Traceback" not in done.stderr
        disk.free()
        recover(database)
        check_whole(database)
        report = take(database, Path(str(arguments[2])))
        assert report.read == SESSION.read
        check_whole(database)


@pytest.mark.parametrize("room", [0, 20 * MIB])
def test_an_embedded_database_on_a_full_disk_is_named_and_made_afterwards(tmp_path: Path, room: int) -> None:
    """No room at all, or too little to make a database: exit 5 says where; with room the same command works."""
    with mounted(tmp_path / "disk", 96 * MIB) as disk:
        home = tmp_path / "disk" / "home"
        environment = {"LEDGER_DSN": "", "LEDGER_HOME": str(home)}
        if disk is None:
            (tmp_path / "disk").chmod(0o500)
        else:
            disk.fill(room)
        done = tradeledger("db", "upgrade", **environment)
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert str(home) in done.stderr
        assert "Traceback" not in done.stderr
        if disk is None:
            (tmp_path / "disk").chmod(0o700)
        else:
            disk.free()
        done = tradeledger("db", "upgrade", **environment)
        assert done.returncode == 0, done.stderr
        time.sleep(2)
