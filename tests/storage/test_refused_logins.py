"""
Name a login, password, database or host that a server will not have: no retry mends that, so none is advised.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.errors import InvalidInput, LedgerError, NotPermitted, OutcomeUnknown, SetupNeeded
from ledger.journal.chain_creation import create_chain
from ledger.sandbox import postgres
from ledger.sandbox.postgres import Server
from ledger.storage import refusals, upgrade
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


TRANSLATIONS = Path("/usr/share/locale/ru/LC_MESSAGES")
ANSWERS = (
    ("28P01", 'пользователь "writer" не прошёл проверку подлинности (по паролю)', 8, "PostgreSQL refused the login"),
    ("28000", 'роль "writer" не существует', 8, "name a login that it lets in"),
    ("42501", 'доступ к базе "ledger" запрещён', 8, "name a login that it lets in"),
    ("3D000", 'база данных "ledger" не существует', 5, 'CREATE DATABASE "ledger" OWNER ledger_owner'),
    ("53300", "слишком много подключений для роли", 5, "PostgreSQL cannot be used now"),
    ("57P03", "система баз данных запускается", 5, "PostgreSQL cannot be used now"),
)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[tuple[str, list[bytes], list[bytes]]]:
    """Yield the address of what answers each login as a server does, the answer to be given, and what was asked."""
    answer: list[bytes] = []
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5432"))
        listening.listen()

        def serve() -> None:
            while True:
                client = listening.accept()[0]
                with client:
                    asked.append(client.recv(10_000))
                    if not asked[-1]:
                        return
                    client.sendall(answer[0])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"postgresql://writer@/ledger?host={tmp_path}", answer, asked
        finally:
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(tmp_path / ".s.PGSQL.5432"))
            thread.join()


def error(severity: str, state: str, words: str) -> bytes:
    """Return a server's answer with these fields, as it is sent."""
    fields = b"".join(
        name + text.encode() + b"\0"
        for name, text in ((b"S", severity), (b"V", "FATAL"), (b"C", state), (b"M", words), (b"", ""))
    )
    return b"E" + (len(fields) + 4).to_bytes(4) + fields


@pytest.mark.parametrize(("state", "words", "status", "told"), ANSWERS)
def test_a_refusal_in_any_language_is_known_by_its_code(
    answering: tuple[str, list[bytes], list[bytes]], state: str, words: str, status: int, told: str
) -> None:
    """The words are the server's own, before any setting of the client counts."""
    dsn, answer, _ = answering
    answer.append(error("ВАЖНО", state, words))
    with pytest.raises(LedgerError) as failed:
        Ledger.open(dsn)
    assert (failed.value.exit_status, told in str(failed.value)) == (status, True), failed.value
    done = run("verifier", "full", "--dsn", dsn)
    assert done.returncode == 4
    assert "the server refused the auditor" in done.stderr


def test_a_refusal_in_known_words_is_not_tried_twice(answering: tuple[str, list[bytes], list[bytes]]) -> None:
    """Some count the logins that fail, and shut out who has too many."""
    dsn, answer, asked = answering
    answer.append(error("FATAL", "28P01", 'password authentication failed for user "writer"'))
    with pytest.raises(NotPermitted):
        Ledger.open(dsn)
    assert len(asked) == 1


def test_a_server_that_lets_a_login_in_or_says_nothing_has_no_code_for_it(
    strict: Server, answering: tuple[str, list[bytes], list[bytes]]
) -> None:
    """Nor does one that is not there; and no descriptor stays open."""
    dsn, answer, _ = answering
    answer.append(b"")
    before = len(os.listdir("/proc/self/fd"))
    for address in (strict.dsn("owner"), dsn, "postgresql://writer@127.0.0.1:1/ledger", "postgresql://x@no.invalid/"):
        assert refusals.sqlstate(address, 5) is None
    assert refusals.sqlstate(strict.dsn("writer:wrong"), 5) == "28P01"
    assert len(os.listdir("/proc/self/fd")) == before


def translated() -> Path | None:
    """Return the programs of a server on this machine that speaks Russian too, if there is one."""
    versions = (int(path.stem.removeprefix("postgres-")) for path in TRANSLATIONS.glob("postgres-*.mo"))
    there = [found for version in versions if (found := postgres.installed_binaries(version)) is not None]
    return there[0] if there and shutil.which("localedef") and Path("/usr/share/i18n/locales/ru_RU").exists() else None


@pytest.mark.skipif(translated() is None, reason="no server on this machine speaks another language")
def test_a_real_server_that_speaks_russian_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the languages of Debian's package; the embedded server speaks English alone."""
    tmp_path.chmod(0o755)
    (tmp_path / "locales").mkdir()
    subprocess.run(["localedef", "-i", "ru_RU", "-f", "UTF-8", str(tmp_path / "locales" / "ru_RU.UTF-8")], check=True)
    monkeypatch.setenv("LOCPATH", str(tmp_path / "locales"))
    server = Server.start(tmp_path / "server", binaries=translated())
    try:
        server.sql("ALTER SYSTEM SET lc_messages = 'ru_RU.UTF-8'")
        server.sql("ALTER ROLE writer PASSWORD 'right'")
        server.sql("ALTER ROLE applier NOLOGIN")
        server.sql("ALTER ROLE reader CONNECTION LIMIT 0")
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(RULES + rules.read_text())
        server.stop()
        server.restart()
        for login, code in (("writer:wrong", "not_permitted"), ("nobody", "not_permitted"),
                            ("publisher", "not_permitted"), ("applier", "not_permitted"), ("sealer", "not_permitted"),
                            ("reader", "database_down")):  # fmt: skip
            with pytest.raises(LedgerError, match="ВАЖНО") as failed:
                Ledger.open(server.dsn(login))
            assert (login, failed.value.code) == (login, code)
        with pytest.raises(SetupNeeded, match='CREATE DATABASE "absent"'):
            Ledger.open(server.dsn("writer:right", "absent"))
    finally:
        server.stop()
