"""
Rule on second persons: who proposed and who approved what a single person should not decide.

The names are what the caller asserts, as an event's actor is; the ledger sees that there are two, in whatever capitals
and with whatever spaces they are written, and that both are in the chain. Which actions need it is set by an event, and
where any does, changing that needs it as well.
"""

from __future__ import annotations

from ledger.domain.events import control as events
from ledger.domain.events.fields import Event
from ledger.domain.rows import Control
from ledger.domain.rules.ground import Broken, Effects, Now, next_version
from ledger.domain.state import State

CONTROL_STREAM = "chain/control"


def _person(name: str | None) -> str:
    """Return whom *name* means, however it is spelled; empty for nobody."""
    return "".join((name or "").casefold().split())


def _check(needed: bool, action: str, proposed_by: str | None, approved_by: str | None) -> None:
    if approved_by is not None and not _person(proposed_by):
        raise Broken("second_person", "found an approval of what nobody proposed; give proposed_by")
    if approved_by is not None and _person(approved_by) in ("", _person(proposed_by)):
        raise Broken(
            "second_person",
            f"found {proposed_by!r} as proposer and {approved_by!r} as approver; expected someone else to approve: "
            "capitals and spaces make no other person",
        )
    if needed and approved_by is None:
        raise Broken("second_person", f"a {action} needs a second person here: give proposed_by and approved_by")


def check_second_person(state: State, action: str, proposed_by: str | None, approved_by: str | None) -> None:
    """
    Raise Broken unless *action* was approved by someone else than who proposed it, where the chain asks for that.
    """
    control = state.controls.get(action)
    _check(control is not None and control.second_person, action, proposed_by, approved_by)


def set_controls(state: State, event: events.ControlsSet, now: Now) -> Effects:
    """
    The actions named need a second person from now on, the others do not.
    """
    set_now = {row.action for row in state.controls.rows.values() if row.second_person}
    _check(bool(set_now), "change of controls", event.proposed_by, event.approved_by)
    for action in events.CONTROLLED:
        if (action in event.second_person) != (action in set_now):
            state.controls.put(Control(action, action in event.second_person, now.seq))
    return Effects(CONTROL_STREAM, next_version(state, CONTROL_STREAM))


RULES: dict[type[Event], object] = {events.ControlsSet: set_controls}
