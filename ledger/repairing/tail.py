"""
Ask whether anything may be made to fit the events here: where they end, and those of them that nobody signed yet.

Whoever can write the newest events can write them with good hashes, and can take them away; honest books would then be
made to fit what was forged. So every copy that was named is heard, and one that contradicts is enough to refuse. To
vouch takes more: another region, which applied what the publisher signed. A backup cannot: one that has the last event
here was made after it was written, whoever wrote it. Nor can a topic, to which anybody may write.

What a repair records of itself is an event like any other: it moves no books, and whoever wrote such a record over
another event would have that one's consequences taken for strays. So the second round of a repair waits until another
region has applied the record of the first, or a checkpoint covers it.

The rows of a region say of themselves which role it has, and nobody signs them: where it counts, both regions have to
say what fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.errors import LedgerError
from ledger.repairing.proving import Proven, Prover, laid_out
from ledger.repairing.sources import ARCHIVE, REPLICA, TOPIC, Source
from ledger.storage import repairs
from ledger.storage.database import Connection

TILES: Final = "tiles"
HINT: Final = "; where this region is a replica of the one that was named, say --role replica"


class Heard(msgspec.Struct, frozen=True):
    """
    Why nothing is made to fit the events here, or nothing; and whether another region has the same last one, so that
    what stands here beside the events need not be asked.
    """

    refused: str
    is_vouched: bool = False


def hear(
    connection: Connection,
    chain: int,
    last: ChainHead,
    size: int,
    copies: Sequence[Source],
    prover: Prover,
    *,
    follows: bool,
) -> Heard:
    """
    Ask rows and copies of the events up to the *last* one here, of which *size* were signed, as the *prover* shows; one
    that *follows* may be behind its primary.
    """
    if reason := contradicted(connection, chain, last.seq):
        return Heard(reason)
    heard = hear_copies(connection, chain, last, size, copies, prover, follows=follows)
    # A hash behind the last leaf is quickly written: a region that ends here as well settles what it is.
    reason = "" if heard.refused or heard.is_vouched else unheard(last.seq, repairs.spoken(connection, chain))
    return Heard(f"{reason}, or name with --replica a region that ends here as well") if reason else heard


def contradicted(connection: Connection, chain: int, last: int) -> str:
    """
    Return why nothing is made to fit events that end at *last*, whoever vouches: rows here speak of later ones. Of what
    tiles speak of, another region can say more.
    """
    return unheard(last, [one for one in repairs.spoken(connection, chain) if one[0] != TILES])


def hear_copies(
    connection: Connection,
    chain: int,
    last: ChainHead,
    size: int,
    copies: Sequence[Source],
    prover: Prover,
    *,
    follows: bool,
    by_itself: bool = False,
) -> Heard:
    """
    Ask copies alone, whatever rows speak of; *by_itself*, none has to vouch, and to contradict is enough to refuse.
    """
    is_vouched, hint = False, ""
    might_follow = not follows and repairs.mode(connection, chain) != "primary"
    for copy in copies:
        if copy.kind == TOPIC:
            continue
        try:
            newest, onward = copy.newest(last.seq), copy.events([last.seq + 1]).get(last.seq + 1, [])
            # The replica of this region, or the primary that this region is a replica of.
            mode = copy.mode if copy.kind == REPLICA else ""
            is_other = mode == ("primary" if follows else "replica")
            hint = HINT if might_follow and mode == "primary" else hint
        except LedgerError as error:
            if copy.kind == ARCHIVE:
                # It ends with a checkpoint, so of what nobody signed it has nothing to say.
                continue
            return Heard(f"a copy that was named cannot be heard: {error}")
        if newest is not None:
            there = last.hash if newest.seq == last.seq else repairs.hash_at(connection, chain, newest.seq)
            is_same = laid_out(newest) is not None and newest.hash == there
            if newest.seq > size and not is_same:
                return Heard(
                    f"the {copy.kind} has another event {newest.seq}, after the signed checkpoint, and nothing tells "
                    "which of both is true: verify both, and hold the event against receipts"
                )
            if newest.seq <= size and _is_unsigned(newest, there, copy, prover):
                return Heard(
                    f"the {copy.kind} has another event {newest.seq} than was signed: it was written over there, or "
                    "here before anybody signed it; verify both, and hold the event against receipts"
                )
            is_vouched |= is_other and is_same and newest.seq == last.seq
        if any(laid_out(event) is not None and event.prev_hash == last.hash for event in onward) and not (
            is_other and follows
        ):
            return Heard(
                f"the events end at {last.seq} here, and the {copy.kind} goes on from there: the end was cut off, and "
                f"books made to fit it would hide that; take that copy as the primary, or restore a backup{hint}"
            )
    return Heard(
        "" if is_vouched or by_itself or last.seq <= size else f"{unvouched(last.seq, size)}{hint}", is_vouched
    )


def _is_unsigned(newest: RecordedEvent, there: bytes, copy: Source, prover: Prover) -> bool:
    """Whether the newest event of a copy is whole, not the one *there*, and none that was signed."""
    if newest.hash == there or laid_out(newest) is None:
        return False
    return not isinstance(prover.prove(newest, copy), Proven)


def unvouched(seq: int, size: int) -> str:
    """
    Return that events *size* + 1 to *seq* are of nobody's word.
    """
    return (
        f"events {size + 1} to {seq} are after the signed checkpoint, and no other region that was named has the same: "
        "name one once it has applied them, or hold them against receipts and seal"
    )


def unheard(seq: int, spoken: Sequence[tuple[str, int]]) -> str:
    """
    Return why nothing is made to fit events that end at *seq* where rows speak of later ones, by table; nothing where
    none does.
    """
    beyond = [f"{table} of event {last}" for table, last in spoken if last > seq]
    if not beyond:
        return ""
    return (
        f"the events end at {seq}, and rows here speak of more ({', '.join(beyond)}): the end was cut off, or these "
        "rows were made up, and nothing that was signed tells which; take another region as the primary, or restore a "
        "backup"
    )
