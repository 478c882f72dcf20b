"""
Say what shares come to in a split: all of a holding at once, and part by part what older trades still have to deliver.

An execution keeps the quantity that was traded, and settles that; the account's books are in new shares by then. So
what settles of a trade of before a split goes over as what it has become. The ratio is applied to the sum of all that
has settled so since the split, and the parts add up to what was unsettled then, whatever each was rounded to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.positions import share
from ledger.domain.postings import Line, moved
from ledger.domain.rows import Execution, Instrument
from ledger.domain.rules.ground import known, known_instrument
from ledger.domain.state import State

NONE: Final = "[]"
"""What an instrument has as `splits` before the first."""
Ratio = tuple[int, int]


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """
    A split as its instruments keep it.
    """

    ex_date: str
    ca_id: str
    ratio_num: int
    ratio_den: int
    rounding: str


_APPLIED: Final = msgspec.json.Decoder(tuple[Applied, ...])


def multiplied(amount: int, ratio: Ratio, scale: int, rounding: str) -> int:
    """
    Return *amount* times *ratio* to *scale* decimals; `cash` and `down` round towards zero, `up` away from it.
    """
    step: int = 10 ** (amounts.SCALE - scale)
    whole, rest = divmod(abs(amount) * ratio[0], ratio[1] * step)
    if rounding == "nearest":
        return share(amount, ratio[0], ratio[1], scale)
    if rounding == "up" and rest:
        whole += 1
    return whole * step if amount >= 0 else -whole * step


def after_split(row: Instrument, event: SplitApplied) -> Instrument:
    """
    Return *row* once its asset has split: trades of before the ex-date are of other shares.
    """
    split = Applied(event.ex_date, event.ca_id, event.ratio_num, event.ratio_den, event.rounding)
    splits = msgspec.json.encode((*_APPLIED.decode(row.splits), split)).decode()
    return msgspec.structs.replace(row, split_on=event.ex_date, splits=splits)


def difference(state: State, row: Execution, settling: Iterable[Line]) -> list[Line]:
    """
    Return the postings by which *settling*, which moves old shares of an execution, moves new ones instead; none where
    its shares have not split.

    The venue's side stays as it was traded: it was in old shares on both sides.
    """
    splits = known_instrument(state, row.instrument).splits
    if splits == NONE:
        return []
    own = (row.account, row.asset, "settled")
    old = sum(line.amount for line in settling if (line.account, line.asset, line.bucket) == own)
    new, scale = old, known(state.assets, row.asset, "asset").scale
    for split in _APPLIED.decode(splits):
        # An account that owned nothing in all kept its buckets as they were.
        due = state.entitlements.get(split.ca_id, row.account) if row.trade_date < split.ex_date else None
        if due is not None:
            ratio, upto = (split.ratio_num, split.ratio_den), due.settled_qty + new
            before = multiplied(due.settled_qty, ratio, scale, split.rounding)
            new = multiplied(upto, ratio, scale, split.rounding) - before
            state.entitlements.put(msgspec.structs.replace(due, settled_qty=upto))
    return moved(row.asset, new - old, (row.account, "unsettled"), (row.account, "settled"))
