"""
Settle which role the region has whose head is made anew, and never let that make a second primary.

A role is nobody's signed word. The head says it, and a place in a topic says that the region follows; where both are
gone or at odds, nothing here tells a replica from the primary. Then a named region that is the primary tells that this
one is not, and else a person has to say it. Where the rows do tell, a person's word takes the role away only beside a
named region that is the primary. Beside such a region none becomes primary, whoever says so: two of them would append,
each its own history, and no later repair could join these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from ledger.errors import LedgerError
from ledger.repairing.sources import REPLICA, Source
from ledger.storage import repairs
from ledger.storage.database import Connection

Mode = Literal["primary", "replica"]
PRIMARY: Final = "primary"
FOLLOWER: Final = "replica"


class Role(msgspec.Struct, frozen=True):
    """
    Which role the region has, if anything tells, or why its head gets none; and whether it is known to follow a
    primary that may be ahead of it.
    """

    mode: Mode | None
    refused: str = ""
    follows: bool = False


def stands(connection: Connection, chain: int) -> Mode | None:
    """
    Return which role the rows of a region say that it has; None where none says one, or two are at odds.
    """
    # A head that was given another number goes back with its row, and says the same as before.
    said = repairs.mode(connection, chain) or repairs.mode_astray(connection, chain)
    has_place = repairs.has_place(connection, chain)
    if said == PRIMARY:
        return None if has_place else PRIMARY
    return FOLLOWER if said == FOLLOWER or has_place else None


def settle(connection: Connection, chain: int, copies: Sequence[Source], said: Mode | None) -> Role:
    """
    Return the role of the region in *connection*, of which *copies* were named; *said* is what a person says it is.
    """
    there, head = stands(connection, chain), repairs.mode(connection, chain)
    reigning = next((copy for copy in copies if copy.kind == REPLICA and _mode(copy) == PRIMARY), None)
    mode = said or there or (FOLLOWER if reigning else None)
    refused = ""
    if mode is None:
        refused = (
            "nothing here tells whether this region is the primary or a replica, and with two primaries there would be "
            "two histories: say --role replica where another region appends, or --role primary once you know that none "
            "does"
        )
    elif mode == PRIMARY and head == FOLLOWER == there:
        refused = "the head says that this region is a replica, and a repair promotes none: leave --role out"
    elif mode == FOLLOWER and head == PRIMARY == there and reigning is None:
        refused = (
            "the head says that this region is the primary, nothing here or in a region that was named with --replica "
            "says the opposite, and a repair takes nobody's role away: leave --role out"
        )
    elif mode == PRIMARY and reigning is not None:
        refused = (
            "the region that was named with --replica says that it is the primary, and this one would be a second: say "
            "--role replica, or find out which of both is to append and take the other's role away"
        )
    is_known = said is not None or there is None or repairs.has_place(connection, chain)
    follows = mode == FOLLOWER and is_known
    return Role(None if refused else mode, refused, follows)


def _mode(copy: Source) -> str:
    try:
        return copy.mode
    except LedgerError:
        # One that cannot be heard is told of where its events are asked for.
        return ""
