"""
Compare a statement with the books as they were, row by row, and say which differences stand after it.

Differences of the issuer that the statement does not cover stay as they are, as do those that a newer statement found
and those that someone resolved at the same two values. Pure: the books come in as rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger.domain.events.control import Difference
from ledger.domain.rows import Break
from ledger.reconciliation import figures, trades
from ledger.reconciliation.ours import Ours, check_known
from ledger.reconciliation.statement import Statement


class Outcome(msgspec.Struct, frozen=True):
    """
    How many figures agree, which differences stand, and what was left alone: resolved before, or found later.

    `lapsed` are the keys of differences that were resolved before, and on which both sides agree by now; `repeated`
    those of differences that stand, or were resolved, as an older statement had them.
    """

    matched: int
    standing: tuple[Difference, ...]
    found: frozenset[str]
    accepted: tuple[str, ...]
    newer: tuple[str, ...]
    lapsed: tuple[str, ...]
    repeated: tuple[str, ...]


class Decision(msgspec.Struct, frozen=True):
    """
    The two values of a difference that someone ended.

    It is `mended` where the books that are compared have the event that is said to have done it: where they differ as
    before all the same, that was undone, or was not it.
    """

    ledger: str
    external: str
    mended: bool = False

    def holds(self, ledger: str, external: str) -> bool:
        """
        Return whether these two values are what was decided on.
        """
        return not self.mended and (ledger, external) == (self.ledger, self.external)


def compare(statement: Statement, ours: Ours, breaks: Iterable[Break], decided: dict[str, Decision]) -> Outcome:
    """
    Return what a comparison of *statement* with *ours* comes to, where *breaks* of its issuer stand or have ended.

    *decided* are the decisions that count, by the key of what they are on.

    Raises:
        InvalidInput: it names what the ledger does not know.
    """
    check_known(statement, ours)
    rows = list(breaks)
    before = {row.key: row for row in rows if row.closed_seq is None}
    ended = {row.key: row.as_of for row in rows if row.closed_seq is not None}
    followed = before.keys() | decided.keys()
    compared = {
        **figures.balances(statement, ours, followed),
        **figures.positions(statement, ours, followed),
        **trades.trades(statement, ours, followed),
    }  # fmt: skip
    left_alone = {key: row for key, row in before.items() if row.as_of > statement.as_of or key not in compared}
    newer = [key for key in left_alone if key in compared]
    standing = {
        key: Difference(key=key, ledger=row.ledger_value, external=row.external_value)
        for key, row in left_alone.items()
    }  # fmt: skip
    settled, lapsed, repeated, found = list[str](), list[str](), list[str](), set[str]()
    for key, (left, right) in compared.items():
        if key in left_alone:
            continue
        decision = decided.get(key)
        if left == right:
            if decision is not None:
                (lapsed if ended[key] <= statement.as_of else newer).append(key)
        elif decision is not None and decision.holds(left, right):
            settled.append(key)
            if ended[key] < statement.as_of:
                repeated.append(key)
        elif ended.get(key, statement.as_of) > statement.as_of:
            newer.append(key)
        else:
            found.add(key)
    standing |= {key: Difference(key=key, ledger=compared[key][0], external=compared[key][1]) for key in found}
    matched = sum(left == right != trades.MISSING for left, right in compared.values())
    ordered = tuple(standing[key] for key in sorted(standing))
    repeated += [
        key for key in found & before.keys()
        if (before[key].ledger_value, before[key].external_value) == compared[key]
        and before[key].as_of < statement.as_of
    ]  # fmt: skip
    return Outcome(
        matched, ordered, frozenset(found), tuple(sorted(settled)), tuple(sorted(newer)), tuple(sorted(lapsed)),
        tuple(sorted(repeated)),
    )  # fmt: skip
