"""
Translate a NautilusTrader event stream into requests to the ledger.

What the engine published happened, so it becomes facts: an order is placed as historical, a fill is a trade, the
first AccountState of an account opens it with a deposit of its totals, and every later one is something to
reconcile against and never to post. Each source event becomes requests, or a named class of what is not appended,
with the reason; the engine's own event id is the idempotency key, so that nothing is recorded twice.

The engine names no account when it makes an order (OrderInitialized), so that order is held back until an event
does. This module is pure: it reads no file and no ledger.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events.cash import CashMoved
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
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.errors import InvalidInput, Rejected
from ledger.journal.group import Group

ACTOR: Final = "nautilus"

NOT_APPENDED: Final = {
    "duplicate": "an event with this engine event id is recorded already",
    "submission": "OrderSubmitted tells the account; the order itself is recorded as OrderPlaced",
    "position": "positions follow from the fills",
    "reconciled": "an AccountState is compared with the ledger, not posted",
    "request": "a request that is pending at the venue; its outcome is recorded",
    "refused_request": "the venue refused a change; the order stays as it was",
    "emulation": "the engine's own emulation of an order type, inside the engine",
    "unplaced": "an order that was made and that no later event gives an account",
}
"""Why a source event is not appended, by class."""

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
    """

    groups: tuple[Group, ...] = ()
    statement: Statement | None = None
    not_appended: str | None = None


class Known(msgspec.Struct):
    """
    What the ledger has already: scales by asset, and the names of instruments and accounts.
    """

    assets: dict[str, int]
    instruments: set[str]
    accounts: set[str]


def _text(source: dict[str, Any], name: str) -> str:
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"found {name} {value!r}; expected text")
    return value


def _time(source: dict[str, Any]) -> int:
    value = source.get("ts_event")
    if type(value) is not int:
        raise InvalidInput(f"found ts_event {value!r}; expected nanoseconds since 1970")
    return value


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _money(text: str) -> tuple[str, str]:
    amount, _, asset = text.partition(" ")
    if not asset:
        raise InvalidInput(f"found {text!r}; expected an amount and its currency, such as '0.574 USDT'")
    return amount, asset


def _venue(instrument_id: str) -> str:
    return instrument_id.rpartition(".")[2]


def _date(ns: int) -> str:
    return datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC).date().isoformat()


class Translator:
    """
    Translate source events in the order they were delivered.

    *instruments* are the definitions the engine was configured with; *known* is what the ledger has already.
    """

    def __init__(self, instruments: Iterable[dict[str, Any]], known: Known) -> None:
        self._definitions = {_text(definition, "id"): definition for definition in instruments}
        self._known = known
        self._held_back: dict[str, dict[str, Any]] = {}
        self._accounts_of_venue: dict[str, str] = {}
        self._stated: set[str] = set()
        self._rules: dict[str, Callable[[dict[str, Any]], Translation]] = {
            "AccountState": self._account_state,
            "OrderInitialized": self._initialized,
            "OrderSubmitted": self._submitted,
            "OrderDenied": self._denied,
            "OrderAccepted": self._accepted,
            "OrderRejected": self._rejected,
            "OrderTriggered": self._triggered,
            "OrderUpdated": self._updated,
            "OrderCanceled": self._canceled,
            "OrderExpired": self._expired,
            "OrderFilled": self._filled,
        }

    def translate(self, source: dict[str, Any]) -> Translation:
        """
        Return what the source event becomes.

        Raises:
            InvalidInput: an unknown type or instrument, or a field that is not what it should be.
        """
        kind = source.get("type")
        rule = self._rules.get(kind) if isinstance(kind, str) else None
        try:
            if rule is not None:
                return rule(source)
        except InvalidInput:
            raise
        except Rejected as error:
            raise InvalidInput(f"a {kind} cannot be read: {error}") from error
        if kind in _CLASSES:
            return Translation(not_appended=_CLASSES[kind])
        known = ", ".join(sorted({*self._rules, *_CLASSES}))
        raise InvalidInput(f"found an event of type {kind!r}; known are {known}")

    def unplaced(self) -> int:
        """
        Return how many orders were made by the engine and never reached an account.
        """
        return len(self._held_back)

    def statement_is_first(self, account: str) -> bool:
        """
        Return whether no AccountState of *account* was translated yet.
        """
        return account not in self._stated

    def _group(self, source: dict[str, Any], event: Event, suffix: str = "") -> Group:
        return Group((event,), _text(source, "event_id") + suffix, ACTOR, _time(source))

    def _asset(self, source: dict[str, Any], asset: str, kind: str, scale: int) -> list[Group]:
        if asset in self._known.assets:
            return []
        self._known.assets[asset] = scale
        defined = AssetDefined(asset=asset, kind=kind, scale=scale, name=asset)  # type: ignore[arg-type]
        return [Group((defined,), f"asset:{asset}", ACTOR, _time(source))]

    def _instrument(self, source: dict[str, Any]) -> tuple[str, list[Group]]:
        name = _text(source, "instrument_id")
        if name in self._known.instruments:
            return name, []
        definition = self._definitions.get(name)
        if definition is None:
            given = ", ".join(sorted(self._definitions)) or "none"
            raise InvalidInput(f"found instrument {name!r}, which --instruments does not define; it defines {given}")
        size, price = _text(definition, "size_increment"), _text(definition, "price_increment")
        quote = definition.get("quote_currency") or definition.get("currency")
        if not isinstance(quote, str):
            raise InvalidInput(f"instrument {name!r} has neither quote_currency nor currency; give one")
        pair = definition.get("type") == "CurrencyPair"
        base = _text(definition, "base_currency") if pair else name.rpartition(".")[0]
        kind = "crypto" if pair else "security" if definition.get("type") == "Equity" else "contract"
        groups = self._asset(source, base, kind, max(_decimals(size), 0))
        groups += self._asset(source, quote, "currency", min(_decimals(size) + _decimals(price), amounts.SCALE))
        defined = InstrumentDefined(
            instrument=name, asset=base, quote_asset=quote, settle_asset=quote, tick=price, lot=size,
            multiplier=definition.get("multiplier") or "1", settlement_cycle=0, venue=_venue(name),
            symbol=definition.get("raw_symbol"), isin=definition.get("isin"),
        )  # fmt: skip
        self._known.instruments.add(name)
        return name, [*groups, Group((defined,), f"instrument:{name}", ACTOR, _time(source))]

    def _account_state(self, source: dict[str, Any]) -> Translation:
        account = _text(source, "account_id")
        stated: dict[str, tuple[int, int]] = {}
        groups: list[Group] = []
        for balance in source.get("balances") or ():
            asset, total = _text(balance, "currency"), _text(balance, "total")
            stated[asset] = (amounts.parse(total), amounts.parse(_text(balance, "locked")))
            groups += self._asset(source, asset, "currency", _decimals(total))
        statement = Statement(_text(source, "event_id"), account, _time(source), stated)
        first = account not in self._stated
        self._stated.add(account)
        self._accounts_of_venue[account.rpartition("-")[0]] = account
        if not first:
            return Translation(tuple(groups), statement, "reconciled")
        return Translation((*groups, *self._opening(source, account, stated)), statement)

    def _opening(self, source: dict[str, Any], account: str, stated: dict[str, tuple[int, int]]) -> list[Group]:
        if not stated:
            raise InvalidInput(f"the first AccountState of {account!r} names no balance; expected one or more")
        kind = "cash" if source.get("account_type") == "CASH" else "margin"
        base = source.get("base_currency") or next(iter(stated))
        opened = AccountOpened(account=account, owner=account, kind=kind, base_asset=base)  # type: ignore[arg-type]
        groups = [self._group(source, opened, ":open")]
        self._known.accounts.add(account)
        for asset, (total, _) in stated.items():
            if total:
                deposit = CashMoved(
                    movement_id=f"{source['event_id']}:{asset}", account=account, asset=asset,
                    amount=amounts.render(total), kind="deposit", value_date=_date(_time(source)),
                )  # fmt: skip
                groups.append(self._group(source, deposit, f":{asset}"))
        return groups

    def _initialized(self, source: dict[str, Any]) -> Translation:
        self._held_back[_text(source, "client_order_id")] = source
        _, groups = self._instrument(source)
        return Translation(tuple(groups))

    def _placed(self, source: dict[str, Any], account: str | None = None) -> list[Group]:
        made = self._held_back.pop(_text(source, "client_order_id"), None)
        if made is None:
            return []
        options = made.get("options") or {}
        name, groups = self._instrument(made)
        order_type = _ORDER_TYPES.get(str(made.get("order_type")), "other")
        placed = OrderPlaced(
            order_id=_text(made, "client_order_id"), cl_ord_id=_text(made, "client_order_id"),
            account=account or _text(source, "account_id"), instrument=name, historical=True,
            side="buy" if _text(made, "order_side") == "BUY" else "sell", qty=_text(made, "quantity"),
            ord_type=order_type, price=options.get("price"), stop_price=options.get("trigger_price"),
            tif=_TIMES_IN_FORCE.get(str(made.get("time_in_force")), "gtc"), strategy=_text(made, "strategy_id"),
            expire_at=options.get("expire_time_ns") or None, parent_order=made.get("parent_order_id"),
        )  # fmt: skip
        return [*groups, self._group(made, placed)]

    def _submitted(self, source: dict[str, Any]) -> Translation:
        return Translation(tuple(self._placed(source)), None, "submission")

    def _denied(self, source: dict[str, Any]) -> Translation:
        venue = _venue(_text(source, "instrument_id"))
        accounts = self._accounts_of_venue
        account = accounts.get(venue) or (next(iter(accounts.values())) if len(accounts) == 1 else None)
        if account is None:
            raise InvalidInput(f"found a denied order at {venue}, whose account no AccountState has named yet")
        rejected = OrderRejected(
            order_id=_text(source, "client_order_id"), reason_code="denied", text=_text(source, "reason")
        )
        return Translation((*self._placed(source, account), self._group(source, rejected)))

    def _about(self, source: dict[str, Any], event: Event) -> Translation:
        return Translation((*self._placed(source), self._group(source, event)))

    def _accepted(self, source: dict[str, Any]) -> Translation:
        order_id, venue = _text(source, "client_order_id"), _venue(_text(source, "instrument_id"))
        accepted = OrderAccepted(order_id=order_id, venue=venue, venue_order_id=source.get("venue_order_id"))
        return self._about(source, accepted)

    def _rejected(self, source: dict[str, Any]) -> Translation:
        order_id = _text(source, "client_order_id")
        return self._about(
            source, OrderRejected(order_id=order_id, reason_code="venue", text=str(source.get("reason") or ""))
        )

    def _triggered(self, source: dict[str, Any]) -> Translation:
        return self._about(source, OrderTriggered(order_id=_text(source, "client_order_id")))

    def _updated(self, source: dict[str, Any]) -> Translation:
        order_id = _text(source, "client_order_id")
        replaced = OrderReplaced(
            order_id=order_id, cl_ord_id=order_id, orig_cl_ord_id=order_id, qty=_text(source, "quantity"),
            price=source.get("price"), stop_price=source.get("trigger_price"),
        )  # fmt: skip
        return self._about(source, replaced)

    def _canceled(self, source: dict[str, Any]) -> Translation:
        return self._about(source, OrderCanceled(order_id=_text(source, "client_order_id")))

    def _expired(self, source: dict[str, Any]) -> Translation:
        return self._about(source, OrderExpired(order_id=_text(source, "client_order_id")))

    def _filled(self, source: dict[str, Any]) -> Translation:
        name, groups = self._instrument(source)
        fees: tuple[Fee, ...] = ()
        if source.get("commission"):
            amount, asset = _money(_text(source, "commission"))
            groups += self._asset(source, asset, "currency", _decimals(amount))
            if amounts.parse(amount):
                fees = (Fee(kind="commission", asset=asset, amount=amount),)
        order_id, trade_id = _text(source, "client_order_id"), _text(source, "trade_id")
        trade = TradeExecuted(
            # One trade may fill two of our own orders; together with the order its id names one execution.
            exec_id=f"{trade_id}:{order_id}", venue_trade_id=trade_id, venue=_venue(name), order_id=order_id,
            account=_text(source, "account_id"), instrument=name,
            side="buy" if _text(source, "order_side") == "BUY" else "sell",
            qty=_text(source, "last_qty"), price=_text(source, "last_px"), fees=fees,
            liquidity=_LIQUIDITY_SIDES.get(str(source.get("liquidity_side"))),
            trade_date=_date(_time(source)), reconciliation=bool(source.get("reconciliation")),
            historical=True,
        )  # fmt: skip
        return Translation((*groups, *self._placed(source), self._group(source, trade)))


def instruments_of(text: bytes) -> list[dict[str, Any]]:
    """
    Return the instrument definitions in *text*: a JSON list, or an object with the key `instruments`.

    Raises:
        InvalidInput: neither.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the instruments are no JSON: {error}") from error
    if isinstance(found, dict):
        found = found.get("instruments")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidInput("expected a JSON list of instruments, or an object with the key 'instruments'")
    return found


__all__ = ["ACTOR", "NOT_APPENDED", "Known", "Statement", "Translation", "Translator", "instruments_of"]
