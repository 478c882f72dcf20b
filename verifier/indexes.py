"""
Check that every index leads to every row of its table: whoever looks a row up by a key sees only what the index has.

An index that lost an entry, or whose order is another since the system's libraries sort text otherwise, hides a row
that is there: whoever reads the table from end to end, as most of this verifier does, sees it, and who looks a balance
up sees none. So each table is read as it lies and once more by each index: as many rows, the same keys, and in order.
Where that differs, every row is looked up by its own key, which takes several times as long, to say which is not found.

No plan is taken on trust: where the database would not go the way that is meant, the index is said to be unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import psycopg

from verifier.connection import first_line, open_connection
from verifier.report import Finding
from verifier.stored import unanswered

TABLE: Final = "indexes"
"""Where such findings are said to be: no row of a table is wrong."""

LOOKED_UP: Final = "that every row of every table is found by each of the table's indexes"
NOT_LOOKED_UP: Final = (
    f"{LOOKED_UP}, and rows that no index leads to, where rows are read by one: only a `full` that begins with the "
    "first event looks every row up"
)

_INDEXES: Final = (
    "SELECT t.relname, c.relname, array(SELECT quote_ident(a.attname) FROM unnest(i.indkey::int2[]) WITH ORDINALITY"
    "  AS k (number, place) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number ORDER BY k.place),"
    " coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'), i.indisunique"
    " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE t.relnamespace = to_regnamespace('ledger') AND t.relkind = 'r' ORDER BY 1, 2"
)
_BY_INDEX_ALONE: Final = (
    "SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL enable_nestloop = on;"
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_tidscan = off;"
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off;"
    "SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
)
"""So that a table is read by its index in order, and a row is looked up by nothing else."""


class Index(msgspec.Struct, frozen=True):
    """
    An index of the schema: its table, its name, its columns as SQL names them, which rows it is for, as SQL, and
    whether no two of them have the same key.
    """

    table: str
    name: str
    columns: tuple[str, ...]
    rows: str
    is_unique: bool = True

    @property
    def _table(self) -> str:
        return f'ONLY ledger."{self.table}"'

    def _key(self, alias: str) -> str:
        return ", ".join(f"{alias}.{column}" for column in self.columns)

    def _lying(self) -> str:
        """Return SQL of the table as it lies: a sample of all is the one reading that no setting turns into another."""
        return f"{self._table} AS a TABLESAMPLE SYSTEM (100)"

    def agrees(self) -> str:
        """
        Return SQL that says whether the index has as many rows as the table, of the same keys, each after the other.
        """
        sums = "count(*) AS rows, sum(hash_record_extended(ROW({0}), 0)) AS keys"
        before = ", ".join(f"lag(b.{column}) OVER so" for column in self.columns)
        wrong = "<=" if self.is_unique else "<"
        return (
            f"SELECT (lying.rows, lying.keys, 0) IS NOT DISTINCT FROM (led_to.rows, led_to.keys, led_to.wrong)"
            f" FROM (SELECT {sums.format(self._key('a'))} FROM {self._lying()} WHERE {self.rows}) AS lying,"
            f" (SELECT {sums.format(self._key('b'))}, count(*) FILTER (WHERE b.wrong) AS wrong"
            f" FROM (SELECT {self._key('b')}, ({self._key('b')}) {wrong} ({before}) AS wrong FROM {self._table} AS b"
            f" WHERE {self.rows} WINDOW so AS (ORDER BY {self._key('b')})) AS b) AS led_to"
        )

    def unfound(self) -> str:
        """
        Return SQL that counts the rows which the index does not lead to, shows the least of their keys, and counts
        those whose key leads to another row.
        """
        # Nothing is equal to NULL.
        known = " AND ".join(f"a.{column} IS NOT NULL" for column in self.columns)
        same = " AND ".join(f"b.{column} = a.{column}" for column in self.columns)
        return (
            f"SELECT count(*), min(concat_ws('/', {self._key('a')})), count(*) FILTER (WHERE EXISTS"
            f" (SELECT FROM {self._table} AS b WHERE {same} AND {self.rows}))"
            f" FROM {self._lying()} WHERE {self.rows} AND {known}"
            f" AND NOT EXISTS (SELECT FROM {self._table} AS b WHERE {same} AND b.ctid = a.ctid AND {self.rows})"
        )


class Task(msgspec.Struct, frozen=True):
    """
    The database whose indexes are to be checked, and at which moment.
    """

    dsn: str
    snapshot: str | None


LookedUp = tuple[list[Finding], list[str]]
"""Each index that does not lead to every row, and, as sentences, which could not be checked."""


def look_up(task: Task) -> LookedUp:
    """
    Return what `check` does, from whatever process.

    Raises:
        Unreadable: the database cannot be read.
    """
    try:
        with open_connection(task.dsn, task.snapshot) as connection:
            return check(connection, lambda what, count: None)
    except psycopg.Error as error:
        raise unanswered(error) from error


def check(connection: psycopg.Connection[Any], progress: Callable[[str, int], None]) -> LookedUp:
    """
    Return each index that does not lead to every row, and, as sentences, which could not be checked.
    """
    found: list[Finding] = []
    unchecked: list[str] = []
    # What is set here is set for nothing that is read later.
    with connection.transaction(force_rollback=True):
        indexes = [Index(table, name, tuple(columns), rows, is_unique)
                   for table, name, columns, rows, is_unique in connection.execute(_INDEXES).fetchall()]  # fmt: skip
        connection.execute(_BY_INDEX_ALONE)
        for number, index in enumerate(indexes, 1):
            progress("reading every table by its indexes", number)
            wrong = _wrong(connection, index)
            if wrong is None:
                unchecked.append(f"whether {index.name} leads to every row of {index.table}: the database does not "
                                 "look rows up by it, or this login may not")  # fmt: skip
            elif wrong:
                found.append(Finding("INDEX_MISMATCH", f"every row of {index.table} found by this index", wrong,
                                     table=TABLE, key=(f"{index.table}.{index.name}",)))  # fmt: skip
    return found, unchecked


def _remedy(index: Index) -> str:
    return f"REINDEX INDEX ledger.{index.name} mends it, once disk and system are known to be good"


def _wrong(connection: psycopg.Connection[Any], index: Index) -> str | None:
    """Return what is wrong with an index, empty where nothing is, and None where it cannot be gone by."""
    try:
        with connection.transaction():
            if not index.columns or not _goes_by(connection, index, index.agrees()):
                return None
            ((agrees,),) = connection.execute(index.agrees().encode()).fetchall()
            if agrees:
                return ""
            if not _goes_by(connection, index, index.unfound()):
                return f"other rows than those of the table; {_remedy(index)}"
            ((count, first, others),) = connection.execute(index.unfound().encode()).fetchall()
            if not count:
                return f"rows that are not there, or in another order; {_remedy(index)}"
            more = f"it leads to another row of the same key for {others}, and which is right has to be found out first"
            return f"{count} that it does not lead to, the first {first}; {more if others else _remedy(index)}"
    except psycopg.OperationalError:
        raise
    except psycopg.errors.InsufficientPrivilege:
        return None
    except psycopg.DatabaseError as error:
        # A page or an index that is damaged, or a key of a type that no ledger has: said by PostgreSQL itself.
        return f"{first_line(error)}; {_remedy(index)}"


def _goes_by(connection: psycopg.Connection[Any], index: Index, sql: str) -> bool:
    """Whether the database would read the table as it lies, and by this index, and in no other way."""
    ((plan,),) = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode()).fetchall()
    nodes = [*_nodes(plan[0]["Plan"])]
    ways = {node["Node Type"].replace(" Only", "") for node in nodes if "Relation Name" in node}
    by = {node["Index Name"] for node in nodes if "Index Name" in node}
    # What is sorted would be in order whatever the order of the index.
    is_sorted = any("Sort" in node["Node Type"] for node in nodes)
    return ways == {"Index Scan", "Sample Scan"} and by == {index.name} and not is_sorted


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
