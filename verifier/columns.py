"""
Tell whether columns of the schema are others than they should be, where what they hold could not be read for that.

Whoever owns a table can give a column another type, or let it be without a value, so that reading ends in the middle
with an error that says nothing of it. The error is no verdict; the column is one, and so are the other guards that were
changed with it. What was found before the error is not known any more: it has to be verified again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg

from ledger.errors import Corrupt, LedgerError
from ledger.guards import NOTHING
from verifier import catalogue
from verifier.connection import first_line, open_connection
from verifier.report import BROKEN, Finding, Report
from verifier.stored import Misread

_COLUMN: Final = "column "
OF_ANOTHER_TYPE: Final = "a value that no such column has"


class ColumnsChanged(Corrupt):
    """
    What is stored cannot be read, and columns of the schema are others than they should be; `findings` names them.
    """

    code = "columns_changed"

    def __init__(self, origin: str, findings: list[Finding], error: Exception) -> None:
        self.origin, self.findings = origin, findings
        # What Python says of a value of another type is no answer of the database's, and differs where it is compiled.
        is_answer = isinstance(error, psycopg.Error | LedgerError)
        self.said = f"{type(error).__name__}: {first_line(error)}" if is_answer else OF_ANOTHER_TYPE
        names = [key.removeprefix(_COLUMN) for key in _columns(findings)]
        super().__init__(f"columns of the schema were changed ({', '.join(names)}), and what is stored cannot be read")

    def report(self) -> Report:
        """
        Return the report that names what was changed, and what was not read for it.
        """
        unread = [
            f"events, rows, tiles and checkpoints: reading them ended with {self.said}; give the columns back their "
            "types and rules, and verify again"
        ]
        covered = ["tables, columns, triggers, functions, grants, constraints, policies and rules of the schema"]
        return Report(BROKEN, self.origin, "unknown", 0, {}, self.findings, {}, covered, unread, [], 0, 0.0, spans=[])


def reported(make: Callable[[], Report]) -> Report:
    """
    Return the report that *make* returns, or the one on the columns that kept it from reading.
    """
    try:
        return make()
    except ColumnsChanged as changed:
        return changed.report()


def changed(dsn: str, origin: str, error: BaseException) -> ColumnsChanged | None:
    """
    Return what to raise instead of *error*, with which reading of the database at *dsn* ended; None where no column of
    its schema is another than it should be, or the error is of another kind.
    """
    is_ours = isinstance(error, Misread) or not isinstance(error, LedgerError | OSError | psycopg.OperationalError)
    if not is_ours or not isinstance(error, Exception):
        return None
    try:
        with open_connection(dsn) as connection:
            found = catalogue.check(connection)
    except (LedgerError, psycopg.Error):
        return None
    if any(one.key == ("schema",) and one.actual == NOTHING for one in found):
        return None  # a database that holds no ledger at all
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return ColumnsChanged(origin, found, cause) if _columns(found) else None


def _columns(findings: list[Finding]) -> list[str]:
    """Return the names of the changed columns; one that is new keeps nobody from reading."""
    return [one.key[0] for one in findings if one.key and one.key[0].startswith(_COLUMN) and one.expected != NOTHING]
