"""
Translate the engine's account states: the first one of an account opens it, every later one is a statement.

The first opens the account with a deposit of its totals (a withdrawal of those below 0); the others are compared with
the books and never posted.
"""

from __future__ import annotations

from typing import Any, Final

from ledger.domain import amounts
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.reference import AccountOpened
from ledger.errors import InvalidInput
from ledger.importing import fields
from ledger.importing.fields import Source
from ledger.importing.reference import Reference
from ledger.importing.translation import Known, Seen, Statement, Translation, group_of, venue_of
from ledger.journal.group import Group

_ACCOUNT_KINDS: Final[dict[str, Any]] = {"CASH": "cash", "MARGIN": "margin", "BETTING": "margin"}


class Accounts:
    """
    The accounts that statements have named, by the venue each is at.
    """

    def __init__(self, reference: Reference, known: Known, seen: Seen) -> None:
        self._reference = reference
        self._known = known
        self._seen = seen
        self._by_venue: dict[str, str] = {}
        self._known_by_venue = {account.rpartition("-")[0]: account for account in sorted(known.accounts)}
        self._stated: set[str] = set()

    def state(self, source: Source) -> Translation:
        """
        Return what an AccountState becomes: it opens the account, or is one more statement to compare with.
        """
        account, event_id = fields.name(source, "account_id"), fields.text(source, "event_id")
        if self._seen.is_repeated(source):
            # The statement is of an earlier moment; compared with the books of now it would be a false break.
            return Translation(not_appended="duplicate")
        stated: dict[str, tuple[int, int]] = {}
        groups: list[Group] = []
        for balance in fields.parts(source, "balances"):
            asset, total = fields.name(balance, "currency"), fields.text(balance, "total")
            if asset in stated:
                raise InvalidInput(
                    f"the balances name {fields.as_given(asset)!r:.80} twice; expected each currency once"
                )
            stated[asset] = (amounts.parse(total), amounts.parse(fields.text(balance, "locked")))
            groups += self._reference.currency(source, asset, fields.decimals(total))
        statement = Statement(event_id, account, fields.time(source), stated)
        first = account not in self._stated
        self._stated.add(account)
        self._by_venue[account.rpartition("-")[0]] = account
        # Of an account that another file opened, the first statement here is one more to compare with.
        if account in self._known.accounts and not (first and self._known.is_recorded(f"{event_id}:open")):
            return Translation(tuple(groups), statement, "reconciled")
        return Translation((*groups, *self._opening(source, account, stated)), statement)

    def _opening(self, source: Source, account: str, stated: dict[str, tuple[int, int]]) -> list[Group]:
        if not stated:
            given = fields.as_given(account)
            raise InvalidInput(f"the first AccountState of {given!r} names no balance; expected one or more")
        kind = fields.word(source, "account_type", _ACCOUNT_KINDS, "margin")
        base = fields.optional_name(source, "base_currency") or next(iter(stated))
        defined = self._reference.currency(source, base)
        opened = AccountOpened(account=account, owner=account, kind=kind, base_asset=base)
        groups = [*defined, group_of(source, opened, ":open")]
        self._known.accounts.add(account)
        for asset, (total, _) in stated.items():
            if total:
                deposit = CashMoved(
                    movement_id=f"{fields.name(source, 'event_id')}:{asset}", account=account, asset=asset,
                    amount=amounts.render(total), kind="deposit" if total > 0 else "withdrawal",
                    value_date=fields.day(source),
                )  # fmt: skip
                groups.append(group_of(source, deposit, f":{asset}"))
        return groups

    def of_order(self, source: Source) -> str:
        """
        Return the account of an order: the event's own, or else that of the venue, or the only one.

        Raises:
            InvalidInput: no AccountState named one yet.
        """
        if (given := fields.optional_name(source, "account_id")) is not None:
            return given
        venue, accounts = venue_of(fields.name(source, "instrument_id")), self._by_venue
        only = next(iter(accounts.values())) if len(accounts) == 1 else None
        account = accounts.get(venue) or only or self._known_by_venue.get(venue)
        if account is None:
            raise InvalidInput(f"found an order without an account at {venue}, whose account no AccountState named yet")
        return account
