"""
Say what shares come to in a split: all of a holding at once, and part by part what older trades still have to deliver.

An execution keeps the quantity that was traded, and settles that; the account's books are in new shares by then. So
what settles of a trade of before a split goes over as what it has become. The ratio is applied to the sum of all that
has settled so since the split, and the parts add up to what was unsettled then, whatever each was rounded to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ledger.domain import amounts
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.positions import share
from ledger.domain.postings import Line, merged, moved
from ledger.domain.rows import Asset, Entitlement
from ledger.domain.rules.ground import Broken, Now, as_derived, known
from ledger.domain.state import State

NONE: Final = "[]"
"""What an asset has as `splits` before the first."""
Ratio = tuple[int, int]


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """
    A split as its asset keeps it; `seq` is when it was recorded.
    """

    seq: int
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


def of_position(qty: int, held: int, new: int, ratio: Ratio, scale: int) -> int:
    """
    Return what a position of *qty* comes to, where all that is *held* of its asset comes to *new*.

    What is beyond the position (a deposit, less a fee) comes to the rest, so that both add up. Neither is further from
    its exact part than a unit, and the position has the most that this allows: so it comes to less than that only where
    the whole holding changes by as much, and nothing of its cost is lost to a rounding that nobody had.
    """
    unit: int = 10 ** (amounts.SCALE - scale)
    sign = -1 if qty < 0 else 1
    most = -(-sign * qty * ratio[0] // (ratio[1] * unit)) * unit
    beyond = sign * (held - qty) * ratio[0] // (ratio[1] * unit) * unit
    return sign * min(most, sign * new - beyond)


def applied(splits: str) -> tuple[Applied, ...]:
    """
    Return the splits that an asset's row lists, the newest last.
    """
    return _APPLIED.decode(splits)


def after_split(asset: Asset, event: SplitApplied, seq: int) -> Asset:
    """
    Return *asset* once it has split, by an event at *seq*.
    """
    split = Applied(seq, event.ex_date, event.ca_id, event.ratio_num, event.ratio_den, event.rounding)
    splits = msgspec.json.encode((*_APPLIED.decode(asset.splits), split)).decode()
    return msgspec.structs.replace(asset, splits=splits)


def newest(asset: Asset, now: Now | None = None) -> Applied | None:
    """
    Return the newest split of *asset* that was recorded before *now*, if it had split by then.

    When the days are gone through in order, one may have been applied that was recorded later.
    """
    splits = () if asset.splits == NONE else _APPLIED.decode(asset.splits)
    return next((split for split in reversed(splits) if now is None or split.seq < now.seq), None)


def note_moved(state: State, asset: Asset, day: str) -> None:
    """
    Keep *day* with *asset*, which something else than a trade of it moved then, if it is the newest: a split asks.
    """
    if asset.moved_on is None or day > asset.moved_on:
        # Some rules read the row before others of the same event note it.
        now = known(state.assets, asset.asset, "asset")
        state.assets.put(msgspec.structs.replace(now, moved_on=day))


def check_not_moved(asset: Asset, ex_date: str) -> None:
    """
    Raise Broken where *asset* was moved on *ex_date* or later: nobody could tell whether in old shares or new ones.
    """
    if asset.moved_on is not None and asset.moved_on >= ex_date:
        raise Broken(
            "moved_since",
            f"{asset.asset} was moved on {asset.moved_on}, by itself or to pay for something else; expected the split "
            f"of {ex_date} before what moves the shares of its day: reverse what is of new shares, tell the split with "
            "its `moved_reason`, which says why it multiplies what moved, also where all of that is reversed, and then "
            "tell again what was reversed, by another id",
        )


def check_day(asset: Asset, day: str, what: str, now: Now) -> None:
    """
    Raise Broken where *what*, told now, moved shares of before the newest split of *asset* on *day*.
    """
    split = newest(asset, now)
    if split is not None and day < split.ex_date:
        raise Broken(
            "before_split",
            f"found {what} of {asset.asset} of {day}; expected {split.ex_date}, when that was split, or later: journal "
            "it, in shares of today",
        )


def check_undone(asset: Asset, seq: int, what: str, now: Now) -> None:
    """
    Raise Broken where *what*, to be undone exactly, was recorded at *seq*, before the newest split of *asset*.
    """
    split = newest(asset, now)
    if split is not None and seq < split.seq:
        raise Broken(
            "before_split",
            f"found {what}, which moved {asset.asset} of before the split of {split.ex_date}; expected "
            "one of shares of today: journal them",
        )


Parts = dict[str, list[Line]]
"""Postings by the split, `ca_id`, that they belong to."""


def difference(state: State, account: str, seq: int, settling: Iterable[Line]) -> Parts:
    """
    Return the postings by which *settling*, which moves what the event at *seq* had booked for *account* as unsettled,
    moves new shares instead; none where nothing of it has split since: of a trade neither what was traded, nor what it
    was paid or charged in.

    The venue's side stays as it was traded: it was in old shares on both sides.
    """
    own: dict[str, int] = {}
    for line in settling:
        if (line.account, line.bucket) == (account, "settled"):
            own[line.asset] = own.get(line.asset, 0) + line.amount
    parts: Parts = {}
    for name, amount in own.items():
        asset = known(state.assets, name, "asset")
        if asset.splits != NONE:
            for ca_id, more in _become(state, account, seq, asset, amount):
                parts.setdefault(ca_id, []).extend(moved(name, more, (account, "unsettled"), (account, "settled")))
    return parts


def together(every: Iterable[Parts]) -> Parts:
    """
    Return the parts of several settlements as those of one, each line once, and no split that adds nothing.
    """
    found: Parts = {}
    for parts in every:
        for ca_id, lines in parts.items():
            found.setdefault(ca_id, []).extend(lines)
    return {ca_id: lines for ca_id, unmerged in found.items() if (lines := merged(unmerged))}


def all_lines(parts: Parts) -> list[Line]:
    """
    Return the postings of *parts*, whatever split each belongs to.
    """
    return [line for lines in parts.values() for line in lines]


def as_stored(parts: Parts) -> dict[str, list[list[str]]]:
    """
    Return *parts* as they are stored in a payload, as `in_new_shares`.

    They are among the postings of the event, and belong to the splits and not to the day of the settlement.
    """
    return {ca_id: as_derived(lines) for ca_id, lines in parts.items()}


def _become(state: State, account: str, seq: int, asset: Asset, amount: int) -> Iterator[tuple[str, int]]:
    """Yield (split, what it adds to) *amount* more of *asset*, owed since *seq*, as it settles, and note it there."""
    for split in _APPLIED.decode(asset.splits):
        if seq < split.seq:
            due = state.entitlements.get(split.ca_id, account) or _of_nothing(state, split, account)
            ratio, upto = (split.ratio_num, split.ratio_den), due.settled_qty + amount
            before = multiplied(due.settled_qty, ratio, asset.scale, split.rounding)
            became = multiplied(upto, ratio, asset.scale, split.rounding) - before
            state.entitlements.put(msgspec.structs.replace(due, settled_qty=upto))
            yield split.ca_id, became - amount
            amount = became


def _of_nothing(state: State, split: Applied, account: str) -> Entitlement:
    """Return what *split* gave who had no shares, as much to come as to deliver: nothing until some of it settles."""
    action = known(state.corporate_actions, split.ca_id, "corporate_action")
    return Entitlement(split.ca_id, account, action.instrument, 0, 0, 0, 0, 0, 0, 0, 0)
