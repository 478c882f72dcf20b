"""
Check that what is recorded is judged by the rule of its version for good, after its rule was mended.

`mended` is a newer program: fees come to closed accounts no more, and say who had them; a cash movement may be of any
kind and amount. Neither has another field.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ledger.domain import fold, registry, rulebook, schemas
from ledger.domain.events.cash import CashMoved, FeeCharged
from ledger.domain.events.executions import FactQuarantined
from ledger.domain.events.fields import Event
from ledger.domain.fold import Context, Written
from ledger.domain.postings import FEES, moved
from ledger.domain.rules import cash, quarantine
from ledger.domain.rules.ground import Broken, Effects, Now, as_derived, post, touch_account, units
from ledger.domain.state import State
from ledger.domain.stream_names import STREAMS
from ledger.errors import RuleBroken
from tests.domain.books import DAY, Books, opened


def _charge(state: State, event: FeeCharged, now: Now) -> Effects:
    """As the rule of version 1, with another consequence and one more refusal."""
    if units(event.amount) > units("5"):
        raise Broken("amount", f"found {event.amount}; expected at most 5")
    made = cash.charge_fee(state, event, now)
    return msgspec.structs.replace(made, derived={**made.derived, "to": FEES})


def _move(state: State, event: CashMoved, now: Now) -> Effects:
    """Of any kind and amount."""
    lines = moved(event.asset, units(event.amount), ("~external", "settled"), (event.account, "settled"))
    post(state, lines, may_refuse=False)
    version = touch_account(state, event.account)
    return Effects(f"account/{event.account}", version, {"postings": as_derived(lines)}, event.value_date)


@contextlib.contextmanager
def mended(*, forgetful: bool = False) -> Iterator[None]:
    """Be the newer program; a *forgetful* one judges what is old by its new rules."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, rule in ((FeeCharged, _charge), (CashMoved, _move)):
            patch.setattr(kind, "SCHEMA_VERSION", 2)
            if not forgetful:
                patch.setitem(rulebook.PAST_RULES, (kind.__name__, 1), rulebook.RULES[kind])
            patch.setitem(rulebook.RULES, kind, rule)
        yield


def fee(name: str, amount: str = "1") -> Event:
    return FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount=amount)


def withdrawn(name: str) -> Event:
    """A withdrawal above zero: version 1 quarantines it."""
    return CashMoved(movement_id=name, account="A", asset="USDT", amount="5", kind="withdrawal", value_date=DAY)


def both() -> Books:
    """Return books of either program, each with what the other would judge otherwise."""
    books = opened()
    books.give(fee("large", "7"))
    assert books.give(withdrawn("W")).rule == "amount"
    with mended():
        for registered in schemas.missing((), everything=False):
            books.give(registered)
        assert books.give(withdrawn("X")).rule is None
        assert b'"to":"~fees"' in books.give(fee("small")).derived
        with pytest.raises(RuleBroken, match="expected at most 5"):
            books.give(fee("too large", "7"))
    return books


def wrong(books: Books) -> list[tuple[str, str]]:
    """Return (type, column) of each stored event that the rules make something else of, up to the first."""
    state = State()
    for x, context in zip(books.stored, books.contexts, strict=True):
        place = (x.stream, x.stream_version, x.effective_on)
        found = fold.replay(state, x.event_type, x.schema_version, x.given, x.derived, place, context)
        if found:
            return [(x.event_type, one.column) for one in found]
    return []


def test_a_chain_with_events_of_two_rules_verifies_and_stays_what_it_was() -> None:
    """What version 1 took and version 2 refuses, what it quarantined, and what follows otherwise from either."""
    books = both()
    assert [x.schema_version for x in books.stored if x.event_type == "FeeCharged"] == [1, 2]
    with mended():
        assert books.replayed().balances.rows == books.state.balances.rows
        assert schemas.schema_hash(FeeCharged) in {row.schema_hash for row in books.state.schemas.rows.values()}


def test_by_the_wrong_rule_it_does_not_verify() -> None:
    """A program without the rule of the past finds it, and so does one that is told another version."""
    books = both()
    with mended(forgetful=True):
        assert wrong(books) == [("FeeCharged", "payload")]
    old = next(place for place, x in enumerate(books.stored) if x.event_type == "FeeCharged")
    books.stored[old] = msgspec.structs.replace(books.stored[old], schema_version=2)
    with mended():
        assert wrong(books) == [("FeeCharged", "payload")]


def test_nobody_chooses_a_rule_by_its_version() -> None:
    """Once the newer version is registered, one below it is found, be it an event, a fact or one that waits."""
    books = both()
    with mended():
        for event in (fee("late", "7"), withdrawn("late")):
            written = Written(1, registry.encode_given(event))
            with pytest.raises(RuleBroken, match=r"R5: version 2 is registered .* nothing is written in version 1"):
                fold.record(books.state, event, Context(99, 99, 99), written)
        waiting = FactQuarantined(
            original_type="CashMoved", original_version=1, original=registry.encode_given(withdrawn("late")).decode(),
            rule="amount", detail="for a reason",
        )  # fmt: skip
        made = registry.encode_given(waiting)
        found = fold.replay(
            books.state, "FactQuarantined", 1, made, b"{}", ("quarantine/facts", 2, 0), Context(9, 9, 9)
        )
        assert [x.column for x in found] == ["payload"]
        assert "nothing is written in version 1" in found[0].actual


@pytest.mark.parametrize(("rule", "columns"), [("amount", []), ("excess_scale", [("FactQuarantined", "payload")])])
def test_the_reason_of_a_quarantine_is_its_rule_and_not_the_words(rule: str, columns: list[tuple[str, str]]) -> None:
    """A program that says it in other words verifies what is stored; another rule is found."""
    books = opened()
    kept = msgspec.json.decode(books.give(withdrawn("W")).given)
    said = FactQuarantined(**{**kept, "rule": rule, "detail": "in other words"})
    books.stored[-1] = msgspec.structs.replace(books.stored[-1], given=registry.encode_given(said))
    assert wrong(books) == columns


def test_a_fact_that_waits_was_kept_by_the_rule_of_its_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of keeping facts may be mended as well, and what was kept before stays where it was."""
    books = opened()
    books.give(withdrawn("W"))
    monkeypatch.setattr(FactQuarantined, "SCHEMA_VERSION", 2)
    monkeypatch.setitem(rulebook.RULES, FactQuarantined, lambda *_: Effects("quarantine/others", 1))
    monkeypatch.setitem(STREAMS, "FactQuarantined", ("quarantine/others",))
    assert wrong(books) == [("FactQuarantined", "stream")]
    monkeypatch.setitem(rulebook.PAST_RULES, ("FactQuarantined", 1), quarantine.quarantine)
    assert wrong(books) == []
    with pytest.raises(RuleBroken, match="its version 2 is not registered"):
        books.give(withdrawn("X"))
    for registered in schemas.missing((), everything=False):
        books.give(registered)
    assert books.give(withdrawn("X")).stream == "quarantine/others"
    assert wrong(books) == []


def test_an_old_version_has_the_fields_and_the_rule_of_the_first_change_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Versions are of fields or of rules; what did not change at one is that of the next."""
    rules: dict[int, Any] = {version: lambda *_: None for version in (2, 4)}
    monkeypatch.setattr(FeeCharged, "SCHEMA_VERSION", 5)
    for version, rule in rules.items():
        monkeypatch.setitem(rulebook.PAST_RULES, ("FeeCharged", version), rule)
    found = [rulebook.rule_of(FeeCharged, version) for version in range(1, 6)]
    assert found == [rules[2], rules[2], rules[4], rules[4], rulebook.RULES[FeeCharged]]
    assert [registry.kind_of("FeeCharged", version) for version in (0, 1, 4, 5, 6)] == [
        None, FeeCharged, FeeCharged, FeeCharged, None,
    ]  # fmt: skip


def test_every_rule_of_the_past_is_of_a_version_that_there_was() -> None:
    """One for the newest version, or of no type, would never be asked."""
    for name, version in rulebook.PAST_RULES:
        assert 1 <= version < registry.EVENT_TYPES[name].SCHEMA_VERSION
