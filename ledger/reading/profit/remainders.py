"""
Tell what splits rounded of shares beyond positions, and the cash that was paid for it.

A split rounds all that an account has. What that does to the position is told by its quantity, cost and result; the
rest of it is here, as a conversion: shares that went, or came, against the part of the cash that is not the position's.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.rows import Entitlement
from ledger.domain.rules.ground import current_name
from ledger.domain.state import State
from ledger.reading.known_days.applying import Positions
from ledger.reading.profit.flows import Key


class Remainders:
    """
    What the splits of *whole*, all that was known, gave and took.
    """

    def __init__(self, whole: State) -> None:
        self._whole = whole
        self._held: dict[str, list[Entitlement]] = defaultdict(list)
        splits = {row.ca_id for row in whole.corporate_actions.rows.values() if row.kind == "split"}
        for row in whole.entitlements.rows.values() if splits else ():
            if row.ca_id in splits:
                self._held[row.ca_id].append(row)

    def of(self, given: SplitApplied, seq: int, positions: Positions) -> list[tuple[Key, Fraction]]:
        """
        Return (line, amount) of what the split at *seq* brought, or took, beyond *positions*.
        """
        instrument = self._whole.instruments.rows[current_name(self._whole, given.instrument),]
        found: list[tuple[Key, Fraction]] = []
        for row in self._held[given.ca_id]:
            old, new = positions.get((seq, row.account)) or (None, None)
            before, after = row.qty - (old.qty if old else 0), row.new_qty - (new.qty if new else 0)
            rest = after - before * Fraction(given.ratio_num, given.ratio_den)
            cash = row.paid_gross
            if old is not None and new is not None:
                cash -= (old.cost - old.realised) - (new.cost - new.realised)
            found += [((row.account, None, instrument.asset), rest)] if rest else []
            found += [((row.account, None, instrument.quote_asset), Fraction(cash))] if cash else []
        return found
