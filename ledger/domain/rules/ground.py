"""
Give the rules what they all stand on: what a broken rule is, what an event brings along, and how value is posted.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from blake3 import blake3

from ledger.domain import amounts, postings
from ledger.domain.postings import Line
from ledger.domain.rings import pass_by
from ledger.domain.rows import Asset, Balance, Instrument, Row, Stream
from ledger.domain.rules.invariants import OF_RULE
from ledger.domain.state import State, Table
from ledger.errors import InsufficientFunds, LedgerError, RuleBroken
from ledger.values import Value

_EPOCH: Final = datetime.date(1970, 1, 1)
NS_PER_DAY: Final = 86_400 * 10**9
TO_COME: Final = "_to_come"
"""How the names of rules end that a fact breaks until its day."""
_LIMIT: Final = amounts.LIMIT
_PLACES: Final = {"settled": 0, "unsettled": 1, "held": 2}


class Broken(Exception):
    """
    A rule that the event breaks: its name, which has a number (`invariants.py`), what was found and expected, and the
    error a command gets. `earlier` is the seq of the event whose id a fact has, where that is what is broken.
    """

    def __init__(
        self, rule: str, detail: str, error: type[LedgerError] = RuleBroken, *, earlier: int | None = None
    ) -> None:
        number = OF_RULE.get(rule)
        self.rule = rule
        self.detail = detail if number is None else f"{number}: {detail}"
        self.error = error
        self.earlier = earlier
        super().__init__(f"{rule}: {self.detail}")


class DuplicateFact(Exception):
    """
    The same fact with the same content is already recorded, at `seq`.
    """

    def __init__(self, seq: int) -> None:
        super().__init__(f"recorded before, at seq {seq}")
        self.seq = seq


@functools.lru_cache(4096)
def _iso_date(days: int) -> str:
    return (_EPOCH + datetime.timedelta(days=days)).isoformat()


class Now(Value, frozen=True):
    """
    What surrounds an event: its place, its times (ns), and the bytes the caller gave.
    """

    seq: int
    occurred_at: int
    recorded_at: int
    given: bytes

    @property
    def day(self) -> str:
        """
        Return the UTC date on which the event occurred, as ISO text: a caller's clock that is ahead makes no later day.
        """
        return _iso_date(self.days)

    @property
    def days(self) -> int:
        """
        Return the UTC date on which the event occurred, in days since 1970-01-01.
        """
        return self.reached // NS_PER_DAY

    @property
    def today(self) -> str:
        """
        Return the newest UTC day that has begun by both clocks, the caller's and the ledger's, as ISO text.
        """
        return self.in_days(0)

    def in_days(self, days: int) -> str:
        """
        Return the day that is *days* after `today`, as ISO text.
        """
        return _iso_date(self.reached // NS_PER_DAY + days)

    @property
    def reached(self) -> int:
        """
        Return the time (ns) that both clocks have reached, the caller's and the ledger's.
        """
        return min(self.occurred_at, self.recorded_at)

    def content(self) -> str:
        """
        Return the hash that tells whether the same fact was given before: hexadecimal.
        """
        return blake3(self.given).hexdigest()


class Effects(Value, frozen=True):
    """
    What a rule made of an event, beside the rows: its place in its stream, its day, and what is stored as derived.
    """

    stream: str
    stream_version: int
    derived: dict[str, Any] = {}  # noqa: RUF012 - each has one of its own
    effective_on: str | None = None


R = TypeVar("R", bound=Row)


def units(value: str | int | Decimal) -> int:
    """
    Return an event's amount in units of 10^-18; an event's fields are canonical text, whatever they were given as.
    """
    return amounts.read(value)


def known(table: Table[R], key: str, what: str) -> R:
    """
    Return the row of *key*, or raise Broken.
    """
    row = table.get(key)
    if row is None:
        raise Broken(f"unknown_{what}", f"found {what} {key!r}, which this chain does not know; record it first")
    return row


def known_instrument(state: State, name: str) -> Instrument:
    """
    Return the instrument of this name as it is called now, or raise Broken.

    Raises:
        StateMismatch: names lead back to themselves.
    """
    row = known(state.instruments, name, "instrument")
    return row if row.renamed_to is None else _newest(state, row)


def _newest(state: State, row: Instrument) -> Instrument:
    """Return what the instrument of *row* is called now."""
    passed = set[str]()
    while row.renamed_to is not None:
        pass_by(passed, row.instrument, "instruments.renamed_to")
        row = known(state.instruments, row.renamed_to, "instrument")
    return row


def present_instrument(state: State, name: str) -> Instrument:
    """
    Return the instrument that goes by this name, or raise Broken; a command is told the new name of a renamed one.
    """
    row = known(state.instruments, name, "instrument")
    if row.renamed_to is not None:
        raise Broken("instrument_renamed", f"{name} is called {row.renamed_to} now; expected that name")
    return row


def current_name(state: State, name: str) -> str:
    """
    Return what an instrument of this name is called now; an unknown name as it is.
    """
    return name if state.instruments.get(name) is None else known_instrument(state, name).instrument


def check_come(day: str, now: Now, rule: str, what: str) -> None:
    """
    Raise Broken where *day*, on which *what* takes effect, is to come: an announcement changes nothing yet.
    """
    if day > now.today:
        raise Broken(rule, f"found {what} of {day}, which is to come; expected {now.today} or earlier: on {day}, when "
                           "it takes effect, it can be recorded, or accepted from quarantine")  # fmt: skip


def check_scale(amount: int, asset: Asset, what: str) -> None:
    """
    Raise Broken where *amount* has more decimals than *asset* keeps.
    """
    if not amounts.fits(amount, asset.scale):
        raise Broken(
            "excess_scale",
            f"found {what} {amounts.render(amount)} {asset.asset}; expected at most {asset.scale} decimals",
        )


def check_not_closed(state: State, account: str) -> None:
    """
    Raise Broken unless *account* was opened and is not closed.
    """
    if known(state.accounts, account, "account").status == "closed":
        raise Broken("account_status", f"account {account} is closed; expected one that is not: open it again first")


def check_account(state: State, account: str) -> None:
    """
    Raise Broken unless *account* was opened and is not closed, or is one of the ledger's own that are meant.
    """
    if not postings.is_system(account):
        check_not_closed(state, account)
    elif not postings.is_meant(account):
        raise Broken(
            "unknown_account",
            f"found account {account!r}; expected one that was opened, ~clearing.VENUE, ~fx_clearing.ASSET, or one of "
            f"{' '.join(sorted(postings.NAMED))}",
        )


def _new_balance(state: State, account: str, asset: str) -> Balance:
    floor: int | None = None
    credit = False
    opened = None if postings.is_system(account) else state.accounts.get(account)
    if opened is not None and opened.kind in ("cash", "margin"):
        floor = 0
    limits = state.account_limits.get(account, asset)
    if limits is not None:
        floor, credit = limits.floor, limits.hold_policy == "credit_unsettled"
    return Balance(account, asset, 0, 0, 0, floor, credit, False)


def put_balance(state: State, balance: Balance, was_available: int, may_refuse: bool) -> None:
    """
    Put *balance* with its flag; refuse a command that takes what is available below the floor.
    """
    available, floor = balance.available, balance.floor
    breached = floor is not None and available < floor
    if breached and may_refuse and available < was_available:
        raise Broken(
            "insufficient_funds",
            f"account {balance.account} would have {amounts.render(available)} {balance.asset} available; its floor is "
            f"{amounts.render(floor or 0)}: expected at most {amounts.render(max(0, was_available - (floor or 0)))} to "
            "be taken",
            InsufficientFunds,
        )
    if breached != balance.breached:
        balance = msgspec.structs.replace(balance, breached=breached)
    state.balances.put(balance)


def post(state: State, lines: Sequence[Line], *, may_refuse: bool) -> None:
    """
    Add balanced *lines* to the balances; with *may_refuse*, none may fall below its floor by it.

    Raises:
        Broken: an amount would pass the limit, or a command would take what is not available.
        Unbalanced: the lines do not sum to zero per asset: a fault of the rule that made them.
    """
    sums: dict[str, int] = {}
    deltas: dict[tuple[str, str], list[int]] = {}
    count, zero = 0, False
    for line in lines:
        count += 1
        asset, amount = line.asset, line.amount
        zero |= not amount
        sums[asset] = sums.get(asset, 0) + amount
        key = (line.account, asset)
        delta = deltas.get(key)
        if delta is None:
            delta = deltas[key] = [0, 0, 0]
        delta[_PLACES[line.bucket]] += amount
    if zero or count == 1 or any(sums.values()):
        postings.check_balanced(lines)
    balances = state.balances
    # Sums of days pass what none passed as it was recorded, in another order.
    is_limited = state.booked is None
    for key, (settled, unsettled, held) in deltas.items():
        old = balances.rows.get(key) or _new_balance(state, *key)
        settled, unsettled, held = old.settled + settled, old.unsettled + unsettled, old.held + held
        within = -_LIMIT <= settled <= _LIMIT and -_LIMIT <= unsettled <= _LIMIT and held <= _LIMIT
        if is_limited and not within:
            raise Broken(
                "beyond_limit", f"the balance of {old.account} in {old.asset} would pass 10^30; expected at most that"
            )
        if held < 0:
            raise Broken(
                "held_below_zero",
                f"account {old.account} would hold {amounts.render(held)} {old.asset}; expected 0 or more",
            )
        new = Balance(
            old.account, old.asset, settled, unsettled, held, old.floor, old.credit_unsettled, old.breached
        )  # fmt: skip
        if old.floor is None:
            balances.put(new)
        else:
            put_balance(state, new, old.available, may_refuse)


def as_derived(lines: Iterable[Line]) -> list[list[str]]:
    """
    Return *lines* as they are stored in a payload: [account, asset, bucket, amount].
    """
    return [[x.account, x.asset, x.bucket, amounts.render(x.amount)] for x in lines]


def as_derived_of_many(lines: Iterable[Line]) -> dict[str, dict[str, dict[str, str]]]:
    """
    Return *lines*, at most one for each account, asset and bucket, as they are stored where they may be thousands: by
    asset and bucket, the amount of each account.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for x in lines:
        found.setdefault(x.asset, {}).setdefault(x.bucket, {})[x.account] = amounts.render(x.amount)
    return found


def next_version(state: State, stream: str) -> int:
    """
    Raise the version of a *stream* whose entity has no row of its own, and return it.
    """
    row = state.streams.get(stream)
    version = (row.version if row else 0) + 1
    state.streams.put(Stream(stream, version))
    return version


def touch_account(state: State, account: str) -> int:
    """
    Raise the version of an account's stream, and return it.
    """
    row = known(state.accounts, account, "account")
    state.accounts.put(msgspec.structs.replace(row, version=row.version + 1))
    return row.version + 1
