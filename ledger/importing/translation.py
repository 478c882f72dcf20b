"""
Name what a source event becomes: requests, a statement to reconcile with, or a reason why it is not appended.

The engine's own event id is the idempotency key of a request, so that nothing is recorded twice. A source repeats
itself, so what was translated is kept by its id, with a hash of its content: memory grows with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ledger.domain.events.fields import Event
from ledger.errors import IdempotencyConflict
from ledger.importing import fields
from ledger.importing.fields import Source
from ledger.journal.group import Group

ACTOR: Final = "nautilus"

NOT_APPENDED: Final = {
    "duplicate": "this event, by the engine's event id or as the same fact, is recorded or was compared already",
    "submission": "OrderSubmitted tells the account; the order itself is recorded as OrderPlaced",
    "position": "positions follow from the fills",
    "reconciled": "an AccountState is compared with the ledger, not posted",
    "request": "a request that is pending at the venue; its outcome is recorded",
    "refused_request": "the venue refused a change; the order stays as it was",
    "emulation": "the engine's own emulation of an order type, inside the engine",
    "unplaced": "an order that was made and that no later event gives an account; if the recording goes on in another "
    "file, join the files",
    "split": "an order that was made in an earlier file, which ended before its account was known: it is not recorded, "
    "and what follows of it waits in quarantine; join the files and import them as one into a new chain",
}
"""Why a source event is not appended, by class."""


class Statement(msgspec.Struct, frozen=True):
    """
    What the engine says an account has after some source event: {asset: (total, held)} in 10^-18, and when (ns).
    """

    event_id: str
    account: str
    as_of: int
    amounts: dict[str, tuple[int, int]]


class Translation(msgspec.Struct, frozen=True):
    """
    What one source event becomes: requests in order, a statement to reconcile, or a class of what is not appended.

    `placed` is the place among `groups` of an OrderPlaced that belongs to an earlier source event, held back till now.
    """

    groups: tuple[Group, ...] = ()
    statement: Statement | None = None
    not_appended: str | None = None
    placed: int | None = None


class Known(msgspec.Struct):
    """
    What the ledger has already: kinds by asset, the names of instruments and accounts, used keys and placed orders.
    """

    assets: dict[str, str]
    instruments: set[str]
    accounts: set[str]
    is_recorded: Callable[[str], bool] = lambda key: False
    is_placed: Callable[[str], bool] = lambda order_id: False


class Seen:
    """
    The statements and orders that were translated, by their event ids.
    """

    def __init__(self) -> None:
        self._contents: dict[str, int] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._contents

    def is_repeated(self, source: Source) -> bool:
        """
        Return whether the source event came before; it is kept from now on.

        Raises:
            IdempotencyConflict: its event id came before with other content.
        """
        event_id, content = fields.text(source, "event_id"), hash(msgspec.json.encode(source, order="sorted"))
        before = self._contents.get(event_id)
        if before is None:
            self._contents[event_id] = content
        elif before != content:
            raise IdempotencyConflict(f"found event_id {event_id!r:.80} a second time, with other content")
        return before is not None


def group_of(source: Source, event: Event, suffix: str = "") -> Group:
    """
    Return the request that records *event*, under the id of the source event and *suffix*.
    """
    return Group((event,), fields.text(source, "event_id") + suffix, ACTOR, fields.time(source))


def venue_of(instrument_id: str) -> str:
    """
    Return the venue that an instrument's id ends with.
    """
    return instrument_id.rpartition(".")[2]
