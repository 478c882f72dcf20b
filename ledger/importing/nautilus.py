"""
Translate a NautilusTrader event stream into requests to the ledger.

What the engine published happened, so it becomes facts: an order is placed as historical, a fill is a trade, the
first AccountState of an account opens it with a deposit of its totals (a withdrawal of those below 0), and every later
one is something to reconcile against and never to post. Each source event becomes requests, or a named class of what
is not appended, with the reason; the engine's own event id is the idempotency key, so that nothing is recorded twice.

What becomes of accounts is in `accounts`, of orders and fills in `orders`, of what they are about in `reference`. All
of it is pure: it reads no file and no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ledger.errors import IdempotencyConflict, InvalidInput, Rejected
from ledger.importing.accounts import Accounts
from ledger.importing.fields import Source
from ledger.importing.orders import Orders
from ledger.importing.reference import Reference
from ledger.importing.translation import Known, Seen, Translation

_CLASSES: Final = {
    "OrderSubmitted": "submission",
    "PositionOpened": "position",
    "PositionChanged": "position",
    "PositionClosed": "position",
    "OrderPendingUpdate": "request",
    "OrderPendingCancel": "request",
    "OrderModifyRejected": "refused_request",
    "OrderCancelRejected": "refused_request",
    "OrderEmulated": "emulation",
    "OrderReleased": "emulation",
}


class Translator:
    """
    Translate source events in the order they were delivered.

    *instruments* are the definitions the engine was configured with; *known* is what the ledger has already.
    """

    def __init__(self, instruments: Iterable[Source], known: Known) -> None:
        self._seen = Seen()
        self._reference = Reference(instruments, known)
        accounts = Accounts(self._reference, known, self._seen)
        self._orders = orders = Orders(self._reference, accounts, known, self._seen)
        self._rules: dict[str, Callable[[Source], Translation]] = {
            "AccountState": accounts.state,
            "OrderInitialized": orders.initialized,
            "OrderSubmitted": orders.submitted,
            "OrderDenied": orders.denied,
            "OrderAccepted": orders.accepted,
            "OrderRejected": orders.rejected,
            "OrderTriggered": orders.triggered,
            "OrderUpdated": orders.updated,
            "OrderCanceled": orders.canceled,
            "OrderExpired": orders.expired,
            "OrderFilled": orders.filled,
        }

    def translate(self, source: Source) -> Translation:
        """
        Return what the source event becomes.

        Raises:
            InvalidInput: an unknown type or instrument, or a field that is not what it should be.
            IdempotencyConflict: an event id that another event had.
        """
        kind = source.get("type")
        rule = self._rules.get(kind) if isinstance(kind, str) else None
        try:
            if rule is not None:
                return rule(source)
        except (InvalidInput, IdempotencyConflict):
            raise
        except Rejected as error:
            raise InvalidInput(f"a {kind} cannot be read: {error}") from error
        if isinstance(kind, str) and kind in _CLASSES:
            return Translation(not_appended=_CLASSES[kind])
        known = ", ".join(sorted({*self._rules, *_CLASSES}))
        raise InvalidInput(f"found an event of type {kind!r:.80}; known are {known}")

    def unplaced(self) -> int:
        """
        Return how many orders were made by the engine and never reached an account.
        """
        return self._orders.unplaced()

    def has_seen(self, event_id: str) -> bool:
        """
        Return whether a statement or an order of this event id was translated.
        """
        return event_id in self._seen

    def is_currency(self, asset: str) -> bool:
        """
        Return whether the ledger has *asset* as money; of what is none the engine states no balance.
        """
        return self._reference.is_currency(asset)
