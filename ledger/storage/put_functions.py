"""
Write the SQL functions that put rows of the inline read models: one a table, and the one that calls them.

A small transaction goes to the server as one call (`small_transactions.py`), and rows of any table can be in it. What
each table needs follows from `tables.py` alone: its columns, and its key to find what changed. So the functions are
generated, and kept in migrations/versions/0001_put_rows.sql as they were made; a test holds what a migrated database
has to what this module says today:

    python -m ledger.storage.put_functions > migrations/versions/0001_put_rows.sql

A row is the text of a record: PostgreSQL's own input function reads it, with the same rules as COPY.
"""

from __future__ import annotations

from typing import Final

from ledger.domain.rows import TABLES, TableSpec

_A_LINE: Final = 4
_PUT: Final = """\
CREATE FUNCTION ledger.put_{table}(added text[], changed text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF cardinality(added) > 0 THEN
        INSERT INTO ledger.{table} SELECT * FROM unnest(added::ledger.{table}[]);
    END IF;
    IF cardinality(changed) > 0 THEN
        UPDATE ledger.{table} t SET
            {sets}
            FROM unnest(changed::ledger.{table}[]) c
            WHERE {same};
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found <> cardinality(changed) THEN
            RAISE EXCEPTION '% rows of {table} were to change and % were there; '
                'a row was deleted behind the ledger''s back: verify', cardinality(changed), found
                USING ERRCODE = 'TL007';
        END IF;
    END IF;
END $$;
"""
_PUT_ROWS: Final = """\
CREATE FUNCTION ledger.put_rows(names text[], added_counts integer[], changed_counts integer[], lines text[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first integer := 1;
    middle integer;
    after integer;
    added text[];
    changed text[];
BEGIN
    FOR n IN 1 .. cardinality(names) LOOP
        middle := first + added_counts[n];
        after := middle + changed_counts[n];
        added := lines[first : middle - 1];
        changed := lines[middle : after - 1];
        first := after;
        CASE names[n]
{cases}
        END CASE;
    END LOOP;
END $$;
"""
_HEAD: Final = """\
-- Made by `python -m ledger.storage.put_functions` from the tables as they were when this migration was made.
-- Each puts rows of one read model: what is new is inserted, so that a key which is there already is refused; what
-- changed is found by its key, and has to be there. They run with the caller's rights.
"""


def _put(spec: TableSpec) -> str:
    rest = [f"{column} = c.{column}" for column in spec.columns if column not in spec.key]
    lines = [", ".join(rest[n : n + _A_LINE]) for n in range(0, len(rest), _A_LINE)]
    return _PUT.format(
        table=spec.name,
        sets=",\n            ".join(lines),
        same=" AND ".join(f"t.{column} = c.{column}" for column in ("chain", *spec.key)),
    )


def sql() -> str:
    """
    Return the statements that make every function.
    """
    cases = "\n".join(f"            WHEN '{name}' THEN PERFORM ledger.put_{name}(added, changed);" for name in TABLES)
    grants = ",\n    ".join(
        ("ledger.put_rows(text[], integer[], integer[], text[])", *(f"ledger.put_{x}(text[], text[])" for x in TABLES))
    )
    return "\n".join(
        (
            _HEAD,
            *(_put(spec) for spec in TABLES.values()),
            "-- Rows of several tables: of each its name, how many of *lines* are new and how many changed.",
            _PUT_ROWS.format(cases=cases),
            f"REVOKE ALL ON FUNCTION\n    {grants}\n    FROM PUBLIC;",
            f"GRANT EXECUTE ON FUNCTION\n    {grants}\n    TO ledger_writer;\n",
        )
    )


if __name__ == "__main__":
    print(sql(), end="")
