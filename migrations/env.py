"""
Run migrations on the connection handed in, or on the one that LEDGER_DSN names.
"""

from __future__ import annotations

import os

from alembic import context

from ledger.storage import upgrade
from ledger.storage.tables import SCHEMA, metadata

connection = context.config.attributes.get("connection")
if connection is None:
    connection = upgrade.engine(os.environ.get("LEDGER_DSN", "")).connect()
context.configure(connection=connection, target_metadata=metadata, version_table_schema=SCHEMA, include_schemas=True)
with context.begin_transaction():
    context.run_migrations()
