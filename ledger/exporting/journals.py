"""
Write a chain as a journal of beancount or hledger, which then add up every balance for themselves.

Each event that posts is a transaction, with its postings as they are stored; its day is the one that the event counts
for. After the last day the closing balance of every account, asset and bucket is asserted, as the ledger's read models
have it. Every event's postings sum to zero for each asset, conversions included, since what was converted is owed
between clearing accounts; so no program needs a price. Both refuse the journal when one figure is off by 10^-18.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from ledger.chain.entry import RecordedEvent
from ledger.domain import amounts
from ledger.domain.postings import Line
from ledger.domain.rows import Balance
from ledger.errors import InvalidInput
from ledger.exporting import names
from ledger.queries import Books
from ledger.reading.moment import RecordedAt, Seq, day_text
from ledger.reading.posted import posted

_BUCKETS: Final = ("settled", "unsettled", "held")
_OPENED: Final = "0001-01-01"
"""Before any day that an event can count for."""
Total = tuple[str, str, str]
"""(account, commodity, amount) of one closing balance."""


class Form(Protocol):
    """
    How one program writes a journal.
    """

    CHECK: str

    def options(self) -> Iterator[str]:
        """Yield what stands before everything else."""
        ...

    def declared(self, accounts: Iterable[str], commodities: Iterable[str]) -> Iterator[str]:
        """Yield the declarations of what the journal uses."""
        ...

    def transaction(self, event: RecordedEvent, lines: Sequence[Line]) -> Iterator[str]:
        """Yield one event."""
        ...

    def closing(self, day: str, totals: Iterable[Total]) -> Iterator[str]:
        """Yield the assertions of all *totals* on *day*, on which nothing else happens."""
        ...


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Beancount:
    """
    Beancount: dates sort its entries, and a balance is that of the day's beginning.

    It guesses tolerances unless it is told not to, so each assertion says `~ 0`.
    """

    CHECK = (
        "Python's decimals have 28 digits unless told otherwise. Where a balance has more, set "
        "decimal.getcontext().prec = 60 before beancount.loader.load_file; else bean-check FILE is enough."
    )

    def options(self) -> Iterator[str]:
        yield 'option "inferred_tolerance_default" "*:0"'
        yield 'option "booking_method" "NONE"'

    def declared(self, accounts: Iterable[str], commodities: Iterable[str]) -> Iterator[str]:
        for commodity in commodities:
            yield f"{_OPENED} commodity {commodity}"
        for account in accounts:
            yield f"{_OPENED} open {account}"

    def transaction(self, event: RecordedEvent, lines: Sequence[Line]) -> Iterator[str]:
        yield f"{day_text(event.effective_on)} * {_text(event.event_type)} {_text(event.stream)}"
        yield f"  seq: {event.seq}"
        yield f'  hash: "{event.hash.hex()}"'
        for line in lines:
            place = names.account(line.account, line.asset, line.bucket)
            yield f"  {place}  {amounts.render(line.amount)} {names.commodity(line.asset)}"

    def closing(self, day: str, totals: Iterable[Total]) -> Iterator[str]:
        for account, commodity, amount in totals:
            yield f"{day} balance {account}  {amount} ~ 0 {commodity}"


class Hledger:
    """
    Hledger: assertions are checked by date, and figures are compared as they are written.
    """

    CHECK = "hledger --strict -f FILE check balanced assertions commodities accounts"

    def options(self) -> Iterator[str]:
        yield "decimal-mark ."

    def declared(self, accounts: Iterable[str], commodities: Iterable[str]) -> Iterator[str]:
        for commodity in commodities:
            # Transactions must balance to as many decimals as this shows.
            yield f'commodity 1.{"0" * amounts.SCALE} "{commodity}"'
        for account in accounts:
            yield f"account {account}"

    def transaction(self, event: RecordedEvent, lines: Sequence[Line]) -> Iterator[str]:
        yield f"{day_text(event.effective_on)} * ({event.seq}) {event.event_type}"
        yield f"    ; {event.stream}"
        yield f"    ; hash:{event.hash.hex()}"
        for line in lines:
            place = names.account(line.account, line.asset, line.bucket)
            yield f'    {place}  {amounts.render(line.amount)} "{names.commodity(line.asset)}"'

    def closing(self, day: str, totals: Iterable[Total]) -> Iterator[str]:
        yield f"{day} * closing balances"
        for account, commodity, amount in totals:
            yield f'    {account}  0 "{commodity}" = {amount} "{commodity}"'


FORMS: Final[dict[str, Form]] = {"beancount": Beancount(), "hledger": Hledger()}


def journal(books: Books, form: Form, at: Seq | RecordedAt | None = None) -> Iterator[str]:
    """
    Yield the lines of the journal of everything up to *at*, or up to now, without their ends.

    Raises:
        NoSuchMoment: there was no such moment.
    """
    closing = books.balances(at=at)
    yield from _header(books, form, closing.seq, closing.value)
    last: int | None = None
    for event in books.recorded(closing.seq):
        lines = posted(event)
        if lines:
            last = event.effective_on if last is None else max(last, event.effective_on)
            yield ""
            yield from form.transaction(event, lines)
    if closing.value:
        # Without a posting every balance is 0, on any day.
        yield ""
        yield from form.closing(_after(last or 0), _totals(closing.value))


def _after(day: int) -> str:
    try:
        return day_text(day + 1)
    except OverflowError:
        raise InvalidInput(
            f"found an event of {datetime.date.max}, after which no day can hold the closing balances"
        ) from None


def _totals(balances: Sequence[Balance]) -> Iterator[Total]:
    for row in balances:
        for bucket in _BUCKETS:
            amount = amounts.render(getattr(row, bucket))
            yield names.account(row.account, row.asset, bucket), names.commodity(row.asset), amount


def _header(books: Books, form: Form, seq: int, balances: Sequence[Balance]) -> Iterator[str]:
    link = books.link(seq)
    accounts, assets = sorted({row.account for row in balances}), sorted({row.asset for row in balances})
    yield f"; chain {books.chain.origin} {books.chain.chain_id.hex()}"
    yield f"; head {link.seq} {link.hash.hex()}"
    yield f"; check {form.CHECK}"
    yield ";"
    yield "; An account here is Assets (or Equity, if it is the ledger's own), account, asset and bucket. A name that"
    yield "; the program would not take is written X- and each odd character as - and its code in hexadecimal; an asset"
    yield "; as X' and each odd character as ' and its code. Read so, every name is the ledger's own again:"
    for name in accounts:
        yield f"; account {names.component(name)} = {name}"
    for name in assets:
        yield f"; asset {names.commodity(name)} = {name}; within an account {names.component(name)}"
    yield ""
    yield from form.options()
    yield from form.declared((account for account, _, _ in _totals(balances)), map(names.commodity, assets))
