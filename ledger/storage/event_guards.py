"""
Say how the guards of `events` stand, before anything is written there by the door of the schema.

The door sets them aside and leaves them as every release makes them. Where somebody left one off, or put a trigger or a
rule beside them, they would stand otherwise afterwards than before, or take rows away that come: nothing is committed.
"""

from __future__ import annotations

from typing import Final

from ledger.storage.database import Connection

EVENT_GUARDS: Final = ("check_appended", "refuse_change")
"""The triggers of `events`, which its door leaves as it does in any release: another one would stand otherwise then."""


def amiss(connection: Connection) -> str:
    """
    Return what the owner of the tables has to do before the door of `events` leaves guards as they stood; nothing where
    it does so now.
    """
    triggers = connection.execute(
        "SELECT tgname, tgenabled::text, format('DROP TRIGGER %I ON ledger.events', tgname) FROM pg_trigger"
        " WHERE tgrelid = 'ledger.events'::regclass AND NOT tgisinternal ORDER BY tgname"
    ).fetchall()
    rules = connection.execute(
        "SELECT format('DROP RULE %I ON ledger.events', rulename) FROM pg_rules WHERE schemaname = 'ledger'"
        " AND tablename = 'events' ORDER BY rulename"
    ).fetchall()
    found = {name: state for name, state, _ in triggers}
    first = [
        *(f"make the trigger {name} again, by the statement in migrations/versions"
          for name in EVENT_GUARDS if name not in found),
        *(f"ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER {name}"
          for name in EVENT_GUARDS if found.get(name, "A") != "A"),
        *(statement for name, _, statement in triggers if name not in EVENT_GUARDS),
        *(statement for (statement,) in rules),
    ]  # fmt: skip
    return (
        f"the guards of events come first: {'; '.join(first)}, as the tables' owner; then plan again" if first else ""
    )
