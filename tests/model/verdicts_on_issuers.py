"""
Say whether what is said of an issuer can be.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    Entitled,
    InstrumentRenamed,
    SplitApplied,
)
from tests.model import corporate, holdings, orders, reference
from tests.model.history import History, fits, number
from tests.model.moment import Moment


def accrues(history: History, event: CashDividendAccrued, _: Moment) -> bool:
    its, lines = reference.terms(history, event.instrument), event.entitlements
    if its is None or corporate.asset_of(history, event) not in reference.scales(history):
        return False
    if corporate.is_of_old_shares(history, corporate.asset_of(history, event), event.ex_date):
        return False
    if not lines or len({x.account for x in lines}) < len(lines):
        return False
    rated = number(event.rate) > 0 and 0 <= number(event.tax_rate) <= 1
    return rated and all(_is_entitled(history, event, x, its) for x in lines)


def _is_entitled(history: History, event: CashDividendAccrued, line: Entitled, its: reference.Terms) -> bool:
    if not reference.is_account(history, line.account):
        return False
    qty, gross, tax = (number(x) for x in (line.qty, line.gross, line.tax))
    scales, asset = reference.scales(history), corporate.asset_of(history, event)
    if not (fits(qty, scales[its.asset]) and fits(gross, scales[asset]) and fits(tax, scales[asset])):
        return False
    if line.reason is None and corporate.before(history, line.account, event.instrument, event.ex_date) != qty:
        return False
    unit = Fraction(1, 10 ** scales[asset])
    if abs(gross - qty * number(event.rate)) >= unit or gross * qty < 0 or tax * gross < 0:
        return False
    return abs(tax) < abs(gross * number(event.tax_rate)) + unit and abs(tax) <= abs(gross)


def pays(history: History, event: CashDividendPaid, _: Moment) -> bool:
    due, names = corporate.due(history), [x.account for x in event.lines]
    if event.ca_id not in corporate.dividends(history) or not names or len(set(names)) < len(names):
        return False
    scale = reference.scales(history)[corporate.asset_of(history, corporate.dividends(history)[event.ca_id])]
    for line in event.lines:
        if (event.ca_id, line.account) not in due:
            return False
        for amount, left in zip((number(line.gross), number(line.tax)), due[event.ca_id, line.account], strict=True):
            if not fits(amount, scale) or amount * left < 0 or abs(amount) > abs(left):
                return False
    return True


def _used(history: History, ca_id: str) -> bool:
    return any(x.ca_id == ca_id for x in history.of(CashDividendAccrued, SplitApplied, InstrumentRenamed))


def splits(history: History, event: SplitApplied, _: Moment) -> bool:
    its = reference.terms(history, event.instrument)
    if its is None or _used(history, event.ca_id) or event.ratio_num == event.ratio_den:
        return False
    if min(event.ratio_num, event.ratio_den) <= 0 or event.ex_date <= its.split_on or _is_shared(history, its):
        return False
    traded_as = [name for name, x in reference.instruments(history).items() if x.asset == its.asset]
    for account in reference.accounts(history):
        if any(corporate.is_traded_since(history, account, name, event.ex_date) for name in traded_as):
            return False
    if event.moved_reason is None and corporate.moved_on(history, its.asset) >= event.ex_date:
        return False
    if not _pays_for_fractions(history, event, its):
        return False
    open_orders = orders.of_instrument(history, its.name)
    adjusted = {x.order_id: x for x in event.order_adjustments}
    if len(adjusted) < len(event.order_adjustments) or not set(adjusted) <= set(open_orders):
        return False
    if any(orders.orders(history)[x].newest_terms >= event.ex_date for x in open_orders if x not in adjusted):
        return False
    go_on = [name for name in open_orders if not orders.ends_by_split(history, event, name)]
    terms = (orders.after_split(history, event, name) for name in go_on)
    return all(
        qty > 0 and filled <= qty and fits(qty, reference.scales(history)[its.asset]) for qty, filled, _, __ in terms
    )


def _is_shared(history: History, its: reference.Terms) -> bool:
    """Whether another instrument of the same asset is in use."""
    others = [name for name, x in reference.instruments(history).items() if x.asset == its.asset and name != its.name]
    held = any(x.qty for (_, name), x in holdings.holdings(history).items() if name in others)
    return held or any(orders.of_instrument(history, x) for x in others if reference.called_now(history, x) == x)


def _pays_for_fractions(history: History, event: SplitApplied, its: reference.Terms) -> bool:
    """Whether exactly those are paid whose shares do not come out whole, each in the direction of its holding."""
    scale, found = reference.scales(history)[its.asset], {}
    for account, has in corporate.owned(history, its.asset).items():
        if event.rounding == "cash" and not fits(has * corporate.ratio(event), scale):
            found[account] = has
    paid = {x.account: number(x.amount) for x in event.cash_in_lieu}
    # The house may do without.
    needed = {x for x in found if reference.is_account(history, x)}
    if not needed <= set(paid) <= set(found) or len(paid) < len(event.cash_in_lieu):
        return False
    cents = reference.scales(history)[its.quote]
    return all(amount * found[x] >= 0 and fits(amount, cents) for x, amount in paid.items())


def renames(history: History, event: InstrumentRenamed, _: Moment) -> bool:
    old = reference.instruments(history).get(event.old)
    fresh = event.new not in reference.instruments(history)
    return old is not None and old.renamed_to is None and fresh and not _used(history, event.ca_id)


JUDGES: dict[Any, Any] = {
    CashDividendAccrued: accrues, CashDividendPaid: pays, SplitApplied: splits, InstrumentRenamed: renames,
}  # fmt: skip
