"""
Tell a fact that is told again from another one under its id.

A row keeps the hash of the bytes that made it (`content`), in the version in which they were written, since a state
digest is over it. The same fact in a newer version has other bytes and looks like another: the writer, which can read
what is recorded, compares once more before it is quarantined (`fold`, docs/decisions/0032).
"""

from __future__ import annotations

from ledger.domain.rows import CorporateAction, Execution, Movement, SettlementFail
from ledger.domain.rules.ground import Broken, DuplicateFact, Now

Told = CorporateAction | Execution | Movement | SettlementFail
"""Rows that a fact makes, and that keep its content."""


def check_first_told(prior: Told | None, now: Now, rule: str, what: str) -> None:
    """
    Raise where *prior*, the row under the id that a fact has, is there already.

    Raises:
        DuplicateFact: this very fact made it.
        Broken: another one did.
    """
    if prior is None:
        return
    if prior.content == now.content():
        raise DuplicateFact(prior.event_seq)
    detail = f"found {what} again, with other content; expected the same, or an id of its own"
    raise Broken(rule, detail, earlier=prior.event_seq)
