"""
Check the rows that a region keeps around the chain: its own row, the head, the digest, the place in the topic.
"""

from __future__ import annotations

from typing import Final, Protocol

from ledger.chain.digest import StateDigest
from ledger.chain.link import genesis
from ledger.domain.rows import TABLES
from verifier.absent import shown
from verifier.reader import Reader
from verifier.report import Finding
from verifier.stored import ChainRow

FORMAT_VERSION: Final = 1
MODES: Final = ("primary", "replica")
BY_CHAIN: Final = (
    "chain_heads", "state_digests", "commits", "events", "idempotency_keys", "acknowledgements", "replica_state",
    "tiles", "checkpoints", *TABLES,
)  # fmt: skip
KEPT: Final = ("snapshots", "read_model_watermarks", "balance_history", "position_history")
"""What follows from the others and may be empty."""


class Reached(Protocol):
    """
    The last event that a walk came to; `hash` is None where it is not known.
    """

    @property
    def seq(self) -> int:
        """Return its seq."""

    @property
    def hash(self) -> bytes | None:
        """Return its hash."""

    @property
    def recorded_at(self) -> int:
        """Return its time."""

    @property
    def epoch(self) -> int:
        """Return its epoch."""


def chains(reader: Reader, chain: ChainRow) -> list[Finding]:
    """
    Check the rows of `chains`: this one's columns, and that the others are chains at all.
    """

    def found(column: str | None, expected: str, actual: str, origin: str = chain.origin) -> Finding:
        return Finding("CHAIN_MISMATCH", expected, actual, table="chains", key=(origin,), column=column)

    wrong = []
    start = genesis(chain.chain_id, chain.origin)
    if chain.genesis != start:
        wrong.append(found("genesis", start.hex(), chain.genesis.hex()))
    if chain.format_version != FORMAT_VERSION:
        wrong.append(found("format_version", str(FORMAT_VERSION), str(chain.format_version)))
    for other in reader.chains:
        if other.chain != reader.chain.chain and other.origin != chain.origin:
            if other.chain_id == chain.chain_id:
                wrong.append(found("chain_id", "an id of its own", f"that of {chain.origin}", other.origin))
            if other.mode == "missing":
                wrong.append(found(None, "no such row, or one in chain_heads", "a row, and no head", other.origin))
    return [*wrong, *doubled(reader, chain)]


def doubled(reader: Reader, chain: ChainRow) -> list[Finding]:
    """
    Return that the chain has more rows than one of its own, or heads: which of them the ledger goes by, nobody knows.
    """
    return [
        Finding(kind, "one row", f"{count} rows", table=table, key=(chain.origin,))
        for kind, table, count in (
            ("CHAIN_MISMATCH", "chains", reader.rows_of_chain(chain.origin)),
            ("HEAD_MISMATCH", "chain_heads", reader.heads()),
        ) if count > 1
    ]  # fmt: skip


def is_truncated(chain: ChainRow, check: Reached) -> bool:
    """
    Return whether events are missing at the end: the head is past the last one, and not for a changed seq alone.
    """
    return chain.seq > check.seq and chain.hash != check.hash


def head(chain: ChainRow, check: Reached) -> list[Finding]:
    """
    Hold the head's row against the last event.
    """
    key = (chain.origin,)
    if chain.mode == "missing":
        return [Finding("HEAD_MISMATCH", "a row", "no such row", table="chain_heads", key=key)]
    if is_truncated(chain, check):
        first = check.seq + 1
        lost = f"event {first}" if chain.seq == first else f"events {first} to {chain.seq}"
        return [Finding("TRUNCATED", lost, "no such rows", seq=first, column="seq")]
    made = {"seq": check.seq, "hash": check.hash, "recorded_at": check.recorded_at, "epoch": check.epoch}
    stored = {"seq": chain.seq, "hash": chain.hash, "recorded_at": chain.recorded_at, "epoch": chain.epoch}
    wrong = [
        Finding("HEAD_MISMATCH", shown(made[name]), shown(stored[name]), table="chain_heads", key=key, column=name)
        for name in made
        if made[name] != stored[name] and (name == "seq" or check.hash is not None)
    ]
    if chain.mode not in MODES:
        wrong.append(Finding("HEAD_MISMATCH", " or ".join(MODES), str(chain.mode), table="chain_heads", key=key,
                             column="mode"))  # fmt: skip
    if chain.unbalanced is not None:
        # It would offset what the next transaction does to balances.
        wrong.append(Finding("HEAD_MISMATCH", "NULL", chain.unbalanced, table="chain_heads", key=key,
                             column="unbalanced"))  # fmt: skip
    return wrong


def digest(reader: Reader, made: StateDigest, seq: int) -> list[Finding]:
    """
    Hold the row of `state_digests` against the replay.
    """
    key = (reader.chain.origin,)
    rows = reader.lanes()
    if not rows:
        return [Finding("STATE_MISMATCH", "a row", "no such row", table="state_digests", key=key)]
    if len(rows) > 1:
        return [Finding("STATE_MISMATCH", "one row", f"{len(rows)} rows", table="state_digests", key=key)]
    (stored,) = rows
    return [
        Finding("STATE_MISMATCH", shown(expected)[:64], shown(actual)[:64], table="state_digests", key=key, column=name)
        for name, expected, actual in (("seq", seq, stored[0]), ("lanes", made.lanes(), stored[1]))
        if expected != actual
    ]


def position(reader: Reader, events: int) -> list[Finding]:
    """
    Check what `replica_state` can be held against: the topic's name, and that a replica and only a replica has a row.

    How far the topic was read is the region's own word.
    """
    chain = reader.chain
    rows = reader.positions()

    def found(column: str | None, expected: str, actual: str) -> Finding:
        return Finding("POSITION_MISMATCH", expected, actual, table="replica_state", key=(chain.origin,), column=column)

    if chain.mode == "replica" and events and not rows:
        return [found(None, "a row, since chain_heads.mode is replica", "no such row")]
    if len(rows) > 1:
        return [found(None, "one row", f"{len(rows)} rows")]
    if chain.mode == "primary" and chain.epoch == 1:
        # Who reigns since the chain began has never applied it.
        return [found(None, "no such row, since chain_heads.mode is primary", "a row")] if rows else []
    wrong = []
    for topic, _, offset in rows:
        name = f"ledger.{chain.chain_id.hex()}.segments.v1"
        if topic != name:
            wrong.append(found("topic", name, topic))
        if offset is None or offset < 0:
            wrong.append(found("next_offset", "0 or more", shown(offset)))
    return wrong


def strays(reader: Reader) -> list[Finding]:
    """
    Return the rows whose chain number is none of this database's: whoever reads by chain never sees them.
    """
    found = []
    for table in (*BY_CHAIN, *KEPT):
        for number, count, least in reader.strays(table):
            if number != reader.chain.chain:
                rows = "a row" if count == 1 else f"{count} rows"
                found.append(Finding("STRAY_ROWS", "the number of a chain in this database", f"{number}: {rows}",
                                     table=table, key=(str(number), *least), column="chain"))  # fmt: skip
    return found
