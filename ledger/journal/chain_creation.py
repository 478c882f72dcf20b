"""
Make a chain: its row, its head, and its first event, which pins origin, format and keys.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead, genesis
from ledger.domain.events.control import ChainCreated, KeyNamed
from ledger.domain.state import State
from ledger.errors import InvalidInput, NotPermitted, OutcomeUnknown
from ledger.journal import transaction
from ledger.journal.answers import Awaited, Receipt
from ledger.journal.group import Group
from ledger.journal.preparation import Preparer
from ledger.storage import chains, database, upgrade
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection, DriverError
from ledger.storage.scribe import Scribe
from ledger.storage.upgrade import OWNER, owners_login

INIT_SOURCE = "init"
ORIGIN_LIMIT = 255


class _Nothing:
    """The store of a chain that has no events yet."""

    def find_keys(self, keys: list[str]) -> dict[str, int]:
        return {}

    def group(self, first_seq: int) -> list[RecordedEvent]:
        return []


def check_new(owner_dsn: str, origin: str, logins: Sequence[str]) -> None:
    """
    Raise InvalidInput, NotPermitted or what else would end the creation of a chain, before anything is made for it.

    A database that the first verification would call broken is refused, with what `upgrade.check` says of it.
    """
    with database.connect(owner_dsn, "tradeledger init") as connection:
        try:
            _check_new(connection, origin, logins)
        except DriverError as error:
            raise database.translated(error) from error
    upgrade.check(owner_dsn)


def _check_new(connection: Connection, origin: str, logins: Sequence[str]) -> None:
    if not 0 < len(origin) <= ORIGIN_LIMIT or not origin.isascii() or not origin.isprintable() or " " in origin:
        raise InvalidInput(f"found origin {origin!r}; expected a name such as 'ledger.example.com/trades'")
    found = connection.execute("SELECT session_user, pg_has_role(%s, 'MEMBER')", [OWNER]).fetchone()
    login, is_member = found or ("", False)
    if not is_member:
        use, statement = owners_login(connection)
        raise NotPermitted(f"the login {login!r} is not a member of {OWNER}; {use}"
                           + (f", or as its superuser: {statement}" if statement else ""))  # fmt: skip
    connection.execute(f"SET ROLE {OWNER}")
    if any(chain.origin == origin for chain in chains.all_chains(connection)):
        raise InvalidInput(f"a chain of origin {origin!r} is in this database already")
    for login in logins:
        if not chains.is_login(connection, login):
            raise InvalidInput(
                f"found no login {login!r} on this server; name one that is there, or let the superuser run: "
                f'CREATE ROLE "{login}" LOGIN IN ROLE ledger_writer;'
            )
        if not chains.may_append(connection, login):
            raise InvalidInput(
                f"the login {login!r} may not append: it has not the role ledger_writer; name one that has it, or let "
                f'the superuser run: GRANT ledger_writer TO "{login}";'
            )


def create_chain(
    owner_dsn: str,
    origin: str,
    keys: Sequence[KeyNamed],
    sources: Sequence[tuple[str, str]],
    *,
    clock: Callable[[], int] = time.time_ns,
    entropy: Callable[[int], bytes] = os.urandom,
) -> tuple[ChainRow, Receipt]:
    """
    Create the chain of *origin* with its public *keys*, in one transaction, and bind (login, source) pairs.

    *owner_dsn* logs in as a member of the tables' owner.

    Raises:
        InvalidInput: the origin cannot be one, there is a chain of it already, or a login is not there.
        OutcomeUnknown: the answer to COMMIT was lost.
        DriverError: anything else; nothing was made.
    """
    with database.connect(owner_dsn, "tradeledger init") as connection:
        _check_new(connection, origin, [login for login, _ in sources])
        chain_id = entropy(16)
        start = ChainHead(0, genesis(chain_id, origin))
        row = chains.create(connection, chain_id, origin, start.hash, "primary")
        login = connection.execute("SELECT session_user").fetchone()
        for name, source in (*sources, (login[0] if login else "", INIT_SOURCE)):
            chains.bind_source(connection, name, source)
        scribe = Scribe(row.chain, chain_id, INIT_SOURCE)
        preparer = Preparer(scribe, State(), _Nothing(), clock, entropy)
        pending = Awaited(Group((ChainCreated(origin=origin, format_version=1, keys=tuple(keys)),), "init", "init"))
        batch = preparer.prepare([pending], start, 0, 1, bytes(2048))
        answer = batch.answers[0][1]
        if not isinstance(answer, Receipt):
            raise answer if isinstance(answer, BaseException) else AssertionError("a request is answered by a receipt")
        try:
            transaction.commit(connection, row.chain, batch, 1, clock)
        except transaction.CommitFailed as error:
            raise OutcomeUnknown(f"whether the chain {origin!r} was made is not known: {error}") from error
    return row, answer
