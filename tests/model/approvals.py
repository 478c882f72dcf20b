"""
Say whether what one person proposed needs another, and has one.
"""

from __future__ import annotations

from typing import Any, Protocol

from ledger.domain.events.control import ControlsSet
from tests.model.history import History
from tests.model.moment import Moment


class Proposed(Protocol):
    """
    What names who proposed it and who approved it.
    """

    @property
    def proposed_by(self) -> str | None: ...

    @property
    def approved_by(self) -> str | None: ...


def controlled(history: History, action: str) -> bool:
    said = history.of(ControlsSet)
    return bool(said) and action in said[-1].second_person


def approved(history: History, event: Proposed, action: str) -> bool:
    """Whether an action has the persons that it needs; nobody approves what is their own."""
    if event.approved_by is None:
        return not controlled(history, action)
    return event.proposed_by is not None and event.proposed_by != event.approved_by


def sets_controls(history: History, event: ControlsSet, _: Moment) -> bool:
    on = any(x.second_person for x in history.of(ControlsSet)[-1:])
    if event.approved_by is None:
        return not on
    return event.approved_by != event.proposed_by


JUDGES: dict[Any, Any] = {ControlsSet: sets_controls}
