"""
Say by which rule an event is judged: the one of the schema version in which it was written.

What follows from an event is stored with it, so a rule that is mended must not judge what was recorded before. A mend
after which some event would be taken, refused or quarantined otherwise, or bring other consequences, is a new version
of its type, with or without other fields; the rule as it was stays in `PAST_RULES`. Every rule, however old, is given
the event in its newest version. The writer writes newest versions only, and the fold takes no older one where a newer
is registered: nobody chooses a rule. docs/decisions/0032 says when a version is needed, and how it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ledger.domain.events.fields import Event
from ledger.domain.rules import (
    allocation,
    approval,
    cash,
    control,
    corporate_actions,
    evidence,
    executions,
    fx,
    marks,
    operations,
    order_reports,
    order_requests,
    periods,
    quarantine,
    reference,
    settlement,
)
from ledger.domain.rules.ground import Effects, Now
from ledger.domain.state import State

Rule = Callable[[State, Any, Now], Effects]
_FAMILIES: Final[tuple[Any, ...]] = (
    reference.RULES, order_requests.RULES, order_reports.RULES, executions.RULES, quarantine.RULES, cash.RULES,
    control.RULES, settlement.RULES, allocation.RULES, fx.RULES, approval.RULES,
    corporate_actions.RULES, marks.RULES, periods.RULES, evidence.RULES, operations.RULES,
)  # fmt: skip

RULES: Final[dict[type[Event], Rule]] = {kind: rule for family in _FAMILIES for kind, rule in family.items()}
"""The rule of every event type in its newest version."""

PAST_RULES: Final[dict[tuple[str, int], Rule]] = {}
"""By (event type, schema version), the last version that a rule of the past held for. No rule has changed yet."""


def rule_of(kind: type[Event], version: int) -> Rule:
    """
    Return the rule of an event type for what was written in *version*: the first that held from there on.
    """
    for later in range(version, kind.SCHEMA_VERSION):
        past = PAST_RULES.get((kind.__name__, later))
        if past is not None:
            return past
    return RULES[kind]
