"""
Tell what an event brought or cost that is no trade: fees, dividends, tax, funding, interest and conversions.

It is told by the other side of what was posted, so that a reversal takes back what it reverses, and the reversal of a
reversal brings it again; a dividend, of which gross and tax are posted as one, by what was given. Deposits, withdrawals
and journals are none of it, and neither is what reverses a journal, whatever accounts it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.domain.events.cash import JournalReversed
from ledger.domain.events.corporate_actions import CashDividendAccrued
from ledger.domain.postings import FEES, TAX, is_system
from ledger.domain.rules.ground import current_name, units
from ledger.domain.state import State
from ledger.reading.known_days.counting import Counted
from ledger.reading.posted import given_of, posted

Key = tuple[str, str | None, str]
"""Account, instrument (None: cash) and asset."""
FLOWS: Final = ("fees", "dividends", "tax", "funding", "interest", "converted")
CHARGED: Final = ("fees", "tax")
"""Which of them are positive when they cost."""
Flows = dict[Key, dict[str, int]]

_KINDS: Final = {FEES: "fees", TAX: "tax", "~funding": "funding", "~interest": "interest"}
_FLOWING: Final = frozenset({"FeeCharged", "CashMoved", "FxConverted", "CashDividendAccrued", "JournalReversed"})


def flows_of(each: Counted, state: State, undoing: set[str]) -> Iterator[tuple[Key, str, int]]:
    """
    Yield (line, kind, amount) of what an event other than a trade brought or cost, as it is posted: in pairs.

    *undoing* are the reversals so far that undo, or bring again, something else than a journal: this one joins them.
    """
    if each.event.event_type not in _FLOWING:
        return
    given = given_of(each.event)
    if isinstance(given, JournalReversed):
        if given.reverses_kind == "journal" and given.reverses not in undoing:
            return
        undoing.add(given.journal_id)
    if isinstance(given, CashDividendAccrued):
        yield from _of_dividend(each, given, current_name(state, given.instrument))
        return
    # What is moved here is what a split made of it, and nothing that was earned.
    lines = posted(each.event) if each.moved else each.lines
    for one, two in zip(lines[::2], lines[1::2], strict=True):
        own, other = (two, one) if is_system(one.account) else (one, two)
        kind = "converted" if other.account.startswith("~fx_clearing.") else _KINDS.get(other.account)
        if kind is not None and not is_system(own.account):
            yield (own.account, None, own.asset), kind, -own.amount if kind in CHARGED else own.amount


def _of_dividend(each: Counted, given: CashDividendAccrued, name: str) -> Iterator[tuple[Key, str, int]]:
    """Yield what a dividend brings each holder, whose gross and tax are posted as one amount."""
    lines = posted(each.event)
    for line in given.entitlements if lines else ():
        for kind, amount in (("dividends", line.gross), ("tax", line.tax)):
            if amount != "0":
                yield (line.account, name, lines[0].asset), kind, units(amount)
