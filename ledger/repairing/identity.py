"""
Settle who the chain that is to be mended is: which rows of `chains` are its own, and what they should say.

It is settled by an event that is proven to be signed. Which id to hash it with, a copy may say or a row: the wrong one
proves nothing. A row that says the id and the origin of another chain, whose events stand somewhere, is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.chain.link import genesis
from ledger.errors import UnknownChain, shown
from ledger.repairing import belonging
from ledger.repairing.proving import Proven, Prover, fetch
from ledger.repairing.region import chains_named, created, is_another
from ledger.repairing.sources import Source
from ledger.storage import events, identities
from ledger.storage.chains import FORMAT_VERSION, ChainRow
from ledger.storage.database import Connection
from ledger.storage.identities import Standing

NO_ID: Final = (
    "no row says which id the chain has, and it is in every hash: name a copy of it (--replica, --archive or --backup) "
    "and plan again"
)


class Identity(msgspec.Struct, frozen=True):
    """
    The chain as it is signed, which columns of its row are others here (None: there is no row), the rows that stand
    beside that one, the numbers of either that no chain has then, those of them under which its head stands, and by
    which names findings call it.
    """

    chain: ChainRow
    columns: tuple[str, ...] | None
    row: Standing | None
    surplus: tuple[Standing, ...]
    astray: tuple[int, ...]
    led: tuple[int, ...]
    names: frozenset[str]
    source: str
    by: str


def settle(
    connection: Connection, row: ChainRow, origin: str, local: Source, sources: Sequence[Source], prover: Prover
) -> Identity | str:
    """
    Return who the chain is, by its first event in any copy, this one first; or why nothing shows it.

    Raises:
        UnknownChain: events of another chain stand under its number.
    """
    if not row.chain_id and not any(source.chain_id for source in sources):
        return NO_ID
    copies = [local, *sources]
    proven, reasons = fetch([1], copies, prover)
    if 1 not in proven:
        return reasons[1]
    chain = ChainRow(row.chain, proven[1].event.chain_id, origin, FORMAT_VERSION)
    _check_ground(connection, row.chain, proven[1], origin, copies, prover)
    there = identities.standing(connection)
    others = {
        number: of for number, of in chains_named(connection, there).items()
        if is_another(connection, there, number, of, origin)
    }  # fmt: skip
    strangers = [each for each in there if _is_strange(connection, each, chain, others)]
    own = [each for each in there if each not in strangers and _is_own(connection, each, chain, others)]
    if reason := _in_the_way(chain, there, strangers, own) or _of_another(connection, chain, own, prover):
        return reason
    kept_by_others = {each.chain for each in there if each not in own}
    astray = sorted(
        each for each in {each.chain for each in own} - kept_by_others - {row.chain}
        if each is not None and belonging.is_free(connection, each, chain.chain_id)
    )  # fmt: skip
    if reason := _not_shown(connection, astray, chain):
        return reason
    kept = min(own, key=lambda each: len(_differing(each, chain)), default=None)
    return Identity(
        chain, None if kept is None else _differing(kept, chain), kept,
        tuple(each for each in own if each is not kept), tuple(astray),
        tuple(number for number in astray if belonging.has_own_head(connection, number, chain)),
        frozenset({origin, str(row.chain), *(each.origin or "" for each in own)}), proven[1].source, proven[1].by,
    )  # fmt: skip


def _is_strange(connection: Connection, each: Standing, chain: ChainRow, others: dict[int, tuple[bytes, str]]) -> bool:
    """Return whether a row is of another chain, whose events stand somewhere."""
    if (each.chain_id, each.origin) in others.values():
        return True
    return each.chain == chain.chain and each.origin != chain.origin and _has_events(connection, each, chain.chain_id)


def _has_events(connection: Connection, each: Standing, chain_id: bytes) -> bool:
    """Whether events under any number hash with the id that a row says, which is another than the chain's."""
    return each.chain_id not in (None, chain_id) and any(
        belonging.are_of(connection, number, each.chain_id or b"") for number in identities.numbers(connection)
    )


def _is_own(connection: Connection, each: Standing, chain: ChainRow, others: dict[int, tuple[bytes, str]]) -> bool:
    """Return whether a row that is not strange is the chain's: by its number, or by its origin."""
    if each.chain == chain.chain:
        return True
    if each.origin != chain.origin:
        return False
    # One that says the id too is this chain's, unless events of another stand under its number.
    says_both = each.chain_id == chain.chain_id and belonging.is_free(connection, each.chain, chain.chain_id)
    return says_both or each.chain in others or not identities.has_rows(connection, each.chain or 0)


def _in_the_way(
    chain: ChainRow, there: Sequence[Standing], strangers: Sequence[Standing], own: Sequence[Standing]
) -> str:
    """Return which row keeps the chain's own from being told or put back, nothing where none does."""
    for each in strangers:
        if each.chain == chain.chain:
            return (
                f"the row of chain {each.origin} says {chain.chain}, the number of this chain: give it the one that "
                "its events stand under, and plan again"
            )
    for each in there:
        is_alike = each.origin == chain.origin or each.chain_id == chain.chain_id
        if is_alike and each not in own and each not in strangers:
            return (
                f"row {each.chain} of chains says this chain's origin or id as well, and is not to be taken for its "
                "own: find out whose it is, take it away or set it right, and plan again"
            )
    return ""


def _of_another(connection: Connection, chain: ChainRow, own: Sequence[Standing], prover: Prover) -> str:
    """
    Return what shows that the row with the chain's number, which says neither its id nor its origin, is another's;
    nothing where it may be its own: whoever edited both left the head, and no note of another chain stands beside it.
    """
    each = next((one for one in own if one.chain == chain.chain), None)
    if each is None or each.origin == chain.origin or each.chain_id == chain.chain_id:
        return ""
    table = belonging.of_region(connection, chain.chain, chain)
    stated = belonging.notes_of_others(connection, chain.chain, chain.origin, prover)
    if not table and not stated:
        return ""
    shown_by = f"a row of {table}" if table else "a note"
    return (
        f"the row of chain {shown(each.origin or '')} says {chain.chain}, the number under which this chain's events "
        f"stand, and {shown_by} there is not shown to be this chain's either: they may be another chain's, whose "
        "events stand elsewhere or are gone; find out whose they are, give each chain its own number, and plan again"
    )


def _not_shown(connection: Connection, astray: Sequence[int], chain: ChainRow) -> str:
    """Return what stands under the *astray* numbers and is not shown to be the chain's, nothing where all is."""
    for number in astray:
        if table := belonging.of_region(connection, number, chain):
            return (
                f"the row of {table} under the number {number}, which a row of chains gives this chain, is not shown "
                "to be this chain's: find out whose it is, give it the number of its events or take it away, and plan "
                "again"
            )
    return ""


def _differing(each: Standing, chain: ChainRow) -> tuple[str, ...]:
    """Return the columns of a row that do not say what the chain's own does."""
    wanted = {
        "chain": chain.chain, "chain_id": chain.chain_id, "origin": chain.origin,
        "format_version": chain.format_version, "genesis": genesis(chain.chain_id, chain.origin),
    }  # fmt: skip
    return tuple(name for name, value in wanted.items() if getattr(each, name) != value)


def check_ground(connection: Connection, row: ChainRow, origin: str, copies: Sequence[Source], prover: Prover) -> None:
    """
    Check whose events stand under the number of a chain, if one of the *copies* proves its first event.

    Raises:
        UnknownChain: events of another chain do.
    """
    proven, _ = fetch([1], copies, prover)
    if 1 in proven:
        _check_ground(connection, row.chain, proven[1], origin, copies, prover)


def _check_ground(
    connection: Connection, number: int, first: Proven, origin: str, copies: Sequence[Source], prover: Prover
) -> None:
    """
    Raise UnknownChain where events of another chain stand under a number: the first one says so, and is no edit of this
    chain's *first*; or several are none of this chain's, or one where a row knows its id or a note names another chain.
    """
    start = events.read_seqs(connection, number, first.event.chain_id, [1], as_found=True).get(1)
    named = None if start is None or belonging.is_alike(start, first.event) else created(start)
    if named in (None, origin):
        strange, is_certain = belonging.strange_events(connection, number, first.event.chain_id, copies, prover)
        if not strange:
            return
        stated = belonging.notes_of_others(connection, number, origin, prover)
        if not is_certain and not stated and len(strange) < belonging.RUN:
            return
        named = " and ".join(map(shown, stated)) or None
    of = "another chain" if named is None else named
    raise UnknownChain(
        f"the rows that say which chain this is lead to the number {number}, and events of {of} stand under it: find "
        "out whose they are, set the rows of chains right, and plan again"
    )
