"""
Drive the fold as a writer would, and hold its books against what must be true of any books.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict

from ledger.domain import fold, registry
from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.fold import Context, DuplicateFact, Outcome
from ledger.domain.order_status import derive, leaves
from ledger.domain.rules.ground import current_name
from ledger.domain.state import State
from ledger.errors import InsufficientFunds, RuleBroken
from tests.domain.streams import check_stream

NOON = 1_723_161_254_087_891_268
DAY = "2024-08-08"


class Books:
    """
    A state and the history that made it; `clock` is the time (ns) at which events occur, and are recorded.
    """

    def __init__(self) -> None:
        self.state = State()
        self.clock = NOON
        self.stored: list[Outcome] = []
        self.contexts: list[Context] = []

    def give(self, event: Event, occurred_at: int | None = None) -> Outcome:
        seq = len(self.stored) + 1
        context = Context(seq, self.clock + seq, self.clock if occurred_at is None else occurred_at)
        outcome = self.record(event, context)
        check_stream(event, outcome)
        self.stored.append(outcome)
        self.contexts.append(context)
        return outcome

    def record(self, event: Event, context: Context) -> Outcome:
        return fold.record(self.state, event, context)

    def set_day(self, day: str) -> None:
        """Let the clock stand at noon of *day*, UTC."""
        self.clock = int(datetime.datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 10**9

    def whole(self) -> State:
        """Return the state with every row there is."""
        return self.state

    def replayed(self) -> State:
        """Return a second state made from what is stored, after seeing that it agrees in every column."""
        state = State()
        for x, context in zip(self.stored, self.contexts, strict=True):
            found = fold.replay(
                state, x.event_type, x.schema_version, x.given, x.derived,
                (x.stream, x.stream_version, x.effective_on), context,
            )  # fmt: skip
            assert found == []
        return state


def opened(usdt: str = "1000", btc: str = "1", books: Books | None = None) -> Books:
    books = books or Books()
    books.give(AssetDefined(asset="USDT", kind="crypto", scale=8, name="Tether"))
    books.give(AssetDefined(asset="BTC", kind="crypto", scale=8, name="Bitcoin"))
    books.give(
        InstrumentDefined(
            instrument="BTCUSDT",
            asset="BTC",
            quote_asset="USDT",
            settle_asset="USDT",
            tick="0.01",
            lot="0.001",
            settlement_cycle=0,
            venue="V",
        )
    )
    books.give(AccountOpened(account="A", owner="o", kind="cash", base_asset="USDT"))
    for asset, amount in (("USDT", usdt), ("BTC", btc)):
        books.give(
            CashMoved(movement_id=asset, account="A", asset=asset, amount=amount, kind="deposit", value_date=DAY)
        )
    return books


def check_invariants(state: State) -> None:
    """Assert what domain rules promise of any state, computed from the rows alone."""
    sums: dict[str, int] = defaultdict(int)
    for balance in state.balances.rows.values():
        sums[balance.asset] += balance.total
        assert balance.held >= 0
        below = balance.floor is not None and balance.available < balance.floor
        assert balance.breached == below
    assert not any(sums.values())
    held: dict[tuple[str, str], int] = defaultdict(int)
    for order in state.orders.rows.values():
        assert 0 <= order.cum_qty <= order.qty
        assert order.status == derive(order)
        assert leaves(order) >= 0
        assert order.hold_amount == order.asked_hold == 0 or not order.terminal
        assert len(order.asked) == len(order.pending_replace)
        assert order.asked_hold >= 0
        assert order.asked_hold == 0 or order.asked
        if order.hold_asset:
            held[order.account, order.hold_asset] += order.hold_amount + order.asked_hold
    for hold in state.holds.rows.values():
        for account, asset, remaining in json.loads(hold.remaining):
            held[account, asset] += amount(remaining)
    for key, balance in state.balances.rows.items():
        assert balance.held == held.pop(key, 0)
    assert not any(held.values())
    cash: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in state.executions.rows.values():
        if row.live:
            sign = 1 if row.side == "buy" else -1
            traded = cash[row.account, current_name(state, row.instrument)]
            traded[0] += sign * row.qty
            traded[1] += sign * row.gross
    # A split changes quantities and pays for fractions: what it touched is held against a model of its own.
    split = {row.instrument for row in state.instruments.rows.values() if row.split_on is not None}
    for key, position in state.positions.rows.items():
        assert position.qty or not position.cost
        if key[1] not in split:
            assert [position.qty, position.cost - position.realised] == cash[key]
    _check_changes(state, split)
    open_lots: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for lot in state.lots.rows.values():
        open_lots[lot.account, lot.instrument][0] += lot.open_qty
        open_lots[lot.account, lot.instrument][1] += lot.open_cost
    for key, found in open_lots.items():
        holding = state.positions.rows[key]
        assert [holding.qty, holding.cost] == found


def _check_changes(state: State, split: set[str]) -> None:
    """Assert that what the trades that stand say they do to an average position is what it is."""
    done: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in state.executions.rows.values():
        if row.live:
            changes = done[row.account, current_name(state, row.instrument)]
            changes[0] += row.cost_change
            changes[1] += row.realised_change
    for (account, instrument), position in state.positions.rows.items():
        of_account = state.accounts.rows.get((account,))
        if of_account is not None and of_account.cost_method != "FIFO" and instrument not in split:
            assert [position.cost, position.realised] == done[account, instrument]


def amount(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * UNIT + int(fraction.ljust(18, "0") or 0)


__all__ = ["DAY", "Books", "amount", "check_invariants", "opened", "registry"]


def order(
    order_id: str = "O", side: str = "buy", qty: str = "0.01", price: str | None = "100", **more: object
) -> Event:
    kind = "market" if price is None else "limit"
    return OrderPlaced(
        order_id=order_id, cl_ord_id=f"c-{order_id}", account="A", instrument="BTCUSDT", side=side, qty=qty,
        ord_type=kind, price=price, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def trade(
    exec_id: str = "E",
    order_id: str | None = "O",
    side: str = "buy",
    qty: str = "0.01",
    price: str = "100",
    account: str = "A",
    **more: object,
) -> Event:
    return TradeExecuted(
        exec_id=exec_id, venue="V", order_id=order_id, account=account, instrument="BTCUSDT", side=side, qty=qty,
        price=price, trade_date=DAY, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def balance(books: Books, asset: str) -> tuple[int, int]:
    row = books.state.balances.get("A", asset)
    assert row is not None
    return row.settled, row.held


def status(books: Books, order_id: str = "O") -> str:
    row = books.state.orders.get(order_id)
    assert row is not None
    return row.status


def fate_of(books: Books, event: Event) -> str:
    """Give *event*, and return in a word what became of it."""
    try:
        return "quarantined" if books.give(event).rule else "accepted"
    except InsufficientFunds:
        return "no funds"
    except RuleBroken:
        return "refused"
    except DuplicateFact:
        return "duplicate"
