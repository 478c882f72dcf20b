"""
Keep the books in balanced postings.

A posting adds an amount to one bucket of one account; the postings of an event sum to zero for every asset, so
value is moved and never made. Balances are sums of postings and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from ledger.domain import amounts
from ledger.errors import Unbalanced
from ledger.values import Value

Bucket = Literal["settled", "unsettled", "held"]

FEES: Final = "~fees"
"""Fee income."""
EXTERNAL: Final = "~external"
"""The world outside: deposits come from here."""
ISSUER: Final = "~issuer"
"""Who issues shares and owes dividends."""
TAX: Final = "~tax"
"""What is withheld for tax authorities."""


class Line(Value, frozen=True):
    """
    A posting with its amount as an integer of 10^-18, as the rules compute with it.
    """

    account: str
    asset: str
    bucket: Bucket
    amount: int


ROUNDING: Final = "~rounding"
"""What did not fit an asset's decimals where parts had to add up to a whole."""


SUSPENSE: Final = "~suspense"
"""Where journals put what nobody can explain yet; no rule books here."""
_OUTSIDE: Final = {"interest": "~interest", "funding": "~funding", "tax": "~tax"}


NAMED: Final = {FEES, EXTERNAL, ISSUER, TAX, ROUNDING, SUSPENSE, *_OUTSIDE.values()}
"""The ledger's own accounts that are not one of many."""
_KINDS: Final = {"~clearing", "~fx_clearing"}
_OWNERS: Final = {FEES, ROUNDING, SUSPENSE}


def outside(kind: str) -> str:
    """
    Return the account on the other side of a cash movement of this kind.
    """
    return _OUTSIDE.get(kind, EXTERNAL)


def is_system(account: str) -> bool:
    """
    Return whether *account* is one of the ledger's own, which have no floor and are not opened.
    """
    return account.startswith("~")


def is_meant(account: str) -> bool:
    """
    Return whether one of the ledger's own accounts is one that it books to, or `SUSPENSE`; any venue may have its own.
    """
    kind, _, of = account.partition(".")
    return account in NAMED or (kind in _KINDS and bool(of))


def owns(account: str) -> bool:
    """
    Return whether what is in *account* is owned here: by who opened it, or in one of the ledger's own by its owner.

    Of the others, venues settle what was traded, and the world outside is where value came from.
    """
    return not is_system(account) or account in _OWNERS or account.startswith("~fx_clearing.")


def clearing(venue: str) -> str:
    """
    Return the account that stands for a venue until it has settled.
    """
    return f"~clearing.{venue}"


def fx_clearing(asset: str) -> str:
    """
    Return the account that stands for what was converted from and to *asset*.
    """
    return f"~fx_clearing.{asset}"


def moved(asset: str, amount: int, source: tuple[str, Bucket], target: tuple[str, Bucket]) -> list[Line]:
    """
    Return the lines that move *amount* from one (account, bucket) to another; none for nothing.
    """
    if not amount:
        return []
    return [Line(source[0], asset, source[1], -amount), Line(target[0], asset, target[1], amount)]


def negated(lines: Iterable[Line]) -> list[Line]:
    """
    Return the lines that undo *lines* exactly.
    """
    return [Line(line.account, line.asset, line.bucket, -line.amount) for line in lines]


def merged(lines: Iterable[Line]) -> list[Line]:
    """
    Return one line for each account, asset and bucket, in the order first met; what comes to nothing is left out.
    """
    sums: dict[tuple[str, str, Bucket], int] = defaultdict(int)
    for line in lines:
        sums[line.account, line.asset, line.bucket] += line.amount
    return [Line(*place, amount) for place, amount in sums.items() if amount]


def check_balanced(lines: Iterable[Line]) -> None:
    """
    Raise Unbalanced unless the lines are none, or two or more without zeros that sum to zero per asset.
    """
    sums: dict[str, int] = defaultdict(int)
    count = 0
    for line in lines:
        count += 1
        sums[line.asset] += line.amount
        if not line.amount:
            raise Unbalanced(f"I7: found a posting of 0 {line.asset} to {line.account}; leave it out")
    off = {asset: amounts.render(total) for asset, total in sums.items() if total}
    if off or count == 1:
        raise Unbalanced(
            f"I7: postings do not sum to zero: found {off or 'one line alone'}; expected 0 of each asset: every amount "
            "needs its other side"
        )


def text(lines: Iterable[Line]) -> str:
    """
    Return the lines as canonical JSON text: a list of [account, asset, bucket, amount].
    """
    return msgspec.json.encode([[x.account, x.asset, x.bucket, amounts.render(x.amount)] for x in lines]).decode()


def from_text(stored: str) -> list[Line]:
    """
    Return the lines that `text` wrote.
    """
    rows = msgspec.json.decode(stored, type=list[tuple[str, str, Bucket, str]])
    return [Line(account, asset, bucket, amounts.parse(amount)) for account, asset, bucket, amount in rows]
