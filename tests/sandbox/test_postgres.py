"""
Check the private PostgreSQL: its roles, its survival of a crash, and that nothing is left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.errors import SetupNeeded
from ledger.sandbox import home
from ledger.sandbox.postgres import Server
from tests.conftest import Database

USE = """
import sys, time
from ledger.sandbox import home
with home.server() as sockets:
    print(sockets, flush=True)
    time.sleep(float(sys.argv[1]))
"""


def test_each_login_is_a_member_of_its_role_and_no_superuser(empty_database: Database) -> None:
    """The superuser only provisions; nobody else may do what it does."""
    found = empty_database.sql(
        "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolcanlogin AND NOT rolsuper"
    )
    assert found == "applier,auditor,owner,publisher,reader,sealer,writer"
    assert empty_database.sql("SHOW data_checksums") == "on"
    assert empty_database.sql("SHOW server_encoding") == "UTF8"


def test_a_killed_server_restarts_with_what_was_committed(tmp_path: Path) -> None:
    """kill -9 of every process, and the commit is there."""
    server = Server.start(tmp_path / ("deep" * 30) / "server")
    try:
        server.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        server.kill()
        assert not server.is_running()
        server.restart()
        assert server.sql("SELECT n FROM kept") == "7"
    finally:
        server.stop()
    assert not server.socket.exists()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_commands_share_a_server_that_stops_after_the_last_even_if_its_starter_was_killed(tmp_path: Path) -> None:
    """Two users of one home find one server; the first is killed, the second goes on, then nothing runs."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    environment = {**os.environ, "LEDGER_HOME": str(private / "home")}
    root = Path(__file__).parents[2]
    start = [sys.executable, "-c", USE]
    with subprocess.Popen([*start, "60"], env=environment, cwd=root, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        sockets = first.stdout.readline()
        with subprocess.Popen([*start, "3"], env=environment, cwd=root, stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == sockets
            pid = int((private / "home" / "a" / "data" / "postmaster.pid").read_text().split()[0])
            first.send_signal(signal.SIGKILL)
            time.sleep(1.5)
            assert _lives(pid)
    for _ in range(100):
        if not _lives(pid):
            break
        time.sleep(0.1)
    assert not _lives(pid)
    assert not Path(sockets.strip()).exists()


def test_a_given_address_wins_and_a_home_that_cannot_be_is_named(tmp_path: Path) -> None:
    """No server is started for a given address; a file in the place of the home is an error that says so."""
    with home.database("reader", environment={"LEDGER_DSN": "postgresql://x/y"}) as dsn:
        assert dsn == "postgresql://x/y"
    nowhere = {"LEDGER_HOME": f"{tmp_path}/mistyped", "LEDGER_DSN": ""}
    with (
        pytest.raises(SetupNeeded, match=r"no private PostgreSQL was made in .*mistyped/a"),
        home.database("auditor", environment=nowhere),
    ):
        pass
    assert not (tmp_path / "mistyped").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupNeeded, match="LEDGER_HOME"), home.server(environment={"LEDGER_HOME": f"{tmp_path}/file"}):
        pass
