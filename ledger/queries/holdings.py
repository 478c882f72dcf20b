"""
Tell what accounts have: balances, positions, holds, and what is still to settle.

Balances and positions of a past seq or time are index look-ups where their history reaches, once its watermark proves
to be an event of this chain.
"""

from __future__ import annotations

from typing import Any

from ledger.domain import postings, rows
from ledger.domain.ladder import Rung
from ledger.domain.rows import TABLES
from ledger.errors import StateMismatch
from ledger.queries.opened import Opened, check_names, check_owner, unknown
from ledger.reading import past
from ledger.reading.moment import At, Known, Moment, check_integers
from ledger.reading.rungs import settlement_ladder
from ledger.reading.sources import Source, Stored
from ledger.storage import database, events, histories, moments, read_models


def _nothing(account: str, asset: str) -> rows.Balance:
    return rows.Balance(account, asset, 0, 0, 0, None, False, False)


class Holdings(Opened):
    """
    What accounts have.
    """

    def balances(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Balance]]:
        """
        Return the balances of *account*, or of all accounts, the ledger's own included.

        Raises:
            NotFound: the account was not known then. NoSuchMoment: there was no such moment.
        """
        found = self._from_history(at, "balances", account)
        return found or self._about(account, at, lambda source: source.rows("balances", account=account))

    def balance(self, account: str, asset: str, *, at: Moment | None = None) -> At[rows.Balance]:
        """
        Return what *account* has of *asset*; zeros where nothing was ever posted.

        Raises:
            NotFound: the account or the asset was not known then. NoSuchMoment: there was no such moment.
        """
        check_names(account=account, asset=asset)
        if at is None:
            found_now = self._now("balances", (account, asset))
            if found_now is not None:
                return found_now
        held = self._from_history(at, "balances", account, asset=asset)
        if held is not None and (held.value or self._began(f"asset/{asset}", held.seq)):
            return At(held.seq, held.value[0] if held.value else _nothing(account, asset), held.by)
        with self._source(at) as source:
            found = source.rows("balances", account=account, asset=asset)
            if not found:
                for table, name in (("accounts", account), ("assets", asset)):
                    if not source.rows(table, **{table[:-1]: name}):
                        known = [getattr(row, table[:-1]) for row in source.rows(table)]
                        raise unknown(table[:-1], name, source.seq, known)
                found = [_nothing(account, asset)]
            return At(source.seq, found[0], source.by)

    def positions(self, account: str | None = None, *, at: Moment | None = None) -> At[list[rows.Position]]:
        """
        Return the positions of *account*, or of all; errors as in `balances`, and InvalidInput of the ledger's own.
        """
        check_owner(account, "positions")
        found = self._from_history(at, "positions", account)
        return found or self._about(account, at, lambda source: source.rows("positions", account=account))

    def settlement_ladder(self, account: str | None = None, *, at: Moment | None = None) -> At[list[Rung]]:
        """
        Return what is due, has settled and failed, by day, account and asset, of *account* or of all; errors as in
        `positions`.
        """
        check_owner(account, "settlement ladder")
        return self._about(account, at, lambda source: settlement_ladder(source, account))

    def expired_holds(self, now: int) -> At[list[rows.Hold]]:
        """
        Return the open holds whose time ran out by *now* (ns): each may be released as `expired`.
        """
        check_integers(now=now)

        def expired(source: Source) -> list[rows.Hold]:
            return [x for x in source.rows("holds", status="open") if x.expires_at is not None and x.expires_at <= now]

        return self._about(None, None, expired)

    def _from_history(self, at: Moment | None, table: str, account: str | None, **more: str) -> At[list[Any]] | None:
        """Return rows of the past as their history has them; None where it does not reach, or says nothing."""
        if account is not None:
            check_names(account=account)
        if at is None or isinstance(at, Known) or self._from_start:
            return None
        with self._snapshot() as (connection, _):
            chain, seq = self.chain.chain, past.resolve(connection, self.chain, at)
            mark = histories.watermarks(connection, chain).get(histories.HISTORIES[table])
            if mark is None or mark.seq < seq:
                return None
            last = events.read_seqs(connection, chain, self.chain.chain_id, [mark.seq]).get(mark.seq)
            if last is None or last.hash != mark.hash:
                raise StateMismatch(
                    f"{histories.HISTORIES[table]} was made up to another event {mark.seq} than this chain has; verify "
                    "the ledger, then run `tradeledger read-models rebuild`"
                )
            equal = more if account is None else {"account": account, **more}
            found = histories.rows_at(connection, chain, table, seq, equal)
            if not found and account is not None:
                opened = moments.first_of_stream(connection, chain, f"account/{account}")
                if postings.is_system(account) or opened is None:
                    # The ledger's own accounts are not opened: whether one was known is for the events to tell.
                    return None
                if opened > seq:
                    raise unknown("account", account, seq, [])
            key = TABLES[table].key
            return At(seq, sorted(found, key=lambda row: tuple(getattr(row, name) for name in key)), "history")

    def _began(self, stream: str, seq: int) -> bool:
        with database.translating():
            first = moments.first_of_stream(self._connection, self.chain.chain, stream)
        return first is not None and first <= seq

    def _now(self, table: str, key: tuple[str, ...]) -> At[Any] | None:
        """Return the row of *key* as the books have it, by one statement; None where they have none."""
        with database.translating():
            seq, row = read_models.load_at_head(self._connection, self.chain.chain, table, key)
        return None if row is None else At(seq, row, Stored.by)
