"""
Make the chain's tables, the read models and their guards.

The SQL is kept as it was, in files beside this one: history is not made anew from what tables.py says later.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for name in ("0001_tables.sql", "0001_guards.sql", "0001_put_rows.sql", "0001_append.sql"):
        # The driver's own cursor: SQLAlchemy would read colons and percent signs as parameters.
        op.get_bind().connection.dbapi_connection.execute((Path(__file__).parent / name).read_text())
