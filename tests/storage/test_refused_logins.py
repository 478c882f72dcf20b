"""
Name a login, password, database or host that a server will not have: no retry mends that, so none is advised.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger import Ledger
from ledger.errors import InvalidInput, LedgerError, NotPermitted, OutcomeUnknown, SetupNeeded
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade
from tests.commands import run, tradeledger
from tests.conftest import ORIGIN, binaries
from tests.journal.test_ledger import fee, fill

RULES = "local all writer scram-sha-256\nlocal all publisher reject\nlocal all sealer peer\nlocal all guest trust\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server of its own with a chain in it, that asks `writer` for a password and lets others not in."""
    server = Server.start(tmp_path_factory.mktemp("strict") / "server", binaries=binaries())
    try:
        upgrade.upgrade(server.dsn("owner"))
        create_chain(server.dsn("owner"), ORIGIN, (), [("writer", "engine")])
        server.sql("ALTER ROLE writer PASSWORD 'right'")
        server.sql("CREATE ROLE guest LOGIN")
        server.sql("ALTER ROLE applier NOLOGIN")
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(RULES + rules.read_text())
        server.stop()
        server.restart()
        yield server
    finally:
        server.stop()


def with_password(server: Server, password: str) -> str:
    return server.dsn("writer").replace("writer@", f"writer:{password}@")


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("writer:wrong", 'password authentication failed for user "writer"'),
        ("writer", "no password supplied"),
        ("nobody", 'role "nobody" does not exist'),
        ("publisher", "pg_hba.conf rejects connection"),
        ("sealer", 'eer authentication failed for user "sealer"'),
        ("guest", 'permission denied for database "ledger"'),
        ("applier", 'role "applier" is not permitted to log in'),
    ],
)
def test_a_login_that_the_server_refuses_is_told_to_be_mended(strict: Server, login: str, words: str) -> None:
    """By the API and every command; not that the database is down, which an engine waits for."""
    dsn = strict.dsn(login)
    with pytest.raises(NotPermitted) as refused:
        Ledger.open(dsn)
    assert words in str(refused.value)
    for command in (("head",), ("db", "upgrade"), ("show", "balances")):
        done = tradeledger(*command, LEDGER_DSN=dsn)
        assert (done.returncode, done.stdout) == (8, "")
        assert words in done.stderr
        assert "name a login that it lets in" in done.stderr
        assert "again" not in done.stderr
        assert "wrong@" not in done.stderr
    assert run("verifier", "full", "--dsn", dsn).returncode == 4


@pytest.mark.parametrize("host", ["no-such-host.invalid", "no..host"])
def test_a_host_that_there_is_not_is_an_address_to_correct(host: str) -> None:
    """Whether it might be a name or could never be one."""
    dsn = f"postgresql://writer@{host}/ledger"
    with pytest.raises(InvalidInput, match=f"no host {host!r} is known"):
        Ledger.open(dsn)
    done = tradeledger("head", LEDGER_DSN=dsn)
    assert (done.returncode, done.stdout) == (8, "")
    assert "correct the address" in done.stderr


def test_what_may_come_is_still_waited_for(strict: Server) -> None:
    """A database that is to be made, a login that has too many connections, a server that is not there."""
    strict.sql("ALTER ROLE reader CONNECTION LIMIT 0")
    for dsn, code in ((strict.dsn("writer:right", "absent"), SetupNeeded.code), (strict.dsn("reader"), "database_down"),
                      ("postgresql://writer@127.0.0.1:1/ledger", "database_down")):  # fmt: skip
        with pytest.raises(LedgerError) as failed:
            Ledger.open(dsn)
        assert (failed.value.code, failed.value.exit_status) == (code, 5)


def test_a_password_that_changes_meanwhile_denies_nothing_that_was_recorded(strict: Server) -> None:
    """A lookup that cannot log in does not know; it says why, as an append does."""
    with Ledger.open(with_password(strict, "right")) as ledger:
        fill(ledger)
        strict.sql("ALTER ROLE writer PASSWORD 'other'")
        strict.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
        try:
            # Which of the two depends on whether the session had ended before COMMIT was sent.
            with pytest.raises((NotPermitted, OutcomeUnknown), match="password authentication failed"):
                ledger.append(fee("later"), key="later")
            with pytest.raises(OutcomeUnknown, match="password authentication failed"):
                ledger.lookup("later")
        finally:
            strict.sql("ALTER ROLE writer PASSWORD 'right'")
        assert ledger.append(fee("later"), key="later").seq
