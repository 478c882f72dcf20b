"""
Say what accounts have at stake, at the newest marks there are, in each account's base asset.

A position is worth quantity x mark x multiplier, rounded half-even to its quote asset's decimals, and then, at the
newest rate, to those of the base asset. Of an instrument or a pair of currencies the newest day's mark counts, that of
settlement before that of the end of the day before an intraday one; none of before a split, of what is priced or of
what it is priced in, values what is there after it. Where there is none, what it would tell is absent and `missing`
names it: in the line, and in the total that would take it in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import ClassVar, Final

import msgspec

from ledger.domain import amounts
from ledger.domain.order_status import leaves
from ledger.domain.postings import is_system
from ledger.domain.profit_and_loss import CLOSING, rounded
from ledger.domain.rings import pass_by
from ledger.domain.rows import Account, Instrument, Mark, Order, Position
from ledger.domain.rules.marks import subject_of
from ledger.domain.rules.orders import gross_of
from ledger.domain.terms import terms_on
from ledger.errors import StateMismatch
from ledger.reading.sound_rows import MEND, check_named
from ledger.reading.sources import Source
from ledger.reading.views import View

_BEST: Final = {kind: place for place, kind in enumerate((*CLOSING, "intraday"))}


class ExposureLine(View, frozen=True):
    """
    One account in one instrument (`position`), its cash in an asset that is not its base (`cash`), or all (`total`).

    `value` is in `asset`, the quote asset. In `base_asset`: `long` and `short` (not negative), `net` (their
    difference), `gross` (their sum), and `working_buy` and `working_sell`, what open orders could add, each at its
    price, else its stop price, else the mark, by the multiplier of the day of its terms. Cash is what the account has
    of an asset beyond its positions. `rate` is what one `asset` is worth in `base_asset`, shown half-even to 18
    decimals.
    """

    AMOUNTS: ClassVar = frozenset(
        {"qty", "mark", "value", "rate", "long", "short", "net", "gross", "working_buy", "working_sell"}
    )
    account: str
    line: str
    instrument: str | None
    asset: str
    qty: int | None
    mark: int | None
    mark_day: str | None
    mark_kind: str | None
    value: int | None
    rate: int | None
    rate_day: str | None
    base_asset: str
    long: int | None
    short: int | None
    net: int | None
    gross: int | None
    working_buy: int | None
    working_sell: int | None
    missing: tuple[str, ...]


class NewestMarks:
    """
    The newest mark of each subject, an instrument's under any name that it had: of the latest day, on it `settlement`
    before `eod` before `intraday`, and under several names the latest `as_of`.
    """

    def __init__(self, marks: Iterable[Mark], instruments: Iterable[Instrument]) -> None:
        instruments = list(instruments)
        renamed = {row.instrument: row.renamed_to for row in instruments}
        self._split_on: dict[str, str] = {}
        for row in instruments:
            if row.split_on is not None:
                self._split_on[row.asset] = max(row.split_on, self._split_on.get(row.asset, ""))
        self._best: dict[str, Mark] = {}
        for mark in marks:
            subject, passed = mark.subject, set[str]()
            while renamed.get(subject) is not None:
                pass_by(passed, subject, "instruments.renamed_to")
                subject = str(renamed[subject])
            best = self._best.get(subject)
            if best is None or _newness(mark) > _newness(best):
                self._best[subject] = mark

    def of(self, subject: str) -> Mark | None:
        """
        Return the mark that counts, if there is one.
        """
        return self._best.get(subject)

    def rate(self, base: str, quote: str) -> tuple[Fraction | None, str | None]:
        """
        Return what one *base* is worth in *quote*, by the newer mark of the pair and its inverse, and its day.

        Of two of one day that of the pair counts, unless it is intraday and the other is not. None of before a split of
        either is looked at: it is the price of another share.
        """
        if base == quote:
            return Fraction(1), None
        straight, inverse = self._since(base, quote), self._since(quote, base)
        if straight is not None and (inverse is None or _standing(straight) >= _standing(inverse)):
            return Fraction(straight.price, amounts.UNIT), straight.day
        if inverse is not None and not inverse.price:
            raise StateMismatch(f"found 0 in marks.price of {(inverse.subject, inverse.day, inverse.kind)}; {MEND}")
        return (None, None) if inverse is None else (Fraction(amounts.UNIT, inverse.price), inverse.day)

    def lacking(self, base: str, quote: str) -> str:
        """
        Return the name of the mark that there would have to be for a rate.
        """
        since = self.last_split(base, quote)
        return f"mark of {base}/{quote}" + (f" since {since}" if since else "")

    def last_split(self, base: str, quote: str) -> str:
        """
        Return the day of the newest split of *base* or *quote*, from which on a price of the one in the other counts;
        an empty string, which is before each day, where neither was split.
        """
        return max(self._split_on.get(base, ""), self._split_on.get(quote, ""))

    def _since(self, base: str, quote: str) -> Mark | None:
        mark = self.of(subject_of(None, base, quote))
        return mark if mark is not None and mark.day >= self.last_split(base, quote) else None


def _newness(mark: Mark) -> tuple[str, int, int, int]:
    return mark.day, -_BEST[mark.kind], mark.as_of, mark.event_seq


def _standing(mark: Mark) -> tuple[str, bool]:
    # As `rate_on` has it, which values a closed day: of what may close it the pair's own counts, of either kind.
    return mark.day, mark.kind in CLOSING


class _Books(msgspec.Struct):
    """What lines are made of: rows by their keys, and the marks."""

    accounts: dict[str, Account]
    instruments: dict[str, Instrument]
    scales: dict[str, int]
    marks: NewestMarks


def _line(
    books: _Books, place: tuple[str, str, str | None, str], qty: int, value: int | None, mark: Mark | None,
    working: tuple[int | None, int | None], missing: list[str],
) -> ExposureLine:  # fmt: skip
    account, kind, instrument, asset = place
    base = books.accounts[account].base_asset
    rate, rate_day = books.marks.rate(asset, base)
    if rate is None:
        missing = [*missing, books.marks.lacking(asset, base)]

    def worth(amount: int | None) -> int | None:
        return None if amount is None or rate is None else rounded(amount * rate, books.scales[base])

    net, buying, selling = worth(value), worth(working[0]), worth(working[1])
    return ExposureLine(
        account, kind, instrument, asset, qty, mark.price if mark else None, mark.day if mark else None,
        mark.kind if mark else None, value, None if rate is None else rounded(rate * amounts.UNIT, amounts.SCALE),
        rate_day, base, None if net is None else max(net, 0), None if net is None else max(-net, 0), net,
        None if net is None else abs(net), buying, selling, tuple(missing),
    )  # fmt: skip


def _position(books: _Books, account: str, name: str, qty: int, orders: list[Order]) -> ExposureLine:
    instrument, mark, missing = books.instruments[name], books.marks.of(name), list[str]()
    lacking = f"mark of {name}"
    since = books.marks.last_split(instrument.asset, instrument.quote_asset)
    if mark is not None and mark.day < since:
        # It is the price of another share, or a price in other shares.
        mark, lacking = None, f"mark of {name} since {since}"
    scale = books.scales[instrument.quote_asset]
    value = 0 if not qty else None if mark is None else gross_of(terms_on(instrument, mark.day), qty, mark.price, scale)
    if value is None:
        missing.append(lacking)
    working: dict[str, int | None] = {"buy": 0, "sell": 0}
    for order in orders:
        side = "buy" if order.side == "buy" else "sell"
        price = next((x for x in (order.price, order.stop_price, mark.price if mark else None) if x is not None), None)
        before = working[side]
        if price is None or before is None:
            working[side] = None
            missing.append(lacking)
        else:
            # The row's own terms are the newest, which may be of a day to come.
            working[side] = before + gross_of(terms_on(instrument, order.terms_day), leaves(order), price, scale)
    place = (account, "position", name, instrument.quote_asset)
    told = (working["buy"], working["sell"])
    return _line(books, place, qty, value, mark, told, list(dict.fromkeys(missing)))


def _total(account: Account, lines: list[ExposureLine]) -> ExposureLine:
    missing = tuple(dict.fromkeys(name for line in lines for name in line.missing))

    def summed(name: str) -> int | None:
        found = [getattr(line, name) for line in lines]
        return None if None in found else sum(found)

    return ExposureLine(
        account.account, "total", None, account.base_asset, None, None, None, None, None, amounts.UNIT, None,
        account.base_asset, summed("long"), summed("short"), summed("net"), summed("gross"), summed("working_buy"),
        summed("working_sell"), missing,
    )  # fmt: skip


def exposure(source: Source, account: str | None) -> list[ExposureLine]:
    """
    Return the exposure of *account*, or of all but the ledger's own, each with its total.
    """
    instruments = {x.instrument: x for x in source.rows("instruments")}
    books = _Books(
        {x.account: x for x in source.rows("accounts", account=account)}, instruments,
        {x.asset: x.scale for x in source.rows("assets")}, NewestMarks(source.newest_marks(), instruments.values()),
    )  # fmt: skip
    working: dict[tuple[str, str], list[Order]] = defaultdict(list)
    orders = source.open_orders(account)
    for order in orders:
        working[order.account, order.instrument].append(order)
    positions: list[Position] = source.rows("positions", account=account)
    balances = [x for x in source.rows("balances", account=account) if not is_system(x.account)]
    for table, rows in (("orders", orders), ("positions", positions), ("balances", balances)):
        check_named(table, rows, "account", books.accounts, "accounts")
        if table != "balances":
            check_named(table, rows, "instrument", instruments, "instruments")
    for column in ("asset", "quote_asset"):
        check_named("instruments", instruments.values(), column, books.scales, "assets")
    check_named("accounts", books.accounts.values(), "base_asset", books.scales, "assets")
    held = {(x.account, x.instrument): x.qty for x in positions if x.qty}
    cash = {(x.account, x.asset): x.total for x in balances}
    for (name, traded), qty in held.items():
        asset = instruments[traded].asset
        cash[name, asset] = cash.get((name, asset), 0) - qty
    found: dict[str, list[ExposureLine]] = defaultdict(list)
    for name, traded in sorted(held.keys() | working.keys()):
        found[name].append(_position(books, name, traded, held.get((name, traded), 0), working[name, traded]))
    for (name, asset), amount in sorted(cash.items()):
        if amount and asset != books.accounts[name].base_asset:
            found[name].append(_line(books, (name, "cash", None, asset), amount, amount, None, (0, 0), []))
    return [line for name in sorted(found) for line in (*found[name], _total(books.accounts[name], found[name]))]
