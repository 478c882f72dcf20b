"""
Read from the ledger's state what the model says too, and hold one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ledger.domain.amounts import UNIT
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.settlement import TradeAllocated
from ledger.domain.order_status import leaves
from ledger.domain.state import State
from ledger.reading.profit.fx_result import fx_result
from ledger.reading.sources import Folded
from tests.domain.figures import day_result, figure
from tests.model import control, corporate, holdings, money, orders, profit, reference, trades
from tests.model.history import History

BUCKETS = ("settled", "unsettled", "held")


def exact(amount: int | None) -> Fraction | None:
    return None if amount is None else Fraction(amount, UNIT)


def balances(state: State, history: History) -> tuple[Any, Any]:
    rows = state.balances.rows.values()
    found = {(x.account, x.asset, y): exact(getattr(x, y)) for x in rows for y in BUCKETS if getattr(x, y)}
    return found, money.buckets(history)


def breaches(state: State, history: History) -> tuple[Any, Any]:
    places = list(state.balances.rows)
    found = {place for place in places if state.balances.rows[place].breached}
    return found, {place for place in places if money.breached(history, *place)}


def standing_orders(state: State, history: History) -> tuple[Any, Any]:
    found = {
        x.order_id: (
            x.status, x.cl_ord_id, x.accepted, x.triggered, x.done_for_day, list(x.pending_cancel),
            list(x.pending_replace), exact(x.price), exact(x.stop_price), exact(x.qty), exact(x.cum_qty),
            exact(leaves(x)), exact(x.cum_notional), exact(x.hold_amount),
            exact(x.asked_hold),
        )
        for x in state.orders.rows.values()
    }  # fmt: skip
    meant = {
        name: (
            x.status, x.current, x.accepted, x.triggered, x.done, x.cancels, x.replaces, x.price, x.stop, x.qty,
            x.filled, x.left, sum((gross for _, gross in x.fills.values()), Fraction(0)),
            x.held, x.reserve,
        )
        for name, x in orders.orders(history).items()
    }  # fmt: skip
    return found, meant


def executions(state: State, history: History) -> tuple[Any, Any]:
    rows = state.executions.rows
    found = {
        key: (
            exact(x.qty),
            exact(x.gross),
            x.settle_date,
            x.bucket == "settled",
            exact(x.settled_qty),
            exact(x.settled_gross),
        )
        for key, x in rows.items()
        if x.live
    }
    meant = {key: (x.qty, x.gross, x.due, x.at_once, x.settled, x.paid) for key, x in trades.live(history).items()}
    return found, meant


def positions(state: State, history: History) -> tuple[Any, Any]:
    found = {
        key: tuple(exact(y) for y in (x.qty, x.cost, x.realised, x.fees)) for key, x in state.positions.rows.items()
    }
    meant = {key: (x.qty, x.cost, x.realised, x.fees) for key, x in holdings.holdings(history).items()}
    nothing = (0, 0, 0, 0)
    return {k: v for k, v in found.items() if v != nothing}, {k: v for k, v in meant.items() if v != nothing}


def lots(state: State, history: History) -> tuple[Any, Any]:
    found: dict[Any, list[list[Fraction | None]]] = {}
    for (account, instrument, _), x in sorted(state.lots.rows.items()):
        if x.open_qty:
            found.setdefault((account, instrument), []).append([exact(x.open_qty), exact(x.open_cost)])
    return found, {key: x.lots for key, x in holdings.holdings(history).items() if x.lots}


def holds(state: State, history: History) -> tuple[Any, Any]:
    found = {x.hold_id: x.status == "open" for x in state.holds.rows.values()}
    return found, {name: bool(left) for name, left in money.holds(history).items()}


def waiting(state: State, history: History) -> tuple[Any, Any]:
    """What was set aside, what was decided about it, and where it was recorded after all while it waited."""
    found = {x.seq: (x.status, x.answered_seq, x.proposed_by, x.approved_by) for x in state.quarantine.rows.values()}
    meant: dict[int, Any] = {}
    for entry in filter(control.waits, history.entries):
        decided = control.resolved(history).get(entry.seq)
        if decided is None:
            meant[entry.seq] = ("open", control.answer(history, entry.seq), None, None)
        else:
            then = next(x.seq for x in history.entries if x.event is decided)
            answer = control.answer(history.until(then), entry.seq)
            meant[entry.seq] = (decided.resolution, answer, decided.proposed_by, decided.approved_by)
    return found, meant


def marked(state: State, history: History) -> tuple[Any, Any]:
    found = {key: (exact(x.price), x.as_of) for key, x in state.marks.rows.items()}
    return found, control.marks(history)


def broken(state: State, history: History) -> tuple[Any, Any]:
    rows = state.breaks.rows.values()
    found = {(x.source, x.key): (x.ledger_value, x.external_value) for x in rows if x.closed_seq is None}
    return found, control.breaks(history)


def reference_data(state: State, history: History) -> tuple[Any, Any]:
    found = {
        x.instrument: (
            exact(x.tick),
            exact(x.lot),
            exact(x.multiplier),
            x.settlement_cycle,
            x.split_on or "",
            x.renamed_to,
        )
        for x in state.instruments.rows.values()
    }
    terms = reference.instruments(history).items()
    meant = {name: (x.tick, x.lot, x.multiplier, x.cycle, x.split_on, x.renamed_to) for name, x in terms}
    found |= {x.account: x.status for x in state.accounts.rows.values()}
    return found, meant | {x: reference.status_of(history, x) for x in reference.accounts(history)}


def closings(state: State, history: History) -> tuple[Any, Any]:
    found = {x.number: (x.through, x.trial_balance) for x in state.closed_periods.rows.values()}
    said = [(seq, x) for seq, x in history.steps() if isinstance(x, PeriodClosed)]
    meant = {n: (x.through, control.trial_balance(history.until(seq))) for n, (seq, x) in enumerate(said, 1)}
    return found, meant


def failing(state: State, history: History) -> tuple[Any, Any]:
    """What was left to settle when a settlement failed, and on which day it is tried again."""
    found = {
        (x.settlement_id, x.failed_on, x.venue, x.trade_date, x.exec_id, asset): (exact(amount), x.new_intended_date)
        for x in state.settlement_fails.rows.values()
        for asset, amount in ((x.asset, x.qty), (x.amount_asset, x.amount))
        if amount
    }
    return found, trades.fails(history)


def given_away(state: State, history: History) -> tuple[Any, Any]:
    found = {x.allocation_id: x.reversed_by is None for x in state.allocations.rows.values()}
    every = {x.allocation_id for x in history.of(TradeAllocated)}
    return found, {name: name in trades.standing(history).lines for name in every}


def entitled(state: State, history: History) -> tuple[Any, Any]:
    """What is still due of each dividend."""
    kinds = {x.ca_id: x.kind for x in state.corporate_actions.rows.values()}
    rows = [x for x in state.entitlements.rows.values() if kinds[x.ca_id] == "dividend"]
    found = {(x.ca_id, x.account): (exact(x.gross - x.paid_gross), exact(x.tax - x.paid_tax)) for x in rows}
    return found, corporate.due(history)


def worth(state: State, history: History) -> tuple[Any, Any]:
    """What positions are worth by the marks of each day, and what they have made."""
    meant = profit.valued(history)
    found = {(place, day): exact(figure(state, *place, day).value) for place, day in meant}
    return found, meant


def results(state: State, history: History) -> tuple[Any, Any]:
    """What prices did, and what currencies did."""
    meant = profit.results(history)
    told = {key: day_result(state, state, *key[0], key[1:]) for key in meant}
    return {key: (exact(x.price), exact(x.currency)) for key, x in told.items()}, meant


def conversions(state: State, history: History) -> tuple[Any, Any]:
    """What conversions earned, in the one currency and in the other."""
    found = {}
    for asset in ("USD", "EUR"):
        lines = fx_result(Folded(state, len(history.entries), []), asset)
        found[asset] = exact(lines[-1].value) if lines else Fraction(0)
    return found, {asset: profit.converted(history, asset) for asset in found}


IN_THE_END: list[Callable[[State, History], tuple[Any, Any]]] = [worth, results, conversions]
"""What follows from the rest, and needs no look after every step."""
COMPARED: list[Callable[[State, History], tuple[Any, Any]]] = [
    balances, breaches, standing_orders, executions, positions, lots, holds, waiting,
    failing, given_away, entitled, marked, broken, reference_data, closings,
]  # fmt: skip


def differences(state: State, history: History, *, last: bool = False) -> list[str]:
    """Return where the two disagree, in words."""
    told = []
    for compared in [*COMPARED, *(IN_THE_END if last else [])]:
        found, meant = compared(state, history)
        if found == meant:
            continue
        if isinstance(found, dict):
            for key in sorted({*found, *meant}, key=str):
                if found.get(key) != meant.get(key):
                    told.append(f"{compared.__name__} {key}: ledger {found.get(key)}, model {meant.get(key)}")
        else:
            told.append(f"{compared.__name__}: ledger alone {found - meant}, model alone {meant - found}")
    return told
