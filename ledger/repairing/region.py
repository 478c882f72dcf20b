"""
Find the chain that is to be mended, also where its own row was changed, is gone, or stands twice.

A row of `chains` that was changed would make every event look broken, so the chain is taken by the number under which
its events stand: those whose first one names its origin, or that hash with the id of such a one, or of a copy; or
under which what was signed stands, where no events are. Of several numbers it is the one that most speaks for: its row,
its head, and where most of its checkpoints, its tiles, its events and its books are, have a voice each, events and
books a louder one, so that whoever moves or copies rows of one kind elsewhere, however many, takes nothing with them.
Where there are none, it is that of the only row there is, the only one that no row has, or that of a row of its origin.
A number under which only events of another chain stand is not it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated
from ledger.errors import LedgerError, UnknownChain
from ledger.repairing import belonging
from ledger.repairing.proving import laid_out
from ledger.repairing.sources import CHAIN_ID_BYTES, Database
from ledger.storage import events, identities
from ledger.storage.chains import FORMAT_VERSION, ChainRow
from ledger.storage.database import Connection
from ledger.storage.identities import Standing

HERE = "database"
WEIGHTS: Final = (1, 1, 1, 1, 3, 2)
"""What it counts that a row of `chains` says a number, and that most heads, checkpoints, tiles, events and books are
there: a row, a head and what was signed are few rows, and quickly moved."""


def find(connection: Connection, origin: str, ids: Sequence[bytes] = ()) -> ChainRow:
    """
    Return the chain of *origin*, or the only one there is, with the first id that events of it were hashed with: its
    row's, one of these *ids*, or that of its topic; its row's where none was, and no bytes where there is no row.

    Raises:
        UnknownChain: there are several, or none, and nothing tells which is meant.
    """
    there = identities.standing(connection)
    number = _number(connection, there, origin, ids)
    rows = [row for row in there if row.chain == number] + [row for row in there if row.origin == origin]
    said = [row.chain_id for row in rows if row.chain_id is not None]
    named = [*said, *ids, *identities.topic_ids(connection, number)]
    good = next((chain_id for chain_id in dict.fromkeys(named) if belonging.are_of(connection, number, chain_id)), None)
    version = next((row.format_version for row in rows if row.format_version is not None), FORMAT_VERSION)
    return ChainRow(number, good or next(iter(said), b""), origin, version)


def _number(connection: Connection, there: Sequence[Standing], origin: str, ids: Sequence[bytes]) -> int:
    """Return under which number the chain's rows stand."""
    named = chains_named(connection, there, ids)
    others = {number for number, chain in named.items() if is_another(connection, there, number, chain, origin)}
    own = {number: chain_id for number, (chain_id, name) in named.items() if name == origin}
    its = {*own.values(), *ids}
    hashed = {*own} | {
        number for number in identities.numbers(connection)
        if number not in others and any(belonging.are_of(connection, number, chain_id) for chain_id in its)
    }  # fmt: skip
    rows = {row.chain for row in there if row.origin == origin if row.chain is not None}
    said = rows | {row.chain for row in there if row.chain_id in its and row.chain is not None}
    foreign = {row.chain for row in there} - said
    # All that was signed may stand where no event does any more: they were moved, or are gone.
    known = hashed | ((said | {*identities.sealed_numbers(connection)}) - others - foreign)
    if hashed:
        known -= {number for number in known - hashed if identities.has_events(connection, number)}
    known = _likeliest(connection, known, said)
    only = {row.chain for row in there if row.chain is not None} if len(there) == 1 else set()
    only_with_events = {number for number in only - others if identities.has_events(connection, number)}
    found = known or only_with_events or {*identities.unnamed(connection)} or rows or only
    if len(found) != 1:
        present = ", ".join(dict.fromkeys(str(row.origin) for row in there)) or "no chain"
        counted = f", and rows under the numbers {', '.join(map(str, sorted(found)))}" if found else ""
        raise UnknownChain(
            f"found no one chain of origin {origin!r}; this database has {present}{counted}: find out whose rows these "
            "are, and take those away that are nobody's, before this chain is mended"
        )
    return found.pop()


def _likeliest(connection: Connection, numbers: set[int], said: set[int]) -> set[int]:
    """Return under which of these numbers the chain is, of which rows of `chains` have *said* some; all that are as
    likely."""
    if len(numbers) < 2:
        return numbers
    votes: Counter[int] = Counter()
    for weight, counts in zip(WEIGHTS, ({number: 1 for number in said}, *identities.counts(connection)), strict=True):
        most = max(counts.get(number, 0) for number in numbers)
        leading = [number for number in numbers if counts.get(number, 0) == most]
        if len(leading) == 1:
            votes[leading[0]] += weight
    return {number for number in numbers if votes[number] == max(votes.values(), default=0)}


def chains_named(
    connection: Connection, there: Sequence[Standing], ids: Sequence[bytes] = ()
) -> dict[int, tuple[bytes, str]]:
    """
    Return of each number the id that its first event was hashed with, one of a row, of *ids* or of a topic, and the
    origin that it names.
    """
    said = [*(row.chain_id for row in there if row.chain_id is not None), *ids]
    found = {}
    for number in identities.numbers(connection):
        for chain_id in dict.fromkeys([*said, *identities.topic_ids(connection, number)]):
            first = _first(connection, number, chain_id)
            name = None if first is None else created(first)
            if name is not None:
                found[number] = chain_id, name
                break
    return found


def is_another(
    connection: Connection, there: Sequence[Standing], number: int, chain: tuple[bytes, str], origin: str
) -> bool:
    """
    Whether events that name *chain* (id, origin) are of a chain other than that of *origin*: a row says the same, and
    the second event follows the first, which by itself may be forged.
    """
    chain_id, name = chain
    if name == origin or all((row.chain_id, row.origin) != chain for row in there):
        return False
    pair = events.read_seqs(connection, number, chain_id, [1, 2], as_found=True)
    return 2 not in pair or pair[2].prev_hash == pair[1].hash


def created(event: RecordedEvent) -> str | None:
    """
    Return the origin of the chain that an event creates, None where it does not.
    """
    with contextlib.suppress(LedgerError):
        made = registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])
        return made.origin if isinstance(made, ChainCreated) else None
    return None


def _first(connection: Connection, number: int, chain_id: bytes) -> RecordedEvent | None:
    """Return the first event under a number, if it was hashed with this id."""
    if len(chain_id) != CHAIN_ID_BYTES:
        return None
    first = events.read_seqs(connection, number, chain_id, [1], as_found=True).get(1)
    return None if first is None or laid_out(first) is None else first


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
