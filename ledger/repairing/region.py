"""
Find the chain that is to be mended, also where its own row was changed, is gone, or stands twice.

A row of `chains` that was changed would make every event look broken, so the chain is taken by the number under which
events stand: that of a row of its origin, of the only row there is, or the only one that no row has. Who it is, is
settled by an event that is proven to be signed. Which id to hash it with, a copy may say or a row: the wrong one proves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ledger.chain.link import genesis
from ledger.errors import UnknownChain
from ledger.repairing.proving import Prover, fetch, laid_out
from ledger.repairing.sources import CHAIN_ID_BYTES, Database, Source
from ledger.storage import events, identities
from ledger.storage.chains import FORMAT_VERSION, ChainRow
from ledger.storage.database import Connection
from ledger.storage.identities import Standing

HERE = "database"
NO_ID = (
    "no row says which id the chain has, and it is in every hash: name a copy of it (--replica, --archive or --backup) "
    "and plan again"
)


class Identity(msgspec.Struct, frozen=True):
    """
    The chain as it is signed, which columns of its row are others here (None: there is no row), the rows that stand
    beside that one, and by which names findings call it.
    """

    chain: ChainRow
    columns: tuple[str, ...] | None
    row: Standing | None
    surplus: tuple[Standing, ...]
    names: frozenset[str]
    source: str
    by: str


def find(connection: Connection, origin: str, ids: Iterable[bytes] = ()) -> ChainRow:
    """
    Return the chain of *origin*, or the only one there is, with the first id that its first event was hashed with: its
    row's, one of these *ids*, or that of its topic; its row's where none was, and no bytes where there is no row.

    Raises:
        UnknownChain: there are several, or none, and nothing tells which is meant.
    """
    there = identities.standing(connection)
    number = _number(connection, there, origin)
    rows = [row for row in there if row.chain == number] + [row for row in there if row.origin == origin]
    said = [row.chain_id for row in rows if row.chain_id is not None]
    named = [*said, *ids, *identities.topic_ids(connection, number)]
    good = next((chain_id for chain_id in dict.fromkeys(named) if _is_hashed_with(connection, number, chain_id)), None)
    version = next((row.format_version for row in rows if row.format_version is not None), FORMAT_VERSION)
    return ChainRow(number, good or next(iter(said), b""), origin, version)


def _number(connection: Connection, there: Sequence[Standing], origin: str) -> int:
    """Return under which number the chain's rows stand."""
    numbers = {row.chain for row in there if row.origin == origin if row.chain is not None}
    with_events = {number for number in numbers if identities.has_events(connection, number)}
    only = {row.chain for row in there if row.chain is not None} if len(there) == 1 else set()
    known = with_events or {number for number in only if identities.has_events(connection, number)}
    found = known or {*identities.unnamed(connection)} or numbers or only
    if len(found) != 1:
        present = ", ".join(dict.fromkeys(str(row.origin) for row in there)) or "no chain"
        counted = f", and events of the numbers {', '.join(map(str, sorted(found)))}" if found else ""
        raise UnknownChain(
            f"found no one chain of origin {origin!r}; this database has {present}{counted}: find out whose rows these "
            "are, and take those away that are nobody's, before this chain is mended"
        )
    return found.pop()


def _is_hashed_with(connection: Connection, number: int, chain_id: bytes) -> bool:
    """Whether the first event there is was hashed with this id."""
    if len(chain_id) != CHAIN_ID_BYTES:
        return False
    first = events.read_seqs(connection, number, chain_id, [1]).get(1)
    return first is not None and laid_out(first) is not None


def here(connection: Connection, chain: ChainRow) -> Database:
    """
    Return the chain that is to be mended as a copy: what is good of it proves the rest.
    """
    return Database(HERE, connection, chain.chain, chain.chain_id)


def is_lost(connection: Connection, row: ChainRow) -> bool:
    """
    Return whether no row of `chains` has the chain's number, so that nobody reads what stands under it.
    """
    return all(each.chain != row.chain for each in identities.standing(connection))


def settle(
    connection: Connection, row: ChainRow, origin: str, local: Source, sources: Sequence[Source], prover: Prover
) -> Identity | str:
    """
    Return who the chain is, by its first event in any copy, this one first; or why nothing shows it.
    """
    if not row.chain_id and not any(source.chain_id for source in sources):
        return NO_ID
    proven, reasons = fetch([1], [local, *sources], prover)
    if 1 not in proven:
        return reasons[1]
    chain_id = proven[1].event.chain_id
    there = identities.standing(connection)
    own = [
        each for each in there
        if each.chain == row.chain or (each.origin == origin and not identities.has_rows(connection, each.chain or 0))
    ]  # fmt: skip
    other = next((x for x in there if x not in own and (x.origin == origin or x.chain_id == chain_id)), None)
    if other is not None:
        return (
            f"row {other.chain} of chains says this chain's origin or id as well, and is not to be taken for its own: "
            "find out whose it is, take it away or set it right, and plan again"
        )
    wanted = {
        "chain": row.chain, "chain_id": chain_id, "origin": origin, "format_version": FORMAT_VERSION,
        "genesis": genesis(chain_id, origin),
    }  # fmt: skip
    differing = {each: tuple(name for name, value in wanted.items() if getattr(each, name) != value) for each in own}
    kept = min(own, key=lambda each: len(differing[each]), default=None)
    return Identity(
        ChainRow(row.chain, chain_id, origin, FORMAT_VERSION), None if kept is None else differing[kept], kept,
        tuple(each for each in own if each is not kept),
        frozenset({origin, str(row.chain), *(each.origin or "" for each in own)}), proven[1].source, proven[1].by,
    )  # fmt: skip
