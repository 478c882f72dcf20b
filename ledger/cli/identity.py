"""
Say who a chain is: its id, its head and its keys, and what a replicator of it must be told.

All of it is public, and the same in every region; a replica's operator gets it from the primary's by a way that the
topic's owner cannot change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ledger.cli import access, tables
from ledger.cli.answer import SCHEMA_VERSION, as_json
from ledger.cli.options import Dsn, Origin, check_format
from ledger.domain.rows import ChainKey
from ledger.errors import InvalidInput, UnknownChain
from ledger.evidence import note
from ledger.evidence.note import COSIGNATURE, ED25519, VerifierKey
from ledger.queries import Books
from ledger.storage import chains, database


class Identity(msgspec.Struct, frozen=True):
    """
    A chain as the world knows it, true at *seq*.

    `trust` is the publisher's public key that the first event names, None where it names none: only the first segment
    needs to be vouched for from outside, and every later key is in the chain.
    """

    origin: str
    chain_id: str
    seq: int
    hash: str
    trust: str | None
    keys: list[ChainKey]

    def keys_folder(self) -> Path:
        """
        Return where its private keys are unless `init --keys` put them elsewhere.
        """
        return access.keys_folder(self.origin)

    def for_replicas(self) -> tuple[str, ...]:
        """
        Return the options that tell `tradeledger-replicator apply` which chain to apply, and whom to trust.
        """
        return ("--origin", self.origin, "--chain-id", self.chain_id, "--trust", self.trust or "PUBLIC-KEY")


def policy_lines(origin: str, keys: list[ChainKey]) -> list[str]:
    """
    Return how a policy lists the keys that hold now: who signs checkpoints as the log, replicas as witnesses.
    """
    kinds = {"checkpoint": ("log", ED25519, origin), "replica": ("witness", COSIGNATURE, "")}
    lines = []
    for key in keys:
        if key.purpose in kinds and not key.revoked and key.valid_to_seq is None:
            word, algorithm, name = kinds[key.purpose]
            try:
                note.check_name(name or key.name)
            except InvalidInput:
                continue  # a name with a space or a plus cannot stand in a note
            text = VerifierKey(name or key.name, algorithm, bytes.fromhex(key.public_key)).text()
            lines.append(f"log {text}" if word == "log" else f"witness {key.name} {text}")
    return lines


def identity(books: Books) -> Identity:
    """
    Return who the chain of *books* is.
    """
    keys, head = books.table("chain_keys").value, books.head()
    publishers = [key for key in keys if key.purpose == "publisher"]
    trust = min(publishers, key=lambda key: key.valid_from_seq).public_key if publishers else None
    return Identity(books.chain.origin, books.chain.chain_id.hex(), head.seq, head.hash.hex(), trust, keys)


def identities(dsn: str) -> list[Identity]:
    """
    Return who the chains of the database at *dsn* are.
    """
    with database.translating(), database.connect(dsn, "tradeledger") as connection:
        there = chains.all_chains(connection)
    found = []
    for chain in there:
        with Books(dsn, chain.origin) as books:
            found.append(identity(books))
    return found


def show_chain(
    dsn: Dsn = None,
    origin: Origin = None,
    format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """
    Print who the chain is: id, head and public keys; a replica is told --chain-id and --trust from here.
    """
    check_format(format)
    with access.access(dsn) as found:
        there = [x for x in identities(found.dsn("reader")) if origin in (None, x.origin)]
    if not there:
        raise UnknownChain(
            f"found no chain{f' of origin {origin!r}' if origin else ''}; make it with `tradeledger init`"
        )
    if format == "json":
        print(as_json({"schema_version": SCHEMA_VERSION, "chains": there}))
        return
    for chain in there:
        print(f"origin {chain.origin}\nchain-id {chain.chain_id}\nhead {chain.seq} {chain.hash}")
        print(f"trust {chain.trust or '(it names no publisher)'}")
        tables.print_table("keys", ("id", "purpose", "name", "public key", "from seq", "to seq", "revoked"), [
            (x.key_id, x.purpose, x.name, x.public_key, str(x.valid_from_seq),
             "" if x.valid_to_seq is None else str(x.valid_to_seq), "yes" if x.revoked else "no") for x in chain.keys
        ])  # fmt: skip
        print("for policies:")
        for line in policy_lines(chain.origin, chain.keys):
            print(f"  {line}")


def head(dsn: Dsn = None, origin: Origin = None) -> None:
    """
    Print the chain's head: seq and hash.
    """
    with access.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        link = books.head()
    print(f"{link.seq} {link.hash.hex()}")
