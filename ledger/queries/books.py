"""
Join every kind of question into the books of one chain.
"""

from __future__ import annotations

from ledger.queries.earnings import Earnings
from ledger.queries.holdings import Holdings
from ledger.queries.orders import Orders
from ledger.queries.proofs import Proofs
from ledger.queries.statements import Statements
from ledger.queries.trail import Trail
from ledger.queries.undecided import Undecided


class Books(Holdings, Orders, Earnings, Statements, Undecided, Trail, Proofs):
    """
    The books of one chain, for reading; use it in a `with` block.

    The past is folded from the nearest snapshot, once its rows prove to be the chain's; *from_start* folds it from the
    first event, and asks no history either.
    """
