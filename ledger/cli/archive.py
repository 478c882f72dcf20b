"""
Write an archive of a chain: what the newest checkpoint covers, to a folder or an object store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ledger import given_file
from ledger.archiving.places import open_store
from ledger.archiving.writer import Archive
from ledger.cli import access, tables
from ledger.cli.answer import SCHEMA_VERSION, as_json
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.errors import InvalidInput, LedgerError, SetupNeeded, Unavailable
from ledger.evidence import checkpoint, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import NOTE_LIMIT_BYTES
from ledger.evidence.policy import Policy, QuorumUnmet
from ledger.reading import kept_checkpoints
from ledger.storage import chains, database, events, evidence
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection


class NotCosigned(Unavailable):
    """
    A checkpoint is there, and the witnesses that the policy wants have not cosigned it yet.
    """

    code = "not_cosigned"


class Archived(msgspec.Struct, frozen=True):
    """
    What was archived: so many events more, of the tree of *size* events; `added` is what would be, in a dry run.
    """

    place: str
    origin: str
    size: int
    root: str
    added: int
    dry_run: bool
    schema_version: int = SCHEMA_VERSION

    def sentence(self) -> str:
        """
        Return it as one line of text.
        """
        if self.dry_run:
            return f"would archive {self.added:,} events: {self.place} would hold {self.size:,} of {self.origin}"
        return f"archived {self.added:,} events: {self.place} holds {self.size:,} of {self.origin}, root {self.root}"


def archive(
    place: Annotated[str, typer.Argument(help="Where to: a folder, or s3://, gs:// or az://bucket/path.")],
    trust: Annotated[Path, typer.Option("--policy", help="Policy that the checkpoint has to fulfil; archived too.")],
    signed: Annotated[
        Path | None, typer.Option("--checkpoint", help="File of a checkpoint; else the newest stored that it accepts.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and compare everything, and write nothing.")] = False,
    dsn: Dsn = None,
    origin: Origin = None,
    format: Format = "table",
) -> None:
    """
    Write what the newest checkpoint covers and the archive does not hold yet. No file is written over.

    The checkpoint's signatures are held against the policy before anything is written: of those stored it is the newest
    that fulfils it. A run that was interrupted leaves the archive at the checkpoint before; the next one goes on.
    """
    check_format(format)
    text = _bytes(trust, "policy", policy.POLICY_LIMIT_BYTES)
    rules = policy.decode(text)
    store = open_store(place)
    with access.access(dsn) as found, _reading(found.dsn("reader"), origin) as (connection, chain):
        policy.check_lists(rules, chain.origin)
        data = _newest(connection, chain, rules) if signed is None else _bytes(signed, "checkpoint", NOTE_LIMIT_BYTES)
        stated = _accepted(rules, data)
        with tables.progress() as bar:
            task = bar.add_task("hashing events", total=stated.size)
            added = Archive(store, chain.chain_id, chain.origin).extend(
                data,
                lambda after: events.read(connection, chain.chain, chain.chain_id, after, max(stated.size - after, 0)),
                text,
                lambda what, count: bar.update(task, description=what, completed=count),
                dry_run=dry_run,
            )
        if not added and signed is None:
            _check_newest(connection, chain, rules, stated.size)
    made = Archived(store.name, stated.origin, stated.size, stated.root.hex(), added, dry_run)
    print(as_json(made) if format == "json" else made.sentence())


@contextlib.contextmanager
def _reading(dsn: str, origin: str | None) -> Iterator[tuple[Connection, ChainRow]]:
    with contextlib.closing(database.connect(dsn, "tradeledger archive")) as connection, database.translating():
        # Events never change, so no snapshot has to be held for as long as an archive takes.
        connection.autocommit = True
        yield connection, chains.find(connection, origin)


def _newest(connection: Connection, chain: ChainRow, rules: Policy) -> bytes:
    """Return the newest checkpoint that the policy accepts, or else the newest, so that what is wrong is said."""
    newest = evidence.newest(connection, chain.chain)
    if newest is None:
        raise SetupNeeded(
            f"no checkpoint of {chain.origin} is stored yet; let `tradeledger seal` run, or give --checkpoint"
        )
    try:
        found = kept_checkpoints.accepted(connection, chain, rules)
    except LedgerError:
        found = None
    return (found or newest).note


def _check_newest(connection: Connection, chain: ChainRow, rules: Policy, size: int) -> None:
    """Raise where a checkpoint of more than *size* events is stored that the policy does not accept."""
    newest = evidence.newest(connection, chain.chain)
    if newest is not None and newest.size > size:
        _accepted(rules, newest.note)


def _accepted(rules: Policy, data: bytes) -> Checkpoint:
    """
    Return what the checkpoint in *data* states, once the policy accepts its signatures.

    Raises:
        SignatureInvalid, UnknownFormat: it does not.
        NotCosigned: it will, once more witnesses have cosigned.
    """
    try:
        return policy.check(rules, data).checkpoint
    except QuorumUnmet as error:
        size = checkpoint.decode_note(data)[0].size
        raise NotCosigned(f"the checkpoint of {size} events: {error}; nothing was archived") from error


def _bytes(path: Path, what: str, limit: int) -> bytes:
    try:
        return given_file.read(path, limit)
    except OSError as error:
        raise InvalidInput(f"the {what} {path} cannot be read: {error.strerror}; name another file") from error
