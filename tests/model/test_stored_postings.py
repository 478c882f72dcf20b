"""
Check that who has the stored events and docs/FORMAT.md alone comes to the balances, and finds each member explained.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from ledger.domain import fold, registry
from ledger.domain.amounts import render
from ledger.domain.fold import DuplicateFact
from ledger.domain.state import State
from ledger.errors import RuleBroken
from tests.model.test_known_histories import HISTORIES, Given, context

PAGE = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text()
SECTION = PAGE.partition("### What follows from an event")[2].partition("\n## ")[0]
MEMBERS = dict(re.findall(r"^\| (`[^|]*) \| (.*?) \|", SECTION, re.MULTILINE))
"""What the table says of members that post nothing: of which event types they are."""


def stored(history: list[Given]) -> tuple[State, list[tuple[str, dict[str, Any], dict[str, Any]]]]:
    """Return the books of a history, and (event type, D, G) of each event."""
    state, found = State(), []
    for one in history:
        event = registry.decode_given(one.event_type, 1, one.given)
        try:
            made = fold.record(state, event, context(len(found) + 1, one.day))
        except (DuplicateFact, RuleBroken):
            continue
        found.append((made.event_type, json.loads(made.derived), json.loads(made.given)))
    return state, found


def posted(event_type: str, derived: dict[str, Any], given: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (account, asset, bucket, amount) as the page says."""
    if event_type == "JournalPosted":
        yield from ((x["account"], x["asset"], x["bucket"], x["amount"]) for x in given["postings"])
    for asset, buckets in derived.get("postings_of_many", {}).items():
        for bucket, accounts in buckets.items():
            yield from ((account, asset, bucket, amount) for account, amount in accounts.items())
    yield from (tuple(line) for line in derived.get("postings", []))


@pytest.mark.parametrize("number", range(0, len(HISTORIES), 3))
def test_what_is_stored_adds_up_to_the_balances(number: int) -> None:
    """And to nothing in each asset of each event; what moved new shares is a part of what a settlement posted."""
    state, events = stored(HISTORIES[number])
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    with localcontext(prec=60):
        for event in events:
            of_event: dict[str, Decimal] = defaultdict(Decimal)
            for account, asset, bucket, amount in posted(*event):
                sums[account, asset, bucket] += Decimal(amount)
                of_event[asset] += Decimal(amount)
            assert not any(of_event.values()), event
    books = {(row.account, row.asset, bucket): Decimal(render(getattr(row, bucket)))
             for row in state.balances.rows.values() for bucket in ("settled", "unsettled", "held")
             if getattr(row, bucket)}  # fmt: skip
    assert {place: amount for place, amount in sums.items() if amount} == books


def test_each_member_is_on_the_page_with_its_types() -> None:
    """Whatever a rule stores beside postings has its row in the table."""
    listed = {(name, kind) for names, kinds in MEMBERS.items() for name in re.findall(r"`(\w+)`", names)
              for kind in kinds.split(", ")}  # fmt: skip
    found = {(name, event_type) for history in HISTORIES for event_type, derived, _ in stored(history)[1]
             for name in derived}  # fmt: skip
    assert {x for x in found if x[0] not in ("postings", "postings_of_many", "in_new_shares")} <= listed
    assert {kind for _, kind in listed} <= set(registry.EVENT_TYPES)
