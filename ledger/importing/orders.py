"""
Translate the life of the engine's orders, and their fills.

An order is placed as historical and a fill is a trade. The engine names no account when it makes an order
(OrderInitialized), so that order is held back until an event does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ledger.domain import amounts
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
)
from ledger.errors import InvalidInput
from ledger.importing import fields
from ledger.importing.accounts import Accounts
from ledger.importing.fields import Source
from ledger.importing.reference import Reference
from ledger.importing.translation import Known, Seen, Translation, group_of, venue_of
from ledger.journal.group import Group

_ORDER_TYPES: Final[dict[str, Any]] = {
    "MARKET": "market",
    "LIMIT": "limit",
    "STOP_MARKET": "stop",
    "STOP_LIMIT": "stop_limit",
}
_TIMES_IN_FORCE: Final[dict[str, Any]] = {
    "GTC": "gtc", "DAY": "day", "IOC": "ioc", "FOK": "fok", "GTD": "gtd", "AT_THE_OPEN": "opg", "AT_THE_CLOSE": "cls",
}  # fmt: skip
_LIQUIDITY_SIDES: Final[dict[str, Any]] = {"MAKER": "maker", "TAKER": "taker"}


class Orders:
    """
    The orders of a recording: those that were made, and those whose account is known.
    """

    def __init__(self, reference: Reference, accounts: Accounts, known: Known, seen: Seen) -> None:
        self._reference = reference
        self._accounts = accounts
        self._known = known
        self._seen = seen
        self._held_back: dict[str, Source] = {}
        self._placed: set[str] = set()

    def unplaced(self) -> int:
        """
        Return how many orders were made by the engine and never reached an account.
        """
        return len(self._held_back)

    def initialized(self, source: Source) -> Translation:
        """
        An order that the engine made, held back until an event names its account.
        """
        if self._seen.is_repeated(source):
            return Translation(not_appended="duplicate")
        order_id = fields.text(source, "client_order_id")
        if order_id in self._held_back:
            raise InvalidInput(
                f"found a second order of client_order_id {order_id!r:.80}; each order has one of its own"
            )
        _, groups = self._reference.instrument(source)
        self._order(source, "none")
        self._held_back[order_id] = source
        return Translation(tuple(groups))

    def _order(self, made: Source, account: str) -> OrderPlaced:
        options, order_id = fields.part(made, "options"), fields.name(made, "client_order_id")
        return OrderPlaced(
            order_id=order_id, cl_ord_id=order_id, account=account, instrument=fields.name(made, "instrument_id"),
            historical=True, side=fields.side(made), qty=fields.quantity(made, "quantity"),
            ord_type=_ORDER_TYPES.get(fields.text(made, "order_type"), "other"),
            price=fields.optional_text(options, "price"), stop_price=fields.optional_text(options, "trigger_price"),
            tif=fields.word(made, "time_in_force", _TIMES_IN_FORCE, "gtc"), strategy=fields.name(made, "strategy_id"),
            expire_at=fields.nanoseconds(options, "expire_time_ns"),
            parent_order=fields.optional_name(made, "parent_order_id"),
        )  # fmt: skip

    def _about(self, source: Source, event: Event | None, before: Iterable[Group] = ()) -> Translation:
        """Return the order if it is still held back, then *event* about it, after *before*."""
        groups, placed = [*before], None
        made = self._held_back.pop(fields.text(source, "client_order_id"), None)
        if made is not None:
            placed = len(groups)
            groups.append(group_of(made, self._order(made, self._accounts.of_order(source))))
            self._placed.add(fields.name(source, "client_order_id"))
        if event is None:
            return Translation(tuple(groups), None, "submission", placed)
        return Translation((*groups, group_of(source, event)), placed=placed)

    def submitted(self, source: Source) -> Translation:
        """
        The event that names an order's account; the order is recorded, its submission is not.
        """
        found, order_id = self._about(source, None), fields.name(source, "client_order_id")
        if "\0" in order_id:
            raise InvalidInput(f"found client_order_id {order_id!r:.80}; an identifier has no U+0000")
        if order_id in self._placed or self._known.is_placed(order_id):
            return found
        return Translation(not_appended="split")

    def denied(self, source: Source) -> Translation:
        """
        The engine itself refused the order.
        """
        order_id, reason = fields.name(source, "client_order_id"), fields.text(source, "reason")
        return self._about(source, OrderRejected(order_id=order_id, reason_code="denied", text=reason))

    def accepted(self, source: Source) -> Translation:
        """
        The venue works the order.
        """
        accepted = OrderAccepted(
            order_id=fields.name(source, "client_order_id"), venue=venue_of(fields.name(source, "instrument_id")),
            venue_order_id=fields.optional_name(source, "venue_order_id"),
        )  # fmt: skip
        return self._about(source, accepted)

    def rejected(self, source: Source) -> Translation:
        """
        The venue refused the order.
        """
        order_id, reason = fields.name(source, "client_order_id"), fields.optional_text(source, "reason")
        return self._about(source, OrderRejected(order_id=order_id, reason_code="venue", text=reason or ""))

    def triggered(self, source: Source) -> Translation:
        """
        The order's stop was reached.
        """
        return self._about(source, OrderTriggered(order_id=fields.name(source, "client_order_id")))

    def updated(self, source: Source) -> Translation:
        """
        The venue replaced the order's terms.
        """
        order_id = fields.name(source, "client_order_id")
        replaced = OrderReplaced(
            order_id=order_id, cl_ord_id=order_id, orig_cl_ord_id=order_id, qty=fields.quantity(source, "quantity"),
            price=fields.optional_text(source, "price"), stop_price=fields.optional_text(source, "trigger_price"),
            historical=True,
        )  # fmt: skip
        return self._about(source, replaced)

    def canceled(self, source: Source) -> Translation:
        """
        The order ended before it had filled.
        """
        return self._about(source, OrderCanceled(order_id=fields.name(source, "client_order_id")))

    def expired(self, source: Source) -> Translation:
        """
        The order's time ran out.
        """
        return self._about(source, OrderExpired(order_id=fields.name(source, "client_order_id")))

    def filled(self, source: Source) -> Translation:
        """
        A part of the order traded.
        """
        name, groups = self._reference.instrument(source)
        fees: tuple[Fee, ...] = ()
        if source.get("commission") is not None:
            amount, asset = fields.money(source, "commission")
            if amounts.parse(amount):
                groups += self._reference.currency(source, asset, fields.decimals(amount))
                fees = (Fee(kind="commission", asset=asset, amount=amount),)
        order_id, trade_id = fields.name(source, "client_order_id"), fields.name(source, "trade_id")
        trade = TradeExecuted(
            # One trade may fill two of our own orders; together with the order its id names one execution.
            exec_id=f"{trade_id}:{order_id}", venue_trade_id=trade_id, venue=venue_of(name), order_id=order_id,
            account=fields.name(source, "account_id"), instrument=name, side=fields.side(source),
            qty=fields.quantity(source, "last_qty"), price=fields.text(source, "last_px"), fees=fees,
            liquidity=_LIQUIDITY_SIDES.get(str(source.get("liquidity_side"))), trade_date=fields.day(source),
            reconciliation=bool(source.get("reconciliation")), historical=True,
        )  # fmt: skip
        return self._about(source, trade, groups)
