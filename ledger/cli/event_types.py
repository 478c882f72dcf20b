"""
Tell which event types there are: as a list, as the page docs/EVENTS.md, as JSON Schemas; and register them in a chain.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from ledger.cli import access, tables
from ledger.cli.options import Dsn, Origin
from ledger.domain import event_catalogue, schemas
from ledger.domain.registry import EVENT_TYPES
from ledger.journal.ledger import Ledger


def event_types(
    format: Annotated[str, typer.Option("--format", help="table, json or markdown.")] = "table",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of each type instead.")] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Register the hash of each in the chain instead.")
    ] = False,
    dsn: Dsn = None,
    origin: Origin = None,
) -> None:
    """
    List every event type that this release knows, with its fields.
    """
    if register:
        with access.access(dsn) as found, Ledger.open(found.dsn("writer"), origin=origin) as ledger:
            made = ledger.register_schemas()
        print(f"registered {made} schemas; what this release knows is registered")
        return
    if format not in ("table", "json", "markdown"):
        raise typer.BadParameter(f"found --format {format!r}; expected table, json or markdown")
    if schema:
        listed = {name: schemas.json_schema(kind) for name, kind in EVENT_TYPES.items()}
        print(msgspec.json.format(msgspec.json.encode(listed), indent=1).decode())
    elif format == "json":
        print(msgspec.json.format(msgspec.json.encode(event_catalogue.describe()), indent=1).decode())
    elif format == "markdown":
        print(event_catalogue.page(), end="")
    else:
        _show(event_catalogue.describe())


def _show(described: list[dict[str, Any]]) -> None:
    """Print event types with the fields they must have."""
    rows = []
    for x in described:
        needed = ", ".join(field["name"] for field in x["fields"] if field["required"])
        rows.append((x["type"], str(x["schema_version"]), x["family"], x["kind"], needed))
    tables.print_if_any("event types", ("type", "version", "family", "kind", "required fields"), rows)
