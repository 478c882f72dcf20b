"""
Check that a server which could lose or change what was written is refused, by the API, the command and the verifier.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.errors import UnsafeSettings
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.sandbox.processes import as_user
from ledger.storage import upgrade
from tests.commands import tradeledger
from tests.conftest import ORIGIN, Database, binaries

SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")


@pytest.fixture(scope="module")
def unsafe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server of its own with a chain in it, whose data checksums were then turned off."""
    server = Server.start(tmp_path_factory.mktemp("unsafe") / "server", binaries=binaries())
    try:
        upgrade.upgrade(server.dsn("owner"))
        create_chain(server.dsn("owner"), ORIGIN, (), [("writer", "engine")])
        server.sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' OWNER ledger_owner")
        server.stop()
        subprocess.run(
            as_user([str(server.binaries / "pg_checksums"), "--disable", "-D", str(server.folder / "data")]),
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        server.restart()
        yield server
    finally:
        server.stop()


def refused(server: Server, words: str, name: str = "ledger") -> None:
    """Assert that API and command refuse the database, naming *words*."""
    with pytest.raises(UnsafeSettings, match=words):
        Ledger.open(server.dsn("writer", name))
    for command, login in ((("head",), "reader"), (("db", "check"), "owner")):
        done = tradeledger(*command, LEDGER_DSN=server.dsn(login, name))
        assert (done.returncode, done.stdout) == (5, "")
        assert words in done.stderr


def test_a_server_without_checksums_is_refused(unsafe: Server) -> None:
    """Without them a page that rots on the disk is returned as if it were good."""
    refused(unsafe, "data_checksums is 'off', expected 'on'")
    done = tradeledger("db", "upgrade", LEDGER_DSN=unsafe.dsn("owner"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "stop the server and run pg_checksums --enable -D" in done.stderr


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_server_that_may_lose_a_commit_is_refused(unsafe: Server, setting: str) -> None:
    """Each setting is named, together with the checksums that are off as well."""
    unsafe.sql(f"ALTER SYSTEM SET {setting} = off")
    unsafe.sql("SELECT pg_reload_conf()")
    try:
        while unsafe.sql(f"SHOW {setting}") != "off":
            pass
        refused(unsafe, f"{setting} is 'off', expected 'on'")
    finally:
        unsafe.sql(f"ALTER SYSTEM RESET {setting}")
        unsafe.sql("SELECT pg_reload_conf()")


def test_what_is_unsafe_for_the_login_alone_is_refused_by_a_check(database: Database) -> None:
    """The server is safe, and what this login commits may be lost."""
    dsn = f"{database.dsn('owner')}&options=-c%20synchronous_commit%3Doff"
    done = tradeledger("db", "check", LEDGER_DSN=dsn)
    assert (done.returncode, done.stdout) == (5, "")
    assert "synchronous_commit is 'off', expected 'on'" in done.stderr


def test_a_database_that_is_not_in_utf8_is_refused(unsafe: Server) -> None:
    """Its text would be converted on the way, and would hash as something else."""
    refused(unsafe, "server_encoding is 'LATIN1', expected 'UTF8'", "latin")
