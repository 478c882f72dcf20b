"""
Check that setting up fails with what to do, and leaves nothing behind that would block the next try.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.chain import signatures
from ledger.cli import access, creation
from ledger.errors import InvalidInput, NotPermitted, NotPrimary, OutcomeUnknown, SetupNeeded
from ledger.journal import transaction
from ledger.queries import Books
from ledger.storage import upgrade
from tests.commands import tradeledger
from tests.conftest import ORIGIN, Database


def init(database: Database, keys: Path, *more: str, login: str = "owner", origin: str = ORIGIN) -> tuple[int, str]:
    done = tradeledger("init", "--origin", origin, "--keys", keys, *more, LEDGER_DSN=database.dsn(login))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_an_init_that_fails_leaves_no_keys_and_the_next_one_works(
    database: Database, empty_database: Database, tmp_path: Path
) -> None:
    """A login that is not there, a wrong origin, no schema, no right: named, no key made, and then it is made."""
    keys = tmp_path / "keys"
    status, said = init(database, keys, "--writer", "nosuchlogin")
    assert (status, "'nosuchlogin'" in said, "CREATE ROLE" in said) == (8, True, True)
    status, said = init(database, keys, "--writer", "reader")
    assert (status, 'GRANT ledger_writer TO "reader";' in said) == (8, True)
    assert init(database, keys, origin="a b")[0] == 8
    assert init(empty_database, keys)[0] == 8
    status, said = init(database, keys, login="reader")
    assert (status, "'reader' is not a member of ledger_owner; use one that is, such as 'owner'" in said) == (8, True)
    assert "GRANT" not in said
    assert not keys.exists()
    assert init(database, keys)[0] == 0
    assert len(list(keys.iterdir())) == 4
    status, said = init(database, tmp_path / "others")
    assert (status, "already" in said, (tmp_path / "others").exists()) == (8, True, False)


def test_init_and_chain_print_what_a_replicator_must_be_told(database: Database, tmp_path: Path) -> None:
    """The chain's id and its publisher's public key, as `apply` takes them: for people, and as JSON for programs."""
    address = {"LEDGER_DSN": database.dsn("owner")}
    made = tradeledger("init", "--origin", ORIGIN, "--keys", tmp_path / "keys", **address)
    assert f"move the recovery key's file, {tmp_path / 'keys' / 'recovery.json'}, off this machine\n" in made.stdout
    assert (tmp_path / "keys" / "recovery.json").exists()
    with Books(database.dsn("reader")) as books:
        identity = books.chain.chain_id.hex()
    trust = signatures.read(tmp_path / "keys" / "publisher.json").public_key.hex()
    assert f"--key replica.json --origin {ORIGIN} --chain-id {identity} --trust {trust}\n" in made.stdout
    assert f"--key {tmp_path / 'keys' / 'publisher.json'} --origin {ORIGIN}\n" in made.stdout
    address = {"LEDGER_DSN": database.dsn("reader")}
    shown = tradeledger("chain", **address).stdout.splitlines()
    assert shown[:2] == [f"origin {ORIGIN}", f"chain-id {identity}"]
    assert shown[3] == f"trust {trust}"
    (told,) = json.loads(tradeledger("chain", "--format", "json", **address).stdout)["chains"]
    assert (told["chain_id"], told["trust"], told["seq"]) == (identity, trust, 1)
    assert {key["purpose"] for key in told["keys"]} == {"publisher", "replica", "recovery", "checkpoint"}
    assert tradeledger("chain", "--origin", "none.example", **address).returncode == 8


def test_keys_that_cannot_all_be_made_are_none(database: Database, tmp_path: Path) -> None:
    """A key that was there stays as it is, and those made beside it are removed."""
    (tmp_path / "replica.json").write_text("mine")
    assert init(database, tmp_path)[0] == 8
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("replica.json", "mine")]


def test_keys_are_removed_where_nothing_was_committed_and_kept_where_it_may_have_been(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends before COMMIT, then after it: the second chain is there, and its keys with it."""
    found, commit = access.Access(database.dsn("owner"), None), transaction.commit
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'"
    for moment, left in (("before commit", 0), ("after commit", 4)):

        def cut(at: str, connection: object, moment: str = moment) -> None:
            if at == moment:
                database.server.sql(end)
                connection.execute("SELECT 1")  # type: ignore[attr-defined]

        monkeypatch.setattr(transaction, "commit", lambda *given, cut=cut: commit(*given, fault=cut))
        with pytest.raises(Exception, match=r"terminat|keys") as failed:
            creation.make(found, ORIGIN, tmp_path / "keys", "writer")
        assert len(list((tmp_path / "keys").glob("*.json"))) == left
    assert isinstance(failed.value, OutcomeUnknown)
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="already"):
        creation.make(found, ORIGIN, tmp_path / "more", "writer")


@pytest.mark.parametrize("login", ["publisher", "reader", "auditor"])
def test_a_login_that_may_not_append_is_told_so(chain: Database, login: str) -> None:
    """Whatever else it may not read: which group it would have to be in."""
    with pytest.raises(NotPermitted, match=f"{login}.*ledger_writer"):
        Ledger.open(chain.dsn(login))


def test_a_source_that_is_not_the_logins_says_who_may_bind_it(chain: Database) -> None:
    """The statement that lets it, and no command that there is not."""
    with pytest.raises(NotPermitted, match=r"INSERT INTO ledger\.source_logins VALUES \('writer', 'other'\)"):
        Ledger.open(chain.dsn("writer"), source="other")


def test_a_login_without_sources_in_a_replica_is_told_that_it_is_one(chain: Database) -> None:
    """Binding the login to a source there would help nobody."""
    chain.sql("UPDATE ledger.chain_heads SET mode = 'replica'; DELETE FROM ledger.source_logins")
    with pytest.raises(NotPrimary, match="is a replica"):
        Ledger.open(chain.dsn("writer"), source="nautilus")


@pytest.fixture
def foreign(empty_database: Database) -> Iterator[Database]:
    """Yield an empty database that the superuser owns, and a login `guest` in no role."""
    empty_database.sql(f"ALTER DATABASE {empty_database.name} OWNER TO postgres")
    empty_database.sql("CREATE ROLE guest LOGIN")
    try:
        yield empty_database
    finally:
        empty_database.sql("DROP ROLE guest")


def test_an_upgrade_without_rights_prints_the_statements_that_give_them(foreign: Database) -> None:
    """Those of the database and of the login; once the superuser ran them it works."""
    grant = f'GRANT CREATE ON DATABASE "{foreign.name}" TO ledger_owner;'
    with pytest.raises(SetupNeeded) as needed:
        upgrade.upgrade(foreign.dsn("owner"))
    assert grant in str(needed.value)
    with pytest.raises(NotPermitted) as refused:
        upgrade.upgrade(foreign.dsn("guest"))
    assert f'{grant} GRANT ledger_owner TO "guest";' in str(refused.value)
    foreign.sql(str(refused.value).partition("as its superuser: ")[2])
    upgrade.upgrade(foreign.dsn("guest"))
    upgrade.check(foreign.dsn("owner"))


def test_a_login_without_a_role_is_told_which_there_are(foreign: Database) -> None:
    """It may connect, and read nothing of the ledger."""
    foreign.sql("DROP SCHEMA IF EXISTS ledger CASCADE; CREATE SCHEMA ledger")
    done = tradeledger("head", LEDGER_DSN=foreign.dsn("guest"))
    assert (done.returncode, done.stdout) == (8, "")
    assert "ledger_writer to append, ledger_reader to read, ledger_auditor to verify" in done.stderr


def test_a_database_that_does_not_exist_is_said_not_to(database: Database) -> None:
    """Exit 5 with what is missing; the same again would not help."""
    done = tradeledger("head", LEDGER_DSN=database.server.dsn("reader", "nowhere"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "'nowhere' does not exist" in done.stderr
    assert "same key" not in done.stderr
