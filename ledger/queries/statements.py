"""
State an account over some days, from the events themselves.
"""

from __future__ import annotations

import datetime
import functools
from typing import Any

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain import postings
from ledger.errors import NotFound, shown
from ledger.queries.opened import Opened, check_days, check_names, unknown
from ledger.reading import past, stated_events
from ledger.reading import statement as statements
from ledger.reading.known_days import split_days
from ledger.reading.known_days.counting import Counted, counted
from ledger.reading.moment import At, Moment, days
from ledger.reading.statement import Statement
from ledger.storage import events, moments, read_models
from ledger.storage.database import Connection


class Statements(Opened):
    """
    Statements of account.
    """

    def statement(
        self, account: str, first: datetime.date, last: datetime.date, *, at: Moment | None = None
    ) -> At[Statement]:
        """
        Return the statement of *account* over the days *first* to *last*, both included, as known at *at*.

        Raises:
            InvalidInput: the days are out of order, or beyond those that *at* counts.
            NotFound: the account was not known then. NoSuchMoment: there was no such moment.
        """
        check_names(account=account)
        check_days(first, last, at, needed=True)
        with self._snapshot() as (connection, head):
            chain, chain_id = self.chain.chain, self.chain.chain_id
            seq = head if at is None else past.resolve(connection, self.chain, at)
            splitting, find = self._splitting(connection, seq), self._find(connection)
            splits = split_days.splits_in(splitting, find)
            # What counts for a later day may have a say on that of a split.
            until = days(datetime.date.max if splits else last)
            meets = split_days.meeting(splits)
            named = [msgspec.json.encode(name).decode() for name in self._named(connection, account, splits)]
            # A settlement is in the stream of its account; the ledger's own are moved by those of any.
            settling = (stated_events.OF_SEVERAL, None if postings.is_system(account) else f"account/{account}")
            mentioning = events.read_mentioning(connection, chain, chain_id, named, settling, seq, until)
            # A split need not name who had as much to come as to deliver, and settles its shares all the same.
            every = {each.seq: each for each in (*stated_events.of_account(mentioning, named), *splitting)}.values()
            found = [each for each in every if each.effective_on <= days(last) or meets(each)]
            past.check_alone(found)
            found += self._made_elsewhere(connection, found)
            beside = split_days.beside_splits(found, splits, find)
            in_order = counted(beside, functools.partial(find, "executions"), account, splits)
            counts = [each for each in in_order if each.event.effective_on <= days(last)]
            self._check_stated(connection, account, seq, last, counts)
            link = events.read_seqs(connection, chain, chain_id, [seq])[seq]
            made = statements.make(chain_id, ChainHead(seq, link.hash), account, first, last, counts)
            return At(seq, made, "replay")

    def _named(self, connection: Connection, account: str, splits: split_days.Splits) -> list[str]:
        """Return what is named where *account* may be moved: itself, and for the issuer what a split made more of."""
        if account != postings.ISSUER or not splits:
            return [account]
        sides = split_days.Sides(splits)
        beyond = events.read_beyond(
            connection, self.chain.chain, self.chain.chain_id, sides.seqs, sides.latest, sides.earliest
        )
        beside = split_days.beside_splits(list(beyond), splits, self._find(connection))
        return [account, *sorted(stated_events.multiplied_before(beside, splits))]

    def _made_elsewhere(self, connection: Connection, found: list[RecordedEvent]) -> list[RecordedEvent]:
        """Return the events that made what *found* settle and reverse, where they post nothing to the account."""
        chain = self.chain.chain
        names, ids = stated_events.made_elsewhere(found)
        rows: list[Any] = [read_models.load(connection, chain, "executions", name) for name in sorted(names)]
        rows += [read_models.load(connection, chain, "allocations", (name,)) for name in sorted(ids)]
        seqs = sorted({row.event_seq for row in rows if row is not None})
        made = events.read_seqs(connection, chain, self.chain.chain_id, seqs).values() if seqs else ()
        past.check_alone(made)
        return list(made)

    def _check_stated(
        self, connection: Connection, account: str, seq: int, last: datetime.date, counts: list[Counted]
    ) -> None:
        chain = self.chain.chain
        if postings.is_system(account):
            if not any(line.account == account for each in counts for line in each.lines):
                raise NotFound(f"found account {shown(account)}, to which nothing was posted for days up to {last}")
            return
        opened = moments.first_of_stream(connection, chain, f"account/{account}")
        if opened is not None and opened > seq:
            raise NotFound(
                f"found account {shown(account)}, which this chain did not know at seq {seq}: it was opened at seq "
                f"{opened}; ask as of then or later"
            )
        if opened is None:
            accounts: list[Any] = read_models.rows(connection, chain, "accounts")
            raise unknown("account", account, seq, [row.account for row in accounts])
        if not counts and days(last) < moments.first_days(connection, chain, seq):
            self._no_day(connection, seq, last)
