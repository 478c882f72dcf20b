"""
Translate a NautilusTrader event stream into requests to the ledger.

What the engine published happened, so it becomes facts: an order is placed as historical, a fill is a trade, the
first AccountState of an account opens it with a deposit of its totals (a withdrawal of those below 0), and every later
one is something to reconcile against and never to post. Each source event becomes requests, or a named class of what
is not appended, with the reason; the engine's own event id is the idempotency key, so that nothing is recorded twice.

The engine names no account when it makes an order (OrderInitialized), so that order is held back until an event
does. This module is pure: it reads no file and no ledger. Its memory grows with the statements and orders it saw, by
their ids, because a source repeats itself.
"""

from __future__ import annotations

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
from ledger.errors import IdempotencyConflict, InvalidInput, Rejected
from ledger.importing import definitions, fields
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

_MONEY: Final = ("currency", "crypto")
_LIQUIDITY_SIDES: Final[dict[str, Any]] = {"MAKER": "maker", "TAKER": "taker"}
_ACCOUNT_KINDS: Final[dict[str, Any]] = {"CASH": "cash", "MARGIN": "margin", "BETTING": "margin"}


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


def _venue(instrument_id: str) -> str:
    return instrument_id.rpartition(".")[2]


class Translator:
    """
    Translate source events in the order they were delivered.

    *instruments* are the definitions the engine was configured with; *known* is what the ledger has already.
    """

    def __init__(self, instruments: Iterable[Source], known: Known) -> None:
        self._definitions = definitions.Definitions(instruments)
        self._known = known
        self._held_back: dict[str, Source] = {}
        self._placed: set[str] = set()
        self._accounts_of_venue: dict[str, str] = {}
        self._known_accounts = {account.rpartition("-")[0]: account for account in sorted(known.accounts)}
        self._stated: set[str] = set()
        self._seen: dict[str, int] = {}
        self._rules: dict[str, Callable[[Source], Translation]] = {
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
        return len(self._held_back)

    def has_seen(self, event_id: str) -> bool:
        """
        Return whether a statement or an order of this event id was translated.
        """
        return event_id in self._seen

    def _is_repeated(self, source: Source) -> bool:
        event_id, content = fields.text(source, "event_id"), hash(msgspec.json.encode(source, order="sorted"))
        before = self._seen.get(event_id)
        if before is None:
            self._seen[event_id] = content
        elif before != content:
            raise IdempotencyConflict(f"found event_id {event_id!r:.80} a second time, with other content")
        return before is not None

    def _group(self, source: Source, event: Event, suffix: str = "") -> Group:
        return Group((event,), fields.text(source, "event_id") + suffix, ACTOR, fields.time(source))

    def is_currency(self, asset: str) -> bool:
        """
        Return whether the ledger has *asset* as money; of what is none the engine states no balance.
        """
        return self._known.assets.get(asset) in _MONEY

    def _asset(self, source: Source, asset: str, kind: str, scale: int) -> list[Group]:
        there = self._known.assets.get(asset)
        if there is not None:
            if (there in _MONEY) != (kind in _MONEY):
                raise InvalidInput(
                    f"found {fields.as_given(asset)!r:.80} as a {kind}, which the ledger has as a {there}; one name "
                    "cannot be both: import into a chain of its own, or leave the instrument's events out"
                )
            return []
        given = fields.as_given(asset)
        defined = AssetDefined(asset=asset, kind=kind, scale=scale, name=given)  # type: ignore[arg-type]
        self._known.assets[asset] = kind
        return [Group((defined,), f"asset:{asset}", ACTOR, fields.time(source))]

    def _currency(self, source: Source, asset: str, decimals: int = 0) -> list[Group]:
        return self._asset(source, asset, "currency", self._definitions.decimals(asset, decimals))

    def _instrument(self, source: Source) -> tuple[str, list[Group]]:
        given, name = fields.text(source, "instrument_id"), fields.name(source, "instrument_id")
        if name in self._known.instruments:
            return name, []
        definition = self._definitions.find(given)
        try:
            return name, self._defined(source, name, definition)
        except Rejected as error:
            raise InvalidInput(f"--instruments, {given!r}: {error}") from error

    def _defined(self, source: Source, name: str, definition: Source) -> list[Group]:
        size, price = fields.quantity(definition, "size_increment"), fields.quantity(definition, "price_increment")
        quote = definitions.quote_of(definition)
        if definitions.is_pair(definition):
            base = fields.name(definition, "base_currency")
            groups = self._currency(source, base)
        else:
            base = self._share(name)
            kind = "security" if definition.get("type") == "Equity" else "contract"
            groups = self._asset(source, base, kind, fields.decimals(size))
        groups += self._currency(source, quote)
        defined = InstrumentDefined(
            instrument=name, asset=base, quote_asset=quote, settle_asset=quote, tick=price, lot=size,
            multiplier=fields.optional_text(definition, "multiplier") or "1", settlement_cycle=0, venue=_venue(name),
            symbol=fields.optional_text(definition, "raw_symbol"), isin=fields.optional_name(definition, "isin"),
        )  # fmt: skip
        self._known.instruments.add(name)
        return [*groups, Group((defined,), f"instrument:{name}", ACTOR, fields.time(source))]

    def _share(self, instrument: str) -> str:
        """Return the asset of an instrument that is no pair: its symbol, or its id where money has that symbol."""
        symbol = instrument.rpartition(".")[0]
        return instrument if self._definitions.has_currency(symbol) or self.is_currency(symbol) else symbol

    def _account_state(self, source: Source) -> Translation:
        account, event_id = fields.name(source, "account_id"), fields.text(source, "event_id")
        if self._is_repeated(source):
            # The statement is of an earlier moment; compared with the books of now it would be a false break.
            return Translation(not_appended="duplicate")
        stated: dict[str, tuple[int, int]] = {}
        groups: list[Group] = []
        for balance in fields.parts(source, "balances"):
            asset, total = fields.name(balance, "currency"), fields.text(balance, "total")
            if asset in stated:
                raise InvalidInput(
                    f"the balances name {fields.as_given(asset)!r:.80} twice; expected each currency once"
                )
            stated[asset] = (amounts.parse(total), amounts.parse(fields.text(balance, "locked")))
            groups += self._currency(source, asset, fields.decimals(total))
        statement = Statement(event_id, account, fields.time(source), stated)
        first = account not in self._stated
        self._stated.add(account)
        self._accounts_of_venue[account.rpartition("-")[0]] = account
        # Of an account that another file opened, the first statement here is one more to compare with.
        if account in self._known.accounts and not (first and self._known.is_recorded(f"{event_id}:open")):
            return Translation(tuple(groups), statement, "reconciled")
        return Translation((*groups, *self._opening(source, account, stated)), statement)

    def _opening(self, source: Source, account: str, stated: dict[str, tuple[int, int]]) -> list[Group]:
        if not stated:
            given = fields.as_given(account)
            raise InvalidInput(f"the first AccountState of {given!r} names no balance; expected one or more")
        kind = fields.word(source, "account_type", _ACCOUNT_KINDS, "margin")
        base = fields.optional_name(source, "base_currency") or next(iter(stated))
        defined = self._currency(source, base)
        opened = AccountOpened(account=account, owner=account, kind=kind, base_asset=base)
        groups = [*defined, self._group(source, opened, ":open")]
        self._known.accounts.add(account)
        for asset, (total, _) in stated.items():
            if total:
                deposit = CashMoved(
                    movement_id=f"{fields.name(source, 'event_id')}:{asset}", account=account, asset=asset,
                    amount=amounts.render(total), kind="deposit" if total > 0 else "withdrawal",
                    value_date=fields.day(source),
                )  # fmt: skip
                groups.append(self._group(source, deposit, f":{asset}"))
        return groups

    def _initialized(self, source: Source) -> Translation:
        if self._is_repeated(source):
            return Translation(not_appended="duplicate")
        order_id = fields.text(source, "client_order_id")
        if order_id in self._held_back:
            raise InvalidInput(
                f"found a second order of client_order_id {order_id!r:.80}; each order has one of its own"
            )
        _, groups = self._instrument(source)
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

    def _account_of(self, source: Source) -> str:
        """Return the account of an order: the event's own, or else that of the venue, or the only one."""
        if (given := fields.optional_name(source, "account_id")) is not None:
            return given
        venue, accounts = _venue(fields.name(source, "instrument_id")), self._accounts_of_venue
        only = next(iter(accounts.values())) if len(accounts) == 1 else None
        account = accounts.get(venue) or only or self._known_accounts.get(venue)
        if account is None:
            raise InvalidInput(f"found an order without an account at {venue}, whose account no AccountState named yet")
        return account

    def _about(self, source: Source, event: Event | None, before: Iterable[Group] = ()) -> Translation:
        """Return the order if it is still held back, then *event* about it, after *before*."""
        groups, placed = [*before], None
        made = self._held_back.pop(fields.text(source, "client_order_id"), None)
        if made is not None:
            placed = len(groups)
            groups.append(self._group(made, self._order(made, self._account_of(source))))
            self._placed.add(fields.name(source, "client_order_id"))
        if event is None:
            return Translation(tuple(groups), None, "submission", placed)
        return Translation((*groups, self._group(source, event)), placed=placed)

    def _submitted(self, source: Source) -> Translation:
        found, order_id = self._about(source, None), fields.name(source, "client_order_id")
        if "\0" in order_id:
            raise InvalidInput(f"found client_order_id {order_id!r:.80}; an identifier has no U+0000")
        if order_id in self._placed or self._known.is_placed(order_id):
            return found
        return Translation(not_appended="split")

    def _denied(self, source: Source) -> Translation:
        order_id, reason = fields.name(source, "client_order_id"), fields.text(source, "reason")
        return self._about(source, OrderRejected(order_id=order_id, reason_code="denied", text=reason))

    def _accepted(self, source: Source) -> Translation:
        accepted = OrderAccepted(
            order_id=fields.name(source, "client_order_id"), venue=_venue(fields.name(source, "instrument_id")),
            venue_order_id=fields.optional_name(source, "venue_order_id"),
        )  # fmt: skip
        return self._about(source, accepted)

    def _rejected(self, source: Source) -> Translation:
        order_id, reason = fields.name(source, "client_order_id"), fields.optional_text(source, "reason")
        return self._about(source, OrderRejected(order_id=order_id, reason_code="venue", text=reason or ""))

    def _triggered(self, source: Source) -> Translation:
        return self._about(source, OrderTriggered(order_id=fields.name(source, "client_order_id")))

    def _updated(self, source: Source) -> Translation:
        order_id = fields.name(source, "client_order_id")
        replaced = OrderReplaced(
            order_id=order_id, cl_ord_id=order_id, orig_cl_ord_id=order_id, qty=fields.quantity(source, "quantity"),
            price=fields.optional_text(source, "price"), stop_price=fields.optional_text(source, "trigger_price"),
        )  # fmt: skip
        return self._about(source, replaced)

    def _canceled(self, source: Source) -> Translation:
        return self._about(source, OrderCanceled(order_id=fields.name(source, "client_order_id")))

    def _expired(self, source: Source) -> Translation:
        return self._about(source, OrderExpired(order_id=fields.name(source, "client_order_id")))

    def _filled(self, source: Source) -> Translation:
        name, groups = self._instrument(source)
        fees: tuple[Fee, ...] = ()
        if source.get("commission") is not None:
            amount, asset = fields.money(source, "commission")
            if amounts.parse(amount):
                groups += self._currency(source, asset, fields.decimals(amount))
                fees = (Fee(kind="commission", asset=asset, amount=amount),)
        order_id, trade_id = fields.name(source, "client_order_id"), fields.name(source, "trade_id")
        trade = TradeExecuted(
            # One trade may fill two of our own orders; together with the order its id names one execution.
            exec_id=f"{trade_id}:{order_id}", venue_trade_id=trade_id, venue=_venue(name), order_id=order_id,
            account=fields.name(source, "account_id"), instrument=name, side=fields.side(source),
            qty=fields.quantity(source, "last_qty"), price=fields.text(source, "last_px"), fees=fees,
            liquidity=_LIQUIDITY_SIDES.get(str(source.get("liquidity_side"))), trade_date=fields.day(source),
            reconciliation=bool(source.get("reconciliation")), historical=True,
        )  # fmt: skip
        return self._about(source, trade, groups)


def instruments_of(text: bytes) -> list[dict[str, Any]]:
    """
    Return the instrument definitions in *text*: a JSON list, or an object with the key `instruments`.

    Raises:
        InvalidInput: neither.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the instruments are no JSON: {error}") from error
    if isinstance(found, dict):
        found = found.get("instruments")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidInput("expected a JSON list of instruments, or an object with the key 'instruments'")
    return found


__all__ = ["ACTOR", "NOT_APPENDED", "Known", "Statement", "Translation", "Translator", "instruments_of"]
