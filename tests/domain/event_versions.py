"""
Pin what every version of every event type is: the hash of its fields, and bytes that its release wrote.

`python -m tests.domain.event_versions` adds the versions that are missing, and leaves those that are there: what was
written stays readable for good. Until the first release an entry may be deleted and made anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ledger.domain import event_catalogue, registry, schemas

PINNED = Path(__file__).with_suffix(".json")


def pinned() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(PINNED.read_text()) if PINNED.exists() else []
    return found


def main() -> None:
    found = {(x["type"], x["version"]): x for x in pinned()}
    for name, kind in registry.EVENT_TYPES.items():
        given = registry.encode_given(event_catalogue.example(kind)).decode()
        made = {"type": name, "version": kind.SCHEMA_VERSION, "hash": schemas.schema_hash(kind), "given": given}
        found.setdefault((name, kind.SCHEMA_VERSION), made)
    lines = ",\n".join(json.dumps(found[key], ensure_ascii=False) for key in sorted(found))
    PINNED.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
