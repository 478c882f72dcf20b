"""
Hold the ledger's side of a comparison, and refuse a statement that names what the ledger does not know.

The books come in as rows, read elsewhere; nothing here knows where from.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger.domain import postings
from ledger.domain.rings import pass_by
from ledger.domain.rows import Balance, Execution, Instrument, Position
from ledger.errors import InvalidInput, closest
from ledger.reconciliation.statement import Statement

Compared = dict[str, tuple[str, str]]
"""The two values of each thing that was compared, the ledger's and the issuer's, by its key."""


class Ours(msgspec.Struct, frozen=True):
    """
    The ledger's side: what it knows now, and the books as of the statement.

    `assets` gives kinds by asset, `instruments` the first name of each by any it has had: what was found and decided
    under that one goes on under every other.
    """

    accounts: frozenset[str]
    assets: dict[str, str]
    instruments: dict[str, str]
    balances: list[Balance]
    positions: list[Position]
    executions: list[Execution]


def first_names(instruments: Iterable[Instrument]) -> dict[str, str]:
    """
    Return the name that each of *instruments* was defined with, by each of its names; a new one never changes it.
    """
    renamed = {row.instrument: row.renamed_to for row in instruments}
    before = {new: old for old, new in renamed.items() if new is not None}

    def first(name: str) -> str:
        passed = set[str]()
        while name in before:
            pass_by(passed, name, "instruments.renamed_to")
            name = before[name]
        return name

    return {name: first(name) for name in renamed}


def check_known(statement: Statement, ours: Ours) -> None:
    """
    Raise InvalidInput where *statement* names what the ledger does not know.
    """

    def check(where: str, what: str, name: str, known: Iterable[str], how: str) -> None:
        if name not in known:
            raise InvalidInput(
                f"{where}: found {what} {name!r}{closest(name, known)}, which the ledger does not know; {how}"
            )

    def check_account(where: str, name: str, how: str) -> None:
        if not postings.is_system(name):
            check(where, "account", name, ours.accounts, how)
        elif not postings.is_meant(name):
            raise InvalidInput(
                f"{where}: found account {name!r}{closest(name, postings.NAMED)}, which is none of the ledger's own; "
                "expected one that it books to"
            )

    for row in (*(statement.balances or ()), *(statement.positions or ()), *(statement.trades or ())):
        account = row.words.get("account", row.key[0])
        check_account(row.where, account, "open it with AccountOpened, or leave its rows out")
    for row in statement.balances or ():
        check(row.where, "asset", row.key[1], ours.assets, "define it with AssetDefined, or leave the row out")
    how = "define it with InstrumentDefined, or leave the row out"
    for row in statement.positions or ():
        check(row.where, "instrument", row.key[1], ours.instruments, how)
    for row in statement.trades or ():
        check(row.where, "instrument", row.words["instrument"], ours.instruments, how)
    for account in sorted(statement.accounts):
        check_account(statement.issuer, account, "leave it out of the accounts that are covered")
