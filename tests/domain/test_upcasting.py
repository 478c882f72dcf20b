"""
Check that what was written in an old version is read for good: its bytes, its consequences and its place in quarantine.

`ParcelMoved` exists here only: version 1 had its weight as text, version 2 as amount and unit, version 3 in grams.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ledger.domain import fold, registry, schemas
from ledger.domain.events.fields import Amount, Event, Identifier
from ledger.domain.fold import Context, DuplicateFact, Written
from ledger.domain.rows import Movement, Schema
from ledger.domain.rules.ground import Effects, Now, next_version
from ledger.domain.rules.told import check_first_told
from ledger.domain.state import State
from ledger.errors import InvalidEvent, UnknownFormat
from tests.domain.event_versions import pinned


class ParcelMovedV1(Event, frozen=True, kw_only=True):
    KIND: ClassVar = "fact"
    parcel: Identifier
    weight: Identifier


class ParcelMovedV2(Event, frozen=True, kw_only=True):
    KIND: ClassVar = "fact"
    SCHEMA_VERSION: ClassVar = 2
    parcel: Identifier
    amount: Amount
    unit: Identifier


class ParcelMoved(Event, frozen=True, kw_only=True):
    KIND: ClassVar = "fact"
    SCHEMA_VERSION: ClassVar = 3
    parcel: Identifier
    grams: Amount


def _to_2(old: ParcelMovedV1) -> ParcelMovedV2:
    amount, _, unit = old.weight.partition(" ")
    return ParcelMovedV2(parcel=old.parcel, amount=amount, unit=unit)


def _to_3(old: ParcelMovedV2) -> ParcelMoved:
    grams = int(str(old.amount)) * {"g": 1, "kg": 1000}[old.unit]
    return ParcelMoved(parcel=old.parcel, grams=grams)


def _move(state: State, event: ParcelMoved, now: Now) -> Effects:
    check_first_told(state.movements.fresh("parcel", event.parcel), now, "parcel_moved", f"parcel {event.parcel!r}")
    state.movements.put(Movement("parcel", event.parcel, now.seq, now.day, "[]", now.content(), None))
    return Effects("parcel/all", next_version(state, "parcel/all"), {"grams": event.grams})


GOLDEN = {
    1: (b'{"parcel":"p1","weight":"2 kg"}', ParcelMoved(parcel="p1", grams="2000")),
    2: (b'{"amount":"7","parcel":"p1","unit":"g"}', ParcelMoved(parcel="p1", grams="7")),
    3: (b'{"grams":"5","parcel":"p1"}', ParcelMoved(parcel="p1", grams="5")),
}
"""The bytes of every version, as its release wrote them, and what they say today."""


@pytest.fixture(autouse=True)
def _parcels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.EVENT_TYPES, "ParcelMoved", ParcelMoved)
    monkeypatch.setitem(registry.PAST, ("ParcelMoved", 1), registry.Past(ParcelMovedV1, _to_2))
    monkeypatch.setitem(registry.PAST, ("ParcelMoved", 2), registry.Past(ParcelMovedV2, _to_3))
    monkeypatch.setitem(fold.RULES, ParcelMoved, _move)


def registered(newest: int = 3) -> State:
    """Return a state in which versions may be used up to the *newest*, as its writer registers them."""
    state = State()
    for version in range(1, newest + 1):
        state.add("schemas", Schema("ParcelMoved", version, "aa", "1", 1))
    return state


def replay(state: State, version: int, given: bytes, grams: str, seq: int = 1, **stored: Any) -> list[fold.Mismatch]:
    derived = stored.get("derived", b'{"grams":"' + grams.encode() + b'"}')
    return fold.replay(
        state, stored.get("event_type", "ParcelMoved"), version, given, derived,
        (stored.get("stream", "parcel/all"), stored.get("stream_version", seq), 0), Context(seq, seq, 0),
    )  # fmt: skip


@pytest.mark.parametrize("version", GOLDEN)
def test_the_bytes_of_every_version_are_read_and_brought_up_to_date(version: int) -> None:
    """Step by step, and each version's own struct writes its bytes again as they were."""
    given, meant = GOLDEN[version]
    assert registry.decode_given("ParcelMoved", version, given) == meant
    assert registry.encode_given(registry.read("ParcelMoved", version, given)) == given


@pytest.mark.parametrize("version", GOLDEN)
def test_a_row_of_an_old_version_verifies_as_it_stands(version: int) -> None:
    """Nothing in it is rewritten, and an edit of it is still found."""
    given, meant = GOLDEN[version]
    state = registered(version)
    assert replay(state, version, given, str(meant.grams)) == []
    assert [x.column for x in replay(registered(version), version, given, "1")] == ["payload"]
    assert [
        x.column for x in replay(registered(version), version, given.replace(b"{", b"{ ", 1), str(meant.grams))
    ] == ["payload"]
    assert replay(state, version, given, str(meant.grams), seq=2)[0].actual == "recorded before, at seq 1"


def test_a_quarantined_fact_of_an_old_version_keeps_its_version_and_bytes() -> None:
    """It is quarantined again for the same reason when it is replayed, and reads as today's event."""
    state = State()
    assert replay(state, 1, GOLDEN[1][0], "2000") == []
    event = registry.read("ParcelMoved", 1, GOLDEN[1][0].replace(b"2 kg", b"3 kg"))
    given = registry.encode_given(event)
    made = fold.record(state, registry.upcast("ParcelMoved", 1, event), Context(2, 2, 0), Written(1, given))
    kept = registry.decode_given(made.event_type, made.schema_version, made.given)
    assert fold.original_of(kept) == ParcelMoved(parcel="p1", grams="3000")
    assert (kept.original_version, kept.original) == (1, given.decode())  # type: ignore[attr-defined]
    again = State()
    assert replay(again, 1, GOLDEN[1][0], "2000") == []
    stored = {"event_type": made.event_type, "derived": made.derived, "stream": made.stream, "stream_version": 1}
    assert replay(again, 1, made.given, "", 2, **stored) == []
    assert again.quarantine.rows == state.quarantine.rows


@pytest.mark.parametrize("version", [1, 2])
def test_a_fact_told_again_after_its_fields_changed_is_known(version: int) -> None:
    """By the writer, which reads what is recorded; with other content, or in a group, it is quarantined."""
    given, meant = GOLDEN[version]
    state = registered(version)
    assert replay(state, version, given, str(meant.grams)) == []
    for later in range(version + 1, 4):
        state.add("schemas", Schema("ParcelMoved", later, "aa", "1", 1))
    stored = {1: registry.decode_given("ParcelMoved", version, given)}
    state.recorded = stored.get
    with pytest.raises(DuplicateFact) as known:
        fold.record(state, meant, Context(2, 2, 0))
    assert known.value.seq == 1
    assert fold.record(state, meant, Context(2, 2, 0), alone=False).rule == "parcel_moved"
    other = ParcelMoved(parcel="p1", grams="8")
    made = fold.record(state, other, Context(3, 3, 0))
    assert made.rule == "parcel_moved"
    again = registered(version)
    replay(again, version, given, str(meant.grams))
    again.add("schemas", Schema("ParcelMoved", 3, "aa", "1", 1))
    found = {"event_type": made.event_type, "derived": made.derived, "stream": made.stream, "stream_version": 1}
    assert replay(again, 1, made.given, "", 3, **found) == []


@pytest.mark.parametrize("version", [0, 4, 65_535])
def test_a_version_that_is_not_known_stops_the_reader(version: int) -> None:
    """It is never read as another one, and the message says what to do; no release wrote a version 0."""
    words = "this program knows up to 3: use the release that" if version else "expected 1 or more"
    with pytest.raises(UnknownFormat, match=f"version {version}; {words}"):
        registry.read("ParcelMoved", version, GOLDEN[3][0])
    with pytest.raises(UnknownFormat):
        replay(State(), version, GOLDEN[3][0], "5")


def test_a_type_that_is_not_known_stops_the_reader() -> None:
    """A stored event is no typing mistake: a newer program wrote it."""
    with pytest.raises(UnknownFormat, match="'ParcelLost', which this program does not know: use the release that"):
        replay(State(), 1, GOLDEN[1][0], "5", event_type="ParcelLost")


def test_bytes_of_one_version_are_not_taken_for_another() -> None:
    """Fields that a version did not have are refused by its struct."""
    with pytest.raises(InvalidEvent, match="no ParcelMoved"):
        registry.read("ParcelMoved", 1, GOLDEN[2][0])


@pytest.mark.parametrize("case", pinned(), ids=lambda case: f"{case['type']}-{case['version']}")
def test_every_version_that_was_ever_written_has_the_fields_and_bytes_that_are_pinned(case: dict[str, Any]) -> None:
    """Fields, words and defaults by their hash; its bytes are read, written again, and brought up to date."""
    kind = registry.kind_of(case["type"], case["version"])
    assert kind is not None
    assert schemas.schema_hash(kind) == case["hash"], (
        "other fields need a new version, and a step that brings up to date"
    )
    given = case["given"].encode()
    assert registry.encode_given(registry.read(case["type"], case["version"], given)) == given
    assert type(registry.decode_given(case["type"], case["version"], given)) is registry.EVENT_TYPES[case["type"]]


def test_no_version_is_without_its_pin() -> None:
    """`python -m tests.domain.event_versions` adds those that are missing."""
    there = {(x["type"], x["version"]) for x in pinned()}
    kinds = {name: kind for name, kind in registry.EVENT_TYPES.items() if kind is not ParcelMoved}
    assert there == {(name, version) for name, kind in kinds.items() for version in range(1, kind.SCHEMA_VERSION + 1)}


def test_every_reader_of_the_past_is_of_a_version_below_its_types_own() -> None:
    """And reads that version; where fields did not change, as the pins say, there is none."""
    for (name, version), past in registry.PAST.items():
        assert version == past.kind.SCHEMA_VERSION < registry.EVENT_TYPES[name].SCHEMA_VERSION


def test_only_what_has_an_older_version_can_be_told_again_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second version on, where somebody can read what is recorded, and it is the same."""
    state, event = State(), ParcelMoved(parcel="p1", grams="7")
    assert not fold._is_told_again(state, event, 1)
    state.recorded = {1: event, 2: ParcelMoved(parcel="p2", grams="7")}.get
    assert [fold._is_told_again(state, event, seq) for seq in (1, 2, 3)] == [True, False, False]
    for version, is_told in ((2, True), (1, False)):
        monkeypatch.setattr(ParcelMoved, "SCHEMA_VERSION", version)
        assert fold._is_told_again(state, event, 1) is is_told
